"""The ledger, `pipeline_run_log`: which run holds a day, which one is published, and what happened.

All times are the database's. A run holds its day by a lease that it renews; whoever finds the lease run
out may take the day over with a higher fence, and everything the old run still tries is refused.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, Final

import psycopg2.errors

from pipeline import database, outbox, workspace
from pipeline.database import LOCK_CLASS, Connection, translated
from pipeline.errors import BusyError, DaygateError
from pipeline.records import Alert, DaySummary, Engine, Failure, Run, Verdict

log = logging.getLogger(__name__)

#: First half of the advisory lock that is a run's sign of life; the second is the day.
ALIVE_CLASS: Final = LOCK_CLASS + 1
#: So soon after its process a session is gone.
_DYING_SECONDS: Final = 1
#: How long a silent run keeps its day.
LEASE_SECONDS: Final = 60
#: A run that published leaves its block well within this.
_ENDING_SECONDS: Final = 30
_ERROR_LENGTH: Final = 2000

_COLUMNS: Final = (
    "run_id, day, attempt, trigger, engine, status, verdict, delivery_sha256, lines, loaded, quarantined,"
    " unique_users, sessions, purchases, trim_scale(revenue)::text AS revenue, timings, started_at, finished_at,"
    " is_current, error, contract_sha256, delivery_name, delivery_bytes, released_by, release_reason, released_run,"
    " failure"
)


def lock_number(day: date) -> int:
    """The day as the second half of its advisory lock."""
    return day.toordinal()


def claim(
    connection: Connection,
    day: date,
    *,
    trigger: str,
    engine: Engine,
    runs_folder: Path,
    delivery_sha256: str | None = None,
    contract_sha256: str | None = None,
    lease_seconds: int = LEASE_SECONDS,
) -> Run:
    """Take the day for a new attempt and sweep what dead runs left.

    The connection keeps a session lock as its sign of life: PostgreSQL drops it the moment the process
    dies, so a killed run is taken over at once. A run that is alive but silent keeps the day for its lease.

    Args:
        connection: an idle connection that stays open for as long as the run lasts.
        delivery_sha256: what is to be run, and under which contract; known also of a run that fails.

    Raises:
        BusyError: a live run holds the day.
    """
    with translated("claiming the day"), connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", (LOCK_CLASS, lock_number(day)))
        _take_over(cursor, day, holder_is_gone=_sign_of_life(cursor, day))
        cursor.execute(
            "SELECT coalesce(max(attempt), 0) + 1, nextval('run_fence') FROM pipeline_run_log WHERE day = %s", (day,)
        )
        attempt, fence = database.one(cursor)
        run_id = f"{day:%Y%m%d}-{attempt}-{secrets.token_hex(4)}"
        cursor.execute(
            "INSERT INTO pipeline_run_log (run_id, day, attempt, trigger, engine, fence, status, delivery_sha256,"
            " contract_sha256, lease_until)"
            " VALUES (%s, %s, %s, %s, %s, %s, 'running', %s, %s, now() + make_interval(secs => %s))",
            (run_id, day, attempt, trigger, engine, fence, delivery_sha256, contract_sha256, lease_seconds),
        )
    folder = runs_folder / run_id
    folder.mkdir(parents=True, exist_ok=True)
    workspace.sweep(connection)
    return Run(run_id=run_id, day=day, attempt=attempt, trigger=trigger, fence=fence, folder=folder)


def _sign_of_life(cursor: Any, day: date) -> bool:
    """Take the session lock of a day; False when somebody else keeps it.

    The server process of a run that was killed needs a moment to end what it was doing.
    """
    cursor.execute("SAVEPOINT before_lock")
    cursor.execute("SELECT set_config('lock_timeout', %s, true)", (f"{_DYING_SECONDS}s",))
    try:
        cursor.execute("SELECT pg_advisory_lock(%s, %s)", (ALIVE_CLASS, lock_number(day)))
    except psycopg2.errors.LockNotAvailable:
        cursor.execute("ROLLBACK TO before_lock")
        return False
    cursor.execute("SET LOCAL lock_timeout TO DEFAULT")
    return True


def _take_over(cursor: Any, day: date, *, holder_is_gone: bool) -> None:
    cursor.execute(
        "SELECT run_id, lease_until > now() FROM pipeline_run_log WHERE day = %s AND status = 'running' FOR UPDATE",
        (day,),
    )
    row = cursor.fetchone()
    if row is None:
        return
    run_id, alive = row
    if alive and not holder_is_gone:
        raise BusyError(f"Run {run_id} holds {day}.", hint="Wait for it, then: daygate status")
    cursor.execute(
        "UPDATE pipeline_run_log SET status = 'failed', failure = 'died', finished_at = now(), error = %s"
        " WHERE run_id = %s",
        ("It died, or fell silent until its lease ran out.", run_id),
    )


def heartbeat(connection: Connection, run: Run, *, lease_seconds: int = LEASE_SECONDS) -> None:
    """Renew the lease.

    Raises:
        BusyError: the run no longer holds its day; it must stop.
    """
    with translated("renewing the lease"), connection, connection.cursor() as cursor:
        cursor.execute(
            "UPDATE pipeline_run_log SET heartbeat_at = now(), lease_until = now() + make_interval(secs => %s)"
            " WHERE run_id = %s AND fence = %s AND status = 'running'",
            (lease_seconds, run.run_id, run.fence),
        )
        if cursor.rowcount == 0:
            raise lost(run)


def lost(run: Run) -> BusyError:
    """The error of a run that lost its day to another."""
    return BusyError(f"Run {run.run_id} lost {run.day} to a later run.", hint="daygate status")


@contextmanager
def kept_alive(url: str, run: Run, *, lease_seconds: int = LEASE_SECONDS) -> Iterator[None]:
    """Renew the run's lease from a thread with a connection of its own while the body runs.

    A database that is away for a moment is tried again; a lost lease shows when the run publishes.
    """
    done = threading.Event()
    thread = threading.Thread(target=_beat, args=(url, run, lease_seconds, done), name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _beat(url: str, run: Run, lease_seconds: int, done: threading.Event) -> None:
    while not done.wait(lease_seconds / 6):
        try:
            with database.session(url, name="lease", doing="renewing the lease") as connection:
                while True:
                    heartbeat(connection, run, lease_seconds=lease_seconds)
                    if done.wait(lease_seconds / 6):
                        return
        except BusyError as error:
            # A run that has just ended its own row has nothing to renew either; that is no news.
            if not done.wait(_ENDING_SECONDS):
                log.warning("%s", error)
            return
        except DaygateError as error:
            log.warning("The lease of %s was not renewed: %s", run.run_id, error)


def fail(
    connection: Connection, run: Run, *, error: str, failure: Failure = "permanent", alert: Alert | None = None
) -> bool:
    """Record that the run failed, unless it ended otherwise or lost its day meanwhile.

    Args:
        connection: an idle connection; committed here.
        run: the run that failed.
        error: what happened; no values from events.
        failure: how it failed.
        alert: kept with the row, in one commit.

    Returns:
        Whether it was recorded.
    """
    with translated("recording the failure"), connection, connection.cursor() as cursor:
        cursor.execute(
            "UPDATE pipeline_run_log SET status = 'failed', failure = %s, finished_at = now(), error = %s"
            " WHERE run_id = %s AND fence = %s AND status = 'running'",
            (failure, database.storable(error)[:_ERROR_LENGTH], run.run_id, run.fence),
        )
        recorded = cursor.rowcount > 0
        if recorded and alert is not None:
            outbox.write(cursor, [alert])
    workspace.sweep(connection)
    return recorded


def published(connection: Connection, day: date) -> DaySummary | None:
    """The run whose data are visible for the day; None when there is none."""
    return _first(connection, "WHERE day = %s AND is_current", (day,))


def judged(connection: Connection, day: date) -> DaySummary | None:
    """The last run of the day that the gate answered, published or blocked; None when there is none."""
    return _first(
        connection, "WHERE day = %s AND status IN ('published', 'blocked') ORDER BY fence DESC LIMIT 1", (day,)
    )


def judged_days(connection: Connection, days: int) -> list[DaySummary]:
    """The last judged run of each of the last `days` calendar days up to today (Asia/Seoul), newest day first."""
    where = (
        "WHERE day > (now() AT TIME ZONE 'Asia/Seoul')::date - %s AND status IN ('published', 'blocked')"
        " ORDER BY day DESC, fence DESC"
    )
    return _select(connection, where, (days,), "DISTINCT ON (day) ")


def newest_judged(connection: Connection, days: int) -> list[DaySummary]:
    """The last judged run of each of the newest `days` days that have one, however long ago, newest day first."""
    where = "WHERE status IN ('published', 'blocked') ORDER BY day DESC, fence DESC LIMIT %s"
    return _select(connection, where, (days,), "DISTINCT ON (day) ")


def by_id(connection: Connection, run_id: str) -> DaySummary | None:
    """One run."""
    return _first(connection, "WHERE run_id = %s", (run_id,))


def history(connection: Connection, days: int) -> list[DaySummary]:
    """The last `days` calendar days up to today (Asia/Seoul), newest first; days without a run are left out.

    A day is told by its published run when it has one, else by its last attempt.
    """
    where = "WHERE day > (now() AT TIME ZONE 'Asia/Seoul')::date - %s"
    return _select(connection, f"{where} ORDER BY day DESC, is_current DESC, fence DESC", (days,), "DISTINCT ON (day) ")


def between(connection: Connection, first: date, last: date) -> list[DaySummary]:
    """The days from the first to the last, both included; told as in `history`."""
    where = "WHERE day BETWEEN %s AND %s ORDER BY day DESC, is_current DESC, fence DESC"
    return _select(connection, where, (first, last), "DISTINCT ON (day) ")


def page(connection: Connection, *, limit: int, before: str | None = None, day: date | None = None) -> list[DaySummary]:
    """Runs, the last claimed first.

    Args:
        connection: an idle connection.
        limit: at most that many.
        before: a run id; only runs claimed before that one, none when there is no such run.
        day: only runs of that day.
    """
    where = (
        "WHERE (%(before)s IS NULL OR fence < (SELECT fence FROM pipeline_run_log WHERE run_id = %(before)s))"
        " AND (%(day)s IS NULL OR day = %(day)s) ORDER BY fence DESC LIMIT %(limit)s"
    )
    return _select(connection, where, {"before": before, "day": day, "limit": limit})


def _first(connection: Connection, where: str, parameters: tuple[object, ...]) -> DaySummary | None:
    return next(iter(_select(connection, where, parameters)), None)


def _select(
    connection: Connection, where: str, parameters: tuple[object, ...] | dict[str, object], distinct: str = ""
) -> list[DaySummary]:
    with translated("reading the ledger"), connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT {distinct}{_COLUMNS} FROM pipeline_run_log {where}", parameters)
        names = [column.name for column in cursor.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return [DaySummary(**{**row, "verdict": row["verdict"] and Verdict(row["verdict"])}) for row in rows]
