"""Which days the service runs, when, in which order, and what becomes of a run that dies."""

from __future__ import annotations

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import date, datetime, time, timedelta
from pathlib import Path

import pytest
from house import DAY, moment

from pipeline import database, due, ledger, outbox
from pipeline.errors import ContractError
from scheduler.reconcile import Reconciler

SHIPPED = Path(__file__).parent.parent / "schemas" / "event_schema.json"


@pytest.fixture
def land(settings):
    """Lands a file of the day, complete or not, as a shop does."""

    def land(day=DAY, content=b"{}\n", suffix=""):
        file = settings.event_file(day)
        file = file.with_name(file.name + suffix)
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".partial")
        partial.write_bytes(content)
        return partial.rename(file)

    return land


# -- when a day is due ---------------------------------------------------------------------------


def test_a_day_is_run_once_from_two_in_the_morning_on(house):
    """Not a minute earlier, and not again."""
    house.now = moment(at="01:59")
    too_early = house.days()
    house.now = moment(at="02:00")

    assert (too_early, house.days("cron"), house.days()) == ([], [DAY], [])
    assert house.started == [(DAY, "cron", None)]


@pytest.mark.parametrize(
    ("now", "last"),
    [
        ("2024-02-29T17:00:00+00:00", "2024-02-29"),  # 02:00 on 1 March in Seoul, after a leap day
        ("2024-02-29T16:59:59+00:00", "2024-02-28"),
        ("2025-12-31T17:00:00+00:00", "2025-12-31"),
        ("2026-01-01T02:00:00+09:00", "2025-12-31"),
        ("2026-03-08T13:00:00-04:00", "2026-03-08"),  # summer time elsewhere moves nothing here
    ],
)
def test_fault_46_yesterday_is_that_of_seoul(now, last):
    """Whatever the zone of the clock, at leap days and the year's end."""
    assert due.last_day(datetime.fromisoformat(now), time(2)) == date.fromisoformat(last)


def test_fault_44_five_days_of_silence_are_caught_up_with_oldest_first(house):
    """Each once, in one call."""
    house.now = moment(after=5)

    assert house.days("boot") == [DAY + timedelta(days=n) for n in range(5)]
    assert house.days() == []


def test_a_long_silence_is_cut_and_told_once(house, query):
    """The newest days are run, and one alert names the rest."""
    house.now = moment(after=10)

    assert house.days("boot", catch_up_days=3) == [DAY + timedelta(days=n) for n in (7, 8, 9)]
    house.days(catch_up_days=3)
    assert query("SELECT facts->>'days' FROM alert_outbox WHERE facts->>'reason' = 'cut'") == [
        (str([f"2026-01-{15 + n}" for n in range(7)]).replace("'", '"'),)
    ]


def test_without_a_start_day_the_service_answers_from_yesterday_then_from_its_first_day(house):
    """Nobody wants the years before; a day the ledger knows is never forgotten."""
    house.now = moment(after=3)
    first = house.days("boot", start_day=None)
    house.now = moment(after=5)

    assert (first, house.days()) == (
        [DAY + timedelta(days=2)],
        [DAY + timedelta(days=3), DAY + timedelta(days=4)],
    )


def test_a_clock_that_jumps_ahead_and_back_runs_each_day_once(house):
    """No flood, and nothing twice."""
    house.now = moment(after=2)
    ahead = house.days()
    house.now = moment(at="20:00", after=0)
    back = house.days()
    house.now = moment(after=3)

    assert (ahead, back, house.days()) == ([DAY, DAY + timedelta(days=1)], [], [DAY + timedelta(days=2)])


# -- what happens after a run --------------------------------------------------------------------


def test_a_blocked_day_waits_for_a_new_delivery_or_contract(house, tmp_path):
    """The gate would answer the same."""
    house.how = "blocked"
    first = house.days()
    again = house.days("cron")
    other = tmp_path / "contract.json"
    other.write_text(SHIPPED.read_text(encoding="utf-8") + "\n", encoding="utf-8")

    assert (first, again, house.days(contract=other)) == ([DAY], [], [DAY])


def test_a_passing_failure_is_tried_again_so_many_times(house, query):
    """Then the day rests until the next run_at."""
    house.how = "transient"
    calls = [house.days(attempts_per_day=3) for _ in range(5)]

    assert calls == [[DAY], [DAY], [DAY], [], []]
    assert query("SELECT max(attempt) FROM pipeline_run_log") == [(3,)]


