"""The day as a polars frame, for the contenders that check frames, with the facts no single line knows.

polars fails on a malformed line, so such lines are dropped beforehand when it does; values of a wrong type become
null silently. Timestamps without an offset are not understood.
"""

from __future__ import annotations

import io
import json
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import shop

TYPES = {"string": pl.String(), "integer": pl.Int64(), "number": pl.Float64()}
SCHEMA = {name: TYPES[shop.kind(name)] for name in shop.FIELDS}
PLATFORMS = list(shop.ALLOWED)
ZONE = "Asia/Seoul"


def read(file: Path) -> tuple[pl.DataFrame, int]:
    """The readable lines with their number, and how many were not."""
    try:
        return pl.read_ndjson(file, schema=SCHEMA).with_row_index("line"), 0
    except pl.exceptions.ComputeError:
        pass
    lines = file.read_bytes().splitlines()
    kept = [number for number, line in enumerate(lines) if line[:1] == b"{" and line[-1:] == b"}"]
    frame = pl.read_ndjson(
        io.BytesIO(b"\n".join([lines[number] for number in kept])), schema=SCHEMA, ignore_errors=True
    )
    return frame.with_columns(pl.Series("line", kept, dtype=pl.UInt32)), len(lines) - len(kept)


def emptied(name: str) -> pl.Expr:
    """The column without its empty texts, for libraries that only know null."""
    return pl.when(pl.col(name) != "").then(pl.col(name)).alias(name)


def with_times(lazy: pl.LazyFrame, day: str) -> pl.LazyFrame:
    """The frame with each event's instant, whether it is of the day, and its place in the day."""
    instant = pl.col("timestamp").str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%z", time_zone=ZONE, strict=False)
    on_day = pl.col("instant").dt.date() == date.fromisoformat(day)
    since = pl.col("instant").dt.timestamp("us") - pl.col("instant").dt.truncate("1d").dt.timestamp("us")
    return lazy.with_columns(instant=instant).with_columns(
        on_day=on_day, place=pl.when(on_day).then(since * (1 << 26) + pl.col("line").cast(pl.Int64))
    )


def with_facts(frame: pl.DataFrame, day: str) -> pl.DataFrame:
    """The frame with instants, first copies, what came before in the session, and the sum of each order's items."""
    typed = pl.col("event_type")
    lazy = with_times(frame.lazy(), day).with_columns(
        first_event=pl.col("line").min().over("event_id"),
        first_order=pl.when(typed == shop.ORDER["event"]).then(pl.col("line")).min().over("order_id"),
        items=items(),
    )
    known = pl.when(pl.col("platform").is_in(PLATFORMS)).then(pl.col("place"))
    lazy = lazy.with_columns(
        *(
            pl.when(typed.is_in(after))
            .then(pl.col("place").fill_null(-1))
            .min()
            .over("session_id")
            .alias(f"before_{event}")
            for event, after in shop.STEPS
        ),
        began=known.min().over("session_id"),
    )
    first = pl.when(pl.col("place") == pl.col("began")).then(pl.col("platform"))
    return lazy.with_columns(began_with=first.max().over("session_id")).collect()


def items() -> pl.Expr:
    """Σ price · quantity − discount + shipping of an order; null where it has none or it is unreadable."""
    details = pl.when(pl.col("event_type") == shop.ORDER["event"]).then(pl.col("extra_data"))
    return details.map_batches(lambda texts: pl.Series(map(total, texts), dtype=pl.Float64), return_dtype=pl.Float64)


def total(text: str | None) -> float | None:
    """The sum that one order's details come to."""
    if not text:
        return None
    try:
        details = json.loads(text)
        price = sum(item["unit_price"] * item["quantity"] for item in details["products"])
        return float(price - (details.get("discount_amount") or 0) + (details.get("shipping_fee") or 0))
    except (ValueError, KeyError, TypeError):
        return None


def missing(name: str) -> pl.Expr:
    """Absent, null or empty."""
    absent = pl.col(name).is_null()
    return absent | (pl.col(name) == "") if shop.kind(name) == "string" else absent


def crossed() -> dict[str, tuple[pl.Expr, pl.Expr]]:
    """Rules no column check can express: rule -> (lines it looks at, condition of a failing one)."""
    typed, line = pl.col("event_type"), pl.col("line")
    is_order = typed == shop.ORDER["event"]
    low, high = (
        datetime.fromisoformat(shop.TIMESTAMP[name]).replace(tzinfo=ZoneInfo(ZONE))
        for name in ("formatMinimum", "formatExclusiveMaximum")
    )
    found = {
        "unique_event_id/event_id": (pl.col("event_id") != "", line > pl.col("first_event")),
        "unique_event_id/order_id": (is_order & (pl.col("order_id") != ""), line > pl.col("first_order")),
        "timestamp_validity/instant": (pl.col("timestamp") != "", pl.col("instant").is_null()),
        "timestamp_validity/range": (
            pl.col("instant").is_not_null(),
            (pl.col("instant") < low) | (pl.col("instant") >= high),
        ),
        "timestamp_validity/day": (pl.col("instant").is_not_null(), ~pl.col("on_day")),
        "order_total/extra_data": (is_order & (pl.col("extra_data") != ""), pl.col("items").is_null()),
        "order_total/total_amount": (
            is_order & pl.col("items").is_not_null() & pl.col("total_amount").is_between(*shop.RANGES["total_amount"]),
            (pl.col("total_amount") - pl.col("items")).abs() > shop.ORDER["tolerance"],
        ),
        "platform_device/session": (
            pl.col("platform").is_in(PLATFORMS) & (pl.col("session_id") != ""),
            pl.col("platform") != pl.col("began_with"),
        ),
    }
    for event, _ in shop.STEPS:
        applies = (typed == event) & (pl.col("session_id") != "") & pl.col("place").is_not_null()
        found[f"funnel_order/{event}"] = (applies, (pl.col(f"before_{event}") >= pl.col("place")).fill_null(True))
    for name in ("device_type", "os"):
        wrong = [
            (pl.col("platform") == platform) & ~pl.col(name).is_in(allowed[name])
            for platform, allowed in shop.ALLOWED.items()
        ]
        found[f"platform_device/{name}"] = (pl.col(name).is_in(shop.ENUMS[name]), pl.any_horizontal(wrong))
    return found
