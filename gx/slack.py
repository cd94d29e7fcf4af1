"""The checkpoint action that turns a closed gate into an alert, inside the run.

It writes the alert as JSON into the run's work folder; the transaction that records the verdict
moves it to the outbox, and the sender delivers it. An action that raises makes Great Expectations
drop the whole checkpoint result, so this one never does.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Final, Literal, Optional

from great_expectations.checkpoint.actions import ActionContext, ValidationAction
from great_expectations.checkpoint.checkpoint import CheckpointResult
from great_expectations.core.expectation_validation_result import ExpectationValidationResult

from expectations_custom.renderers import raised_type
from gx.files import replace_file
from pipeline import alerts
from pipeline.errors import StepFailed
from pipeline.records import Alert, CheckResult, RuleResult, Sample, Severity, Verdict
from pipeline.settings import ZONE

log = logging.getLogger(__name__)

#: Type of what is none of the seven: guards and expectations that a user added.
_OTHER: Final = "expectation"


class DaygateAlert(ValidationAction):
    """Writes a `gate_failed` alert when a critical expectation failed or could not be judged.

    Args:
        outbox: JSON file to write; absent after a PASS.
        day: business day as YYYY-MM-DD; the day of the run when not given.
    """

    type: Literal["daygate_alert"] = "daygate_alert"
    name: str = "daygate_alert"
    outbox: str
    day: Optional[str] = None  # noqa: UP045  # read by Great Expectations' pydantic 1

    def run(self, checkpoint_result: CheckpointResult, action_context: ActionContext | None = None) -> dict[str, Any]:  # noqa: ARG002  # Great Expectations' signature
        """Write the alert; `{"alerts": n}`, or `{"error": type}` when that went wrong."""
        try:
            found = self._alerts(checkpoint_result)
            if found:
                _write(Path(self.outbox), found)
        except Exception as error:  # noqa: BLE001  # raising here would lose the checkpoint's result
            log.error("the alert of a closed gate could not be written (%s)", type(error).__name__)  # noqa: TRY400  # texts may hold values
            return {"error": type(error).__name__}
        return {"alerts": len(found)}

    def _alerts(self, result: CheckpointResult) -> list[Alert]:
        answers = [answer for validation in result.run_results.values() for answer in validation.results]
        judged = [_check_result(answer) for answer in answers]
        checks = [one for one in judged if one.type != _OTHER or one.verdict is not Verdict.PASS]
        critical = [check.verdict for check in checks if check.severity == "critical"]
        if all(verdict is Verdict.PASS for verdict in critical):
            return []
        verdict = Verdict.INCONCLUSIVE if Verdict.INCONCLUSIVE in critical else Verdict.FAIL
        day = date.fromisoformat(self.day) if self.day else result.run_id.run_time.astimezone(ZONE).date()
        lines = max((_details(answer).get("lines", 0) for answer in answers), default=0)
        run_id = str(result.run_id.run_name)
        failing = max((_details(answer).get("failing_lines", 0) for answer in answers), default=None)
        return [
            alerts.gate_failed(
                day=day, run_id=run_id, verdict=verdict, checks=checks, lines=lines, failing_lines=failing
            )
        ]


def read_alerts(path: Path) -> list[Alert]:
    """The alerts an action wrote; none when there is no file.

    Raises:
        StepFailed: the file is there and cannot be read.
    """
    try:
        written = json.loads(path.read_text(encoding="utf-8"))
        return [Alert(**{**alert, "day": date.fromisoformat(alert["day"])}) for alert in written["alerts"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StepFailed(f"{path}: is no file of alerts ({type(error).__name__}).", step="check") from error


def _write(path: Path, found: list[Alert]) -> None:
    document = {
        "alerts": [
            {"kind": a.kind, "day": a.day.isoformat(), "dedupe_key": a.dedupe_key, "facts": a.facts} for a in found
        ]
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, json.dumps(document, ensure_ascii=False).encode())


def _details(answer: ExpectationValidationResult) -> Mapping[str, Any]:
    details = (answer.result or {}).get("details")
    return details if isinstance(details, dict) and "check" in details else {}


def _check_result(answer: ExpectationValidationResult) -> CheckResult:
    """One expectation's answer; guards and expectations of the user's have a name and a verdict only."""
    config = answer.expectation_config
    meta = (config.meta or {}) if config is not None else {}
    raised = raised_type(answer.exception_info)
    details = _details(answer)
    if raised is not None or not details:
        judged = Verdict.PASS if answer.success else Verdict.FAIL
        name = meta.get("check") or meta.get("guard") or (config.type if config is not None else "an expectation")
        unjudged = raised is not None or "check" in meta
        return CheckResult(
            id=str(name),
            type=_OTHER,
            verdict=Verdict.INCONCLUSIVE if unjudged else judged,
            severity=_severity(answer),
            evaluated_rows=0,
            failed_rows=0,
            pass_rate=None,
            threshold=1.0,
            error=f"could not be judged ({raised or 'no details'})" if unjudged else "failed",
        )
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


def _severity(answer: ExpectationValidationResult) -> Severity:
    config = answer.expectation_config
    given = config.severity if config is not None else None
    return "critical" if given is None or given.value == "critical" else "warning"
