"""pandera on polars: a schema of column checks, the rest as frame-wide checks, validated lazily.

Leaves out: malformed lines, wrong types, repeated keys, and a place for "required for this event type" or for
anything that looks at other lines: those are custom checks over helper columns prepared by hand. It hands back
failing values, not lines with all their reasons.
"""

from __future__ import annotations

import frames
import pandera.polars as pa
import polars as pl
import shop
from pandera.api.polars.types import PolarsData


def good(condition: pl.Expr) -> pl.Expr:
    """A condition in which null is no failure."""
    return (~condition).fill_null(True)


def check(rule: str, condition: pl.Expr) -> pa.Check:
    """A frame-wide check by an expression that is true for failing lines."""

    def holds(data: PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(good(condition))

    return pa.Check(holds, name=rule)


def column(name: str) -> pa.Column:
    """The checks pandera has words for."""
    checks = []
    if name in shop.ENUMS:
        checks.append(pa.Check.isin(shop.ENUMS[name]))
    if name in shop.PATTERNS and name in shop.LENGTHS:
        pattern, longest = shop.PATTERNS[name], shop.LENGTHS[name][1]
        checks.append(pa.Check.str_matches(f"^(?:{pattern})$"))
        checks.append(pa.Check.str_length(max_value=longest))
    elif name in shop.PATTERNS:
        checks.append(pa.Check.str_matches(shop.PATTERNS[name]))
    elif name in shop.LENGTHS:
        low, high = shop.LENGTHS[name]
        checks.append(pa.Check.str_length(low, high))
    if name in shop.RANGES:
        checks.append(pa.Check.in_range(*shop.RANGES[name]))
    return pa.Column(frames.SCHEMA[name], checks=checks, nullable=name not in shop.REQUIRED)


def schema() -> pa.DataFrameSchema:
    """All checks."""
    typed = pl.col("event_type")
    wide = [check(f"required_fields/{name}", pl.col(name) == "") for name in shop.REQUIRED]
    for event, names in shop.REQUIRED_BY_TYPE.items():
        for name in names:
            absent = pl.col(name).is_null()
            if shop.kind(name) == "string":
                absent |= pl.col(name) == ""
            wide.append(check(f"required_fields/{event}.{name}", (typed == event) & absent))
    wide += [check(rule, applies & fails) for rule, (applies, fails) in frames.crossed().items()]
    return pa.DataFrameSchema({name: column(name) for name in shop.FIELDS}, checks=wide)


def main() -> None:
    """Validate lazily and count the failure cases per check."""
    file, day = shop.asked()
    frame, unreadable = frames.read(file)
    frame = frames.with_facts(frame, day)
    emptied = frame.with_columns(frames.emptied(name) for name in ("session_id", "user_id"))
    counts: dict[str, int] = {}
    try:
        schema().validate(emptied, lazy=True)
    except pa.errors.SchemaErrors as error:
        found = error.failure_cases.group_by("check", "column").len()
        for rule, name, count in found.iter_rows():
            key = rule if "/" in rule else f"value_ranges/{name}"
            key = f"required_fields/{name}" if rule == "not_nullable" else key
            counts[key] = counts.get(key, 0) + count
    shop.answer(frame.height + unreadable, {"required_fields/line": unreadable, **counts})


if __name__ == "__main__":
    main()
