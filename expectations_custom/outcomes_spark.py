"""The rule table on Spark: the same expressions, counts and failing lines as `outcomes`, on the executors.

Rules that look at the same scopes are judged together, over the columns they need and no others, so that a
scope's lines are shuffled once. A line becomes one narrow row a group: bits for the rules that look at it, bits
for those it breaks, and the short codes of its reasons. Good lines then collapse to a few counted rows, failing
ones stay: that small table is kept, and everything else is read from it. The number of Spark jobs does not
depend on the number of lines or rules, and the driver sees counts and samples only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from operator import add, or_
from pathlib import Path
from typing import Any, Final

import narwhals as nw
from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F  # noqa: N812  # its usual name

from expectations_custom import reasons
from expectations_custom.checks import CHECKS
from expectations_custom.outcomes import Counts, Outcomes, conditions, samples
from expectations_custom.rule import Check, Rule, RuleTable, Windows

#: Bits used of a word of flags; the sign is left alone.
_WORD: Final = 62
#: Staged texts never hold it, so a key that begins with it is nobody else's.
_NUL: Final = "\0"
#: Amounts keep their eighteen decimals in sums, as they do in polars.
_EXACT: Final = {"spark.sql.decimalOperations.allowPrecisionLoss": "false"}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Reason:
    """What a code of the small table stands for."""

    check: str
    rule: str
    field: str | None
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Numbered:
    """A rule with its place in the table and the code of its first reason; the others follow it."""

    place: int
    first_code: int
    rule: Rule


@dataclass(frozen=True, kw_only=True, slots=True)
class _Group:
    """Rules that look at the same scopes."""

    rules: tuple[_Numbered, ...]
    windows: tuple[Windows, ...]


def evaluate(frame: DataFrame, table: RuleTable, *, sample_lines: int, failing: Path | None) -> Outcomes:
    """Evaluate all rules on the executors.

    Args:
        frame: the staged columns (`rules.columns`), one row a line; the timestamp as TimestampType.
        table: the rules.
        sample_lines: at most so many sample lines per check.
        failing: folder that the executors fill with `part-*.parquet`: all failing (line_no, check, rule, field,
            reason), in the parts' order sorted by line; not made when no line fails.
    """
    numbered, codes = _numbered(table)
    groups = _groups(numbered, table)
    with _settings(frame):
        timed = frame.withColumn("timestamp", F.unix_micros("timestamp"))
        judged = (_judged(timed, group, words=-(-len(numbered) // _WORD)) for group in groups)
        small = _collapsed(reduce(DataFrame.unionByName, judged)).persist(StorageLevel.MEMORY_AND_DISK)
        try:
            counts = small.agg(*_counts(numbered, groups)).collect()[0].asDict()
            found = _outcomes(counts, numbered)
            if failing is not None and any(counted.failed_rows for counted in found.checks.values()):
                _write(_told(_failures(small), codes), failing)
            firsts = _firsts(small, codes, sample_lines)
            return _with_samples(found, frame, firsts, sample_lines)
        finally:
            small.unpersist()


def _numbered(table: RuleTable) -> tuple[list[_Numbered], list[_Reason]]:
    """The rules with their numbers, and all reasons by code."""
    numbered: list[_Numbered] = []
    codes: list[_Reason] = []
    for place, rule in enumerate(table.rules):
        numbered.append(_Numbered(place=place, first_code=len(codes), rule=rule))
        codes += [
            _Reason(check=rule.check, rule=rule.id, field=rule.field, reason=text)
            for text in reasons.texts(rule.causes, rule.says)
        ]
    return numbered, codes


def _groups(numbered: Sequence[_Numbered], table: RuleTable) -> list[_Group]:
    """Checks whose rules look at the same scopes; a check stays whole, so that its lines can be counted once."""
    by_scopes: dict[tuple[str, ...], list[_Numbered]] = {}
    for check in CHECKS:
        mine = [one for one in numbered if one.rule.check == check.id]
        scopes = tuple(sorted({one.rule.scope for one in mine if one.rule.scope is not None}))
        by_scopes.setdefault(scopes, []).extend(mine)
    # Few lines have a sparse scope; they go first, while the columns are still where they were read.
    windows = sorted(table.windows, key=lambda found: not found.sparse)
    return [
        _Group(rules=tuple(mine), windows=tuple(found for found in windows if found.scope in scopes))
        for scopes, mine in by_scopes.items()
        if mine
    ]


@contextmanager
def _settings(frame: DataFrame) -> Iterator[None]:
    """What the meaning of the rules needs of the session."""
    conf = frame.sparkSession.conf
    before = {name: conf.get(name) for name in _EXACT}
    for name, value in _EXACT.items():
        conf.set(name, value)
    try:
        yield
    finally:
        for name, given in before.items():
            conf.set(name, str(given))


def _judged(frame: DataFrame, group: _Group, *, words: int) -> DataFrame:
    """A row a line: line_no, the words of both kinds of bits, and the codes of its reasons as text."""
    for windows in group.windows:
        frame = _split(frame, windows) if windows.sparse else _spread(frame, windows)
    flags = []
    for one in group.rules:
        applies, breaks = conditions(one.rule)
        why = reasons.which(one.rule.causes)
        flags += [applies.alias(f"a{one.place}"), breaks.alias(f"x{one.place}"), why.alias(f"w{one.place}")]
    flagged: DataFrame = nw.from_native(frame).select("line_no", *flags).to_native()
    said = [F.when(F.col(f"x{r.place}"), F.col(f"w{r.place}") + r.first_code).cast("string") for r in group.rules]
    return flagged.select(
        "line_no",
        *(_word("a", group, word) for word in range(words)),
        *(_word("x", group, word) for word in range(words)),
        F.concat_ws(" ", *said).alias("codes"),
    )


def _word(kind: str, group: _Group, word: int) -> Column:
    """The flags of that kind as bits of one number."""
    mine = (one.place for one in group.rules if one.place // _WORD == word)
    bits = [F.when(F.col(f"{kind}{place}"), F.lit(1 << place % _WORD)).otherwise(0).cast("long") for place in mine]
    return reduce(add, bits, F.lit(0).cast("long")).alias(f"{kind}_{word}")


def _stepped(frame: DataFrame, windows: Windows) -> DataFrame:
    lazy = nw.from_native(frame)
    for step in windows.steps:
        lazy = lazy.with_columns(*step)
    native: DataFrame = lazy.to_native()
    return native


def _spread(frame: DataFrame, windows: Windows) -> DataFrame:
    """With the helper columns; lines without the scope are kept from meeting in one task by a key each."""
    scope = F.col(windows.scope)
    alone = F.concat(F.lit(_NUL), F.col("line_no").cast("string"))
    keyed = frame.withColumn(windows.scope, F.coalesce(scope, alone))
    found = _stepped(keyed, windows)
    return found.withColumn(windows.scope, F.when(~scope.startswith(_NUL), scope))


def _split(frame: DataFrame, windows: Windows) -> DataFrame:
    """The same for a scope that few lines have: only those are shuffled."""
    scope = F.col(windows.scope)
    found = _stepped(frame.filter(scope.isNotNull()), windows)
    return found.unionByName(frame.filter(scope.isNull()), allowMissingColumns=True)


def _collapsed(judged: DataFrame) -> DataFrame:
    """Lines that are alike and good become one row with their number; failing lines keep their own."""
    names = [name for name in judged.columns if name != "line_no"]
    line = F.when(F.col("codes") != "", F.col("line_no")).alias("line")
    return judged.groupBy(line, *names).agg(F.count("*").alias("lines"))


def _has(kind: str, places: Sequence[int]) -> Column:
    """Whether a row of the small table has one of those bits."""
    masks: dict[int, int] = {}
    for place in places:
        masks[place // _WORD] = masks.get(place // _WORD, 0) | 1 << place % _WORD
    found = [F.col(f"{kind}_{word}").bitwiseAND(F.lit(mask).cast("long")) != 0 for word, mask in masks.items()]
    return reduce(or_, found, F.lit(False))


def _counts(numbered: Sequence[_Numbered], groups: Sequence[_Group]) -> Iterator[Column]:
    """Lines in all; looked at and failing for each rule and check."""

    def total(condition: Column, name: str) -> Column:
        return F.coalesce(F.sum(F.when(condition, F.col("lines"))), F.lit(0)).alias(name)

    # Every line is in every group once.
    yield (F.coalesce(F.sum("lines"), F.lit(0)) / len(groups)).cast("long").alias("lines")
    for one in numbered:
        yield total(_has("a", [one.place]), f"n{one.place}")
        yield total(_has("x", [one.place]), f"x{one.place}")
    for check in CHECKS:
        places = [one.place for one in numbered if one.rule.check == check.id]
        yield total(_has("a", places), f"n:{check.id}")
        yield total(_has("x", places), f"x:{check.id}")


def _outcomes(counts: dict[str, int], numbered: Sequence[_Numbered]) -> Outcomes:
    def looked_at(check: Check) -> int:
        return counts["lines"] if check.all_lines else counts[f"n:{check.id}"]

    return Outcomes(
        lines=counts["lines"],
        checks={c.id: Counts(evaluated_rows=looked_at(c), failed_rows=counts[f"x:{c.id}"]) for c in CHECKS},
        rules={
            (one.rule.check, one.rule.id): Counts(
                evaluated_rows=counts[f"n{one.place}"], failed_rows=counts[f"x{one.place}"]
            )
            for one in numbered
        },
        samples={check.id: [] for check in CHECKS},
    )


def _failures(small: DataFrame) -> DataFrame:
    """Every failing line once per rule it breaks: line_no and the reason's code."""
    failing = small.filter(F.col("line").isNotNull())
    codes = F.split("codes", " ").cast("array<int>")
    return failing.select(F.col("line").alias("line_no"), F.explode(codes).alias("code"))


