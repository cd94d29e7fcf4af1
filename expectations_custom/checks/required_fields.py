"""Required fields. Owns absent, null and empty required values, and lines that are no JSON object."""

from __future__ import annotations

from typing import Final

import narwhals as nw

from expectations_custom import reasons
from expectations_custom.reasons import problem
from expectations_custom.rule import Check, Helpers, Rule, any_of
from pipeline.contract import Contract

ID: Final = "required_fields"


def _rules(contract: Contract, _helpers: Helpers) -> list[Rule]:
    is_object = ~problem("|line:")
    rules = [_line()]
    for index, name in enumerate(contract.required):
        rules.append(_field(contract, name, rule_id=name, source=f"/required/{index}", applies=is_object))
    for event, names in contract.required_by_type.items():
        applies = is_object & (nw.col("event_type") == event)
        for index, name in enumerate(names):
            source = f"{contract.required_pointers[event]}/{index}"
            rules.append(_field(contract, name, rule_id=f"{event}.{name}", source=source, applies=applies))
    return rules


def _line() -> Rule:
    return Rule(
        id="line",
        check=ID,
        field=None,
        says="the line is not one JSON object",
        source="/type",
        applies=nw.col("line_no") > 0,
        fails=problem("|line:"),
        causes=reasons.of_line(),
    )


def _field(contract: Contract, name: str, *, rule_id: str, source: str, applies: nw.Expr) -> Rule:
    absent = nw.col(name).is_null() & ~problem(f"|{name}:")
    empty = [nw.col(name) == ""] if contract.field(name).kind == "string" else []
    return Rule(
        id=rule_id,
        check=ID,
        field=name,
        says=f"{name} is missing, null or empty",
        source=source,
        applies=applies,
        fails=any_of([absent, *empty]),
        causes=reasons.of_required(contract.field(name)),
    )


CHECK: Final = Check(
    id=ID,
    type="null_check",
    title="Required fields",
    says="A line fails when a required field of its event type is missing, null or empty, "
    "or when it is not one JSON object.",
    all_lines=True,
    expects="Expect every line to be a JSON object with the required fields of its event type present and not empty.",
    rules=_rules,
)
