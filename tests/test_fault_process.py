"""Processes that stop, crash, wake up too late, or run short of files: the ledger knows who may publish."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import psycopg2
import pytest
from invariants import ask, assert_invariants, digest
from services import PATIENCE, runs_on, wait_for, worker_of

from pipeline.errors import ExitCode

LANDING = {"DAYGATE_SOURCE": "landing", "DAYGATE_ATTEMPT_SECONDS": "0"}


@pytest.fixture
def begin(warm_python, variables, tmp_path):
    """Begins `daygate run`."""
    begun = []

    def begin(day, *words):
        command = [warm_python, "-m", "scheduler", "run", "--date", str(day), *words]
        process = subprocess.Popen(
            command, cwd=tmp_path, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        begun.append(process)
        return process

    yield begin
    for process in begun:
        process.kill()
        process.communicate()


def stands_still(worker: int) -> bool:
    """Whether the process was stopped."""
    return Path(f"/proc/{worker}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"T"


def stopped(process_id) -> int:
    """The worker behind a program, as soon as it stands still."""
    worker = worker_of(process_id)
    wait_for(lambda: stands_still(worker))
    return worker


def ended(process) -> tuple[int, str]:
    """Exit code and everything it said."""
    said, _ = process.communicate(timeout=PATIENCE)
    return process.returncode, said


def test_fault_39_a_run_that_slept_through_its_lease_cannot_publish(begin, plan, land, day, database_url, settings):
    """Stopped before it publishes, it wakes after another has done so, and is refused by the fence."""
    file = land(day)
    plan(day, failpoint="marts.done:stop")
    sleeper = begin(day, "--file", str(file))
    worker = stopped(sleeper.pid)
    _expire_leases(database_url)
    other = ended(begin(day, "--file", str(file)))
    published = digest(database_url)
    os.kill(worker, signal.SIGCONT)
    code, said = ended(sleeper)

    assert other[0] == ExitCode.OK, other
    assert (code, "lost" in said) == (ExitCode.BUSY, True)
    assert digest(database_url) == published
    assert ask(database_url, "SELECT status FROM pipeline_run_log ORDER BY attempt") == [("failed",), ("published",)]


def _expire_leases(url) -> None:
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE daygate.pipeline_run_log SET lease_until = now() WHERE status = 'running'")
    connection.close()


def test_fault_40_two_runs_of_a_day_by_hand_come_one_after_the_other(
    begin, plan, land, day, delivery, database_url, settings
):
    """Who comes second is told who holds the day; later it may, and both are in the history."""
    first, second = land(day), delivery(name="second.jsonl", users=40)
    plan(day, failpoint="claim.done:stop")
    holder = begin(day, "--file", str(first))
    worker = stopped(holder.pid)
    refused = ended(begin(day, "--file", str(second)))
    os.kill(worker, signal.SIGCONT)
    codes = [ended(holder)[0], ended(begin(day, "--file", str(second)))[0]]

    assert refused[0] == ExitCode.BUSY
    assert "holds 2026-01-15" in refused[1]
    assert codes == [ExitCode.OK, ExitCode.OK]
    assert ask(database_url, "SELECT attempt, is_current FROM pipeline_run_log ORDER BY attempt") == [
        (1, False),
        (2, True),
    ]
    assert_invariants(database_url, settings.home)


def test_fault_53_told_to_stop_in_any_step_a_run_leaves_nothing_half_done(
    warm_serve, plan, land, last_days, database_url, settings, undisturbed
):
    """While it stages, checks, loads and builds marts: in time, in order, and the next service ends the day."""
    (day,) = last_days(1)
    land(day)
    for place in ("stage.done", "check.answered", "load.copied", "marts.built"):
        plan(day, failpoint=f"{place}:stop")
        served = warm_serve(DAYGATE_START_DAY=str(day), **LANDING)
        (run,) = wait_for(lambda: runs_on(settings.home))
        worker = stopped(run)
        served.process.send_signal(signal.SIGTERM)
        os.kill(worker, signal.SIGCONT)
        assert served.process.wait(timeout=PATIENCE) == 0, place
        assert ask(database_url, "SELECT status, failure FROM pipeline_run_log ORDER BY fence DESC LIMIT 1") == [
            ("failed", "interrupted")
        ]
        assert ask(database_url, "SELECT count(*) FROM raw_events") == [(0,)]
    served = warm_serve(DAYGATE_START_DAY=str(day), **LANDING)
    wait_for(
        lambda: ask(database_url, "SELECT 1 FROM pipeline_run_log WHERE is_current") and not runs_on(settings.home)
    )
    wait_for(lambda: not [*settings.home.glob("runs/*/staged")])

    assert served.end() == 0
    assert_invariants(database_url, settings.home)
    assert digest(database_url) == digest(undisturbed(day, day))
    assert ask(database_url, "SELECT 1 FROM alert_outbox WHERE kind = 'step_failed'") == []


def test_fault_55_a_service_whose_terminal_goes_away_goes_on(
    warm_python, variables, land, last_days, database_url, settings
):
    """SIGHUP, and nobody reads what it says any more."""
    (day,) = last_days(1)
    land(day)
    quick = Path(__file__).parent / "quick_daygate.py"
    own = {**variables, **LANDING, "DAYGATE_START_DAY": str(day)}
    with subprocess.Popen([warm_python, quick, "serve"], env=own, stderr=subprocess.PIPE) as service:
        service.stderr.readline()
        service.stderr.close()
        service.send_signal(signal.SIGHUP)
        wait_for(lambda: ask(database_url, "SELECT 1 FROM pipeline_run_log WHERE is_current"))
        wait_for(lambda: not runs_on(settings.home))
        service.terminate()
        code = service.wait(timeout=PATIENCE)

    assert code == 0
    assert_invariants(database_url, settings.home)


def test_fault_58_a_library_that_crashes_costs_an_attempt_and_is_told(
    warm_serve, plan, land, last_days, database_url, settings
):
    """A segmentation fault in the check: recorded with its signal, an alert, and both days are published."""
    days = last_days(2)
    for day in days:
        land(day)
    plan(days[0], failpoint="check.answered:crash")
    served = warm_serve(DAYGATE_START_DAY=str(days[0]), **LANDING)
    current = "SELECT count(*) FROM pipeline_run_log WHERE is_current"
    wait_for(lambda: ask(database_url, current) == [(2,)] and not runs_on(settings.home))
    wait_for(lambda: not [*settings.home.glob("runs/*/staged")])
    assert served.end() == 0

    failed = ask(database_url, "SELECT day, failure, error LIKE '%SIGSEGV%' FROM pipeline_run_log"
                               " WHERE status = 'failed'")  # fmt: skip
    assert failed == [(days[0], "died", True)]
    assert ask(database_url, "SELECT count(*) FROM alert_outbox WHERE kind = 'step_failed'") == [(1,)]
    assert_invariants(database_url, settings.home)


def test_fault_62_a_run_without_files_to_open_says_so_and_the_next_one_is_well(
    begin, plan, land, day, database_url, settings
):
    """Too few file descriptors: an error and its exit code, nothing visible, no trace in the tables."""
    file = land(day)
    short = []
    for files in (6, 8, 10):
        plan(day, files=files)
        short.append(ended(begin(day, "--file", str(file))))
    visible = ask(database_url, "SELECT count(*) FROM raw_events")
    well = ended(begin(day, "--file", str(file)))

    assert {code for code, _ in short} <= {ExitCode.INCONCLUSIVE, ExitCode.REFUSED, ExitCode.USAGE}, short
    assert not [said for _, said in short if "Traceback" in said]
    assert visible == [(0,)]
    assert well[0] == ExitCode.OK, well
    assert_invariants(database_url, settings.home)


def test_fault_62_many_calls_leave_no_file_open(house):
    """A service lives for a year."""
    service = house.service()
    for _ in range(3):
        service.reconcile("tick")
    before = len([*Path("/proc/self/fd").iterdir()])
    for _ in range(30):
        service.reconcile("tick")
    after = len([*Path("/proc/self/fd").iterdir()])
    service.close()

    assert after == before
