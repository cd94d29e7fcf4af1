"""Judges a single line by every rule that looks at it, for a person who wants to know why.

The line's session and its duplicates are part of the judgement, so all lines of its scopes are looked
at, and no others: the answer is that of the whole file at a fraction of the work.
"""

from __future__ import annotations

from dataclasses import dataclass

import narwhals as nw
import polars as pl

from expectations_custom import reasons
from expectations_custom.outcomes import helper_columns, physical
from expectations_custom.rule import RuleTable, Windows


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """What one rule says of the line."""

    check: str
    rule: str
    field: str | None
    #: JSON pointer into the contract.
    source: str
    #: Why the line fails; None when it does not.
    reason: str | None


def judge_line(frame: pl.LazyFrame, table: RuleTable, line_no: int) -> tuple[Judgement, ...]:
    """What every rule that applies to the line says of it, in table order; nothing when there is no such line.

    Args:
        frame: the staged columns (`rules.columns`), one row a line.
        table: the rules.
        line_no: the line's number.
    """
    is_line = pl.col("line_no") == line_no
    line = physical(frame.filter(is_line)).collect()
    if line.is_empty():
        return ()
    judged = line.lazy()
    for windows in table.windows:
        judged = judged.join(_helpers(frame, windows, line).filter(is_line), on="line_no", how="left")
    columns = []
    for i, rule in enumerate(table.rules):
        applies, fails = rule.conditions()
        columns += [
            applies.alias(f"applies{i}"),
            nw.when(applies & fails).then(reasons.reason(rule.causes, rule.says)).alias(f"reason{i}"),
        ]
    answers: pl.DataFrame = nw.from_native(judged).select(*columns).collect("polars").to_native()
    said = answers.row(0, named=True)
    return tuple(
        Judgement(check=rule.check, rule=rule.id, field=rule.field, source=rule.source, reason=said[f"reason{i}"])
        for i, rule in enumerate(table.rules)
        if said[f"applies{i}"]
    )


def _helpers(frame: pl.LazyFrame, windows: Windows, line: pl.DataFrame) -> pl.LazyFrame:
    """line_no and the helper columns of the lines that share the line's scope; none when it has no scope."""
    value = line[windows.scope].cast(pl.String).item()
    mates = physical(frame.filter(pl.col(windows.scope).cast(pl.String) == pl.lit(value, dtype=pl.String)))
    return helper_columns(mates, windows)
