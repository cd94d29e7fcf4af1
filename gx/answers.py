"""Great Expectations' answers in our own words: the one place that knows their shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from great_expectations.checkpoint.checkpoint import CheckpointResult
from great_expectations.core.expectation_validation_result import ExpectationValidationResult
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

from expectations_custom.renderers import raised_type
from pipeline.records import CheckResult, RuleResult, Sample, Severity, Verdict

#: Type of guards and of expectations that a user added; they have a name and a verdict only.
OTHER: Final = "expectation"


def answers_of(result: CheckpointResult) -> list[ExpectationValidationResult]:
    """All answers of a checkpoint run, in Great Expectations' order, which is not the suite's."""
    return [answer for validation in result.run_results.values() for answer in validation.results]


def check_id(answer: ExpectationValidationResult) -> str | None:
    """Which of the seven checks answers; None for a guard or an added expectation."""
    found = _meta(answer).get("check")
    return found if isinstance(found, str) else None


def details_of(answer: ExpectationValidationResult) -> Mapping[str, Any] | None:
    """What one of the seven found; None when it could not be evaluated or is none of them."""
    details = (answer.result or {}).get("details")
    return details if isinstance(details, Mapping) and "check" in details else None


def check_result(answer: ExpectationValidationResult) -> CheckResult:
    """One answer as a record; what raised, or is a check without details, is INCONCLUSIVE."""
    raised = raised_type(answer.exception_info)
    details = details_of(answer)
    if raised is not None or details is None:
        return _without_details(answer, raised)
    return CheckResult(
        id=details["check"],
        type=details["type"],
        verdict=Verdict.PASS if answer.success else Verdict.FAIL,
        severity=details["severity"],
        evaluated_rows=details["evaluated_rows"],
        failed_rows=details["failed_rows"],
        pass_rate=details["pass_rate"],
        threshold=details["threshold"],
        rules=tuple(
            RuleResult(id=r["id"], field=r["field"], evaluated_rows=r["evaluated_rows"], failed_rows=r["failed_rows"])
            for r in details["rules"]
        ),
        samples=tuple(Sample(**sample) for sample in details["samples"]),
    )


def unjudged(check: str, kind: str, *, severity: Severity, threshold: float, why: str) -> CheckResult:
    """A check that could not be evaluated; `why` is ours and holds no value."""
    return CheckResult(
        id=check,
        type=kind,
        verdict=Verdict.INCONCLUSIVE,
        severity=severity,
        evaluated_rows=0,
        failed_rows=0,
        pass_rate=None,
        threshold=threshold,
        error=f"could not be judged ({why})",
    )


def _without_details(answer: ExpectationValidationResult, raised: str | None) -> CheckResult:
    config = answer.expectation_config
    meta = _meta(answer)
    name = str(meta.get("check") or meta.get("guard") or _name(config))
    if raised is not None or "check" in meta:
        kind = str(meta.get("type", OTHER))
        return unjudged(name, kind, severity=_severity(answer), threshold=1.0, why=raised or "no details")
    return CheckResult(
        id=name,
        type=OTHER,
        verdict=Verdict.PASS if answer.success else Verdict.FAIL,
        severity=_severity(answer),
        evaluated_rows=0,
        failed_rows=0,
        pass_rate=None,
        threshold=1.0,
        error=None if answer.success else "failed",
    )


def _name(config: ExpectationConfiguration | None) -> str:
    """How an expectation that a user added is called: its type, and the column it is about."""
    if config is None:
        return "an expectation"
    column = config.kwargs.get("column")
    return config.type if column is None else f"{config.type} ({column})"


def _meta(answer: ExpectationValidationResult) -> Mapping[str, Any]:
    return (answer.expectation_config.meta or {}) if answer.expectation_config is not None else {}


def _severity(answer: ExpectationValidationResult) -> Severity:
    config = answer.expectation_config
    given = config.severity if config is not None else None
    return "critical" if given is None or given.value == "critical" else "warning"
