"""Unique ids. Owns every copy after the first; the first stays good."""

from __future__ import annotations

from typing import Final

import narwhals as nw

from expectations_custom.rule import Check, Helpers, Rule, present
from pipeline.contract import Contract

ID: Final = "unique_event_id"


def _rules(contract: Contract, helpers: Helpers) -> list[Rule]:
    helpers["event_id"][0].append(nw.col("line_no").min().over("event_id").alias("_first_event_id"))
    rules = [
        Rule(
            id="event_id",
            check=ID,
            field="event_id",
            says="an earlier line has the same event_id",
            source="/properties/event_id",
            applies=present("event_id"),
            fails=nw.col("line_no") > nw.col("_first_event_id"),
            scope="event_id",
        )
    ]
    if order := contract.order_total:
        is_order = nw.col("event_type") == order.event
        first = nw.when(is_order).then(nw.col("line_no")).min().over(order.order_id)
        helpers[order.order_id][0].append(first.alias("_first_order_id"))
        rules.append(
            Rule(
                id=order.order_id,
                check=ID,
                field=order.order_id,
                says=f"an earlier {order.event} has the same {order.order_id}",
                source="/x-order-total/order_id",
                applies=is_order & present(order.order_id),
                fails=nw.col("line_no") > nw.col("_first_order_id"),
                scope=order.order_id,
            )
        )
    return rules


CHECK: Final = Check(
    id=ID,
    type="duplicate_check",
    title="Unique ids",
    says="A line fails when an earlier line has the same event id, or an earlier order the same order id; "
    "the first copy stays good.",
    expects="Expect no event id and no order id to have occurred on an earlier line.",
    rules=_rules,
)
