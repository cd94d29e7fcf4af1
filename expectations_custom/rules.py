"""The rule table: every condition of the seven checks, written once for every engine.

A rule is a pair (applies, fails) of narwhals expressions over the staged columns. All of them are
derived from the contract; nothing here names a value of the shop. One defect belongs to one check:

- `required_fields` owns absent, null and empty required values, and lines that are no JSON object;
- `value_ranges` owns present values of a wrong type or outside the contract;
- `timestamp_validity` owns unreadable instants and wrong days, `order_total` unreadable order details;
- session rules (`funnel_order`, `platform_device`) leave out lines that cannot be placed.

The staged timestamp stands as microseconds since 1970 (UTC) here, see `epoch_us`.

Expressions follow SQL's null logic and end in `fill_null(False)` at the one place where they are
evaluated (`outcomes.py`). Session facts are minima of `order_key`, one integer that orders by
(timestamp, line_no); they need no ordered window and mean the same on every engine.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import or_
from typing import Final

import narwhals as nw

from expectations_custom import reasons
from expectations_custom.reasons import Cause, problem
from pipeline.contract import Contract, Field, Funnel, OrderTotal, PlatformRules

DAY_US: Final = 86_400_000_000
#: Order of evidence whose own place is unknown: before everything.
_BEFORE_ALL: Final = -1
#: scope -> helper columns of the first and of the second step.
_Helpers = defaultdict[str, tuple[list[nw.Expr], list[nw.Expr]]]


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Windows:
    """Helper columns over all lines of the same scope, added in steps because windows cannot nest.

    Rules look at them only where the scope is present.
    """

    #: A text column.
    scope: str
    steps: tuple[tuple[nw.Expr, ...], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleTable:
    """The rules and the helper columns they need."""

    rules: tuple[Rule, ...]
    windows: tuple[Windows, ...]

    def of(self, check: str) -> tuple[Rule, ...]:
        """The rules of one check, in table order."""
        return tuple(rule for rule in self.rules if rule.check == check)


def table(contract: Contract) -> RuleTable:
    """All rules of a contract, in the order of the checks."""
    helpers: _Helpers = defaultdict(lambda: ([], []))
    rules = (
        *_required(contract),
        *_unique(contract, helpers),
        *_values(contract),
        *(_funnel(contract.funnel, helpers) if contract.funnel else ()),
        *_timestamps(contract.field("timestamp")),
        *(_order(contract, contract.order_total) if contract.order_total else ()),
        *(_platform(contract, contract.platform, helpers) if contract.platform else ()),
    )
    windows = [
        Windows(scope=scope, steps=tuple(tuple(step) for step in steps if step)) for scope, steps in helpers.items()
    ]
    return RuleTable(rules=rules, windows=tuple(windows))


def epoch_us(instant: datetime) -> int:
    """Microseconds since 1970 in UTC: how rules see an instant, because engines disagree about zones."""
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def columns(contract: Contract) -> tuple[str, ...]:
    """The staged columns the rules look at; what a frame handed to Great Expectations must have."""
    parts = ("items_total", "order_discount", "order_shipping") if contract.order_total else ()
    return ("line_no", *contract.names, "day_us", "order_key", *parts, "problems")


def _text(name: str) -> nw.Expr:
    """A text column whatever its encoding (dictionary-encoded ones have no string functions)."""
    return nw.col(name).cast(nw.String)


def _any(conditions: list[nw.Expr]) -> nw.Expr:
    return reduce(or_, conditions)


def _wrong_type(field: Field, order: OrderTotal | None) -> nw.Expr:
    """A present value that staging could not take; unreadable text belongs to other checks.

    Order details on an event that is no order are nobody else's: where they could not be kept, the line is.
    """
    found, unreadable = problem(f"|{field.name}:"), problem(f"|{field.name}:unreadable|")
    if order is not None and field.name == order.details:
        is_order = (nw.col("event_type") == order.event).fill_null(False)
        return found & (~unreadable | (nw.col(field.name).is_null() & ~is_order))
    return found & ~unreadable if field.kind == "timestamp" else found


def _present(name: str) -> nw.Expr:
    """A text that is there and not empty."""
    return ~nw.col(name).is_null() & (nw.col(name) != "")


def _required(contract: Contract) -> list[Rule]:
    is_object = ~problem("|line:")
    rules = [
        Rule(
            id="line",
            check="required_fields",
            field=None,
            says="the line is not one JSON object",
            source="/type",
            applies=nw.col("line_no") > 0,
            fails=problem("|line:"),
            causes=reasons.of_line(),
        )
    ]
    scopes: list[tuple[str, str, str, nw.Expr]] = [
        (name, name, f"/required/{index}", is_object) for index, name in enumerate(contract.required)
    ]
    for event, names in contract.required_by_type.items():
        pointer = contract.required_pointers[event]
        applies = is_object & (nw.col("event_type") == event)
        scopes += [(f"{event}.{name}", name, f"{pointer}/{index}", applies) for index, name in enumerate(names)]
    for rule_id, name, source, applies in scopes:
        absent = nw.col(name).is_null() & ~problem(f"|{name}:")
        empty = [nw.col(name) == ""] if contract.field(name).kind == "string" else []
        rules.append(
            Rule(
                id=rule_id,
                check="required_fields",
                field=name,
                says=f"{name} is missing, null or empty",
                source=source,
                applies=applies,
                fails=_any([absent, *empty]),
                causes=reasons.of_required(contract.field(name)),
            )
        )
    return rules


def _unique(contract: Contract, helpers: _Helpers) -> list[Rule]:
    helpers["event_id"][0].append(nw.col("line_no").min().over("event_id").alias("_first_event_id"))
    rules = [
        Rule(
            id="event_id",
            check="unique_event_id",
            field="event_id",
            says="an earlier line has the same event_id",
            source="/properties/event_id",
            applies=_present("event_id"),
            fails=nw.col("line_no") > nw.col("_first_event_id"),
        )
    ]
    if order := contract.order_total:
        is_order = nw.col("event_type") == order.event
        first = nw.when(is_order).then(nw.col("line_no")).min().over(order.order_id)
        helpers[order.order_id][0].append(first.alias("_first_order_id"))
        rules.append(
            Rule(
                id=order.order_id,
                check="unique_event_id",
                field=order.order_id,
                says=f"an earlier {order.event} has the same {order.order_id}",
                source="/x-order-total/order_id",
                applies=is_order & _present(order.order_id),
                fails=nw.col("line_no") > nw.col("_first_order_id"),
            )
        )
    return rules


def _values(contract: Contract) -> list[Rule]:
    rules = []
    for field in contract.fields:
        wrong_type = _wrong_type(field, contract.order_total)
        bounds = _bounds(field)
        says = ", or ".join([*(bound.says for bound in bounds), "is of a wrong type"])
        rules.append(
            Rule(
                id=field.name,
                check="value_ranges",
                field=field.name,
                says=f"{field.name} {says}",
                source=field.pointer,
                applies=_judged_value(contract, field) | wrong_type,
                fails=wrong_type | _any([bound.when for bound in bounds]).fill_null(False) if bounds else wrong_type,
                causes=reasons.of_value(field, bounds),
            )
        )
    return rules


def _judged_value(contract: Contract, field: Field) -> nw.Expr:
    """Present values; an empty text where the field is required belongs to `required_fields`."""
    present = ~nw.col(field.name).is_null()
    if field.kind != "string":
        return present
    not_empty = (nw.col(field.name) != "").fill_null(False)
    if field.name in contract.required:
        return present & not_empty
    requiring = [event for event, names in contract.required_by_type.items() if field.name in names]
    if not requiring:
        return present
    optional_here = ~nw.col("event_type").is_in(requiring).fill_null(False)
    return present & (not_empty | optional_here)


def _bounds(field: Field) -> list[Cause]:
    """The ways in which a value of the right type breaks the contract, each as "is …" without the field's name."""
    found: list[Cause] = []
    if field.enum is not None:
        says = f"is not one of the {len(field.enum)} values of the contract"
        found.append(Cause(when=~nw.col(field.name).is_in(field.enum), says=says))
    if field.engine_pattern is not None:
        says = "does not have the form the contract asks for"
        found.append(Cause(when=~_text(field.name).str.contains(field.engine_pattern), says=says))
    if field.min_length is not None:
        says = "is empty" if field.min_length == 1 else f"is shorter than {field.min_length} characters"
        found.append(Cause(when=_text(field.name).str.len_chars() < field.min_length, says=says))
    if field.max_length is not None:
        says = f"is longer than {field.max_length:,} characters"
        found.append(Cause(when=_text(field.name).str.len_chars() > field.max_length, says=says))
    if field.minimum is not None:
        found.append(Cause(when=nw.col(field.name) < field.minimum, says=f"is below {field.minimum:,}"))
    if field.maximum is not None:
        found.append(Cause(when=nw.col(field.name) > field.maximum, says=f"is above {field.maximum:,}"))
    return found