def _told(failures: DataFrame, codes: Sequence[_Reason]) -> DataFrame:
    """The same with what the codes stand for."""

    def text(of: Callable[[_Reason], str | None], name: str) -> Column:
        return F.element_at(F.array(*(F.lit(of(one)).cast("string") for one in codes)), F.col("code") + 1).alias(name)

    return failures.select(
        "line_no",
        "code",
        text(lambda one: one.check, "check"),
        text(lambda one: one.rule, "rule"),
        text(lambda one: one.field, "field"),
        text(lambda one: one.reason, "reason"),
    )


def _write(told: DataFrame, folder: Path) -> None:
    """The parts of the folder, in their order sorted by line; all of a line is in one of them."""
    placed = told.repartitionByRange("line_no").sortWithinPartitions("line_no", "code").drop("code")
    placed.write.mode("overwrite").option("compression", "zstd").parquet(str(folder))


def _firsts(small: DataFrame, codes: Sequence[_Reason], limit: int) -> list[dict[str, Any]]:
    """The first failures of every rule, in line order."""
    if not limit:
        return []
    starts: dict[tuple[str, str], int] = {}
    for code, one in enumerate(codes):
        starts.setdefault((one.check, one.rule), code)
    rule = F.element_at(F.array(*(F.lit(starts[one.check, one.rule]) for one in codes)), F.col("code") + 1)
    in_turn = F.row_number().over(Window.partitionBy("rule").orderBy("line_no"))
    first = _failures(small).withColumn("rule", rule).withColumn("turn", in_turn).filter(F.col("turn") <= limit)
    rows = first.select("line_no", "code").collect()
    return [
        {
            "line_no": row["line_no"],
            "event_id": None,
            "check": codes[row["code"]].check,
            "rule": codes[row["code"]].rule,
            "field": codes[row["code"]].field,
            "reason": codes[row["code"]].reason,
        }
        for row in sorted(rows)
    ]


def _with_samples(found: Outcomes, frame: DataFrame, firsts: list[dict[str, Any]], limit: int) -> Outcomes:
    """The outcomes with their sample lines, whose event ids are looked up for them alone."""
    total = {rule: counted.failed_rows for rule, counted in found.rules.items()}
    chosen = samples(firsts, total, limit)
    lines = sorted({line["line"] for shown in chosen.values() for line in shown})
    if lines:
        rows = frame.filter(F.col("line_no").isin(lines)).select("line_no", "event_id").collect()
        ids = {row["line_no"]: row["event_id"] for row in rows}
        for line in (line for shown in chosen.values() for line in shown):
            line["event_id"] = ids[line["line"]]
    return Outcomes(lines=found.lines, checks=found.checks, rules=found.rules, samples=chosen)
