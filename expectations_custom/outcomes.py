"""Evaluates the rule table over one staged frame: counts per check and rule, and every failing line.

All seven checks come out of one pass. The frame is polars (behind Great Expectations' pandas engine;
`outcomes_spark` is its twin behind the Spark engine); the rules themselves know no engine. Memory hardly
grows with the day: only what a rule needs of other lines (the windows) is held for all lines, as integers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, reduce
from operator import or_
from pathlib import Path
from typing import Any, Final

import narwhals as nw
import polars as pl
import pyarrow as pa
from pyarrow import parquet

from expectations_custom import reasons
from expectations_custom.checks import CHECKS
from expectations_custom.prepared import Prepared
from expectations_custom.rule import RuleTable, Windows
from pipeline.ahead import ahead

#: Lines judged at a time: enough that each rule has some work for its start.
_STRETCH: Final = 1 << 16
#: Failing lines looked at together, about.
_GATHERED: Final = 1 << 15
#: Lines whose windows are taken at a time, about.
_DEALT: Final = 1 << 20
_NO_FAILURES: Final = pl.DataFrame(
    schema={"line_no": pl.Int64, **dict.fromkeys(("check", "rule", "field", "reason"), pl.String)}
)


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


def evaluate(
    frame: pl.DataFrame | pl.LazyFrame, table: RuleTable, *, sample_lines: int, failing: Path | None
) -> Outcomes:
    """Evaluate all rules, holding a stretch of the lines and a few integers of every line at a time.

    Args:
        frame: the staged columns (`rules.columns`), one row a line, by line_no; the timestamp as Datetime("us")
            or as microseconds since 1970.
        table: the rules.
        sample_lines: at most so many sample lines per check.
        failing: Parquet file to write with all failing (line_no, check, rule, field, reason), sorted by line.
    """
    lazy = frame.lazy()
    lines: int = lazy.select(pl.len()).collect().item()
    helpers = [_helpers(lazy, windows, parts=-(-lines // _DEALT)) for windows in table.windows]
    judge = _Judge(table, helpers)
    counts: Counter[str] = Counter()
    firsts: list[pl.DataFrame] = []
    gathered = _Gathered(table)
    with _failing_file(failing) as write:

        def look_closer() -> None:
            broken, failures = gathered.taken()
            write(failures)
            firsts.append(_first_of_each_rule(broken, failures, sample_lines))

        starts = range(0, lines, _STRETCH)
        for found, broken in ahead(judge(lazy.slice(start, _STRETCH).collect()) for start in starts):
            counts.update(found)
            gathered.add(broken)
            if gathered.lines >= _GATHERED:
                look_closer()
        look_closer()
    if counts["lines"] != lines:
        raise RuntimeError(f"{counts['lines']} of {lines} lines were judged")
    return Outcomes(
        lines=lines,
        checks={c.id: Counts(evaluated_rows=counts[f"a:{c.id}"], failed_rows=counts[f"x:{c.id}"]) for c in CHECKS},
        rules={
            (rule.check, rule.id): Counts(evaluated_rows=counts[f"a{i}"], failed_rows=counts[f"x{i}"])
            for i, rule in enumerate(table.rules)
        },
        samples=samples(
            (row for frame in firsts for row in frame.iter_rows(named=True)),
            {(rule.check, rule.id): counts[f"x{i}"] for i, rule in enumerate(table.rules)},
            sample_lines,
        ),
    )


def _helpers(frame: pl.LazyFrame, windows: Windows, *, parts: int) -> pl.DataFrame:
    """line_no and the helper columns of one scope, by line_no; lines that need none are left out where they are many.

    A window needs all lines of its scope's value and no others: the values are dealt out to parts, and only
    one part is held with its texts, which become numbers before anything is compared.
    """
    scope = pl.col(windows.scope)
    marks = scope.cast(pl.String).hash()
    scoped = physical(frame)
    if windows.sparse or windows.shared:
        scoped = scoped.filter(scope.is_not_null())
    if windows.shared:
        found = scoped.select(marks).collect().to_series().sort()
        scoped = scoped.filter(marks.is_in(found.filter(found == found.shift(1)).unique().implode()))
    made = []
    for part in range(max(parts, 1)):
        dealt = scoped if parts <= 1 else scoped.filter(marks % parts == part)
        numbered = dealt.with_columns(scope.cast(pl.Categorical).to_physical())
        made.append(helper_columns(numbered, windows).collect())
    return pl.concat(made).sort("line_no")


class _Judge:
    """Says of the lines of one stretch after another which rules apply and which are broken."""

    def __init__(self, table: RuleTable, helpers: list[pl.DataFrame]) -> None:
        self.table = table
        self.helpers = helpers
        #: Made over the first stretch, whose schema all share.
        self.plan: Prepared | None = None

    def __call__(self, stretch: pl.DataFrame) -> tuple[dict[str, int], pl.DataFrame]:
        """How many lines have each flag, and the failing lines with their helper columns and flags.

        Flags are a{i}, that rule i applies, and x{i}, that it applies and fails; the same for each check (a:id,
        x:id); `failing`, that the line fails at all; and `lines`, which all have.
        """
        frame = self.with_helpers(stretch)
        if self.plan is None:
            self.plan = Prepared(frame.schema, list(_flags(self.table)), then=list(_by_check(self.table)))
        counts: Counter[str] = Counter()
        broken = []
        for lines in _apart(frame):
            flags = self.plan.over(lines)
            counts.update(flags.select(pl.len().alias("lines"), pl.all().sum()).row(0, named=True))
            failing = flags["failing"]
            if failing.any():
                broken.append(lines.filter(failing).hstack(flags.filter(failing)))
        return counts, pl.concat(broken) if broken else pl.DataFrame()

    def with_helpers(self, stretch: pl.DataFrame) -> pl.DataFrame:
        """The stretch as the rules see it, with the helper columns of its lines."""
        frame = physical(stretch.lazy()).collect()
        first, last = stretch["line_no"][0], stretch["line_no"][-1]
        for found in self.helpers:
            places = found["line_no"]
            begin, end = places.search_sorted(first), places.search_sorted(last, side="right")
            mine = found[int(begin) : int(end)]
            frame = frame.hstack(_beside(stretch["line_no"], mine).drop("line_no"))
        return frame


class _Gathered:
    """Failing lines of several stretches: looked at together, because each rule's look costs more than its lines."""

    def __init__(self, table: RuleTable) -> None:
        self.table = table
        self.parts: list[pl.DataFrame] = []
        self.lines = 0
        #: What makes the reasons of a rule; made when it is first broken.
        self.reasons: dict[int, Prepared] = {}

    def add(self, broken: pl.DataFrame) -> None:
        """Keep these failing lines."""
        if broken.height:
            self.parts.append(broken)
            self.lines += broken.height

    def taken(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The failing lines since the last time, and each once per rule it breaks; both in line order."""
        if not self.parts:
            return pl.DataFrame(schema={"line_no": pl.Int64, "event_id": pl.String}), _NO_FAILURES
        lines = pl.concat(self.parts).sort("line_no")
        self.parts, self.lines = [], 0
        found = [self.failures_of(i, lines) for i in range(len(self.table.rules)) if lines[f"x{i}"].any()]
        return lines, pl.concat([_NO_FAILURES, *found]).sort("line_no", maintain_order=True)

    def failures_of(self, number: int, lines: pl.DataFrame) -> pl.DataFrame:
        """Those of the lines that fail one rule; which way they fail it is looked up for them alone."""
        rule = self.table.rules[number]
        if number not in self.reasons:
            reason = reasons.reason(rule.causes, rule.says).alias("reason")
            self.reasons[number] = Prepared(lines.schema, ["line_no", reason], where=f"x{number}")
        return (
            self.reasons[number]
            .over(lines)
            .select(
                "line_no",
                check=pl.lit(rule.check),
                rule=pl.lit(rule.id),
                field=pl.lit(rule.field, dtype=pl.String),
                reason=pl.col("reason"),
            )
        )


def _apart(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The lines without a problem, and those with one, which take a hundred times as long to judge.

    To look for a problem takes as long in a line that has none, unless no line of a frame has one.
    """
    troubled = frame["problems"].is_not_null()
    if troubled.any():
        yield frame.filter(troubled)
        frame = frame.filter(~troubled)
    if frame.height:
        yield frame


def _beside(lines: pl.Series, found: pl.DataFrame) -> pl.DataFrame:
    """One row for each of the lines, nulls where there is none; both are sorted, so no join is needed."""
    if found.height == len(lines):
        return found
    places = lines.search_sorted(found["line_no"])
    rows = pl.Series([None], dtype=pl.UInt32).new_from_index(0, len(lines))
    return found.select(pl.all().gather(rows.scatter(places, pl.Series(range(found.height), dtype=pl.UInt32))))


def _flags(table: RuleTable) -> Iterator[nw.Expr]:
    for i, rule in enumerate(table.rules):
        applies, fails = rule.conditions()
        yield from (applies.alias(f"a{i}"), (applies & fails).alias(f"x{i}"))


def _by_check(table: RuleTable) -> Iterator[pl.Expr]:
    for check in CHECKS:
        numbers = [i for i, rule in enumerate(table.rules) if rule.check == check.id]
        looked_at = pl.repeat(True, pl.len()) if check.all_lines else _any("a", numbers)
        yield looked_at.alias(f"a:{check.id}")
        yield _any("x", numbers).alias(f"x:{check.id}")
    yield _any("x", range(len(table.rules))).alias("failing")


def _any(prefix: str, numbers: Iterable[int]) -> pl.Expr:
    """Whether any of those columns is true; false for a check without rules in this contract."""
    return reduce(or_, [pl.col(f"{prefix}{i}") for i in numbers], pl.repeat(False, pl.len()))


def helper_columns(frame: pl.LazyFrame, windows: Windows) -> pl.LazyFrame:
    """line_no and the helper columns of a frame that holds whole scopes."""
    known = set(frame.collect_schema())
    lazy = windows.over(nw.from_native(frame))
    names = [name for name in lazy.collect_schema() if name not in known]
    found: pl.LazyFrame = lazy.select("line_no", *names).to_native()
    return found


def physical(frame: pl.LazyFrame) -> pl.LazyFrame:
    """The timestamp as the rules see it: microseconds since 1970."""
    return frame.with_columns(pl.col("timestamp").to_physical())


@contextmanager
def _failing_file(path: Path | None) -> Iterator[Callable[[pl.DataFrame], None]]:
    """A function that appends failures to the Parquet file, if one is wanted."""
    if path is None:
        yield lambda _: None
        return
    schema = _arrow(_NO_FAILURES).schema
    with parquet.ParquetWriter(path, schema, compression="zstd", compression_level=1) as writer:

        def append(failures: pl.DataFrame) -> None:
            if failures.height:
                writer.write_table(_arrow(failures))

        yield append


def _arrow(frame: pl.DataFrame) -> pa.Table:
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())


