"""Unique ids. Owns every copy after the first; the first stays good."""

from __future__ import annotations

from typing import Final

import narwhals as nw

from expectations_custom.rule import Check, Helpers, Rule, Scope, present
from pipeline.contract import Contract

ID: Final = "unique_event_id"


def _rules(contract: Contract, helpers: Helpers) -> list[Rule]:
    rules = [
        Rule(
            id="event_id",
            check=ID,
            field="event_id",
            says="an earlier line has the same event_id",
            source="/properties/event_id",
            applies=present("event_id"),
            fails=nw.col("line_no") > _first(nw.col("line_no"), "event_id", helpers),
            scope="event_id",
        )
    ]
    if order := contract.order_total:
        is_order = nw.col("event_type") == order.event
        order_line = nw.when(is_order).then(nw.col("line_no"))
        rules.append(
            Rule(
                id=order.order_id,
                check=ID,
                field=order.order_id,
                says=f"an earlier {order.event} has the same {order.order_id}",
                source="/x-order-total/order_id",
                applies=is_order & present(order.order_id),
                fails=nw.col("line_no") > _first(order_line, order.order_id, helpers),
                scope=order.order_id,
            )
        )
    return rules


def _first(line: nw.Expr, column: str, helpers: Helpers) -> nw.Expr:
    """The first of those lines with the same value; may be null where no other line has it."""
    name = f"_first_{column}"
    helpers[Scope(column, shared=True)][0].append(line.min().over(column).alias(name))
    return nw.col(name)


CHECK: Final = Check(
    id=ID,
    type="duplicate_check",
    title="Unique ids",
    says="A line fails when an earlier line has the same event id, or an earlier order the same order id; "
    "the first copy stays good.",
    expects="Expect no event id and no order id to have occurred on an earlier line.",
    rules=_rules,
)
