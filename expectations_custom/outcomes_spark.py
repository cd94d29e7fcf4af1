"""The rule table on Spark: the same expressions, counts and failing lines as `outcomes`, on the executors.

Rules that look at the same scopes are judged together, over the columns they need and no others, so that a
scope's lines are shuffled once. A line becomes one narrow row a group: bits for the rules that look at it, bits
for those it breaks, and the short codes of its reasons. Good lines then collapse to a few counted rows, failing
ones stay: that small table is kept, and everything else is read from it. The number of Spark jobs does not
depend on the number of lines or rules, and the driver sees counts and samples only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import reduce
from pathlib import Path
from typing import Any, Final

import narwhals as nw
from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F  # noqa: N812  # its usual name

from expectations_custom import reasons
from expectations_custom.checks import CHECKS
from expectations_custom.outcomes import Counts, Outcomes, samples
from expectations_custom.rule import Rule, RuleTable, Windows

#: Bits used of a word of flags; the sign is left alone.
_WORD: Final = 62
#: Staged texts never hold it, so a key that begins with it is nobody else's.
_NUL: Final = "\0"
#: Bits that say a rule looks at a line, and bits that say the line breaks it.
_KINDS: Final = ("a", "x")
_TOLD: Final = ("check", "rule", "field", "reason")
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
    #: Bit -> places of the rules any of which sets it: a rule has one of its own, and so has a check.
    bits: dict[int, tuple[int, ...]]


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
        small = _collapsed(judged(frame, groups)).persist(StorageLevel.MEMORY_AND_DISK)
        try:
            found = _outcomes(_counted(small, _words(groups)), numbered, groups=len(groups))
            if failing is not None and any(counts.failed_rows for counts in found.checks.values()):
                _write(_told(_failures(small), codes), failing)
            return _with_samples(found, frame, _firsts(small, codes, sample_lines), sample_lines)
        finally:
            small.unpersist()


def judged(frame: DataFrame, groups: Sequence[_Group]) -> DataFrame:
    """Every line once for each group, before anything is put together."""
    timed = frame.withColumn("timestamp", F.unix_micros("timestamp"))
    return reduce(DataFrame.unionByName, (_judged(timed, group, words=_words(groups)) for group in groups))


def groups_of(table: RuleTable) -> list[_Group]:
    """The rules of a table by what they must know of other lines."""
    return _groups(_numbered(table)[0], table)


def _words(groups: Sequence[_Group]) -> int:
    return 1 + max(bit for group in groups for bit in group.bits) // _WORD


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
        _Group(
            rules=tuple(mine),
            windows=tuple(found for found in windows if found.scope in scopes),
            bits=_bits(mine, first_of_checks=len(numbered)),
        )
        for scopes, mine in by_scopes.items()
        if mine
    ]


def _bits(rules: Sequence[_Numbered], *, first_of_checks: int) -> dict[int, tuple[int, ...]]:
    bits: dict[int, tuple[int, ...]] = {one.place: (one.place,) for one in rules}
    for number, check in enumerate(CHECKS, start=first_of_checks):
        if places := tuple(one.place for one in rules if one.rule.check == check.id):
            bits[number] = places
    return bits


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
        # One name for each condition: what stands in several places is sent to the JVM, and planned, once.
        applies, fails = one.rule.conditions()
        why = reasons.which(one.rule.causes)
        flags += [applies.alias(f"a{one.place}"), fails.alias(f"f{one.place}"), why.alias(f"w{one.place}")]
    flagged: DataFrame = nw.from_native(frame).select("line_no", *flags).to_native()
    breaks = [F.expr(f"a{one.place} AND f{one.place}").alias(f"x{one.place}") for one in group.rules]
    said = (f"IF(x{r.place}, CAST(w{r.place} + {r.first_code} AS STRING), NULL)" for r in group.rules)
    return flagged.select("*", *breaks).select(
        "line_no",
        *(_word(kind, group, word) for kind in _KINDS for word in range(words)),
        F.expr(f"CONCAT_WS(' ', {', '.join(said)})").alias("codes"),
    )


def _word(kind: str, group: _Group, word: int) -> Column:
    """The flags of that kind as bits of one number; those of a check stand where all its rules have theirs."""
    bits = [
        f"IF({' OR '.join(f'{kind}{place}' for place in places)}, {1 << bit % _WORD}L, 0L)"
        for bit, places in group.bits.items()
        if bit // _WORD == word
    ]
    return F.expr(" + ".join(["0L", *bits])).alias(f"{kind}_{word}")


def _stepped(frame: DataFrame, windows: Windows) -> DataFrame:
    native: DataFrame = windows.over(nw.from_native(frame)).to_native()
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


def _counted(small: DataFrame, words: int) -> dict[str, int]:
    """Lines by kind and number of a bit (`a0`, `x12`); under the empty name, the lines of all groups together."""
    names = [f"{kind}_{word}" for kind in _KINDS for word in range(words)]
    alike = small.groupBy(*names).agg(F.sum("lines").alias("lines"))
    set_bits = ", ".join(
        f"IF((SHIFTRIGHT({kind}_{bit // _WORD}, {bit % _WORD}) & 1L) = 1L, '{kind}{bit}', NULL)"
        for kind in _KINDS
        for bit in range(words * _WORD)
    )
    told = alike.select("lines", F.expr(f"EXPLODE(ARRAY_COMPACT(ARRAY('', {set_bits})))").alias("bit"))
    return {row["bit"]: row["lines"] for row in told.groupBy("bit").agg(F.sum("lines").alias("lines")).collect()}


def _outcomes(counted: dict[str, int], numbered: Sequence[_Numbered], *, groups: int) -> Outcomes:
    # Every line is in every group once.
    lines = counted.get("", 0) // groups

    def counts(bit: int, *, of_all: bool = False) -> Counts:
        looked_at = lines if of_all else counted.get(f"a{bit}", 0)
        return Counts(evaluated_rows=looked_at, failed_rows=counted.get(f"x{bit}", 0))

    checks = enumerate(CHECKS, start=len(numbered))
    return Outcomes(
        lines=lines,
        checks={check.id: counts(bit, of_all=check.all_lines) for bit, check in checks},
        rules={(one.rule.check, one.rule.id): counts(one.place) for one in numbered},
        samples={check.id: [] for check in CHECKS},
    )


def _failures(small: DataFrame) -> DataFrame:
    """Every failing line once per rule it breaks: line_no and the reason's code."""
    failing = small.filter(F.col("line").isNotNull())
    codes = F.split("codes", " ").cast("array<int>")
    return failing.select(F.col("line").alias("line_no"), F.explode(codes).alias("code"))


def _told(failures: DataFrame, codes: Sequence[_Reason]) -> DataFrame:
    """The same with what the codes stand for."""
    meaning = _literal(
        [asdict(one) for one in codes], f"ARRAY<STRUCT<{', '.join(f'{name} STRING' for name in _TOLD)}>>"
    )
    told = failures.withColumn("told", F.element_at(meaning, F.col("code") + 1))
    return told.select("line_no", "code", *(F.col("told")[name].alias(name) for name in _TOLD))


def _literal(value: object, kind: str) -> Column:
    """A constant of many parts as one expression; Spark works it out once, before the first row."""
    return F.from_json(F.lit(json.dumps(value, ensure_ascii=False)), kind)


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
    rule = F.element_at(_literal([starts[one.check, one.rule] for one in codes], "ARRAY<INT>"), F.col("code") + 1)
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