def _funnel(funnel: Funnel, helpers: _Helpers) -> list[Rule]:
    rules = []
    for index, step in enumerate(funnel.steps):
        name = f"_first_before_{index}"
        evidence = nw.when(nw.col("event_type").is_in(step.after_any)).then(
            nw.coalesce(nw.col("order_key"), nw.lit(_BEFORE_ALL, dtype=nw.Int64))
        )
        helpers[funnel.scope][0].append(evidence.min().over(funnel.scope).alias(name))
        rules.append(
            Rule(
                id=step.event,
                check="funnel_order",
                field=None,
                says=f"{step.event} without an earlier {' or '.join(step.after_any)} of the same {funnel.scope}",
                source=f"/x-funnel-sequence/steps/{index}",
                applies=(nw.col("event_type") == step.event) & _present(funnel.scope) & ~nw.col("order_key").is_null(),
                fails=~(nw.col(name) < nw.col("order_key")).fill_null(False),
            )
        )
    return rules


def _timestamps(field: Field) -> list[Rule]:
    readable = ~nw.col(field.name).is_null()
    unreadable = problem(f"|{field.name}:unreadable|")
    rules = [
        Rule(
            id="instant",
            check="timestamp_validity",
            field=field.name,
            says="the timestamp is not a real RFC 3339 instant",
            source=f"{field.pointer}/format",
            applies=readable | unreadable,
            fails=unreadable,
        )
    ]
    bounds = []
    if field.not_before is not None:
        early = nw.col(field.name) < epoch_us(field.not_before)
        bounds.append(
            Cause(when=early, says=f"the timestamp is before {field.not_before.date()}, the contract's first day")
        )
    if field.before is not None:
        late = nw.col(field.name) >= epoch_us(field.before)
        bounds.append(
            Cause(when=late, says=f"the timestamp is not before {field.before.date()}, where the contract ends")
        )
    if bounds:
        rules.append(
            Rule(
                id="range",
                check="timestamp_validity",
                field=field.name,
                says="the timestamp is outside the contract's years",
                source=f"{field.pointer}/formatMinimum",
                applies=readable,
                fails=_any([bound.when for bound in bounds]),
                causes=tuple(bounds),
            )
        )
    rules.append(
        Rule(
            id="day",
            check="timestamp_validity",
            field=field.name,
            says="the timestamp is not on the day being checked (Asia/Seoul)",
            source=field.pointer,
            applies=readable,
            fails=(nw.col("day_us") < 0) | (nw.col("day_us") >= DAY_US),
            causes=(
                Cause(when=nw.col("day_us") < 0, says="the timestamp is before the day being checked (Asia/Seoul)"),
                Cause(
                    when=nw.col("day_us") >= DAY_US, says="the timestamp is after the day being checked (Asia/Seoul)"
                ),
            ),
        )
    )
    return rules


