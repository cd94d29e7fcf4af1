"""A day is held by one run at a time, by lease and fence, on the database's clock."""

from __future__ import annotations

import threading
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import date

import pytest
from staged_days import ask

from pipeline import aftermath, database, ledger, mart_tables, release, site_figures
from pipeline.errors import BusyError, DatabaseError, SettingsError, StepFailed
from pipeline.marts import all_marts
from pipeline.records import Alert, Release

DAY = date(2026, 1, 15)


@pytest.fixture
def connection(database_url):
    """An idle connection as the pipeline opens it."""
    with closing(database.connect(database_url, name="test")) as opened:
        yield opened


@pytest.fixture
def claim(database_url, tmp_path):
    """Claims the day with whatever differs, each time as a process of its own would."""
    with ExitStack() as opened:

        def claim(day=DAY, **changes):
            own = opened.enter_context(closing(database.connect(database_url, name="test")))
            arguments = {"trigger": "cli", "engine": "pandas", "runs_folder": tmp_path, **changes}
            return ledger.claim(arguments.pop("connection", own), day, **arguments)

        yield claim


def test_a_first_claim_is_attempt_one_with_a_folder(claim, connection):
    """A claim is a row in the ledger and a work folder."""
    run = claim()
    (told,) = ledger.page(connection, limit=1, day=DAY)

    assert (run.day, run.attempt, run.trigger, run.folder.is_dir()) == (DAY, 1, "cli", True)
    assert (told.run_id, told.status, told.verdict, told.finished_at) == (run.run_id, "running", None, None)
    assert told.revenue == "0"


def test_a_live_run_keeps_others_out(claim):
    """The error names the run that holds the day."""
    run = claim()

    with pytest.raises(BusyError, match=run.run_id):
        claim()


def test_a_run_that_died_is_taken_over_at_once(claim, connection, database_url):
    """PostgreSQL drops the dead run's sign of life; nobody waits for its lease."""
    dying = database.connect(database_url, name="test")
    dead = claim(connection=dying)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", (dying.info.backend_pid,))
    dying.close()

    run = claim()

    assert run.fence > dead.fence
    assert ledger.by_id(connection, dead.run_id).status == "failed"


def test_other_days_are_free(claim):
    """A lease is per day."""
    first, second = claim(), claim(date(2026, 1, 16))

    assert second.fence > first.fence
    assert second.attempt == 1


def test_an_expired_lease_is_taken_over(claim, connection):
    """The silent run is recorded as failed; the new one has a higher fence."""
    silent = claim(lease_seconds=0)
    run = claim()

    assert (run.attempt, run.fence > silent.fence) == (2, True)
    assert ledger.by_id(connection, silent.run_id).status == "failed"


def test_a_run_that_lost_its_day_cannot_renew(claim, connection):
    """A suspended process learns that it must stop."""
    silent = claim(lease_seconds=0)
    claim()

    with pytest.raises(BusyError, match="lost"):
        ledger.heartbeat(connection, silent)


def test_an_older_fence_cannot_renew(claim, connection):
    """The run id alone is not enough."""
    run = claim()

    with pytest.raises(BusyError):
        ledger.heartbeat(connection, replace(run, fence=run.fence - 1))


def test_a_heartbeat_prolongs_the_lease(claim, connection):
    """A late heartbeat still counts while nobody took over."""
    run = claim(lease_seconds=0)
    ledger.heartbeat(connection, run)

    with pytest.raises(BusyError, match=run.run_id):
        claim()


def test_the_lease_is_kept_alive_in_the_background(claim, connection, database_url):
    """A long step needs no care of its own."""
    run = claim(lease_seconds=0)
    renewed = threading.Event()
    with ledger.kept_alive(database_url, run, lease_seconds=1):
        while not renewed.is_set():
            with connection, connection.cursor() as cursor:
                cursor.execute("SELECT lease_until > now() FROM pipeline_run_log WHERE run_id = %s", (run.run_id,))
                if cursor.fetchone()[0]:
                    renewed.set()

    assert renewed.is_set()


def test_a_failed_run_frees_the_day_and_keeps_its_reason(claim, connection):
    """Texts that PostgreSQL cannot store do not hide a failure."""
    run = claim()
    ledger.fail(connection, run, error="step load: \x00 gone")
    told = ledger.by_id(connection, run.run_id)

    assert (told.status, told.error) == ("failed", "step load: \ufffd gone")
    assert claim().attempt == 2


