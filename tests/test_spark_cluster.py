"""A real cluster on this machine: it opens to its owner only, runs days and aggregates, and survives what is killed."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest

from pipeline import contract, simulate
from pipeline.errors import ExitCode, SettingsError
from pipeline.settings import PREFIX, Settings
from pipeline.spark import cluster, configuration

pytestmark = pytest.mark.spark

ROOT = Path(__file__).parent.parent
DAY = date(2026, 1, 15)
#: More than one range of 16 MB, so that both executors have work.
LINES = 60_000
#: Java that spends little on making itself fast: tests are over before it pays.
QUICK = {"JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}
_DEADLINE_SECONDS = 300


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """Settings of the home that the cluster belongs to."""
    return Settings(home=tmp_path_factory.mktemp("cluster") / "ho me", spark_executor_memory="600m")


@pytest.fixture(scope="module")
def address(settings):
    """The address of a running cluster with a master and two workers."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in QUICK.items():
            patch.setenv(name, value)
        address = cluster.up(settings, port=0)
    yield address
    assert cluster.down(settings) == 1 + cluster.WORKERS
    assert not cluster.of(settings.home).folder.exists()


@pytest.fixture(scope="module")
def around(settings, address):
    """The environment of a command that works on the cluster."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX) and name != "JAVA_HOME"}
    return kept | {
        "PYTHONPATH": str(ROOT),
        "DAYGATE_HOME": str(settings.home),
        "DAYGATE_SPARK_MASTER": address,
        "DAYGATE_SPARK_EXECUTOR_MEMORY": settings.spark_executor_memory,
        "DAYGATE_SPARK_SHUFFLE_PARTITIONS": "4",
        **QUICK,
    }


@pytest.fixture(scope="module")
def delivery(settings):
    """A dirty day that still passes."""
    file = settings.event_file(DAY)
    faults = {"line_truncated": 0.002, "total_mismatch": 0.004}
    simulate.generate(DAY, contract=contract.load(), output=file, users=300, seed=7, events=LINES, faults=faults)
    return file


def test_a_port_that_is_taken_is_told(tmp_path):
    """Before anything is started."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken, pytest.raises(SettingsError) as refused:
        cluster.up(Settings(home=tmp_path), port=taken.getsockname()[1])

    assert "is taken" in refused.value.message
    assert "--port 0" in refused.value.hint
    assert cluster.down(Settings(home=tmp_path)) == 0


def test_down_leaves_processes_alone_that_only_bear_the_number(tmp_path):
    """After a restart of the machine the number may be anybody's."""
    home = cluster.of(tmp_path)
    home.folder.mkdir(parents=True)
    home.remember([cluster.Daemon(name="master", pid=os.getpid(), began=1)])

    assert cluster.down(Settings(home=tmp_path)) == 0


def listening(pid):
    """Local addresses (as the kernel writes them) and ports that a process listens on."""
    mine = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
    lines = [
        line.split() for kind in ("tcp", "tcp6") for line in Path(f"/proc/{pid}/net/{kind}").read_text().splitlines()
    ]
    places = [line[1].split(":") for line in lines if line[3] == "0A" and f"socket:[{line[9]}]" in mine]
    return {(address, int(port, 16)) for address, port in places}


def test_it_listens_on_loopback_and_takes_no_programs_over_http(settings, address):
    """Everything that the cluster's processes have open is for this machine; the REST server of port 6066 is off."""
    daemons = cluster.of(settings.home).daemons
    places = set().union(*(listening(daemon.pid) for daemon in daemons))

    assert [daemon.name for daemon in daemons] == ["master", "worker-1", "worker-2"]
    assert int(address.rpartition(":")[2]) in {port for _, port in places}
    # 127.0.0.1, as such and as an IPv6 address.
    assert {place for place, _ in places} <= {"0100007F", "0000000000000000FFFF00000100007F"}
    assert 6066 not in {port for _, port in places}
    assert cluster.up(settings) == address


def test_its_secret_is_in_no_command_line_and_in_no_file_of_others(settings, address):
    """Whoever knows it may run programs as the owner."""
    file = cluster.of(settings.home).properties
    secret = configuration.read(file)["spark.authenticate.secret"]

    assert file.stat().st_mode & 0o077 == 0
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert secret.encode() not in command.read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue


def test_spark_submit_writes_the_aggregates(around, settings, tmp_path):
    """As documented: the environment from `env`, everything else from the cluster's properties; the day is judged."""
    delivery = tmp_path / f"events_{DAY:%Y%m%d}.jsonl"
    simulate.generate(DAY, contract=contract.load(), output=delivery, users=30, seed=7)
    env = subprocess.run(
        [sys.executable, "-m", "pipeline.spark.cluster", "env"], env=around, capture_output=True, text=True, check=True
    )
    words = ["--start", str(DAY), "--end", str(DAY), "--input", str(delivery.parent), "--output", str(tmp_path / "out")]
    command = [
        *(str(configuration.spark_home() / "bin" / "spark-submit"), "--properties-file"),
        *(str(cluster.of(settings.home).properties), str(ROOT / "scheduler" / "__main__.py"), "spark-batch", *words),
    ]

    done = subprocess.run(
        ["bash", "-c", f"{env.stdout}\nexec {shlex.join(command)}"],
        env=around,
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )

    assert done.returncode == ExitCode.OK, done.stderr
    assert "1 days, 1 aggregated, 0 left out" in done.stdout
    made = {path.parent.parent.parent.name for path in (tmp_path / "out").rglob("*.parquet")}
    assert made >= {"funnel_conversion", "hourly_traffic", "product_conversion", "session_sequences"}


def check(delivery, around, engine):
    """A running `daygate check` of the delivery."""
    words = [sys.executable, "-m", "scheduler", "check", str(delivery), "--engine", engine, "--output-format", "json"]
    return subprocess.Popen(words, env=around, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def answer(process):
    """What it answered, without what may differ."""
    said, complained = process.communicate(timeout=_DEADLINE_SECONDS)
    assert process.returncode == ExitCode.OK, complained
    return {key: value for key, value in json.loads(said).items() if key not in ("engine", "seconds")}


def children(pid):
    """Processes whose parent it is, with their command lines."""
    found = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text(encoding="utf-8").rpartition(")")[2].split()[1])
            if parent == pid:
                found[int(status.parent.name)] = (status.parent / "cmdline").read_bytes().decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def busy_executor(settings):
    """An executor whose Python is at work; None while there is none."""
    for daemon in cluster.of(settings.home).daemons[1:]:
        for pid, command in children(daemon.pid).items():
            if "CoarseGrainedExecutorBackend" in command and any(map(children, children(pid))):
                return pid
    return None


def test_an_executor_killed_half_way_changes_no_answer(settings, around, delivery):
    """Verdict, counts and samples are those of one machine without Spark; another executor takes its place."""
    running = check(delivery, around, "spark")
    deadline = time.monotonic() + _DEADLINE_SECONDS
    victim = None
    while victim is None and running.poll() is None and time.monotonic() < deadline:
        victim = busy_executor(settings)
    assert victim is not None, running.communicate()
    os.kill(victim, signal.SIGKILL)

    survived = answer(running)

    assert survived == answer(check(delivery, around, "pandas"))
    assert survived["verdict"] == "PASS"
    assert 0 < survived["good_lines"] < survived["lines"]
    assert "Lost executor" in (settings.home / "spark" / "spark.log").read_text(encoding="utf-8")
