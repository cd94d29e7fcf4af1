"""Order totals. Owns unreadable order details and totals that do not add up."""

from __future__ import annotations

from typing import Final

import narwhals as nw

from expectations_custom.reasons import problem
from expectations_custom.rule import Check, Helpers, Rule, any_of, limits, present
from pipeline.contract import Contract

ID: Final = "order_total"


def _rules(contract: Contract, _helpers: Helpers) -> list[Rule]:
    if (order := contract.order_total) is None:
        return []
    is_order = nw.col("event_type") == order.event
    unreadable = problem(f"|{order.details}:unreadable|")
    total = contract.field(order.total)
    bounds = limits(total)
    in_range = ~any_of([bound.when for bound in bounds]) if bounds else ~nw.col(order.total).is_null()
    expected = nw.col("items_total") - nw.col("order_discount") + nw.col("order_shipping")
    return [
        Rule(
            id=order.details,
            check=ID,
            field=order.details,
            says=f"{order.details} is not a readable order",
            source="/x-order-total/details",
            applies=is_order & (present(order.details) | unreadable),
            fails=unreadable,
        ),
        Rule(
            id=order.total,
            check=ID,
            field=order.total,
            says=f"{order.total} differs from {order.items} − {order.discount} + {order.shipping} "
            f"by more than {order.tolerance}",
            source="/x-order-total",
            applies=is_order & in_range & ~nw.col("items_total").is_null(),
            # A total out of range may be so far out that the difference could not be kept.
            fails=(nw.when(in_range).then(nw.col(order.total)) - expected).abs() > order.tolerance,
        ),
    ]


CHECK: Final = Check(
    id=ID,
    type="integrity_check",
    title="Order totals",
    says="An order fails when its total differs from items − discount + shipping, or its details cannot be read.",
    expects="Expect every order's total to equal its items minus discount plus shipping, within the tolerance.",
    rules=_rules,
)
