"""Staging: parts in line order, the same rows however the file is cut, and workers that come and go."""

from __future__ import annotations

import multiprocessing.connection
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from staging_fixtures import CONTRACT, DAY, frame_of, line, staged_file

from pipeline import delivery, parse, stage
from pipeline.errors import RefusedFile, StepFailed

ODD = (line(), b"", b"nonsense", line(referrer=None), b" \t", line(campaign="x"), b'{"a"', line(quantity="3"))


def file_of(path: Path, times: int, lines=ODD, end=b"\n") -> Path:
    path.write_bytes(b"\n".join(lines * times) + end)
    return path


@pytest.mark.parametrize("range_bytes", [700, 1000, 5000, 10**6])
@pytest.mark.parametrize("end", [b"\n", b""])
def test_cutting_changes_nothing(tmp_path, range_bytes, end):
    """Rows, places and counts are those of the whole file, whatever the ranges."""
    path = file_of(tmp_path / "a.jsonl", 30, end=end)
    whole = parse.parse_range(path.read_bytes(), first_line=1, first_offset=0, contract=CONTRACT, day=DAY, exact=True)

    staged = staged_file(path, tmp_path / "out", range_bytes=range_bytes)

    assert frame_of(staged).equals(whole.frame)
    assert (staged.lines, staged.blank_lines, staged.lines_with_unknown_keys) == (6 * 30, 2 * 30, 30)
    assert [part.name for part in staged.parts] == [f"part-{n:05}.parquet" for n in range(len(staged.parts))]
    assert {*(tmp_path / "out").iterdir()} == {*staged.parts}


@pytest.mark.long
def test_worker_processes_stage_the_same_rows(tmp_path, monkeypatch):
    """Two processes or this one: the same parts."""
    path = file_of(tmp_path / "a.jsonl", 300)
    here = staged_file(path, tmp_path / "here", range_bytes=200_000)
    monkeypatch.setattr(stage, "IN_PROCESS", 0)
    progress = []

    with delivery.take(path, folder=None) as taken:
        there = stage.stage(
            taken,
            day=DAY,
            contract=CONTRACT,
            folder=tmp_path / "there",
            workers=stage.Workers(2),
            range_bytes=200_000,
            on_progress=lambda done, total: progress.append((done, total)),
        )

    assert len(there.parts) > 2
    assert frame_of(there).equals(frame_of(here))
    assert progress[-1] == (taken.size, taken.size)
    assert progress == sorted(progress)


@pytest.mark.parametrize(("workers", "called"), [(1, 1), (0, 0)])
def test_this_process_is_free_only_while_workers_parse(tmp_path, monkeypatch, workers, called):
    """`meanwhile` is called once the work is elsewhere, and never where it is done here."""
    monkeypatch.setattr(stage, "IN_PROCESS", 0)
    calls = []
    with delivery.take(file_of(tmp_path / "events.jsonl", 1), folder=None) as taken:
        stage.stage(
            taken,
            day=DAY,
            contract=CONTRACT,
            folder=tmp_path / "staged",
            workers=stage.Workers(workers),
            meanwhile=lambda: calls.append("called"),
        )

    assert len(calls) == called


def test_workers_that_were_started_ahead_end_with_their_block():
    """Who started processes and then had nothing to stage leaves none behind."""
    before = {*multiprocessing.active_children()}
    with stage.Workers(1) as workers:
        workers.start()
        (process,) = {*multiprocessing.active_children()} - before

    assert multiprocessing.connection.wait([process.sentinel], timeout=60)


def test_workers_stage_one_file_after_another(tmp_path, monkeypatch):
    """A step that is repeated gets processes again."""
    monkeypatch.setattr(stage, "IN_PROCESS", 0)
    path = file_of(tmp_path / "a.jsonl", 1)
    with stage.Workers(1) as workers, delivery.take(path, folder=None) as taken:
        first, again = (
            stage.stage(taken, day=DAY, contract=CONTRACT, folder=tmp_path / name, workers=workers) for name in "ab"
        )

    assert frame_of(first).equals(frame_of(again))


