"""dataframely: a schema class with column constraints and rules, good and bad lines told apart by `filter`.

Leaves out: malformed lines, wrong types, repeated keys, reasons in words. Rules that look at other lines need helper
columns prepared by hand. It does keep the failing lines with the rules they break.
"""

from __future__ import annotations

from typing import Any

import dataframely as dy
import frames
import polars as pl
import shop

COLUMNS = {"string": dy.String, "integer": dy.Int64, "number": dy.Float64}


def column(name: str) -> dy.Column:
    """The constraints dataframely has words for."""
    options: dict[str, Any] = {"nullable": True}
    if name in shop.PATTERNS:
        options["regex"] = shop.PATTERNS[name]
    if name in shop.LENGTHS:
        options["min_length"], options["max_length"] = shop.LENGTHS[name]
    if name in shop.RANGES:
        options["min"], options["max"] = shop.RANGES[name]
    if name in shop.ENUMS:
        options["is_in" if shop.kind(name) != "string" else "check"] = within(name)
    return COLUMNS[shop.kind(name)](**options)


def within(name: str) -> Any:
    """A column check by a list."""
    return lambda values: values.is_in(shop.ENUMS[name])


def rule(condition: pl.Expr) -> Any:
    """A rule by an expression that is true for failing lines."""
    return dy.rule()(lambda _: (~condition).fill_null(True))


def schema(facts: list[str]) -> type[dy.Schema]:
    """All constraints and rules; a rule's attribute name cannot hold our rule's slash and dot.

    Args:
        facts: helper columns, which the rules may only use when they are declared.
    """
    body: dict[str, Any] = {name: column(name) for name in shop.FIELDS}
    body |= {name: dy.Any() for name in facts}
    for name in shop.REQUIRED:
        body[attribute(f"required_fields/{name}")] = rule(frames.missing(name))
    for event, names in shop.REQUIRED_BY_TYPE.items():
        for name in names:
            condition = (pl.col("event_type") == event) & frames.missing(name)
            body[attribute(f"required_fields/{event}.{name}")] = rule(condition)
    for name, (applies, fails) in frames.crossed().items():
        body[attribute(name)] = rule(applies & fails)
    return type("Events", (dy.Schema,), body)


def attribute(name: str) -> str:
    """A rule's name as an attribute."""
    return "R_" + name.replace("/", "__").replace(".", "___")


def rule_name(found: str) -> str:
    """Our rule's name from dataframely's."""
    if found.startswith("R_"):
        return found[2:].replace("___", ".").replace("__", "/")
    return f"value_ranges/{found.split('|', maxsplit=1)[0]}"


def main() -> None:
    """Filter, and count the failures per rule."""
    file, day = shop.asked()
    frame, unreadable = frames.read(file)
    frame = frames.with_facts(frame, day)
    emptied = frame.with_columns(frames.emptied(name) for name in ("session_id", "user_id"))
    facts = [name for name in frame.columns if name not in shop.FIELDS]
    counts: dict[str, int] = {"required_fields/line": unreadable}
    for found, count in schema(facts).filter(emptied).failure.counts().items():
        counts[rule_name(found)] = counts.get(rule_name(found), 0) + count
    shop.answer(frame.height + unreadable, counts)


if __name__ == "__main__":
    main()
