"""What changed: since when a failing check is bad, how it usually is, what its failing lines have in common.

The history comes from the quality log, the common values from the staged Parquet parts and `failing.parquet`, a
part at a time, whatever engine wrote them. Values of events are hostile: only those that the contract lists or
whose shape it fixes are named, all others together as `OUTSIDE`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from datetime import date
from functools import partial
from itertools import takewhile
from math import sqrt
from pathlib import Path
from statistics import median
from typing import Final

import polars as pl

from pipeline.contract import Contract, Field
from pipeline.database import Connection, translated
from pipeline.failing import scan
from pipeline.records import OUTSIDE, Change, CheckReport, CheckResult, Commonality, Staged, Verdict
from pipeline.zone import ZONE

HOUR: Final = "hour"
#: Fields without a list of values that are told all the same: codes of things, never of people, visits or orders.
_CODES: Final = ("product_id", "category_id")
_INSTANT: Final = "timestamp"
_KIND: Final = "event_type"

#: Passed days that "usual" is the median of, and how far back a row of bad days is followed.
USUAL_DAYS: Final = 28
LOOK_BACK_DAYS: Final = 366

#: A value is told when at least so many failing lines have it, and so much of those that have the field…
_FEWEST_LINES: Final = 5
_LEAST_SHARE: Final = 0.10
#: …when at least so much of the failing lines have the field at all, and it exceeds its share of all lines so far…
_LEAST_COVER: Final = 0.50
_LEAST_EXCESS: Final = 0.05
#: …and by so many standard deviations: a handful of lines shows a pattern by chance.
_SIGMAS: Final = 3.0


def find(
    connection: Connection | None, staged: Staged, report: CheckReport, *, contract: Contract, day: date
) -> tuple[Change, ...]:
    """What changed for each check that failed, in the order of the report.

    Args:
        connection: an idle connection to the ledger; without one there is no history.
        staged: the delivery; its parts must still be there.
        report: what the gate said of it.
        contract: names the dimensions and their values.
        day: the day in question; only days before it are history.

    Raises:
        TransientError, DatabaseError: as `database.translated`.
        polars.exceptions.PolarsError, OSError: the parts cannot be read.
    """
    failed = [check for check in report.checks if check.verdict is Verdict.FAIL and check.failed_rows]
    if not failed:
        return ()
    names = [check.id for check in failed]
    past = {} if connection is None else _history(connection, names, day)
    common = commonalities(staged, report.failing, {check.id: check.evaluated_rows for check in failed}, contract)
    return tuple(_change(check, past.get(check.id, ()), day, common[check.id]) for check in failed)


# -- since when ----------------------------------------------------------------------------------

#: One run a day, the published one or else the newest that judged; the newest day first.
_HISTORY: Final = """
SELECT DISTINCT ON (q.check_id, q.day) q.check_id, q.day, q.verdict, q.pass_rate, run.verdict = 'PASS'
FROM quality_check_log AS q JOIN pipeline_run_log AS run USING (run_id)
WHERE q.check_id = ANY(%(checks)s) AND q.day < %(day)s AND q.day >= %(day)s - %(days)s AND q.verdict <> 'INCONCLUSIVE'
ORDER BY q.check_id, q.day DESC, run.is_current DESC, run.fence DESC
"""
#: A past day of a check: the day, whether the check passed, its pass rate, whether the day passed.
_Past = tuple[date, bool, float | None, bool]


def _history(connection: Connection, checks: Sequence[str], day: date) -> dict[str, list[_Past]]:
    found: dict[str, list[_Past]] = defaultdict(list)
    with translated("reading the quality log"), connection, connection.cursor() as cursor:
        cursor.execute(_HISTORY, {"checks": list(checks), "day": day, "days": LOOK_BACK_DAYS})
        for check, past, verdict, rate, day_passed in cursor.fetchall():
            found[check].append((past, verdict == Verdict.PASS, rate, day_passed))
    return found


def _change(check: CheckResult, past: Sequence[_Past], day: date, common: tuple[Commonality, ...]) -> Change:
    bad = [at for at, *_ in takewhile(lambda one: not one[1], past)]
    good = past[len(bad)][0] if len(bad) < len(past) else None
    usual = [rate for _, _, rate, day_passed in past if day_passed and rate is not None][:USUAL_DAYS]
    return Change(
        check_id=check.id,
        first_bad_day=bad[-1] if bad else day,
        last_good_day=good,
        usual_pass_rate=median(usual) if usual else None,
        pass_rate=check.pass_rate,
        commonalities=common,
    )


# -- what they have in common --------------------------------------------------------------------


def commonalities(
    staged: Staged, failing: Path, evaluated: Mapping[str, int], contract: Contract
) -> dict[str, tuple[Commonality, ...]]:
    """For each check the values that stand out among its failing lines, one a dimension, the most telling first.

    Args:
        staged: the delivery as staged.
        failing: the failing (line_no, check, …) as a gate leaves them.
        evaluated: check id -> lines the check looks at.
        contract: names the dimensions and their values.
    """
    dimensions = _dimensions(contract)
    everywhere, among = _counted(staged, failing, list(evaluated), dimensions)
    # That orders are orders is no news to a check that looks at nothing else.
    return {
        check: _telling(everywhere, among[check], leave_out=() if lines == staged.lines else (_KIND,))
        for check, lines in evaluated.items()
    }


@dataclass(kw_only=True, slots=True)
class _Counted:
    """Lines, and for each dimension its values with the lines that have them."""

    lines: int = 0
    values: dict[str, Counter[str]] = dataclass_field(default_factory=lambda: defaultdict(Counter))

    def add(self, frame: pl.DataFrame, dimensions: Mapping[str, pl.Expr]) -> None:
        """Count a piece of the delivery."""
        self.lines += frame.height
        for name, named in dimensions.items():
            # Grouped as they are and named afterwards: there are few values and many lines.
            found = frame.group_by(name).len().drop_nulls().select(named, "len")
            for value, lines in found.iter_rows():
                self.values[name][value] += lines


def _dimensions(contract: Contract) -> dict[str, pl.Expr]:
    """Name -> its values as texts that may be shown."""
    told = {field.name: _named(field) for field in contract.fields if field.enum}
    told |= {field.name: _named(field) for field in contract.fields if field.name in _CODES and field.pattern}
    return {**told, HOUR: pl.col(HOUR).cast(pl.String)}


def _named(field: Field) -> pl.Expr:
    text = pl.col(field.name).cast(pl.String)
    known = text.is_in(field.enum) if field.enum else text.str.contains(field.engine_pattern or "")
    return pl.when(known).then(text).otherwise(pl.lit(OUTSIDE)).alias(field.name)


def _counted(
    staged: Staged, failing: Path, checks: Sequence[str], dimensions: Mapping[str, pl.Expr]
) -> tuple[_Counted, dict[str, _Counted]]:
    """All lines, and those that fail each check."""
    everywhere, among = _Counted(), {check: _Counted() for check in checks}
    for part in staged.parts:
        frame = _part(part, dimensions)
        if not frame.height:
            continue
        everywhere.add(frame, dimensions)
        first, last = frame.select(pl.col("line_no").min(), pl.col("line_no").max().alias("last")).row(0)
        here = _failing_lines(failing, checks, pl.col("line_no").is_between(first, last))
        for (check,), lines in here.partition_by("check", as_dict=True).items():
            among[str(check)].add(lines.join(frame, on="line_no"), dimensions)
    return everywhere, among


def _failing_lines(failing: Path, checks: Sequence[str], within: pl.Expr) -> pl.DataFrame:
    """Each (line_no, check) once; of a part only, because every line of a day may fail every check."""
    check = pl.col("check").cast(pl.String)
    found = scan(failing).select("line_no", check).filter(within & pl.col("check").is_in(checks))
    return found.unique().collect()


def _part(path: Path, dimensions: Mapping[str, pl.Expr]) -> pl.DataFrame:
    fields = [name for name in dimensions if name != HOUR]
    frame = pl.read_parquet(path, columns=["line_no", _INSTANT, *fields])
    hour = pl.col(_INSTANT).dt.convert_time_zone(ZONE.key).dt.hour()
    return frame.select("line_no", *fields, hour.alias(HOUR))


def _telling(everywhere: _Counted, among: _Counted, *, leave_out: Sequence[str]) -> tuple[Commonality, ...]:
    found = []
    for name, values in among.values.items():
        having, having_everywhere = values.total(), everywhere.values[name].total()
        if name in leave_out or having < _LEAST_COVER * among.lines:
            continue
        shown = [
            Commonality(
                dimension=name,
                value=value,
                failing_share=lines / having,
                overall_share=everywhere.values[name][value] / having_everywhere,
                failing_lines=lines,
            )
            for value, lines in values.items()
        ]
        found += sorted(filter(partial(_stands_out, of=having), shown), key=_rank)[:1]
    return tuple(sorted(found, key=_rank))


def _rank(one: Commonality) -> tuple[bool, float, str, str]:
    """The largest excess first; that a value is a wrong one the check has said itself."""
    return one.value == OUTSIDE, one.overall_share - one.failing_share, one.dimension, one.value


def _stands_out(one: Commonality, *, of: int) -> bool:
    excess = one.failing_share - one.overall_share
    enough = one.failing_lines >= _FEWEST_LINES and one.failing_share >= _LEAST_SHARE and excess >= _LEAST_EXCESS
    return enough and _lower_bound(one.failing_lines, of) > one.overall_share


def _lower_bound(lines: int, of: int) -> float:
    """Wilson's bound: a share that is not below this by chance."""
    share, z2 = lines / of, _SIGMAS**2
    middle = share + z2 / (2 * of)
    reach = _SIGMAS * sqrt(share * (1 - share) / of + z2 / (4 * of * of))
    return (middle - reach) / (1 + z2 / of)
