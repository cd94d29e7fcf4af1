"""Timestamps. Owns unreadable instants, years outside the contract and wrong days.

The staged timestamp stands as microseconds since 1970 (UTC) here, see `rule.epoch_us`.
"""

from __future__ import annotations

from typing import Final

import narwhals as nw

from expectations_custom.reasons import Cause, problem
from expectations_custom.rule import DAY_US, Check, Helpers, Rule, any_of, epoch_us
from pipeline.contract import Contract, Field

ID: Final = "timestamp_validity"


def _rules(contract: Contract, _helpers: Helpers) -> list[Rule]:
    field = contract.field("timestamp")
    return [_instant(field), *_range(field), _day(field)]


def _instant(field: Field) -> Rule:
    unreadable = problem(f"|{field.name}:unreadable|")
    return Rule(
        id="instant",
        check=ID,
        field=field.name,
        says="the timestamp is not a real RFC 3339 instant",
        source=f"{field.pointer}/format",
        applies=_readable(field) | unreadable,
        fails=unreadable,
    )


def _range(field: Field) -> list[Rule]:
    """The contract's first and last instant; no rule where it names neither."""
    outside = []
    if field.not_before is not None:
        early = nw.col(field.name) < epoch_us(field.not_before)
        outside.append(
            Cause(when=early, says=f"the timestamp is before {field.not_before.date()}, the contract's first day")
        )
    if field.before is not None:
        late = nw.col(field.name) >= epoch_us(field.before)
        outside.append(
            Cause(when=late, says=f"the timestamp is not before {field.before.date()}, where the contract ends")
        )
    if not outside:
        return []
    return [
        Rule(
            id="range",
            check=ID,
            field=field.name,
            says="the timestamp is outside the contract's years",
            source=f"{field.pointer}/formatMinimum",
            applies=_readable(field),
            fails=any_of([bound.when for bound in outside]),
            causes=tuple(outside),
        )
    ]


def _day(field: Field) -> Rule:
    before, after = nw.col("day_us") < 0, nw.col("day_us") >= DAY_US
    return Rule(
        id="day",
        check=ID,
        field=field.name,
        says="the timestamp is not on the day being checked (Asia/Seoul)",
        source=field.pointer,
        applies=_readable(field),
        fails=before | after,
        causes=(
            Cause(when=before, says="the timestamp is before the day being checked (Asia/Seoul)"),
            Cause(when=after, says="the timestamp is after the day being checked (Asia/Seoul)"),
        ),
    )


def _readable(field: Field) -> nw.Expr:
    return ~nw.col(field.name).is_null()


CHECK: Final = Check(
    id=ID,
    type="range_check",
    title="Timestamps",
    says="A line fails when its timestamp is no real instant, lies outside the contract's years, "
    "or is not on the day being checked.",
    all_lines=True,
    expects="Expect every timestamp to be a real instant on the business day (Asia/Seoul) being checked.",
    rules=_rules,
)
