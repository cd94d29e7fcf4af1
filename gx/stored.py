"""A run's validation as the ledger keeps it, back in Great Expectations' form, so that it can be rendered again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from great_expectations.core.expectation_validation_result import (
    ExpectationSuiteValidationResult,
    ExpectationValidationResult,
)
from great_expectations.expectations.metadata_types import FailureSeverity

from expectations_custom import ALL
from expectations_custom.rule import RuleTable
from gx import suite
from pipeline.records import Verdict
from pipeline.settings import Settings
from pipeline.wording import percent

_CHECKS: Final = {expectation.check.id: expectation for expectation in ALL}


def result_of(
    report: Mapping[str, Any], *, run_id: str, settings: Settings, table: RuleTable
) -> ExpectationSuiteValidationResult:
    """What Great Expectations answered, as far as the ledger keeps it: everything of the seven checks.

    Args:
        report: of the run, as `pipeline.publish.report_facts` wrote it.
        run_id: names the run.
        settings: the floors that are told with each check; thresholds and severities are the run's own.
        table: words and places of the rules; a rule that the contract no longer has is told by its id.
    """
    checks: Sequence[Mapping[str, Any]] = report.get("checks") or ()
    results = [_answer(check, settings, table) for check in checks if check["id"] in _CHECKS]
    good = sum(bool(result.success) for result in results)
    return ExpectationSuiteValidationResult(
        success=good == len(results),
        results=results,
        suite_name=suite.NAME,
        statistics={
            "evaluated_expectations": len(results),
            "successful_expectations": good,
            "unsuccessful_expectations": len(results) - good,
            "success_percent": 100 * good / len(results) if results else None,
        },
        meta={"run_id": {"run_name": run_id, "run_time": "2000-01-01T00:00:00+00:00"}},
    )


def added(report: Mapping[str, Any]) -> list[tuple[str, Verdict]]:
    """Name and verdict of the guards and of the expectations a user added; the ledger keeps no more of them."""
    return [(one["id"], Verdict(one["verdict"])) for one in report.get("added") or ()]


def _answer(check: Mapping[str, Any], settings: Settings, table: RuleTable) -> ExpectationValidationResult:
    expectation = _CHECKS[check["id"]](
        mostly=check["threshold"],
        severity=FailureSeverity(check["severity"]),
        rule_floor=settings.rule_floor,
        rule_floor_lines=settings.rule_floor_lines,
        rule_floors=settings.floors_of(check["id"]),
        meta={"check": check["id"], "type": check["type"]},
    )
    config = expectation.configuration
    if check["verdict"] == Verdict.INCONCLUSIVE:
        why = {"raised_exception": True, "exception_message": "", "exception_traceback": _reason(check)}
        return ExpectationValidationResult(success=False, expectation_config=config, result={}, exception_info=why)
    evaluated, failed = check["evaluated_rows"], check["failed_rows"]
    known = {rule.id: rule for rule in table.of(check["id"])}
    rules = [
        {
            **rule,
            "says": known[rule["id"]].says if rule["id"] in known else rule["id"],
            "source": known[rule["id"]].source if rule["id"] in known else "",
        }
        for rule in check["rules"]
    ]
    details = {name: check[name] for name in ("type", "severity", "evaluated_rows", "failed_rows", "pass_rate")}
    return ExpectationValidationResult(
        success=check["verdict"] == Verdict.PASS,
        expectation_config=config,
        result={
            "observed_value": percent(evaluated - failed, evaluated) or "not applicable",
            "details": {
                **details,
                "check": check["id"],
                "threshold": check["threshold"],
                "rules": rules,
                "samples": check["samples"],
            },
        },
        exception_info={"raised_exception": False, "exception_message": None, "exception_traceback": None},
    )


def _reason(check: Mapping[str, Any]) -> str:
    """The type inside `could not be judged (KeyError)`; in the form of the last line of a traceback."""
    found = str(check["error"] or "").rpartition("(")[2].rstrip(")")
    return f"{found}:" if found.isidentifier() else ""
