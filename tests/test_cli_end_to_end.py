"""The commands as people use them: real processes, real files, the real gate, the real PostgreSQL."""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import re
import signal
import struct
import subprocess
import sys
import termios
from functools import partial
from pathlib import Path

import jsonschema
import pytest
from process_fixtures import environment
from services import wait_for
from staged_days import discard

ROOT = Path(__file__).parent.parent
SCHEMA = json.loads((ROOT / "schemas" / "check_output.schema.json").read_text("utf-8"))
#: What `make run` shows, as the README has it.
SAMPLE = re.search(r"```text\n(day .*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)[1]
CLEAN, DIRTY = "events_20260115.jsonl", "dirty/events_20260115.jsonl"


@pytest.fixture(scope="module")
def daygate(daygate_process):
    """Runs a command in a folder, with few customers."""
    return partial(daygate_process, DAYGATE_USERS="150")


@pytest.fixture(scope="module")
def house(tmp_path_factory, daygate):
    """A folder with a clean and a dirty delivery; its PostgreSQL is stopped at the end."""
    home = tmp_path_factory.mktemp("house")
    for folder, faults in ((".", []), ("dirty", ["--fault", "day_wrong=0.2", "--fault", "quantity_zero=0.5"])):
        made = daygate(home, "generate", "--date", "2026-01-15", "--output", folder, *faults)
        assert made.returncode == 0, made.stderr
    yield home
    assert daygate(home, "down").returncode == 0
    discard(home / "data")


def test_a_clean_file_passes_and_a_dirty_one_fails_by_the_meant_checks(house, daygate):
    """Several files give an array in their order; the worst outcome is the exit code; stdout is JSON only."""
    done = daygate(house, "check", CLEAN, DIRTY, "--output-format", "json")
    clean, dirty = documents = json.loads(done.stdout)

    jsonschema.validate(documents, SCHEMA)
    assert done.returncode == 1
    assert (clean["verdict"], clean["failing_lines"]) == ("PASS", 0)
    assert len(clean["checks"]) == 7
    assert {check["id"] for check in dirty["checks"] if check["verdict"] != "PASS"} == {
        "timestamp_validity",
        "value_ranges",
    }
    assert dirty["lines"] == dirty["good_lines"] + dirty["failing_lines"]


def test_one_file_gives_one_document_and_failed_rows_hold_every_failing_line(house, daygate):
    """The counts of the document and the lines of the file agree; the page is written."""
    words = ["--output-format", "json", "--failed-rows", "failing.jsonl", "--report", "page", "--limit", "3"]
    done = daygate(house, "check", DIRTY, *words)
    document = json.loads(done.stdout)
    rows = [json.loads(line) for line in (house / "failing.jsonl").read_text("utf-8").splitlines()]
    lines = (house / DIRTY).read_text("utf-8").splitlines()

    jsonschema.validate(document, SCHEMA)
    assert (done.returncode, len(rows)) == (1, document["failing_lines"])
    assert all(row["raw"] == lines[row["line"] - 1] and row["reasons"] for row in rows)
    assert {len(check["samples"]) for check in document["checks"]} == {0, 3}
    assert "<html" in (house / "page" / "index.html").read_text("utf-8")


def test_text_reads_well_in_a_plain_terminal(house, daygate):
    """80 columns, ASCII when the terminal has no more, the verdict in the last line."""
    done = daygate(house, "check", DIRTY, PYTHONIOENCODING="ascii")
    lines = done.stdout.decode("ascii").splitlines()

    assert done.returncode == 1
    assert all(len(line) <= 80 for line in lines if "daygate check" not in line)
    assert lines[-1].startswith("FAIL: ")
    assert done.stderr == b""


def test_stdin_and_compressed_files_are_the_same_delivery(house, daygate):
    """The same lines give the same answer, whatever they came in."""
    raw = (house / CLEAN).read_bytes()
    (house / f"{CLEAN}.gz").write_bytes(gzip.compress(raw))
    piped = daygate(house, "check", "-", "--date", "2026-01-15", "--output-format", "json", stdin=raw)
    packed = daygate(house, "check", f"{CLEAN}.gz", "--output-format", "json")
    first, second = json.loads(piped.stdout), json.loads(packed.stdout)

    assert (first["file"], first["verdict"], second["verdict"]) == ("-", "PASS", "PASS")
    assert first["lines"] == second["lines"] == len(raw.splitlines())


def test_a_refused_file_is_told_of_and_the_others_are_still_checked(house, daygate):
    """Exit 4, one or two lines on stderr, no document for it, the others' documents on stdout."""
    (house / "events_20260116.jsonl").write_bytes(b"")
    done = daygate(house, "check", "events_20260116.jsonl", CLEAN, "--output-format", "json")

    assert done.returncode == 4
    assert [document["file"] for document in json.loads(done.stdout)] == [CLEAN]
    assert done.stderr.decode().startswith("daygate: ")
    assert len(done.stderr.splitlines()) <= 2


def test_a_hostile_file_name_cannot_act_on_the_terminal(house, daygate):
    """Escape sequences, newlines and bytes that are no UTF-8 in a name are shown, not obeyed."""
    name = b"\x1b[2J\xff\nFAIL events.jsonl"
    (house / os.fsdecode(name)).write_bytes((house / CLEAN).read_bytes())
    done = daygate(house, "check", os.fsdecode(name), "--date", "2026-01-15")

    assert done.returncode == 0
    assert b"\x1b" not in done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith(b"PASS: ")


def shape(shown):
    """What a run shows, without what differs from run to run: days, ids, figures, where the house stands."""
    shown = re.sub(r"\d{8}-\d+-[0-9a-f]{8}", "RUN", re.sub(r"\d{4}-\d\d-\d\d", "DAY", shown))
    return re.sub(r"[\d.,]*\d", "N", re.sub(r"/\S+(?=/data/site/)", "HERE", shown)).split()


def test_a_day_is_run_once_and_a_second_run_changes_nothing(house, daygate):
    """Publish, say so as the README shows it, and leave a published day alone; status and doctor tell the same."""
    first = daygate(house, "run", "--file", CLEAN)
    second = daygate(house, "run", "--file", CLEAN)
    days = daygate(house, "status", "--days", "3660").stdout.decode()
    doctor = daygate(house, "doctor").stdout.decode()

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert first.stdout.decode().splitlines()[-1].startswith("PASS 2026-01-15: published, ")
    assert shape(first.stdout.decode()) == shape(SAMPLE)
    assert "nothing was changed" in second.stdout.decode()
    assert "2026-01-15  PASS published" in days
    assert "database" in doctor
    assert "embedded, reachable" in doctor


def test_a_bad_day_is_blocked_and_backfill_goes_on_behind_it(house, daygate):
    """A FAIL ends with exit 1 and does not stop the days after it."""
    landed = house / "landed" / "events"
    landed.mkdir(parents=True)
    bad = daygate(house, "generate", "--date", "2026-01-20", "--output", str(landed), "--fault", "day_wrong=0.5")
    good = daygate(house, "generate", "--date", "2026-01-21", "--output", str(landed))
    assert (bad.returncode, good.returncode) == (0, 0)
    blocked = daygate(house, "run", "--file", str(landed / "events_20260120.jsonl"))

    assert blocked.returncode == 1
    assert blocked.stdout.decode().splitlines()[-1].startswith("FAIL 2026-01-20: blocked, ")

    data = house / "data" / "events"
    data.mkdir(parents=True, exist_ok=True)
    for file in landed.iterdir():
        (data / file.name).write_bytes(file.read_bytes())
    done = daygate(house, "backfill", "--start", "2026-01-20", "--end", "2026-01-21", DAYGATE_SOURCE="landing")

    assert done.returncode == 1, done.stderr
    assert "FAIL 2026-01-20: blocked" in done.stdout.decode()
    assert "PASS 2026-01-21: published" in done.stdout.decode()
    assert done.stdout.decode().splitlines()[-1] == "2 days, 1 passed, 1 did not"


def unread(pipe):
    """Bytes that wait in a pipe."""
    return struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4))[0]


def test_control_c_is_quiet(house):
    """An interrupted command leaves no traceback and exits with 130."""
    process = subprocess.Popen(
        [sys.executable, "-m", "scheduler", "check", "-", "--date", "2026-01-15"],
        cwd=house,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(house),
    )
    with process:
        process.stdin.write(b" " * 2**20)
        process.stdin.flush()
        # Once all of it was taken the command waits for more: the read that must not hold it.
        wait_for(lambda: not unread(process.stdin))
        process.send_signal(signal.SIGINT)
        out, err = process.stdout.read(), process.stderr.read()

    assert (process.returncode, out, err) == (130, b"", b"")
