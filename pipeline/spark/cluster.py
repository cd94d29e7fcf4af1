"""A Spark standalone cluster on this machine: `python -m pipeline.spark.cluster up`, `down`, `env`.

A master and two workers from the installed package, listening on loopback only, that take work from whoever knows
their secret; the secret is in a file that only its owner reads, and a session finds it there by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from pipeline import settings as all_settings
from pipeline.errors import DaygateError, SettingsError, StepFailed
from pipeline.files import replace_file
from pipeline.settings import Settings
from pipeline.spark import configuration, java, place
from pipeline.spark.configuration import LOOPBACK

PORT: Final = 7077
WORKERS: Final = 2
_CLASS: Final = "org.apache.spark.deploy"
_MOST_SECONDS_TO_START: Final = 180
_MOST_SECONDS_TO_END: Final = 20
_POLL_SECONDS: Final = 0.2


@dataclass(frozen=True, kw_only=True, slots=True)
class Daemon:
    """A started process; `began` tells it from another that got its number later."""

    name: str
    pid: int
    began: int

    @property
    def runs(self) -> bool:
        """Whether it is still the same process."""
        return _began(self.pid) == self.began


@dataclass(frozen=True, kw_only=True, slots=True)
class Cluster:
    """The files of a home's cluster."""

    folder: Path

    @property
    def daemons(self) -> tuple[Daemon, ...]:
        """What was started and not yet stopped."""
        try:
            return tuple(Daemon(**one) for one in json.loads(self._pids.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return ()

    @property
    def properties(self) -> Path:
        """What a driver needs to work on it, its secret included."""
        return self.folder / "cluster.properties"

    @property
    def _pids(self) -> Path:
        return self.folder / "pids.json"

    def log(self, name: str) -> Path:
        """What a daemon says."""
        return self.folder / f"{name}.log"

    def remember(self, daemons: Sequence[Daemon]) -> None:
        """Keep the numbers for `down`."""
        replace_file(self._pids, json.dumps([asdict(daemon) for daemon in daemons]).encode())


def of(home: Path) -> Cluster:
    """The home's cluster, whether it runs or not."""
    return Cluster(folder=home.absolute() / "spark" / "cluster")


def up(settings: Settings, *, port: int = PORT) -> str:
    """Start the cluster and wait until its workers are there; its address.

    Args:
        port: of the master; 0 takes a free one.

    Raises:
        SettingsError: Spark or Java is not there, or the port is taken.
        StepFailed: it does not come up; nothing is left running.
    """
    configuration.require_installed()
    runtime = java.home_for_spark(java.find(), place.root(settings.home))
    cluster = of(settings.home)
    if all(daemon.runs for daemon in cluster.daemons) and cluster.daemons:
        return configuration.read(cluster.properties)["spark.master"]
    down(settings)
    cluster.folder.mkdir(mode=0o700)
    address, pages = f"spark://{LOOPBACK}:{_free(port)}", _free(0)
    _write(cluster, settings, address)
    try:
        _start(cluster, settings, runtime, address, pages)
        _await(cluster, pages)
    except BaseException:
        down(settings, keep_logs=True)
        raise
    return address


def down(settings: Settings, *, keep_logs: bool = False) -> int:
    """Stop what was started; how many processes were still running."""
    cluster = of(settings.home)
    running = [daemon for daemon in reversed(cluster.daemons) if daemon.runs]
    for number in (signal.SIGTERM, signal.SIGKILL):
        for daemon in running:
            if daemon.runs:
                with suppress(ProcessLookupError):
                    os.kill(daemon.pid, number)
        deadline = time.monotonic() + _MOST_SECONDS_TO_END
        while any(daemon.runs for daemon in running) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
    if keep_logs:
        cluster.remember(())
    else:
        shutil.rmtree(cluster.folder, ignore_errors=True)
    return len(running)


def _write(cluster: Cluster, settings: Settings, address: str) -> None:
    """The one properties file of daemons and drivers; a secret on a command line would be everybody's."""
    at_home = settings.model_copy(update={"spark_master": address})
    properties = configuration.of(at_home, cluster.folder)
    configuration.write(
        cluster.properties,
        properties
        | {
            "spark.authenticate": "true",
            "spark.authenticate.secret": secrets.token_hex(32),
            "spark.network.crypto.enabled": "true",
            # Would take and start programs from anybody who reaches the port.
            "spark.master.rest.enabled": "false",
            "spark.ui.killEnabled": "false",
            "spark.worker.cleanup.enabled": "true",
            "spark.pyspark.python": sys.executable,
            "spark.pyspark.driver.python": sys.executable,
        },
    )


def _start(cluster: Cluster, settings: Settings, runtime: Path, address: str, pages: int) -> None:
    common = ["--host", LOOPBACK, "--properties-file", str(cluster.properties)]
    port = address.rpartition(":")[2]
    cores = max(1, (os.cpu_count() or 1) // WORKERS)
    size = ["--cores", str(cores), "--memory", settings.spark_executor_memory]
    commands = {"master": ["master.Master", *common, "--port", port, "--webui-port", str(pages)]}
    for number in range(1, WORKERS + 1):
        folder = ["--work-dir", str(cluster.folder / f"worker-{number}"), "--webui-port", "0"]
        commands[f"worker-{number}"] = ["worker.Worker", *common, *size, *folder, address]
    around = {**os.environ, **_environment(cluster, runtime)}
    started: list[Daemon] = []
    for name, words in commands.items():
        with cluster.log(name).open("wb") as said:
            process = subprocess.Popen(  # noqa: S603  # Spark's own launcher, no shell
                [str(configuration.spark_home() / "bin" / "spark-class"), f"{_CLASS}.{words[0]}", *words[1:]],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env=around,
                cwd=cluster.folder,
                start_new_session=True,
            )
        started.append(Daemon(name=name, pid=process.pid, began=_began(process.pid) or 0))
        cluster.remember(started)


def _environment(cluster: Cluster, runtime: Path) -> dict[str, str]:
    options = f'"-Djava.io.tmpdir={cluster.folder}" -XX:-UsePerfData -XX:+UseSerialGC'
    return {
        **configuration.environment(f"spark://{LOOPBACK}", runtime),
        "SPARK_DAEMON_MEMORY": "512m",
        "SPARK_DAEMON_JAVA_OPTS": options,
        "SPARK_NO_DAEMONIZE": "1",
    }


def _await(cluster: Cluster, pages: int) -> None:
    """Until the master's own page counts every worker as alive."""
    deadline = time.monotonic() + _MOST_SECONDS_TO_START
    while time.monotonic() < deadline:
        for daemon in cluster.daemons:
            if not daemon.runs:
                raise StepFailed(
                    f"The Spark {daemon.name} ended while it started.",
                    step="spark",
                    hint=f"Read {cluster.log(daemon.name)}",
                )
        if _workers_alive(pages) == WORKERS:
            return
        time.sleep(_POLL_SECONDS)
    raise StepFailed("The Spark workers did not come up in time.", step="spark", hint=f"Read {cluster.folder}/*.log")


def _workers_alive(pages: int) -> int:
    with suppress(OSError, ValueError, KeyError), urllib.request.urlopen(f"http://{LOOPBACK}:{pages}/json/") as answer:
        return int(json.load(answer)["aliveworkers"])
    return 0


def _free(port: int) -> int:
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            raise SettingsError(
                f"Port {port} of {LOOPBACK} is taken, perhaps by another Spark master.",
                hint="python -m pipeline.spark.cluster up --port 0, for a free one",
            ) from None
        return int(probe.getsockname()[1])


def _began(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None when it is gone or only waits to be reaped."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return None if after_name[0] == "Z" else int(after_name[19])


def _exports(variables: Mapping[str, str]) -> str:
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())


def main(words: Sequence[str] | None = None) -> int:
    """The command line; the exit code of what happened."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.spark.cluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    starting = commands.add_parser("up", help="start a master and two workers")
    starting.add_argument("--port", type=int, default=PORT, help=f"of the master; 0 takes a free one ({PORT})")
    commands.add_parser("down", help="stop them")
    commands.add_parser("env", help="print what a shell needs for spark-submit")
    asked = parser.parse_args(words)
    try:
        settings = all_settings.load()
        print(_done(asked, settings))  # noqa: T201  # this is a command
    except DaygateError as error:
        print(f"daygate: {error.message}\n  try: {error.hint}", file=sys.stderr)  # noqa: T201  # likewise
        return error.exit_code
    return 0


def _done(asked: argparse.Namespace, settings: Settings) -> str:
    if asked.command == "up":
        address = up(settings, port=asked.port)
        return (
            f"A master and {WORKERS} workers run at {address}.\n"
            f"  use them: export DAYGATE_SPARK_MASTER={address}\n  stop them: make spark-down"
        )
    if asked.command == "down":
        return f"{down(settings)} processes stopped."
    runtime = java.home_for_spark(java.find(), place.root(settings.home))
    return _exports(configuration.environment(f"spark://{LOOPBACK}", runtime))


if __name__ == "__main__":
    sys.exit(main())
