"""The checkpoint action that turns a closed gate into an alert, inside the run.

It writes the alert as JSON into the run's work folder; the transaction that records the verdict
moves it to the outbox, and the sender delivers it. An action that raises makes Great Expectations
drop the whole checkpoint result, so this one never does.
"""

from __future__ import annotations

import json
import logging
from datetime import date
from pathlib import Path
from typing import Any, Literal, Optional

from great_expectations.checkpoint.actions import ActionContext, ValidationAction
from great_expectations.checkpoint.checkpoint import CheckpointResult

from gx.answers import OTHER, answers_of, check_result, details_of
from pipeline import alerts
from pipeline.errors import StepFailed
from pipeline.files import replace_file
from pipeline.records import Alert, Verdict
from pipeline.zone import ZONE

log = logging.getLogger(__name__)


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
        answers = answers_of(result)
        judged = [check_result(answer) for answer in answers]
        checks = [one for one in judged if one.type != OTHER or one.verdict is not Verdict.PASS]
        critical = [check.verdict for check in checks if check.severity == "critical"]
        if all(verdict is Verdict.PASS for verdict in critical):
            return []
        verdict = Verdict.INCONCLUSIVE if Verdict.INCONCLUSIVE in critical else Verdict.FAIL
        day = date.fromisoformat(self.day) if self.day else result.run_id.run_time.astimezone(ZONE).date()
        lines = max((details["lines"] for details in map(details_of, answers) if details), default=0)
        run_id = str(result.run_id.run_name)
        return [alerts.gate_failed(day=day, run_id=run_id, verdict=verdict, checks=checks, lines=lines)]


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