def test_a_failed_day_rests_before_it_is_tried_again(house, query):
    """A broken day does not spin with every tick."""
    house.how = "transient"
    house.days(attempt_seconds=600.0)

    assert house.days() == []
    assert house.days(attempt_seconds=0.0) == [DAY]


def test_a_lasting_failure_waits_for_the_next_run_at(house, query):
    """Repeating cannot help before something changes."""
    # Failures bear the database's time, so this day is its yesterday.
    ((now, today),) = query("SELECT now(), (now() AT TIME ZONE 'Asia/Seoul')::date")
    yesterday = today - timedelta(days=1)
    house.now = now
    house.how = "permanent"
    first = house.days(start_day=yesterday, run_at=time(0))
    again = house.days()
    house.now = moment(today, at="00:00")
    house.how = "published"

    assert (first, again, house.days("cron")) == ([yesterday], [], [yesterday, today])


def test_a_run_told_to_stop_is_taken_up_at_once(house, query):
    """SIGTERM, the grace time, then the end; the row says interrupted and counts as no failure."""
    house.how = "hangs"
    service = house.service(grace_seconds=0.2)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(service.reconcile, "tick")
        wait_for(lambda: query("SELECT 1 FROM pipeline_run_log WHERE status = 'running'"))
        service.close()
        (ran,) = call.result(timeout=10)
    house.how = "published"

    assert (ran.ending.how, ran.ending.signal_name) == ("stopped", "SIGKILL")
    assert query("SELECT status, failure FROM pipeline_run_log") == [("failed", "interrupted")]
    assert query("SELECT count(*) FROM alert_outbox") == [(0,)]
    assert house.days(attempt_seconds=600.0) == [DAY]


def test_fault_58_a_run_that_takes_too_long_is_ended_with_an_alert(house, query):
    """A hang costs one attempt; the next day runs."""
    house.how = "hangs"

    assert house.days(run_deadline_seconds=2) == [DAY]
    assert query("SELECT status, failure, error FROM pipeline_run_log") == [
        ("failed", "died", "It took longer than 2 s and was ended.")
    ]
    assert query("SELECT kind FROM alert_outbox") == [("step_failed",)]


def test_a_run_that_is_killed_is_recorded_by_its_parent(house, query):
    """As by the out-of-memory killer; the service lives and tries again."""
    house.how = "killed"
    first = house.days()
    house.how = "published"

    assert (first, house.days()) == ([DAY], [DAY])
    ((error,),) = query("SELECT error FROM pipeline_run_log WHERE failure = 'died'")
    assert "SIGKILL" in error
    assert query("SELECT kind FROM alert_outbox") == [("step_failed",)]


def test_a_process_that_never_claims_its_day_is_an_attempt_too(house, query):
    """Otherwise it would be started with every tick, unnoticed."""
    house.how = "unclaimed"

    assert (house.days(), house.days()) == ([DAY], [])
    assert query("SELECT attempt, status, failure FROM pipeline_run_log") == [(1, "failed", "permanent")]
    assert query("SELECT kind FROM alert_outbox") == [("step_failed",)]


def test_a_dead_run_found_at_boot_is_taken_over_at_once(house, query, monkeypatch):
    """Nobody waits for its lease."""
    house.how = "killed"
    monkeypatch.setattr(Reconciler, "_close", lambda *_: None)  # a parent that died with its child
    house.days()
    assert query("SELECT status FROM pipeline_run_log") == [("running",)]
    house.how = "published"

    assert house.days("boot") == [DAY]
    assert query("SELECT status, failure FROM pipeline_run_log ORDER BY attempt") == [
        ("failed", "died"),
        ("published", None),
    ]


def test_a_failure_of_before_the_ledger_knew_its_kind_is_tried_so_many_times(house, query, database_url):
    """Rows of an older daygate: neither forgotten nor tried for ever."""
    house.how = "transient"
    house.days(attempts_per_day=2)
    with closing(database.connect(database_url, name="test")) as connection, connection, connection.cursor() as cursor:
        cursor.execute("UPDATE pipeline_run_log SET failure = NULL, contract_sha256 = NULL")

    assert [house.days() for _ in range(3)] == [[DAY], [], []]


