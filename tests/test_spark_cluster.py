"""A real cluster on this machine: it opens to its owner only, runs days and aggregates, and survives what is killed."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager, suppress
from datetime import date
from functools import partial
from pathlib import Path

import psycopg2
import pytest

from pipeline import contract, simulate
from pipeline.errors import ExitCode, SettingsError
from pipeline.settings import PREFIX, Settings
from pipeline.spark import cluster, configuration

pytest_plugins = ["database_fixtures", "day_fixtures"]
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
    """As docs/spark.md tells to type it: the environment from `env`, the rest from the cluster's properties."""
    events = tmp_path / "of one day" / f"events_{DAY:%Y%m%d}.jsonl"
    simulate.generate(DAY, contract=contract.load(), output=events, users=30, seed=7)
    page = (ROOT / "docs" / "spark.md").read_text("utf-8").split("By spark-submit")[1]
    typed = re.search(r"```console\n(.*?)```", page, re.DOTALL)[1]
    typed = re.sub(r"2026-01-\d\d", str(DAY), re.sub(r"^\$ ", "", typed, flags=re.MULTILINE))
    # A checkout as the page takes it for granted, around the home of this cluster.
    for name, target in (("data", settings.home), (".venv", sys.prefix), ("scheduler", ROOT / "scheduler")):
        (tmp_path / name).symlink_to(target)
    typed = typed.replace("data/events", shlex.quote(str(events.parent)))

    done = subprocess.run(
        ["bash", "-e", "-c", typed], env=around, capture_output=True, text=True, check=False, cwd=tmp_path
    )

    assert done.returncode == ExitCode.OK, done.stderr
    assert "1 days, 1 aggregated, 0 left out" in done.stdout
    made = {path.parent.parent.parent.name for path in (tmp_path / "out").rglob("*.parquet")}
    assert made >= {"funnel_conversion", "hourly_traffic", "product_conversion", "session_sequences"}


def run(delivery, around, engine, **streams):
    """A running `daygate run` of the delivery."""
    words = ["run", "--date", str(DAY), "--file", str(delivery), "--engine", engine, "--force"]
    return subprocess.Popen(
        [sys.executable, "-m", "scheduler", *words], env=around, stdout=subprocess.PIPE, text=True, **streams
    )


@contextmanager
def terminal():
    """The side of a terminal that a process is given, and what appears on it."""
    screen, side = os.openpty()
    seen = []

    def read():
        with suppress(OSError):  # nobody holds the other side any more
            while data := os.read(screen, 4096):
                seen.append(data)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield side, seen
    finally:
        os.close(side)
        reader.join()
        os.close(screen)


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


def executors(settings):
    """The executors of the cluster."""
    started = (children(daemon.pid) for daemon in cluster.of(settings.home).daemons[1:])
    return [pid for found in started for pid, command in found.items() if "CoarseGrainedExecutorBackend" in command]


def parsing(settings):
    """An executor whose Python is at work."""
    return next((pid for pid in executors(settings) if any(map(children, children(pid)))), None)


def listing(settings):
    """An executor that holds lines of the day, of which those that fail are being listed."""
    return next(iter(executors(settings)), None) if any(settings.runs_folder.glob("*/failing.parquet")) else None


def connected_to(pid, ports):
    """Whether the process, or one that it started, speaks from one of the local ports."""
    with suppress(FileNotFoundError, ProcessLookupError):
        mine = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}
        rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
        if any(int(row[1].split(":")[1], 16) in ports and f"socket:[{row[9]}]" in mine for row in rows):
            return True
    return any(connected_to(child, ports) for child in children(pid))


def awaited(running, look):
    """What `look` finds, as soon as it finds something while the process runs."""
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while not (found := look()):
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def kill_one_that_copies(settings, running, url):
    """Hold up the executors before they copy, and kill one of them that waits inside its transaction."""
    tables = "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE tablename = 'loaded_parts'"
    waiting = (
        "SELECT client_port FROM pg_stat_activity"
        " WHERE application_name = 'daygate-executor' AND wait_event_type = 'Lock'"
    )
    with closing(psycopg2.connect(url)) as looking, closing(psycopg2.connect(url)) as holding:
        looking.autocommit = True
        with looking.cursor() as cursor, holding, holding.cursor() as lock:

            def told(question):
                cursor.execute(question)
                return {value for (value,) in cursor.fetchall()}

            def victim():
                ports = told(waiting)
                return next((pid for pid in executors(settings) if ports and connected_to(pid, ports)), None)

            (table,) = awaited(running, lambda: told(tables))
            lock.execute(f"LOCK TABLE {table} IN SHARE MODE")
            os.kill(awaited(running, victim), signal.SIGKILL)


@pytest.fixture
def published(query, digest):
    """What readers see of the day, what its last run says of it, and every line that it kept out."""

    def look():
        ((run_id, *told),) = query(
            "SELECT run_id, engine, status, verdict, lines, loaded, quarantined, unique_users, sessions, purchases,"
            " revenue FROM pipeline_run_log ORDER BY fence DESC LIMIT 1"
        )
        kept = query(
            "SELECT line_no, event_id, byte_offset, byte_length, raw, reasons FROM quarantine_events"
            " WHERE run_id = %s ORDER BY line_no",
            run_id,
        )
        return told, digest(), [(*row[:4], bytes(row[4]), row[5]) for row in kept]

    return look


def test_executors_killed_at_every_step_change_nothing_of_a_day(settings, around, delivery, database_url, published):
    """One dies while it parses, one while failing lines are listed, one in the transaction that copies its events.

    Tables, marts and quarantine are those of a run without Spark and without trouble. Who runs it at a terminal is
    told where to watch Spark; neither the answer nor a command without Spark says anything of it.
    """
    around = around | {"DAYGATE_DATABASE_URL": database_url, "TERM": "xterm"}
    with terminal() as (side, seen):
        running = run(delivery, around, "spark", stderr=side)
        for look in (parsing, listing):
            os.kill(awaited(running, partial(look, settings)), signal.SIGKILL)
        kill_one_that_copies(settings, running, database_url)
        answer, _ = running.communicate(timeout=_DEADLINE_SECONDS)
    (engine, *told), tables, quarantine = published()
    shown = b"".join(seen).decode()

    assert (running.returncode, engine) == (ExitCode.OK, "spark"), shown
    assert (settings.home / "spark" / "spark.log").read_text(encoding="utf-8").count("Lost executor") >= 3
    assert re.search(r"Spark shows what it does at http://127\.0\.0\.1:\d+ while it runs\.", shown)
    assert "Spark" not in answer
    undisturbed = run(delivery, around, "pandas", stderr=subprocess.PIPE)
    assert undisturbed.communicate(timeout=_DEADLINE_SECONDS)[1] == ""
    assert published() == (["pandas", *told], tables, quarantine)
    assert told[:2] == ["published", "PASS"]
    assert 0 < len(quarantine) == told[4] < told[2]
    assert tables["raw_events"][0] == told[3] == told[2] - told[4]
