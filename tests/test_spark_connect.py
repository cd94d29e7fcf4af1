"""Spark Connect: the aggregates by a client that has no Java, from a server that has."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing, suppress
from datetime import date
from pathlib import Path

import duckdb
import pytest

from pipeline import contract, simulate
from pipeline.errors import ExitCode
from pipeline.settings import PREFIX
from pipeline.spark import configuration, java

pytestmark = pytest.mark.spark

ROOT = Path(__file__).parent.parent
DAY = date(2026, 1, 15)
_DEADLINE_SECONDS = 180


def free_port():
    """A port that nobody listens on."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def command(words, home, master):
    """`daygate` as a client of that master, without a Java."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith((PREFIX, "JAVA", "JDK"))}
    own = {"PYTHONPATH": str(ROOT), "DAYGATE_HOME": str(home), "DAYGATE_SPARK_MASTER": master}
    return subprocess.run(
        [sys.executable, "-m", "scheduler", *words], env=kept | own, capture_output=True, text=True, check=False
    )


@pytest.fixture
def server(tmp_path):
    """The address of a running server on this machine, started as docs/spark.md says."""
    port = free_port()
    runtime = java.home_for_spark(java.find(), tmp_path)
    options = {
        "spark.master": "local[1]",
        "spark.ui.enabled": "false",
        "spark.local.dir": str(tmp_path),
        "spark.connect.grpc.binding.port": str(port),
    }
    more = shlex.join(word for name, value in options.items() for word in ("--conf", f"{name}={value}"))
    page = (ROOT / "docs" / "spark.md").read_text("utf-8")
    typed = re.search(r"^\$ (\$SPARK_HOME/bin/spark-submit --class .*\n.*)", page, re.MULTILINE)[1]
    submit = ["bash", "-c", f"exec {typed} {more}"]
    around = os.environ | configuration.environment("local", runtime) | {"JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1"}
    said = tmp_path / "server.txt"
    with said.open("wb") as log:
        running = subprocess.Popen(submit, env=around, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=tmp_path)
    try:
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while not answers(port):
            assert running.poll() is None, said.read_text(encoding="utf-8")
            assert time.monotonic() < deadline, said.read_text(encoding="utf-8")
        yield f"sc://127.0.0.1:{port}"
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait()


def answers(port):
    """Whether somebody listens there."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def test_aggregates_over_connect_need_no_java_of_the_client(server, tmp_path):
    """The same SQL and the same files, every line of the day in them; the client makes no place for a Java."""
    home = tmp_path / "home"
    file = home / "events" / f"events_{DAY:%Y%m%d}.jsonl"
    made = simulate.generate(DAY, contract=contract.load(), output=file, users=30, seed=7)
    words = ["spark-batch", "--date", str(DAY), "--input", str(file.parent), "--output", str(tmp_path / "out")]

    done = command(words, home, server)

    assert done.returncode == ExitCode.OK, done.stderr
    hours = duckdb.sql(f"FROM read_parquet('{tmp_path}/out/hourly_traffic/parquet/*/*.parquet')")
    assert hours.aggregate("sum(event_count)").fetchall() == [(made.lines,)]
    assert len(list((tmp_path / "out").glob("*/csv/*.csv"))) == 6
    assert not (home / "spark").exists()


def test_a_server_that_is_not_there_is_told(tmp_path):
    """With the step to take, and without the token that the address may hold."""
    file = tmp_path / "events" / f"events_{DAY:%Y%m%d}.jsonl"
    simulate.generate(DAY, contract=contract.load(), output=file, users=5, seed=7)
    address = f"sc://127.0.0.1:{free_port()}"

    done = command(
        ["spark-batch", "--date", str(DAY), "--input", str(file.parent)], tmp_path, f"{address}/;token=secret"
    )

    assert done.returncode == ExitCode.INCONCLUSIVE
    assert f"No Spark Connect server answers at {address}" in done.stderr
    assert "docs/spark.md" in done.stderr
    assert "secret" not in done.stderr
