"""A run's staged day through the gate, and what is made of its answer: the report, its page, and the alerts.

Great Expectations is imported when a file is judged, because it takes seconds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from pipeline import alerts, findings, hours
from pipeline.contract import Contract
from pipeline.day import DayOrder
from pipeline.errors import DaygateError
from pipeline.failpoints import failpoint
from pipeline.records import Alert, CheckReport, Run, Staged, Verdict
from pipeline.settings import Settings
from scheduler.ahead import have_gate
from scheduler.checking import page

log = logging.getLogger(__name__)

T = TypeVar("T")


def judge(
    staged: Staged, run: Run, settings: Settings, contract: Contract, order: DayOrder, url: str
) -> tuple[CheckReport, list[Alert]]:
    """The gate of a run: the checkpoint, its page, and the alerts of a gate that stays shut."""
    have_gate(spark=order.engine != "pandas")
    from gx import gate
    from gx.slack import DaygateAlert

    outbox = run.folder / "alerts.json"
    action = DaygateAlert(outbox=str(outbox), day=run.day.isoformat())
    checked = gate.check(
        staged, settings=settings, contract=contract, folder=run.folder, actions=[action], run_name=run.run_id
    )
    failpoint("check.answered")
    report = findings.added(checked.report, staged, url=url, settings=settings, contract=contract, file=order.file)
    checked = replace(checked, report=report)
    folder = run.folder / "page"
    made = tolerated(
        lambda: page(
            staged,
            checked,
            contract,
            run_id=run.run_id,
            folder=folder,
            language=settings.lang,
            release=order.release,
        )
    )
    return replace(report, page=made, hours=hours.spread(staged)), _of_a_shut_gate(outbox, run, report)


def _of_a_shut_gate(outbox: Path, run: Run, report: CheckReport) -> list[Alert]:
    """What the action wrote, with what only the report knows; never nothing when the verdict is not PASS."""
    from gx.slack import read_alerts

    if report.verdict is Verdict.PASS:
        return []
    # The action sees answers only; how many lines are kept out is the report's to say.
    known = {"failing_lines": report.failing_lines}
    found = [replace(alert, facts={**alert.facts, **known}) for alert in read_alerts(outbox)]
    if not found:
        # The checkpoint raised before its action, or the action could not write: the alert must not be lost.
        told = alerts.gate_failed(
            day=run.day,
            run_id=run.run_id,
            verdict=report.verdict,
            checks=report.told,
            lines=report.lines,
            failing_lines=report.failing_lines,
            problems=report.problems,
        )
        found = [told]
    return [alerts.with_findings(alert, report.findings) for alert in found]


def tolerated(make: Callable[[], T]) -> T | None:
    """Pages never change a verdict and never hold up a day: what goes wrong is told in the log."""
    try:
        return make()
    except DaygateError as error:
        log.warning("%s %s", error.message, error.hint)
    except OSError as error:
        log.warning("The site could not be brought up to date: %s.", error.strerror)
    return None