def test_failing_after_the_day_was_lost_changes_nothing(claim, connection):
    """The ledger keeps the first end of a run."""
    silent = claim(lease_seconds=0)
    claim()
    before = ledger.by_id(connection, silent.run_id)
    ledger.fail(connection, silent, error="too late")

    assert ledger.by_id(connection, silent.run_id) == before


def test_claims_at_the_same_moment_have_one_winner(database_url, tmp_path):
    """Many schedulers may look at one day."""
    outcomes = []
    barrier = threading.Barrier(6)

    def attempt():
        with closing(database.connect(database_url, name="test")) as own:
            barrier.wait()
            try:
                outcomes.append(ledger.claim(own, DAY, trigger="cli", engine="pandas", runs_folder=tmp_path).attempt)
            except BusyError:
                outcomes.append("busy")
            barrier.wait()  # the winner lives until everyone has tried

    threads = [threading.Thread(target=attempt) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes, key=str) == [1, "busy", "busy", "busy", "busy", "busy"]


def test_nothing_is_published_before_a_publish(claim, connection):
    """A running day has no current run."""
    claim()

    assert ledger.published(connection, DAY) is None


def test_history_is_newest_first_with_one_row_a_day(claim, connection):
    """A day is told by its last attempt while none is published."""
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT (now() AT TIME ZONE 'Asia/Seoul')::date")
        (today,) = cursor.fetchone()
    yesterday = date.fromordinal(today.toordinal() - 1)
    claim(DAY)
    claim(yesterday, lease_seconds=0)
    second = claim(yesterday)
    third = claim(today)

    assert [told.run_id for told in ledger.history(connection, 30)] == [third.run_id, second.run_id]


def test_a_new_claim_sweeps_what_dead_runs_built(claim, connection):
    """Only the schemas of live runs stay."""
    dead, live = claim(lease_seconds=0), claim(date(2026, 1, 16))
    with connection, connection.cursor() as cursor:
        for run in (dead, live):
            cursor.execute(f"CREATE SCHEMA build_{run.fence}")
            cursor.execute(f"CREATE TABLE build_{run.fence}.events ()")
    claim()
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'build%'")
        left = cursor.fetchall()

    assert left == [(f"build_{live.fence}",)]


def close_dead(url, folder, after=0):
    """What the service does once the process of a run is gone."""
    return aftermath.close(
        url, DAY, after=after, error="gone", failure="died", runs_folder=folder, trigger="tick",
        alert_of=lambda run: Alert(kind="step_failed", day=DAY, dedupe_key=run.run_id),
    )  # fmt: skip


def test_a_dead_run_is_not_closed_while_another_process_holds_the_day(claim, database_url, tmp_path):
    """Whoever runs it now writes its own end."""
    run = claim()

    assert close_dead(database_url, tmp_path) is None
    assert ask(database_url, "SELECT run_id, status FROM pipeline_run_log") == [(run.run_id, "running")]


def test_a_process_that_died_before_its_claim_is_an_attempt_of_its_own(database_url, tmp_path):
    """Otherwise a day whose process cannot even start would be tried for ever, in silence."""
    assert close_dead(database_url, tmp_path).kind == "step_failed"
    assert ask(database_url, "SELECT attempt, status, error FROM pipeline_run_log") == [(1, "failed", "gone")]


def test_a_question_that_always_has_an_answer_and_got_none_is_an_error(connection):
    """Not None in the middle of something else."""
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1 WHERE false")
        with pytest.raises(DatabaseError, match="no row where one was certain"):
            database.one(cursor)


def test_a_day_that_nobody_tried_has_no_figures(connection):
    """And so no page."""
    assert site_figures.day(connection, DAY) is None


def test_a_release_of_a_run_that_is_not_there_does_nothing(connection):
    """The ledger may be another one by now."""
    with pytest.raises(StepFailed, match="Run gone is not in the ledger"):
        release.require_same_answer(connection, Release(run_id="gone", by="Kim", reason="because"), None)


def test_a_mart_that_does_not_name_its_columns_is_refused(connection):
    """A file that is added has no table yet, and nobody could make one."""
    with pytest.raises(SettingsError, match="its file does not name its columns"):
        mart_tables.create(connection, (replace(all_marts()[0], name="mart_new", columns=()),))
