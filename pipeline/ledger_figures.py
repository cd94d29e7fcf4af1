"""Figures about the ledger as a whole: for metrics, for readiness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, time
from typing import Any, Final

from pipeline.database import Connection, one, translated


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckFigures:
    """What one check found on one day."""

    id: str
    #: Share of good lines, 0..1; None when the check looked at no lines.
    pass_rate: float | None
    threshold: float
    evaluated_rows: int
    failed_rows: int


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgedDay:
    """The newest day the gate answered."""

    day: date
    verdict: str
    lines: int
    loaded: int
    quarantined: int
    #: Seconds per step.
    timings: Mapping[str, float]
    checks: tuple[CheckFigures, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerFigures:
    """The ledger at one moment; ages are seconds by the database's clock."""

    #: (status, verdict or "") -> runs.
    runs: Mapping[tuple[str, str], int]
    #: Lines of all judged runs.
    loaded: int
    quarantined: int
    #: Since the last run ended; None before the first.
    age: float | None
    newest_published: date | None
    newest: JudgedDay | None
    #: Runs that hold a day now.
    running: int
    #: Alerts nobody has been told of yet, and how long the oldest waits.
    outbox: int
    outbox_age: float
    #: Alerts nobody took, until a person deals with them.
    given_up: int


_RUNS: Final = "SELECT status, coalesce(verdict, ''), count(*) FROM pipeline_run_log GROUP BY 1, 2"
_TOTALS: Final = """
SELECT coalesce(sum(loaded), 0), coalesce(sum(quarantined), 0),
       extract(epoch FROM now() - max(finished_at))::float8,
       max(day) FILTER (WHERE is_current),
       count(*) FILTER (WHERE status = 'running' AND lease_until > now())
FROM pipeline_run_log
"""
_NEWEST: Final = """
SELECT run_id, day, verdict, lines, loaded, quarantined, timings
FROM pipeline_run_log
WHERE status IN ('published', 'blocked')
ORDER BY day DESC, fence DESC LIMIT 1
"""
_CHECKS: Final = """
SELECT check_id, pass_rate, threshold, evaluated_rows, failed_rows
FROM quality_check_log WHERE run_id = %s ORDER BY check_id
"""
_OUTBOX: Final = """
SELECT count(*) FILTER (WHERE given_up_at IS NULL),
       coalesce(extract(epoch FROM now() - min(created_at) FILTER (WHERE given_up_at IS NULL)), 0)::float8,
       count(*) FILTER (WHERE given_up_at IS NOT NULL)
FROM alert_outbox WHERE sent_at IS NULL
"""
#: A day is late when its time has passed, it is one the service answers for, and the gate has not answered.
_LATE: Final = """
WITH clock AS (SELECT now() AT TIME ZONE 'Asia/Seoul' AS local),
     due AS (SELECT local::date - CASE WHEN local::time >= %(by)s THEN 1 ELSE 2 END AS day FROM clock)
SELECT due.day >= coalesce(%(first)s, (SELECT min(day) FROM pipeline_run_log), clock.local::date - 1)
       AND NOT EXISTS (
           SELECT FROM pipeline_run_log AS r WHERE r.day = due.day AND r.status IN ('published', 'blocked')
       )
FROM due, clock
"""


def read(connection: Connection) -> LedgerFigures:
    """All figures, as of one moment.

    Raises:
        TransientError, DatabaseError: as `database.translated`.
    """
    with translated("reading the ledger"), connection, connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute(_RUNS)
        runs = {(status, verdict): count for status, verdict, count in cursor.fetchall()}
        cursor.execute(_TOTALS)
        loaded, quarantined, age, newest_published, running = one(cursor)
        newest = _newest(cursor)
        cursor.execute(_OUTBOX)
        outbox, outbox_age, given_up = one(cursor)
    return LedgerFigures(
        runs=runs,
        loaded=int(loaded),
        quarantined=int(quarantined),
        age=age,
        newest_published=newest_published,
        newest=newest,
        running=running,
        outbox=outbox,
        outbox_age=outbox_age,
        given_up=given_up,
    )


def _newest(cursor: Any) -> JudgedDay | None:
    cursor.execute(_NEWEST)
    row = cursor.fetchone()
    if row is None:
        return None
    run_id, day, verdict, lines, loaded, quarantined, timings = row
    cursor.execute(_CHECKS, (run_id,))
    checks = tuple(
        CheckFigures(id=check, pass_rate=rate, threshold=threshold, evaluated_rows=evaluated, failed_rows=failed)
        for check, rate, threshold, evaluated, failed in cursor.fetchall()
    )
    return JudgedDay(
        day=day,
        verdict=verdict,
        lines=lines,
        loaded=loaded,
        quarantined=quarantined,
        timings=timings,
        checks=checks,
    )


def is_late(connection: Connection, *, by: time, first: date | None) -> bool:
    """Whether the day that should be decided by now is not.

    Args:
        connection: an idle connection.
        by: when yesterday must be decided (Asia/Seoul).
        first: the first day the service answers for; the ledger's first, else yesterday, when None.
    """
    with translated("reading the ledger"), connection, connection.cursor() as cursor:
        cursor.execute(_LATE, {"by": by, "first": first})
        return bool(one(cursor)[0])