def test_raw_lines_are_the_bytes_of_the_rows(tmp_path):
    """Every row's place leads back to its bytes, in any order, whole or cut."""
    path = file_of(tmp_path / "a.jsonl", 3)
    staged = staged_file(path, tmp_path / "out", range_bytes=1000)
    spans = frame_of(staged).select("byte_offset", "byte_length").rows()
    expected = [row for row in ODD * 3 if row.strip()]

    assert list(stage.raw_lines(staged.delivery, spans)) == expected
    assert list(stage.raw_lines(staged.delivery, spans[::-1])) == expected[::-1]
    assert list(stage.raw_lines(staged.delivery, spans, longest=5)) == [row[:5] for row in expected]


def test_raw_lines_of_a_file_that_got_shorter_are_refused(tmp_path):
    """Missing bytes are never made up."""
    path = file_of(tmp_path / "a.jsonl", 1)
    staged = staged_file(path, tmp_path / "out")
    os.truncate(path, 100)

    with pytest.raises(RefusedFile, match="changed"):
        list(stage.raw_lines(staged.delivery, [(0, 101)]))


def test_parts_are_dictionary_encoded_where_values_repeat(tmp_path):
    """Vocabulary columns cost bits, not texts."""
    staged = staged_file(file_of(tmp_path / "a.jsonl", 500), tmp_path / "out")
    columns = pq.read_metadata(staged.parts[0]).row_group(0)
    encodings = {columns.column(i).path_in_schema: columns.column(i).encodings for i in range(columns.num_columns)}

    assert all("RLE_DICTIONARY" in encodings[field.name] for field in CONTRACT.fields if field.enum)
    assert dict(pl.read_parquet_schema(staged.parts[0])) == parse.staged_schema(CONTRACT)


def test_parts_of_an_earlier_attempt_are_removed(tmp_path):
    """A second attempt in the same folder leaves only its own parts."""
    staged_file(file_of(tmp_path / "a.jsonl", 30), tmp_path / "out", range_bytes=700)

    again = staged_file(file_of(tmp_path / "b.jsonl", 1), tmp_path / "out")

    assert {*(tmp_path / "out").iterdir()} == {*again.parts}


def test_more_lines_than_can_be_numbered_are_refused(tmp_path, monkeypatch):
    """Line numbers share an integer with the time of day; the file is refused, not wrapped around."""
    monkeypatch.setattr(stage, "MOST_LINES", 10)
    path = file_of(tmp_path / "a.jsonl", 2)

    with pytest.raises(RefusedFile) as caught:
        staged_file(path, tmp_path / "out")

    assert caught.value.reason == "too_large"


def test_a_lost_line_is_noticed(tmp_path, monkeypatch):
    """Rows and blank lines must add up to the lines that were counted while cutting."""
    path = file_of(tmp_path / "a.jsonl", 1)
    with delivery.take(path, folder=None) as taken:
        cut = next(stage._ranges(taken, stage.RANGE))
    monkeypatch.setattr(
        stage,
        "_ranges",
        lambda *_: iter([type(cut)(index=0, offset=0, length=cut.length, first_line=1, lines=99, oversized=False)]),
    )

    with pytest.raises(StepFailed, match="99 lines became"):
        staged_file(path, tmp_path / "out")


def test_a_folder_that_cannot_be_made_is_a_failed_step(tmp_path):
    """The message names the trouble and the step."""
    path = file_of(tmp_path / "a.jsonl", 1)

    with pytest.raises(StepFailed, match="Not a directory") as caught:
        staged_file(path, path / "out")

    assert caught.value.step == "stage"


PARENT = """
import multiprocessing, os, resource, signal, sys, time
from datetime import date
from pathlib import Path
from pipeline import contract, delivery, errors, stage

def wait(done, total):
    print(*[child.pid for child in multiprocessing.active_children()], flush=True)
    time.sleep(60)

def kill(done, total):
    for child in multiprocessing.active_children():
        os.kill(child.pid, signal.SIGKILL)

if __name__ == "__main__":
    source, folder, mode = sys.argv[1:]
    if mode == "full":
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    stage.IN_PROCESS = 10**9 if mode == "full" else 0
    with delivery.take(Path(source), folder=None) as taken:
        try:
            report = {"wait": wait, "kill": kill, "full": None, "plain": None}[mode]
            stage.stage(taken, day=date(2026, 1, 15), contract=contract.load(), folder=Path(folder),
                        workers=stage.Workers(2), range_bytes=50_000, on_progress=report)
        except errors.StepFailed as error:
            print(error.step, error.message, flush=True)
"""


