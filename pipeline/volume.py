"""Volume and freshness: figures of a day that leave the band of the same weekday's last passed days.

Blocked and released days are no measure of what is usual. With fewer than `FEWEST_DAYS` passed days of the weekday
nothing is said. Figures are of the delivery as it came, so that a day can be compared before it is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from math import sqrt
from pathlib import Path
from statistics import median
from typing import Final

import polars as pl

from pipeline.contract import Contract
from pipeline.database import Connection, translated
from pipeline.records import Staged, VolumeFinding
from pipeline.zone import ZONE

#: Passed days of the weekday that are compared with, and how many there must be.
USUAL_DAYS: Final = 8
FEWEST_DAYS: Final = 4
#: Half the width of the band, in standard deviations as the median distance tells them…
_WIDTH: Final = 4.0
_NORMAL: Final = 1.4826
#: …at least this share of the median, and this many standard deviations of counting so few.
_LEAST_SHARE: Final = 0.15
_COUNTING: Final = 4.0
#: Hours that an arrival may differ without a word.
_LEAST_HOURS: Final = 1.0

EVENTS: Final = "events"
USERS: Final = "users"
ORDERS: Final = "orders"
REVENUE: Final = "revenue"
#: Hours from the end of the day until its file was there.
ARRIVED: Final = "arrived"


def measured(staged: Staged, contract: Contract) -> dict[str, float]:
    """Events, users, orders and revenue (won) of a delivery as it came, readable or not good alike."""
    user, total = pl.col("user_id"), contract.order_total
    # Of hashes: texts may be as long as lines, and all of them different.
    wanted = [user.drop_nulls().hash().n_unique().alias(USERS)]
    if total is not None:
        orders = pl.col("event_type").cast(pl.String) == total.event
        amount = pl.col(total.total).filter(orders).cast(pl.Float64).sum()
        wanted += [orders.sum().alias(ORDERS), amount.alias(REVENUE)]
    (found,) = pl.scan_parquet(list(staged.parts)).select(wanted).collect(engine="streaming").to_dicts()
    return {EVENTS: float(staged.lines), **{name: float(value or 0) for name, value in found.items()}}


def arrival(path: Path, day: date) -> float | None:
    """Hours from the end of the day until the file was last changed; None when it cannot be known."""
    try:
        told = path.stat()
    except OSError:
        return None
    end = datetime.combine(day + timedelta(days=1), time(), ZONE)
    return (max(told.st_mtime, told.st_ctime) - end.timestamp()) / 3600


#: The figures as the run measured them; runs of before that have those of what was loaded.
_USUAL: Final = """
SELECT coalesce(report #> '{findings,measured}', '{}') AS measured, lines, unique_users, purchases, revenue::float8
FROM pipeline_run_log
WHERE is_current AND verdict = 'PASS' AND day < %(day)s
  AND extract(isodow FROM day) = extract(isodow FROM %(day)s::date)
ORDER BY day DESC LIMIT %(days)s
"""


def usual_days(connection: Connection, day: date) -> list[dict[str, float]]:
    """The figures of the same weekday's last passed days before a day, newest first.

    Raises:
        TransientError, DatabaseError: as `database.translated`.
    """
    with translated("reading the usual volume"), connection, connection.cursor() as cursor:
        cursor.execute(_USUAL, {"day": day, "days": USUAL_DAYS})
        return [
            known or {EVENTS: lines, USERS: users, ORDERS: orders, REVENUE: revenue}
            for known, lines, users, orders, revenue in cursor.fetchall()
        ]


def unusual(figures: Mapping[str, float], usual: Sequence[Mapping[str, float]]) -> tuple[VolumeFinding, ...]:
    """The figures outside of their band, in the order given."""
    found = []
    for metric, value in figures.items():
        past = [day[metric] for day in usual if metric in day]
        if len(past) < FEWEST_DAYS:
            continue
        band = _band(metric, value, past, usual)
        if not band.low <= value <= band.high:
            found.append(band)
    return tuple(found)


def _band(metric: str, value: float, past: Sequence[float], usual: Sequence[Mapping[str, float]]) -> VolumeFinding:
    middle = median(past)
    distance = _WIDTH * _NORMAL * median(abs(one - middle) for one in past)
    if metric == ARRIVED:
        # Early is never a trouble.
        return _finding(metric, value, past, low=min(value, *past), high=middle + max(distance, _LEAST_HOURS))
    counted = median(day.get(ORDERS, middle) for day in usual) if metric == REVENUE else middle
    by_counting = _COUNTING / sqrt(counted) if counted > 0 else 1.0
    reach = max(distance, middle * _LEAST_SHARE, middle * by_counting)
    return _finding(metric, value, past, low=max(0.0, middle - reach), high=middle + reach)


def _finding(metric: str, value: float, past: Sequence[float], *, low: float, high: float) -> VolumeFinding:
    return VolumeFinding(metric=metric, value=value, low=low, median=median(past), high=high, days=len(past))
