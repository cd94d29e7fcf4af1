"""Which days are to be run now: what the ledger says of each, and the decision about one.

What day it is comes in as an argument; everything that is compared with times in the ledger uses the
database's clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final

from pipeline.database import Connection, one, translated
from pipeline.ledger import ALIVE_CLASS
from pipeline.records import Failure
from pipeline.zone import ZONE

#: Longest rest between two attempts at a day, in seconds.
_LONGEST_REST: Final = 3600


@dataclass(frozen=True, kw_only=True, slots=True)
class DayState:
    """A day that was tried: its last run, and how often it failed."""

    status: str
    failure: Failure | None
    delivery_sha256: str | None
    contract_sha256: str | None
    started_at: datetime
    #: A live process holds the day.
    held: bool
    #: Whether any version of the day is published.
    published: bool
    #: Failed attempts since the day's last verdict and since the last `run_at`; those told to stop do not count.
    failures: int
    #: Enough time went by since the last one.
    rested: bool


def last_day(now: datetime, run_at: time) -> date:
    """The newest day that is due: yesterday from `run_at` on (Asia/Seoul), the day before until then."""
    return last_run_at(now, run_at).date() - timedelta(days=1)


def last_run_at(now: datetime, run_at: time) -> datetime:
    """The last moment of `run_at` (Asia/Seoul) up to now."""
    today = datetime.combine(now.astimezone(ZONE).date(), run_at, ZONE)
    return today if today <= now else today - timedelta(days=1)


def reached(now: datetime, day: date, at: time) -> bool:
    """Whether it is `at` or later (Asia/Seoul) on the day after `day`."""
    return now >= datetime.combine(day + timedelta(days=1), at, ZONE)


def days(first: date, last: date) -> Iterator[date]:
    """Every day from the first to the last, oldest first."""
    return (first + timedelta(days=n) for n in range((last - first).days + 1))


def first_day(connection: Connection) -> date | None:
    """The first day the ledger knows."""
    with translated("reading the ledger"), connection, connection.cursor() as cursor:
        cursor.execute("SELECT min(day) FROM pipeline_run_log")
        first: date | None = one(cursor)[0]
    return first


def clock(connection: Connection) -> datetime:
    """The database's time."""
    with translated("reading the clock"), connection, connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        now: datetime = one(cursor)[0]
    return now


def states(
    connection: Connection, first: date, last: date, *, since: datetime, first_rest: float
) -> Mapping[date, DayState]:
    """What became of each day of a range that was ever tried.

    Args:
        connection: an idle connection.
        first: first day of the range.
        last: last day of the range.
        since: failures before this moment do not count.
        first_rest: seconds a day rests after its first failure; doubled with each further one.
    """
    with translated("reading the ledger"), connection, connection.cursor() as cursor:
        cursor.execute(
            _STATES,
            {
                "first": first,
                "last": last,
                "since": since,
                "alive": ALIVE_CLASS,
                "rest": first_rest,
                "longest": _LONGEST_REST,
            },
        )
        names = [column.name for column in cursor.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return {row.pop("day"): DayState(**row) for row in rows}


#: The ordinal of a day, which its locks bear, is its distance from the first day of the calendar.
_STATES: Final = """
WITH runs AS (
    SELECT *, max(fence) FILTER (WHERE status IN ('published', 'blocked')) OVER (PARTITION BY day) AS judged
    FROM pipeline_run_log WHERE day BETWEEN %(first)s AND %(last)s
), failures AS (
    SELECT day, count(*) FILTER (
        WHERE fence > coalesce(judged, 0) AND status IN ('failed', 'running')
        AND failure IS DISTINCT FROM 'interrupted' AND started_at >= %(since)s
    ) AS failures, bool_or(is_current) AS published
    FROM runs GROUP BY day
)
SELECT DISTINCT ON (day) day, status, failure, delivery_sha256, contract_sha256, started_at, published, failures::int,
    status = 'running' AND lease_until > now() AND EXISTS (
        SELECT FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database
        WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.granted
        AND l.classid = %(alive)s::bigint::oid AND l.objid::bigint = runs.day - DATE '0001-01-01' + 1
    ) AS held,
    now() >= coalesce(finished_at, heartbeat_at) + make_interval(
        secs => least(%(longest)s, %(rest)s * power(2, least(greatest(failures - 1, 0), 30)))
    ) AS rested
FROM runs JOIN failures USING (day) ORDER BY day, fence DESC
"""


def is_due(
    state: DayState | None, *, contract_sha256: str, most_attempts: int, corrected: Callable[[DayState], bool]
) -> bool:
    """Whether a day is to be run now.

    Args:
        state: what became of it; None when it was never tried.
        contract_sha256: of the contract as it is now.
        most_attempts: failed attempts after which the day waits for the next `run_at`.
        corrected: whether the day's file is another than the one that was run; asked only when it matters.
    """
    if state is None or state.held:
        return state is None
    if state.status == "published":
        return corrected(state)
    if state.status != "blocked":
        if state.failure == "interrupted" or state.failures == 0:
            return True
        if state.failure != "permanent" and state.rested and state.failures < most_attempts:
            return True
    # Rows of before the ledger knew the contract of a failed run say nothing about it.
    return state.contract_sha256 not in (None, contract_sha256) or corrected(state)
