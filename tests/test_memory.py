"""Files too big for memory are checked or refused within it: `make test-slow`."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import pytest
from staging_fixtures import line

from pipeline import contract, simulate
from pipeline.settings import PREFIX

ROOT = Path(__file__).parent.parent
#: Bytes that a process of `daygate check` may have resident at its peak.
MOST = 1_500_000_000

pytestmark = pytest.mark.slow


def _tree(pid: int) -> list[int]:
    """A process and its descendants, as far as they still live."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [other for child in task.read_text().split() for other in _tree(int(child))]
        except OSError:
            continue
    return found


def _peak(pid: int) -> int:
    """Most bytes the process had resident so far; 0 when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(row.split()[1]) * 1024 for row in status.splitlines() if row.startswith("VmHWM")), 0)


@pytest.fixture
def measured(tmp_path, record_property):
    """Runs `daygate check`, following every process; its answer and the peaks of parent and children."""

    def check(*words: str) -> tuple[subprocess.CompletedProcess[str], int, int]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        environment |= {"PYTHONPATH": str(ROOT), "DAYGATE_HOME": str(tmp_path / "data")}
        out, err = tmp_path / "out", tmp_path / "err"
        peaks: dict[int, int] = {}
        with out.open("w") as stdout, err.open("w") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "scheduler", "check", "--output-format", "json", *words],
                cwd=tmp_path,
                env=environment,
                stdout=stdout,
                stderr=stderr,
            )
            while process.poll() is None:
                for pid in _tree(process.pid):
                    peaks[pid] = max(peaks.get(pid, 0), _peak(pid))
                time.sleep(0.02)  # the kernel keeps the peak; this is only how often it is read
        parent = peaks.pop(process.pid)
        children = max(peaks.values(), default=0)
        record_property("peak resident MB, process and largest child", (parent // 10**6, children // 10**6))
        done = subprocess.CompletedProcess(process.args, process.returncode, out.read_text(), err.read_text())
        return done, parent, children

    return check


def test_five_million_events(measured, tmp_path):
    """The checks hold a stretch of the lines and some integers of each, not the day."""
    file = tmp_path / "events_20260115.jsonl"
    simulate.generate(date(2026, 1, 15), contract=contract.load(), output=file, users=50_000, events=5_000_000, seed=7)
    done, parent, children = measured(str(file))
    file.unlink()
    answer = json.loads(done.stdout)

    assert (done.returncode, answer["verdict"], answer["lines"]) == (0, "PASS", 5_000_000)
    assert 0 < parent < MOST
    assert 0 < children < MOST


def test_a_line_of_a_gigabyte(measured, tmp_path):
    """It is one failing line; the lines around it are judged."""
    file = tmp_path / "events_20260115.jsonl"
    with file.open("wb") as out:
        out.write(line() + b'\n{"search_query": "')
        for _ in range(1000):
            out.write(b"x" * 10**6)
        out.write(b'"}\n' + line(event_id="00000000-0000-4000-8000-000000000001") + b"\n")
    done, parent, children = measured(str(file))
    file.unlink()
    answer = json.loads(done.stdout)
    [check] = [check for check in answer["checks"] if check["verdict"] == "FAIL"]

    assert (done.returncode, answer["lines"], answer["failing_lines"]) == (1, 3, 1)
    assert (check["id"], [sample["line"] for sample in check["samples"]]) == ("required_fields", [2])
    assert 0 < parent < MOST
    assert children < MOST


def test_a_gzip_bomb(measured, tmp_path):
    """Ten megabytes that would be ten gigabytes are refused, in moments."""
    file = tmp_path / "events_20260115.jsonl.gz"
    member = gzip.compress(b"\n" * 10**8)
    with file.open("wb") as out:
        for _ in range(100):
            out.write(gzip.compress(line() + b"\n") + member)
    began = time.monotonic()
    done, parent, children = measured(str(file))

    assert done.returncode == 4
    assert done.stderr.startswith("daygate: ")
    assert time.monotonic() - began < 10
    assert 0 < parent < MOST // 3  # most of it is Great Expectations
    assert children < MOST // 3
