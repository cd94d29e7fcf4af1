"""The seven checks as Great Expectations expectations.

Each reads its share of the one metric, decides by exact counts, and carries its details for the
renderers, the verdict, Slack and the terminal. Import this module before loading a suite from JSON:
Great Expectations silently drops expectations whose class it has not seen.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar, Final

from great_expectations.execution_engine import ExecutionEngine
from great_expectations.expectations.expectation import BatchExpectation
from great_expectations.expectations.metadata_types import FailureSeverity

from expectations_custom import rules
from expectations_custom.checks import CHECKS, Check
from expectations_custom.metric import METRIC
from expectations_custom.outcomes import Counts, Outcomes
from expectations_custom.renderers import CheckRenderers
from expectations_custom.rule import Rule, RuleTable
from pipeline import contract
from pipeline.wording import percent


def reaches(counts: Counts, share: float) -> bool:
    """Whether the share of good lines is at least `share`, by exact counts; true when nothing was looked at."""
    good = counts.evaluated_rows - counts.failed_rows
    return good >= Fraction(str(share)) * counts.evaluated_rows


class CheckExpectation(CheckRenderers, BatchExpectation):  # type: ignore[misc]  # decorated renderers
    """What the seven have in common.

    Args:
        mostly: lowest share of good lines, among those the check looks at, that passes.
        rule_floor: a single rule below this share fails the check …
        rule_floor_lines: … from this many failing lines on.
        rule_floors: rule id -> floor of that rule instead of `rule_floor`.
        contract: path of the event schema; the shipped one when None.
        failing_rows: Parquet file to write with every failing line of all checks; none when None.
        sample_lines: at most so many failing lines in the result.
    """

    check: ClassVar[Check]
    title: ClassVar[str]
    says: ClassVar[str]

    mostly: float = 0.99
    rule_floor: float = 0.90
    rule_floor_lines: int = 5
    rule_floors: dict[str, float] = {}  # noqa: RUF012  # a pydantic field, copied per instance
    contract: str | None = None
    failing_rows: str | None = None
    sample_lines: int = 20

    metric_dependencies: ClassVar[tuple[str, ...]] = (METRIC,)
    success_keys: ClassVar[tuple[str, ...]] = (
        "mostly",
        "rule_floor",
        "rule_floor_lines",
        "rule_floors",
        "contract",
        "failing_rows",
        "sample_lines",
    )
    args_keys: ClassVar[tuple[str, ...]] = ("mostly",)

    @classmethod
    def is_abstract(cls) -> bool:
        """Only the seven are registered, not this base."""
        return not hasattr(cls, "check")

    def _validate(
        self,
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any] | None = None,  # noqa: ARG002  # Great Expectations' signature
        execution_engine: ExecutionEngine[Any] | None = None,  # noqa: ARG002
    ) -> dict[str, Any]:
        outcomes: Outcomes = metrics[METRIC]
        counts = outcomes.checks[self.check.id]
        table = _table(contract.load(Path(self.contract) if self.contract else None)).of(self.check.id)
        by_rule = [(rule, outcomes.rules[self.check.id, rule.id]) for rule in table]
        good = counts.evaluated_rows - counts.failed_rows
        rate = 1 - counts.failed_rows / counts.evaluated_rows if counts.evaluated_rows else None
        floors_hold = all(
            reaches(found, self.rule_floors.get(rule.id, self.rule_floor))
            for rule, found in by_rule
            if found.failed_rows >= self.rule_floor_lines
        )
        return {
            "success": reaches(counts, self.mostly) and floors_hold,
            "result": {
                "observed_value": percent(good, counts.evaluated_rows) or "not applicable",
                "element_count": counts.evaluated_rows,
                "unexpected_count": counts.failed_rows,
                "unexpected_percent": 0.0 if rate is None else 100 * (1 - rate),
                "details": {
                    "check": self.check.id,
                    "type": self.check.type,
                    "severity": FailureSeverity(self.severity).value,
                    "lines": outcomes.lines,
                    "evaluated_rows": counts.evaluated_rows,
                    "failed_rows": counts.failed_rows,
                    "pass_rate": rate,
                    "threshold": self.mostly,
                    "rules": [_rule_details(rule, found) for rule, found in by_rule],
                    "samples": outcomes.samples[self.check.id],
                },
            },
        }


_TABLES: Final[dict[str, RuleTable]] = {}


def _table(agreed: contract.Contract) -> RuleTable:
    """The rules of a contract, made once for all seven."""
    if agreed.sha256 not in _TABLES:
        _TABLES[agreed.sha256] = rules.table(agreed)
    return _TABLES[agreed.sha256]


def _rule_details(rule: Rule, found: Counts) -> dict[str, Any]:
    return {
        "id": rule.id,
        "field": rule.field,
        "says": rule.says,
        "source": rule.source,
        "evaluated_rows": found.evaluated_rows,
        "failed_rows": found.failed_rows,
    }


def _expectation(check: Check) -> type[CheckExpectation]:
    """Great Expectations knows an expectation by its class: funnel_order becomes ExpectFunnelOrder."""
    name = f"Expect{check.id.title().replace('_', '')}"
    own = {"__doc__": check.expects, "__module__": __name__, "check": check, "title": check.title, "says": check.says}
    made: type[CheckExpectation] = type(CheckExpectation)(name, (CheckExpectation,), own)  # type: ignore[misc]
    return made


#: In the order people see them.
ALL: tuple[type[CheckExpectation], ...] = tuple(_expectation(check) for check in CHECKS)
