"""How a day's events are spread over its hours: what the day's page draws against the same weekday's usual."""

from __future__ import annotations

from typing import Final

import polars as pl

from pipeline.records import Staged
from pipeline.zone import ZONE

HOURS: Final = 24


def spread(staged: Staged) -> tuple[int, ...]:
    """Lines per hour of the day (Asia/Seoul), 24 counts; lines whose time is unknown or on another day are left out."""
    local = pl.col("timestamp").dt.convert_time_zone(ZONE.key)
    found = (
        pl.scan_parquet(list(staged.parts))
        .filter(local.dt.date() == staged.day)
        .group_by(local.dt.hour().alias("hour"))
        .len()
        .collect(engine="streaming")
    )
    counts = dict(found.iter_rows())
    return tuple(int(counts.get(hour, 0)) for hour in range(HOURS))
