"""Executors copy every part exactly once, whatever Spark repeats: without Spark, task by task."""

from __future__ import annotations

import pickle
import threading
from contextlib import closing
from dataclasses import replace

import pytest
from staged_days import CONTRACT, ask, claim, event, stage_day

from pipeline import database, quarantine, workspace
from pipeline.errors import (
    BusyError,
    DatabaseError,
    DaygateError,
    RefusedFile,
    SettingsError,
    StepFailed,
    TransientError,
)
from pipeline.spark import load

BAD = ("value_ranges", "quantity", "quantity", "is above 99")
LINES = 40
PARTS = 4


@pytest.fixture
def made(tmp_path):
    """A staged day of four parts in which every tenth line fails."""
    lines = [event(number, second=number) for number in range(LINES)]
    found = stage_day(tmp_path, lines, reasons={line: [BAD] for line in range(10, LINES + 1, 10)}, parts=PARTS)
    return replace(found, staged=replace(found.staged, engine="spark"))


@pytest.fixture
def run(database_url, tmp_path):
    """A claimed day."""
    return claim(database_url, tmp_path)


@pytest.fixture
def loading(database_url, run, made):
    """The prepared load of the day, as its tasks have it: sent to executors and back."""
    load.prepare_load(database_url, run)
    job = load.loading(database_url, run, made.staged, made.report, CONTRACT)
    return pickle.loads(pickle.dumps(job))


def loaded(url, run):
    """Line numbers in the run's table."""
    return [line for (line,) in ask(url, f"SELECT line_no FROM {workspace.schema_of(run)}.events ORDER BY line_no")]


GOOD = [line for line in range(1, LINES + 1) if line % 10]


def test_each_part_is_copied_once_however_often_its_task_runs(database_url, run, made, loading):
    """A repeated task finds the part's name and leaves; the driver finds the rows the gate counted."""
    for part in [*made.staged.parts, *made.staged.parts[::-1]]:
        load.once(loading, part)

    assert loaded(database_url, run) == GOOD
    assert load.finish_load(database_url, run, made.report, CONTRACT).rows == len(GOOD)


def test_two_attempts_at_the_same_part_at_once_copy_it_once(database_url, run, made, loading):
    """Speculation: the second waits for the first to commit and leaves."""
    threads = [threading.Thread(target=load.once, args=(loading, part)) for part in made.staged.parts for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert not any(thread.is_alive() for thread in threads)
    assert loaded(database_url, run) == GOOD


def test_a_task_that_dies_before_it_commits_leaves_nothing(database_url, run, made, loading):
    """Its connection is cut after the copy; the next attempt copies the whole part."""

    def copied_and_lost(cursor, staged, within):
        loading.copy(cursor, staged, within)
        cursor.connection.close()

    with pytest.raises(DaygateError):
        load.once(replace(loading, copy=copied_and_lost), made.staged.parts[0])
    assert loaded(database_url, run) == []

    for part in made.staged.parts:
        load.once(loading, part)
    assert loaded(database_url, run) == GOOD


def test_a_part_that_nobody_copied_is_missed(database_url, run, made, loading):
    """The count of rows is held to the manifest's before anything can be published."""
    for part in made.staged.parts[1:]:
        load.once(loading, part)

    with pytest.raises(StepFailed, match="27 rows were loaded where 36 lines are good"):
        load.finish_load(database_url, run, made.report, CONTRACT)


def test_lines_kept_out_wait_in_the_runs_schema_for_the_publish(database_url, run, made):
    """Each once, with bytes and reasons; the transaction that publishes takes them over."""
    load.prepare_keep(database_url, run)
    job = load.keeping(database_url, run, made.staged, made.report)
    for part in [*made.staged.parts, *made.staged.parts]:
        load.once(job, part)

    with closing(database.connect(database_url, name="test")) as connection, connection, connection.cursor() as cursor:
        assert quarantine.store(cursor, run, made.staged, made.report) == LINES // 10
    kept = ask(database_url, "SELECT line_no, raw, reasons FROM quarantine_events ORDER BY line_no")
    raw = made.staged.delivery.path.read_bytes().splitlines()
    assert [(line, bytes(data)) for line, data, _ in kept] == [
        (line, raw[line - 1]) for line in range(10, LINES + 1, 10)
    ]
    assert [reasons for *_, reasons in kept] == [
        [dict(zip(("check", "rule", "field", "reason"), BAD, strict=True))]
    ] * 4


@pytest.mark.parametrize(
    "error",
    [
        TransientError("away", hint="wait"),
        DatabaseError("refused", sqlstate="23505", constraint="x"),
        RefusedFile("no", reason="changed", hint="h"),
        StepFailed("no", step="load", hint="h"),
        SettingsError("no"),
        BusyError("held"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_travels_from_an_executor_to_the_driver_whole(error):
    """With its words, its hint and what its class adds: so the driver repeats what may be repeated."""
    told = pickle.loads(pickle.dumps(error))

    assert type(told) is type(error)
    assert (told.args, vars(told), told.exit_code) == (error.args, vars(error), error.exit_code)