def start_parent(tmp_path, mode):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    path = file_of(tmp_path / "a.jsonl", 400)
    root = str(Path(stage.__file__).parents[1])
    return subprocess.Popen(
        [sys.executable, str(script), str(path), str(tmp_path / "out"), mode],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
    )


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.long
def test_workers_end_with_their_parent(tmp_path):
    """Killing the parent with -9 leaves no process behind."""
    parent = start_parent(tmp_path, "wait")
    workers = [int(pid) for pid in parent.stdout.readline().split()]
    assert workers

    parent.kill()
    parent.wait()

    deadline = time.monotonic() + 20
    while any(map(alive, workers)) and time.monotonic() < deadline:
        os.sched_yield()
    assert not any(map(alive, workers))


@pytest.mark.long
def test_a_killed_worker_is_a_failed_step(tmp_path):
    """Out of memory in a worker costs the attempt, with a clear error."""
    said, _ = start_parent(tmp_path, "kill").communicate(timeout=60)

    assert said.startswith("stage A process that parses the file died or ran out")


def test_a_part_that_cannot_be_written_is_a_failed_step(tmp_path):
    """A full disk leaves no half part under its final name."""
    said, _ = start_parent(tmp_path, "full").communicate(timeout=60)

    assert said.startswith("stage Staging could not read the delivery or write its parts: File too large")
    assert list((tmp_path / "out").iterdir()) == []


def workers_of(parent: int) -> list[int]:
    """The worker processes of that process."""
    found = []
    for number in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        try:
            if b"spawn_main" in Path(f"/proc/{number}/cmdline").read_bytes():
                found.append(int(number))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


@pytest.mark.long
def test_workers_never_hear_control_c(tmp_path):
    """The terminal interrupts the whole group; a worker that still starts must neither die nor print of it."""
    parent = start_parent(tmp_path, "plain")
    interrupted = 0
    while parent.poll() is None:
        try:
            for worker in workers_of(parent.pid):
                os.kill(worker, signal.SIGINT)
                interrupted += 1
        except (FileNotFoundError, ProcessLookupError):  # it ended between the look and the signal
            continue

    assert interrupted
    assert (parent.returncode, *parent.communicate()) == (0, "", "")


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_line_longer_than_all_ranges_may_be_the_last(tmp_path, end):
    """Its end is found in pieces, with or without a newline."""
    path = tmp_path / "a.jsonl"
    long = b'{"x": "' + b"y" * 9_000_000
    path.write_bytes(line() + b"\n" + long + end)

    rows = frame_of(staged_file(path, tmp_path / "out", range_bytes=1000)).to_dicts()

    assert [row["problems"] for row in rows] == [None, "|line:line_too_long|"]
    assert [row["byte_length"] for row in rows] == [len(line()), len(long)]


def test_raw_lines_of_a_file_that_is_gone_are_refused(tmp_path):
    """The place without the file says nothing."""
    path = file_of(tmp_path / "a.jsonl", 1)
    staged = staged_file(path, tmp_path / "out")
    path.unlink()

    with pytest.raises(RefusedFile, match="changed"):
        list(stage.raw_lines(staged.delivery, [(0, 1)]))


def test_a_file_that_got_shorter_before_staging_is_refused(tmp_path):
    """Fewer bytes than were hashed are noticed while cutting."""
    path = file_of(tmp_path / "a.jsonl", 1)
    with pytest.raises(RefusedFile, match="changed"):
        stage_after(path, lambda: os.truncate(path, 0), tmp_path / "out")


def stage_after(path, change, out):
    with delivery.take(path, folder=None) as taken:
        change()
        stage.stage(taken, day=DAY, contract=CONTRACT, folder=out, workers=stage.Workers(0))
