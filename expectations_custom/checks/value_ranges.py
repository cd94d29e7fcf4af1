"""Values within the contract. Owns present values of a wrong type or outside the contract."""

from __future__ import annotations

from typing import Final

import narwhals as nw

from expectations_custom import reasons
from expectations_custom.reasons import problem
from expectations_custom.rule import Check, Helpers, Rule, any_of, limits, one_of
from pipeline.contract import Contract, Field, OrderTotal

ID: Final = "value_ranges"


def _rules(contract: Contract, _helpers: Helpers) -> list[Rule]:
    rules = []
    for field in contract.fields:
        wrong_type = _wrong_type(field, contract.order_total)
        bounds = limits(field)
        says = ", or ".join([*(bound.says for bound in bounds), "is of a wrong type"])
        rules.append(
            Rule(
                id=field.name,
                check=ID,
                field=field.name,
                says=f"{field.name} {says}",
                source=field.pointer,
                applies=_judged_value(contract, field) | wrong_type,
                fails=wrong_type | any_of([bound.when for bound in bounds]).fill_null(False) if bounds else wrong_type,
                causes=reasons.of_value(field, bounds),
            )
        )
    return rules


def _wrong_type(field: Field, order: OrderTotal | None) -> nw.Expr:
    """A present value that staging could not take; unreadable text belongs to other checks.

    Order details on an event that is no order are nobody else's: where they could not be kept, the line is.
    """
    found, unreadable = problem(f"|{field.name}:"), problem(f"|{field.name}:unreadable|")
    if order is not None and field.name == order.details:
        is_order = (nw.col("event_type") == order.event).fill_null(False)
        return found & (~unreadable | (nw.col(field.name).is_null() & ~is_order))
    return found & ~unreadable if field.kind == "timestamp" else found


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
    optional_here = ~one_of("event_type", requiring).fill_null(False)
    return present & (not_empty | optional_here)


CHECK: Final = Check(
    id=ID,
    type="range_check",
    title="Values within the contract",
    says="A line fails when a present value has a wrong type or lies outside the contract's list, "
    "pattern, length or range.",
    all_lines=True,
    expects="Expect every present value to have the type, list, pattern, length and range of the contract.",
    rules=_rules,
)
