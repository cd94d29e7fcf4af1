"""Funnel order. Looks only at lines that can be placed: with a session and a usable timestamp.

Session facts are minima of `order_key`, one integer that orders by (timestamp, line_no): they need no ordered window
and mean the same on every engine.
"""

from __future__ import annotations

from typing import Final

import narwhals as nw

from expectations_custom.rule import Check, Helpers, Rule, Scope, one_of, present
from pipeline.contract import Contract

ID: Final = "funnel_order"
#: Order of evidence whose own place is unknown: before everything.
_BEFORE_ALL: Final = -1


def _rules(contract: Contract, helpers: Helpers) -> list[Rule]:
    if (funnel := contract.funnel) is None:
        return []
    rules = []
    for index, step in enumerate(funnel.steps):
        name = f"_first_before_{index}"
        evidence = nw.when(one_of("event_type", step.after_any)).then(
            nw.coalesce(nw.col("order_key"), nw.lit(_BEFORE_ALL, dtype=nw.Int64))
        )
        helpers[Scope(funnel.scope)][0].append(evidence.min().over(funnel.scope).alias(name))
        rules.append(
            Rule(
                id=step.event,
                check=ID,
                field=None,
                says=f"{step.event} without an earlier {' or '.join(step.after_any)} of the same {funnel.scope}",
                source=f"/x-funnel-sequence/steps/{index}",
                applies=(nw.col("event_type") == step.event) & present(funnel.scope) & ~nw.col("order_key").is_null(),
                fails=~(nw.col(name) < nw.col("order_key")).fill_null(False),
                scope=funnel.scope,
            )
        )
    return rules


CHECK: Final = Check(
    id=ID,
    type="sequence_check",
    title="Funnel order",
    says="A line fails when the step that must come before it has not happened earlier in its session.",
    expects="Expect each funnel step to follow the step it needs, inside its session, by (timestamp, line).",
    rules=_rules,
)
