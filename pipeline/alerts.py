"""Alerts as facts: what happened, ready for the outbox; `alert_text` words them, `outbox_sender` delivers them.

Facts per kind (JSON-ready, no values from events but those that `changes` allows):

- `gate_failed`: run_id, verdict, lines, failing_lines, problems, all_checks, checks [{id, verdict,
  severity, rate, needed, failed_rows, evaluated_rows, worst_rule, worst_rows, sample_lines, error}], changes, volume
- `step_failed`: run_id, step, attempt, error
- `still_bad`: run_id, since (day of the first alert)
- `day_completed`: run_id, events, users, purchases, revenue, quarantined, rates [[check id, rate]], warnings, volume
- `recovered`: as `day_completed`, and since: the day was told to be bad and is published now
- `day_released`: run_id, released_run, by, reason, events, users, purchases, revenue, quarantined, checks as above
- `late`: see `pipeline.lateness`
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import date
from typing import Any, Final

from pipeline import findings
from pipeline.marts import MartTables
from pipeline.records import Alert, CheckReport, CheckResult, Findings, Release, Run, Verdict
from pipeline.wording import percent, share

#: UUIDs, and a few letters before many digits: how customers, orders and visits are named.
_ID: Final = re.compile(r"\b(?:[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[A-Za-z]{1,8}[-_]?[0-9]{5,})\b")


def gate_failed(
    *,
    day: date,
    run_id: str,
    verdict: Verdict,
    checks: Sequence[CheckResult],
    lines: int,
    failing_lines: int | None = None,
    problems: Sequence[str] = (),
) -> Alert:
    """The gate stayed closed.

    Args:
        checks: all of them; the alert tells of those that did not pass.
        lines: lines of the delivery.
        failing_lines: lines in quarantine; None when not known yet.
        problems: why the verdict is INCONCLUSIVE.
    """
    return Alert(
        kind="gate_failed",
        day=day,
        dedupe_key=f"gate_failed:{day}:{run_id}",
        facts={
            "run_id": run_id,
            "verdict": str(verdict),
            "lines": lines,
            "failing_lines": failing_lines,
            "problems": [mask(problem) for problem in problems],
            "all_checks": len(checks),
            "checks": [_check_facts(check) for check in checks if check.verdict is not Verdict.PASS],
        },
    )


def step_failed(*, day: date, run_id: str, step: str, attempt: int, error: str) -> Alert:
    """A step of the day failed; `error` is the message of a DaygateError or the type of another one."""
    return Alert(
        kind="step_failed",
        day=day,
        dedupe_key=f"step_failed:{day}:{run_id}:{step}:{attempt}",
        facts={"run_id": run_id, "step": step, "attempt": attempt, "error": mask(error)},
    )


def day_completed(*, run: Run, report: CheckReport, rows: int, totals: MartTables) -> Alert:
    """A day is about to be published with `rows` events; takes effect with the same commit."""
    return Alert(
        kind="day_completed",
        day=run.day,
        dedupe_key=f"day_completed:{run.day}:{run.run_id}",
        facts={
            **_day_facts(run, report, rows, totals),
            "rates": [[check.id, _rate(check)] for check in report.checks],
            "warnings": [check.id for check in report.broken],
            "volume": _volume_facts(report.findings),
        },
    )


def recovered(completed: Alert, *, since: date) -> Alert:
    """The same day, told to be bad since then, is about to be published.

    Args:
        completed: as `day_completed` made it.
        since: day (Asia/Seoul) of the first alert about it.
    """
    key = completed.dedupe_key.replace(completed.kind, "recovered", 1)
    return replace(completed, kind="recovered", dedupe_key=key, facts={**completed.facts, "since": since.isoformat()})


def still_bad(*, day: date, run_id: str | None, since: date, today: date) -> Alert:
    """A day that was told to be bad still is; once a calendar day."""
    return Alert(
        kind="still_bad",
        day=day,
        dedupe_key=f"still_bad:{day}:{today}",
        facts={"run_id": run_id or "–", "since": since.isoformat()},
    )


def with_findings(closed: Alert, found: Findings) -> Alert:
    """The alert of a closed gate with what changed and how unusual the volume is."""
    changes = [findings.change_facts(change) for change in found.changes]
    return replace(closed, facts={**closed.facts, "changes": changes, "volume": _volume_facts(found)})


def _volume_facts(found: Findings) -> list[dict[str, Any]]:
    return [asdict(one) for one in found.volume]


def day_released(*, run: Run, report: CheckReport, rows: int, totals: MartTables, release: Release) -> Alert:
    """The good lines of a day that failed are about to be published; takes effect with the same commit."""
    return Alert(
        kind="day_released",
        day=run.day,
        dedupe_key=f"day_released:{run.day}:{run.run_id}",
        facts={
            **_day_facts(run, report, rows, totals),
            "released_run": release.run_id,
            "by": release.by,
            "reason": mask(release.reason),
            "checks": [_check_facts(check) for check in report.broken],
        },
    )


def _day_facts(run: Run, report: CheckReport, rows: int, totals: MartTables) -> dict[str, object]:
    return {
        "run_id": run.run_id,
        "events": rows,
        "users": totals.unique_users,
        "purchases": totals.purchases,
        "revenue": totals.revenue,
        "quarantined": report.failing_lines,
    }


def mask(text: str) -> str:
    """The text with everything that looks like an id of a person, visit or order cut to its first and last sign."""
    return _ID.sub(lambda found: f"{found[0][0]}…{found[0][-1]}", text)


def _check_facts(check: CheckResult) -> dict[str, Any]:
    worst = check.worst_rule
    return {
        "id": check.id,
        "verdict": str(check.verdict),
        "severity": check.severity,
        "rate": _rate(check),
        "needed": share(check.threshold),
        "failed_rows": check.failed_rows,
        "evaluated_rows": check.evaluated_rows,
        "worst_rule": None if worst is None else worst.id,
        "worst_rows": 0 if worst is None else worst.failed_rows,
        "sample_lines": sorted({sample.line for sample in check.samples})[:2],
        "error": None if check.error is None else mask(check.error),
    }


def _rate(check: CheckResult) -> str:
    return percent(check.evaluated_rows - check.failed_rows, check.evaluated_rows) or "–"
