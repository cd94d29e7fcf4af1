"""Which failing lines are kept out of the tables: the one rule that gate, load and quarantine share."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import polars as pl

#: Rules whose failing lines no severity can load: events are stored under their event_id.
_UNLOADABLE: Final = (
    ("required_fields", "line"),
    ("required_fields", "event_id"),
    ("unique_event_id", "event_id"),
    ("value_ranges", "event_id"),
)


def kept_out(critical: Collection[str]) -> pl.Expr:
    """Whether a row of `failing.parquet` (check, rule, …) sends its line to quarantine.

    Args:
        critical: ids of the checks whose severity is critical. Lines that fail others are loaded and flagged,
            unless they could not be stored at all.
    """
    unloadable = [(pl.col("check") == check) & (pl.col("rule") == rule) for check, rule in _UNLOADABLE]
    return pl.col("check").is_in(sorted(critical)) | pl.any_horizontal(unloadable)