def test_fault_38_a_day_that_somebody_runs_by_hand_is_left_alone(house, database_url, tmp_path):
    """The other days go on; when the hand is done and nothing came of it, the day is taken up."""
    house.now = moment(after=2)
    with closing(database.connect(database_url, name="hand")) as connection:
        run = ledger.claim(connection, DAY, trigger="cli", engine="pandas", runs_folder=tmp_path)
        meanwhile = house.days()
        ledger.fail(connection, run, error="Gave up.", failure="transient")

    assert meanwhile == [DAY + timedelta(days=1)]
    assert house.days() == [DAY]


def test_a_day_that_crashed_does_not_keep_the_next_one_waiting(house, query):
    """Both are tried in one call."""
    house.how = "killed"
    house.now = moment(after=2)

    assert house.days() == [DAY, DAY + timedelta(days=1)]
    assert query("SELECT DISTINCT failure FROM pipeline_run_log") == [("died",)]


# -- several services ----------------------------------------------------------------------------


def test_fault_37_of_many_services_one_leads_and_each_day_runs_once(house, query):
    """Started together, over and over."""
    house.now = moment(after=3)
    with ExitStack() as stack, ThreadPoolExecutor(4) as pool:
        services = [house.service() for _ in range(4)]
        for service in services:
            stack.callback(service.close)
        for _ in range(3):
            list(pool.map(lambda service: service.reconcile("tick"), services))

    assert sorted(day for day, _, _ in house.started) == [DAY + timedelta(days=n) for n in range(3)]
    assert query("SELECT count(*), count(DISTINCT day) FROM pipeline_run_log") == [(3, 3)]


def test_fault_17_when_the_leader_is_cut_off_another_leads(house, query):
    """PostgreSQL drops the lock with the session; the first joins again behind the second."""
    first, second = house.service(), house.service()
    first.reconcile("tick")
    house.now = moment(after=2)
    assert second.reconcile("tick") == []
    query(
        "SELECT pg_terminate_backend(a.pid, 5000) FROM pg_stat_activity AS a JOIN pg_locks AS l USING (pid)"
        " WHERE a.application_name = 'daygate-leader' AND a.datname = current_database()"
        " AND l.locktype = 'advisory' AND l.granted"
    )

    assert [ran.day for ran in second.reconcile("tick")] == [DAY + timedelta(days=1)]
    assert first.reconcile("tick") == []
    first.close()
    second.close()


