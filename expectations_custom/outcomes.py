"""Evaluates the rule table over one staged frame: counts per check and rule, and every failing line.

All seven checks come out of one pass. The frame is polars (behind Great Expectations' pandas engine);
the rules themselves know no engine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl

from expectations_custom.rules import CHECKS, Rule, RuleTable


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """Lines looked at and lines failing."""

    evaluated_rows: int
    failed_rows: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcomes:
    """What one evaluation found; a metric value, so plain data only."""

    #: Rows of the frame.
    lines: int
    #: check id -> counts, each line once.
    checks: dict[str, Counts]
    #: (check id, rule id) -> counts.
    rules: dict[tuple[str, str], Counts]
    #: check id -> sample lines (line, event_id, rule, field, reason), worst rules first.
    samples: dict[str, list[dict[str, Any]]]


def evaluate(frame: pl.DataFrame, table: RuleTable, *, sample_lines: int, failing: Path | None) -> Outcomes:
    """Evaluate all rules.

    Args:
        frame: the staged columns (`rules.columns`), one row a line; the timestamp as Datetime("us") or as
            microseconds since 1970.
        table: the rules.
        sample_lines: at most so many sample lines per check.
        failing: Parquet file to write with all failing (line_no, check, rule, field, reason), sorted by line.
    """
    judged = _judge(frame, table)
    counts = judged.select(*_count_columns(table)).row(0, named=True)
    failures = _failures(judged, table)
    if failing is not None:
        failures.write_parquet(failing, compression="zstd", compression_level=1)
    return Outcomes(
        lines=frame.height,
        checks={c.id: Counts(evaluated_rows=counts[f"n:{c.id}"], failed_rows=counts[f"x:{c.id}"]) for c in CHECKS},
        rules={
            (rule.check, rule.id): Counts(evaluated_rows=counts[f"n{i}"], failed_rows=counts[f"x{i}"])
            for i, rule in enumerate(table.rules)
        },
        samples={c.id: list(_samples(frame, failures, c.id, sample_lines)) for c in CHECKS},
    )


def _judge(frame: pl.DataFrame, table: RuleTable) -> pl.DataFrame:
    """line_no and two booleans per rule: a{i} it applies, x{i} it applies and fails."""
    lazy = nw.from_native(frame.lazy().with_columns(pl.col("timestamp").to_physical()))
    for step in table.helper_steps:
        lazy = lazy.with_columns(*step)
    flags = []
    for i, rule in enumerate(table.rules):
        applies = rule.applies.fill_null(False)
        flags += [applies.alias(f"a{i}"), (applies & rule.fails.fill_null(False)).alias(f"x{i}")]
    judged: pl.DataFrame = lazy.select("line_no", *flags).collect("polars").to_native()
    return judged


def _count_columns(table: RuleTable) -> Iterator[pl.Expr]:
    for i in range(len(table.rules)):
        yield pl.col(f"a{i}").sum().alias(f"n{i}")
        yield pl.col(f"x{i}").sum()
    for check in CHECKS:
        numbers = [i for i, rule in enumerate(table.rules) if rule.check == check.id]
        looked_at = pl.len() if check.all_lines else _any("a", numbers).sum()
        yield looked_at.alias(f"n:{check.id}")
        yield _any("x", numbers).sum().alias(f"x:{check.id}")


def _any(prefix: str, numbers: list[int]) -> pl.Expr:
    """Whether any of those columns is true; false for a check without rules in this contract."""
    return reduce(or_, [pl.col(f"{prefix}{i}") for i in numbers], pl.repeat(False, pl.len()))


def _failures(judged: pl.DataFrame, table: RuleTable) -> pl.DataFrame:
    """Every failing line once per rule it breaks, in line order."""
    parts = [_failures_of(judged, i, rule) for i, rule in enumerate(table.rules)]
    return pl.concat(parts).sort("line_no", maintain_order=True)


def _failures_of(judged: pl.DataFrame, number: int, rule: Rule) -> pl.DataFrame:
    return judged.filter(pl.col(f"x{number}")).select(
        "line_no",
        check=pl.lit(rule.check),
        rule=pl.lit(rule.id),
        field=pl.lit(rule.field, dtype=pl.String),
        reason=pl.lit(rule.says),
    )


def _samples(frame: pl.DataFrame, failures: pl.DataFrame, check: str, limit: int) -> Iterator[dict[str, Any]]:
    """The first failing lines of every broken rule in turn, worst rules first."""
    mine = failures.filter(pl.col("check") == check)
    if mine.is_empty() or limit == 0:
        return
    ranked = mine.with_columns(count=pl.len().over("rule"), turn=pl.int_range(pl.len()).over("rule"))
    chosen = ranked.sort("turn", "count", "line_no", descending=[False, True, False]).head(limit)
    shown = chosen.join(frame.select("line_no", pl.col("event_id").cast(pl.String)), on="line_no", how="left")
    for row in shown.sort("count", "rule", "line_no", descending=[True, False, False]).iter_rows(named=True):
        yield {
            "line": row["line_no"],
            "event_id": row["event_id"],
            "rule": row["rule"],
            "field": row["field"],
            "reason": row["reason"],
        }
