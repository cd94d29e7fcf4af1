"""What a check is made of: rules, the helper columns they look at, and the conditions they share.

A rule is a pair (applies, fails) of narwhals expressions over the staged columns. Expressions follow SQL's null
logic; whoever evaluates them takes `Rule.conditions`, which ends it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any, Final, NamedTuple

import narwhals as nw

from expectations_custom.reasons import Cause
from pipeline.contract import Contract, Field

DAY_US: Final = 86_400_000_000
#: Values that are compared one by one.
_FEW: Final = 8


class Scope(NamedTuple):
    """Lines with the same value of a column."""

    #: A text column.
    column: str
    #: A line that is alone with its value cannot fail: its helper columns may be null.
    shared: bool = False


#: Helper columns of the first and of the second step; they tell lines of a scope apart by `over` alone.
Helpers = defaultdict[Scope, tuple[list[nw.Expr], list[nw.Expr]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """One condition inside a check. `fails` counts only where `applies`."""

    id: str
    check: str
    field: str | None
    #: When a line fails, in one sentence; never holds a value from the data.
    says: str
    #: JSON pointer into the contract.
    source: str
    applies: nw.Expr
    fails: nw.Expr
    #: The ways a line can fail it, the first that holds being the reason a person reads; else `says`.
    causes: tuple[Cause, ...] = ()
    #: The scope whose helper columns it looks at; None when a line is judged by itself.
    scope: str | None = None

    def conditions(self) -> tuple[nw.Expr, nw.Expr]:
        """Whether it looks at a line, and whether it fails those it looks at; what is unknown is neither."""
        return self.applies.fill_null(False), self.fails.fill_null(False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Windows:
    """Helper columns over all lines of the same scope, added in steps because windows cannot nest.

    Rules look at them only where the scope is present.
    """

    #: A text column; expressions look at it in `over` alone, so that an engine may put numbers in its place.
    scope: str
    #: As of `Scope`.
    shared: bool = False
    #: Most lines are without it.
    sparse: bool = False
    steps: tuple[tuple[nw.Expr, ...], ...]

    def over(self, frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
        """The frame with its helper columns; it must hold all lines of every scope in it."""
        for step in self.steps:
            frame = frame.with_columns(*step)
        return frame


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleTable:
    """The rules and the helper columns they need."""

    rules: tuple[Rule, ...]
    windows: tuple[Windows, ...]

    def of(self, check: str) -> tuple[Rule, ...]:
        """The rules of one check, in table order."""
        return tuple(rule for rule in self.rules if rule.check == check)


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One of the seven, as logged."""

    id: str
    type: str
    title: str
    #: One sentence: when a line fails.
    says: str
    #: One sentence: what Great Expectations expects.
    expects: str
    #: Its rules, derived from a contract; none when the contract does not ask for them.
    rules: Callable[[Contract, Helpers], Sequence[Rule]]
    #: Whether the pass rate is over all lines or over those its rules apply to.
    all_lines: bool = False


def epoch_us(instant: datetime) -> int:
    """Microseconds since 1970 in UTC: how rules see an instant, because engines disagree about zones."""
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def text(name: str) -> nw.Expr:
    """A text column whatever its encoding (dictionary-encoded ones have no string functions)."""
    return nw.col(name).cast(nw.String)


def any_of(conditions: Sequence[nw.Expr]) -> nw.Expr:
    """Whether one of them holds; there must be one."""
    return reduce(or_, conditions)


def one_of(name: str, values: Sequence[Any]) -> nw.Expr:
    """Whether it is one of these; a few are compared one by one, which is quicker and is worked out once for all."""
    if not values or len(values) > _FEW:
        return nw.col(name).is_in(values)
    return any_of([nw.col(name) == value for value in values])


def present(name: str) -> nw.Expr:
    """A text that is there and not empty."""
    return ~nw.col(name).is_null() & (nw.col(name) != "")


def limits(field: Field) -> list[Cause]:
    """The ways in which a value of the right type breaks the contract, each as "is …" without the field's name."""
    found: list[Cause] = []
    if field.enum is not None:
        says = f"is not one of the {len(field.enum)} values of the contract"
        found.append(Cause(when=~one_of(field.name, field.enum), says=says))
    if field.engine_pattern is not None:
        says = "does not have the form the contract asks for"
        found.append(Cause(when=~text(field.name).str.contains(field.engine_pattern), says=says))
    if field.min_length is not None:
        says = "is empty" if field.min_length == 1 else f"is shorter than {field.min_length} characters"
        found.append(Cause(when=text(field.name).str.len_chars() < field.min_length, says=says))
    if field.max_length is not None:
        says = f"is longer than {field.max_length:,} characters"
        found.append(Cause(when=text(field.name).str.len_chars() > field.max_length, says=says))
    if field.minimum is not None:
        found.append(Cause(when=nw.col(field.name) < field.minimum, says=f"is below {field.minimum:,}"))
    if field.maximum is not None:
        found.append(Cause(when=nw.col(field.name) > field.maximum, says=f"is above {field.maximum:,}"))
    return found
