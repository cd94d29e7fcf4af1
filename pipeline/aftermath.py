"""What is left to do for a run whose process died: its row in the ledger, written by whoever watched it.

A run that a later process takes over is closed by the ledger itself, without a reason. The service knows more:
that it took too long, that a signal ended it, that it never came as far as claiming its day.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from time import monotonic, sleep
from typing import Final

from pipeline import database, ledger
from pipeline.database import Connection, one, translated
from pipeline.records import Alert, Failure, Run

#: PostgreSQL needs a moment to notice that a client is gone.
_NOTICE_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.05


def newest_fence(connection: Connection, day: date) -> int:
    """The fence of the day's last run; 0 when there was none."""
    with translated("reading the ledger"), connection, connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(max(fence), 0) FROM pipeline_run_log WHERE day = %s", (day,))
        fence: int = one(cursor)[0]
    return fence


def close(
    url: str,
    day: date,
    *,
    after: int,
    error: str,
    failure: Failure,
    runs_folder: Path,
    trigger: str | None = None,
    contract_sha256: str | None = None,
    alert_of: Callable[[Run], Alert] | None = None,
) -> Alert | None:
    """Record how a run ended that could not do so itself.

    Args:
        url: the database.
        day: the day the process worked on.
        after: the day's newest fence before the process started.
        error: what happened; no values from events.
        failure: how it failed.
        runs_folder: where runs have their folders.
        trigger: with it, a process that never claimed its day is recorded as an attempt of its own.
        contract_sha256: of such an attempt.
        alert_of: the alert about the run, kept in the commit that closes it.

    Returns:
        That alert; None without one, when there was nothing to close, or when another live run holds the day.
    """
    with database.session(url, name="aftermath", doing="closing a dead run") as connection:
        if not _nobody_holds(connection, day):
            return None
        run, running = _run_after(connection, day, after, runs_folder)
        if run is None and trigger is not None:
            run, running = (
                ledger.claim(
                    connection,
                    day,
                    trigger=trigger,
                    engine="pandas",  # nobody knows what it would have chosen
                    runs_folder=runs_folder,
                    contract_sha256=contract_sha256,
                ),
                True,
            )
        if run is None or not running:
            return None
        alert = None if alert_of is None else alert_of(run)
        closed = ledger.fail(connection, run, error=error, failure=failure, alert=alert)
        return alert if closed else None


def _nobody_holds(connection: Connection, day: date) -> bool:
    """Take the day's sign of life for this connection, as soon as the dead process no longer has it."""
    until = monotonic() + _NOTICE_SECONDS
    while True:
        with translated("closing a dead run"), connection, connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", (ledger.ALIVE_CLASS, ledger.lock_number(day)))
            if one(cursor)[0]:
                return True
        if monotonic() > until:
            return False
        sleep(_LOOK_SECONDS)


def _run_after(connection: Connection, day: date, after: int, runs_folder: Path) -> tuple[Run | None, bool]:
    """The day's newest run later than a fence, and whether the ledger still takes it for running."""
    with translated("reading the ledger"), connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT run_id, attempt, trigger, fence, status = 'running' FROM pipeline_run_log"
            " WHERE day = %s AND fence > %s ORDER BY fence DESC LIMIT 1",
            (day, after),
        )
        row = cursor.fetchone()
    if row is None:
        return None, False
    run_id, attempt, trigger, fence, running = row
    run = Run(run_id=run_id, day=day, attempt=attempt, trigger=trigger, fence=fence, folder=runs_folder / str(run_id))
    return run, bool(running)