def _order(contract: Contract, order: OrderTotal) -> list[Rule]:
    is_order = nw.col("event_type") == order.event
    unreadable = problem(f"|{order.details}:unreadable|")
    total = contract.field(order.total)
    bounds = _bounds(total)
    in_range = ~_any([bound.when for bound in bounds]) if bounds else ~nw.col(order.total).is_null()
    expected = nw.col("items_total") - nw.col("order_discount") + nw.col("order_shipping")
    return [
        Rule(
            id=order.details,
            check="order_total",
            field=order.details,
            says=f"{order.details} is not a readable order",
            source="/x-order-total/details",
            applies=is_order & (_present(order.details) | unreadable),
            fails=unreadable,
        ),
        Rule(
            id=order.total,
            check="order_total",
            field=order.total,
            says=f"{order.total} differs from {order.items} − {order.discount} + {order.shipping} "
            f"by more than {order.tolerance}",
            source="/x-order-total",
            applies=is_order & in_range & ~nw.col("items_total").is_null(),
            fails=(nw.col(order.total) - expected).abs() > order.tolerance,
        ),
    ]


def _platform(contract: Contract, rules: PlatformRules, helpers: _Helpers) -> list[Rule]:
    known = nw.col(rules.field).is_in(tuple(rules.allowed))
    names = tuple(dict.fromkeys(name for allowed in rules.allowed.values() for name in allowed))
    found = []
    for name in names:
        refused = _any(
            [
                (nw.col(rules.field) == platform) & ~nw.col(name).is_in(allowed[name])
                for platform, allowed in rules.allowed.items()
                if name in allowed
            ]
        )
        found.append(
            Rule(
                id=name,
                check="platform_device",
                field=name,
                says=f"{name} does not go with the {rules.field}",
                source="/x-platform-device-rules/allowed",
                applies=known & nw.col(name).is_in(contract.field(name).enum or ()),
                fails=refused,
            )
        )
    key = nw.when(known).then(nw.col("order_key"))
    helpers[rules.scope][0].append(key.min().over(rules.scope).alias("_began_key"))
    began = nw.when(nw.col("order_key") == nw.col("_began_key")).then(_text(rules.field))
    helpers[rules.scope][1].append(began.max().over(rules.scope).alias("_began_with"))
    found.append(
        Rule(
            id="session",
            check="platform_device",
            field=rules.field,
            says=f"the {rules.field} differs from the one its {rules.scope} began with",
            source="/x-platform-device-rules/scope",
            applies=known & _present(rules.scope) & ~nw.col("_began_with").is_null(),
            fails=_text(rules.field) != nw.col("_began_with"),
        )
    )
    return found
