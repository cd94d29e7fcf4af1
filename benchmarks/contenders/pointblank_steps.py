"""pointblank on polars: one validation step for each rule, interrogated once.

Leaves out: malformed lines, wrong types, repeated keys. Rules that look at other lines need helper columns prepared
by hand. It keeps extracts of failing rows per step, no reasons per line.
"""

from __future__ import annotations

import frames
import pointblank as pb
import polars as pl
import shop

TRUE = pl.lit(True)


def good(condition: pl.Expr) -> pl.Expr:
    """A condition in which null is no failure."""
    return (~condition).fill_null(True)


def with_values(found: pb.Validate, name: str) -> pb.Validate:
    """The steps pointblank has words for."""
    brief = f"value_ranges/{name}"
    if name in shop.ENUMS:
        found = found.col_vals_in_set(columns=name, set=[*shop.ENUMS[name], None], brief=brief)
    if name in shop.PATTERNS:
        found = found.col_vals_regex(columns=name, pattern=shop.PATTERNS[name], na_pass=True, brief=brief)
    if name in shop.LENGTHS:
        fits = pl.col(name).str.len_chars().is_between(*shop.LENGTHS[name]).fill_null(True)
        found = found.col_vals_expr(expr=fits, brief=brief)
    if name in shop.RANGES:
        low, high = shop.RANGES[name]
        found = found.col_vals_between(columns=name, left=low, right=high, na_pass=True, brief=brief)
    return found


def main() -> None:
    """Interrogate, and count the failures per rule."""
    file, day = shop.asked()
    frame, unreadable = frames.read(file)
    frame = frames.with_facts(frame, day)
    emptied = frame.with_columns(frames.emptied(name) for name in ("session_id", "user_id"))
    steps = pb.Validate(emptied)
    for name in shop.REQUIRED:
        steps = steps.col_vals_not_null(columns=name, brief=f"required_fields/{name}")
    for event, names in shop.REQUIRED_BY_TYPE.items():
        for name in names:
            condition = (pl.col("event_type") == event) & frames.missing(name)
            steps = steps.col_vals_expr(expr=good(condition), brief=f"required_fields/{event}.{name}")
    for name in shop.FIELDS:
        steps = with_values(steps, name)
    for name, (applies, fails) in frames.crossed().items():
        steps = steps.col_vals_expr(expr=good(applies & fails), brief=name)
    counts: dict[str, int] = {"required_fields/line": unreadable}
    for step in steps.interrogate().validation_info:
        rule = str(step.brief)
        counts[rule] = counts.get(rule, 0) + (step.n_failed or 0)
    shop.answer(frame.height + unreadable, counts)


if __name__ == "__main__":
    main()