def _first_of_each_rule(stretch: pl.DataFrame, failures: pl.DataFrame, limit: int) -> pl.DataFrame:
    """The first failures of every rule in a stretch, with the event's id."""
    first = failures.filter(pl.int_range(pl.len()).over("check", "rule") < limit)
    ids = stretch.select("line_no", pl.col("event_id").cast(pl.String))
    return first.join(ids, on="line_no", how="left", maintain_order="left")


def samples(
    firsts: Iterable[Mapping[str, Any]], total: Mapping[tuple[str, str], int], limit: int
) -> dict[str, list[dict[str, Any]]]:
    """Per check the first failing lines of every broken rule in turn, worst rules first.

    Args:
        firsts: failures (line_no, event_id, check, rule, field, reason), at least the first `limit` of each rule,
            those of a rule in line order.
        total: (check id, rule id) -> failing lines.
    """
    found: dict[str, list[tuple[int, dict[str, Any]]]] = {check.id: [] for check in CHECKS}
    turns: Counter[tuple[str, str]] = Counter()
    for row in firsts:
        rule = row["check"], row["rule"]
        shown = {"line": row["line_no"], **{name: row[name] for name in ("event_id", "rule", "field", "reason")}}
        found[row["check"]].append((turns[rule], shown))
        turns[rule] += 1

    def worst_first(check: str, line: dict[str, Any]) -> tuple[int, str, int]:
        return -total[check, line["rule"]], line["rule"], line["line"]

    chosen = {}
    for check, lines in found.items():
        first = sorted(lines, key=lambda turn: (turn[0], -total[check, turn[1]["rule"]], turn[1]["line"]))[:limit]
        chosen[check] = sorted((line for _, line in first), key=partial(worst_first, check))
    return chosen
