"""The rule table: every condition of all checks, written once for every engine.

All of them are derived from the contract; nothing here names a value of the shop. One defect belongs to one check:
each module in `checks/` says what it owns.
"""

from __future__ import annotations

from collections import defaultdict

from expectations_custom.checks import CHECKS
from expectations_custom.rule import Helpers, RuleTable, Windows
from pipeline.contract import Contract


def table(contract: Contract) -> RuleTable:
    """All rules of a contract, in the order of the checks."""
    helpers: Helpers = defaultdict(lambda: ([], []))
    rules = [rule for check in CHECKS for rule in check.rules(contract, helpers)]
    windows = [
        Windows(
            scope=scope.column,
            shared=scope.shared,
            sparse=scope.column not in contract.required,
            steps=tuple(tuple(step) for step in steps if step),
        )
        for scope, steps in helpers.items()
    ]
    return RuleTable(rules=tuple(rules), windows=tuple(windows))


def columns(contract: Contract) -> tuple[str, ...]:
    """The staged columns the rules look at; what a frame handed to Great Expectations must have."""
    parts = ("items_total", "order_discount", "order_shipping") if contract.order_total else ()
    return ("line_no", *contract.names, "day_us", "order_key", *parts, "problems")