def test_a_leader_that_lost_its_lock_gives_its_run_up(house, query, monkeypatch):
    """It learns of it while it waits; the run counts as interrupted, and the new leader takes the day."""
    monkeypatch.setattr("scheduler.child._WATCH_SECONDS", 0.5)
    house.how = "hangs"
    first, second = house.service(), house.service()
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(first.reconcile, "tick")
        wait_for(lambda: query("SELECT 1 FROM pipeline_run_log WHERE status = 'running'"))
        house.how = "published"

        def takes_over():
            query("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                  " WHERE application_name = 'daygate-leader' AND datname = current_database()")  # fmt: skip
            second.reconcile("tick")
            return second._leads

        wait_for(takes_over)
        (ran,) = call.result(timeout=20)
    wait_for(lambda: second.reconcile("tick") or query("SELECT 1 FROM pipeline_run_log WHERE is_current"))
    first.close()
    second.close()

    assert ran.ending.how == "abandoned"
    assert query("SELECT failure, status FROM pipeline_run_log ORDER BY attempt") == [
        ("interrupted", "failed"),
        (None, "published"),
    ]


def test_a_run_that_hangs_does_not_keep_its_lateness_secret(house, query, monkeypatch):
    """The deadline of the run may be hours away."""
    monkeypatch.setattr("scheduler.child._WATCH_SECONDS", 0.05)
    monkeypatch.setattr("scheduler.reconcile._LATENESS_SECONDS", 0.0)
    house.how = "hangs"
    house.now = moment(at="10:00")
    service = house.service()
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(service.reconcile, "cron")
        wait_for(lambda: query("SELECT 1 FROM alert_outbox WHERE kind = 'late'"))
        service.close()
        call.result(timeout=20)


def test_a_contract_that_cannot_be_read_makes_days_late_and_is_not_silent(house, query, tmp_path):
    """Each call says so; the day is told when it is late, and runs when the contract is good again."""
    house.now = moment(at="10:00")
    broken = tmp_path / "contract.json"
    broken.write_text("{", encoding="utf-8")
    with pytest.raises(ContractError):
        house.days(contract=broken)

    assert query("SELECT facts->>'reason' FROM alert_outbox") == [("unpublished",)]
    assert house.days(contract=None) == [DAY]


def test_two_calls_at_the_same_time_are_one(house):
    """A tick during a long catch-up does nothing."""
    service = house.service()
    house.how = "hangs"
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(service.reconcile, "boot")
        wait_for(lambda: house.started)

        assert service.reconcile("tick") == []
        service.close()
        call.result(timeout=10)


# -- landed files --------------------------------------------------------------------------------


def test_a_day_waits_for_its_file_and_is_reported_missing_once(house, land, query):
    """Landing: nothing is run without a file, and nobody is told twice."""
    waiting = house.days(source="landing")
    quiet = query("SELECT count(*) FROM alert_outbox")
    house.now = moment(at="09:00")
    house.days()
    house.days()
    told = query("SELECT kind, facts->>'reason', facts->>'days' FROM alert_outbox")
    file = land(suffix=".gz")

    assert (waiting, quiet) == ([], [(0,)])
    assert told == [("late", "missing", '["2026-01-15"]')]
    assert house.days() == [DAY]
    assert house.started == [(DAY, "tick", file)]


def test_with_markers_a_file_is_complete_when_its_marker_stands_beside_it(house, land):
    """A marker older than the file is that of an earlier delivery."""
    file = land()
    marker = file.with_name(file.name + ".done")
    without = house.days(source="landing", landing_marker="done")
    marker.touch()
    os.utime(marker, (1, 1))
    stale = house.days()
    marker.touch()

    assert (without, stale, house.days()) == ([], [], [DAY])


def test_fault_48_a_corrected_file_is_a_new_attempt_and_the_same_again_is_not(house, land, monkeypatch, query):
    """Known by its bytes, not by its date."""
    monkeypatch.setenv("LIGHT_DELIVERY", hashlib.sha256(b"first\n").hexdigest())
    land(content=b"first\n")
    first = house.days(source="landing")
    land(content=b"first\n")
    same = house.days()
    land(content=b"second\n")
    monkeypatch.setenv("LIGHT_DELIVERY", hashlib.sha256(b"second\n").hexdigest())

    assert (first, same, house.days(), house.days()) == ([DAY], [], [DAY], [])


def test_a_day_not_published_in_time_is_told_once(house, query):
    """Whatever the reason; published days and those before their time are not."""
    house.how = "blocked"
    house.now = moment(at="09:59", after=2)
    house.days()
    before = query("SELECT facts->>'days' FROM alert_outbox WHERE kind = 'late'")
    house.now = moment(at="10:00", after=2)
    house.days()
    house.days()

    assert before == [('["2026-01-15"]',)]
    assert query("SELECT facts->>'days' FROM alert_outbox WHERE kind = 'late' ORDER BY id") == [
        ('["2026-01-15"]',),
        ('["2026-01-15", "2026-01-16"]',),
    ]


def test_a_day_that_stays_bad_is_told_of_once_a_day_for_a_week(house, query, database_url):
    """At the time by which days are promised, from the day after the first alert on."""
    house.how = "blocked"
    house.days()
    with closing(database.connect(database_url, name="test")) as connection, connection, connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO alert_outbox (dedupe_key, kind, day, run_id, facts, created_at) SELECT 'x', 'gate_failed',"
            " day, run_id, '{}', '2026-01-16T02:01:00+09:00' FROM pipeline_run_log"
        )
    told = []
    for after, at in ((1, "23:59"), (2, "09:59"), (2, "10:00"), (2, "15:00"), (8, "10:00"), (9, "10:00")):
        house.now = moment(at=at, after=after)
        with closing(database.connect(database_url, name="test")) as connection:
            house_now = house.service()
            new = outbox.keep(connection, [a for a in house_now._late(connection) if a.kind == "still_bad"])
        told.append([(alert.day, alert.facts["since"]) for alert in new])

    reminder = [(DAY, "2026-01-16")]
    assert told == [[], [], reminder, [], reminder, []]


def wait_for(seen, seconds: float = 20.0) -> None:
    """Wait until something is seen."""
    pause, left = threading.Event(), int(seconds / 0.02)
    while not seen():
        left -= 1
        assert left, "it was not seen in time"
        pause.wait(0.02)
