"""A staged file through the gate, and what is made of its answer: the report, its page, and the alerts.

Great Expectations is imported when a file is judged, because it takes seconds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from pipeline import alerts, findings, hours
from pipeline.contract import Contract
from pipeline.day import DayOrder
from pipeline.errors import DaygateError
from pipeline.failpoints import failpoint
from pipeline.progress import Progress
from pipeline.records import Alert, CheckReport, EngineChoice, Release, Run, Staged, Verdict
from pipeline.settings import Settings
from pipeline.words import Language
from scheduler.ahead import have_gate, import_gate
from scheduler.staging import staging

if TYPE_CHECKING:
    from gx.gate import Checked

log = logging.getLogger(__name__)

T = TypeVar("T")


@contextmanager
def checking(
    settings: Settings,
    source: Path | Literal["-"],
    *,
    day: date,
    contract: Contract,
    progress: Progress,
    engine: EngineChoice = "auto",
) -> Iterator[tuple[Staged, Checked]]:
    """A file staged and judged in a temporary work folder that goes away with the block.

    Raises:
        RefusedFile: the whole file is refused.
    """
    with staging(
        settings, source, day=day, contract=contract, progress=progress, engine=engine, meanwhile=import_gate
    ) as (staged, folder):
        with progress.step("check"):
            have_gate()
            from gx import gate

            checked = gate.check(staged, settings=settings, contract=contract, folder=folder)
        yield staged, checked


def judge(
    staged: Staged, run: Run, settings: Settings, contract: Contract, order: DayOrder, url: str
) -> tuple[CheckReport, list[Alert]]:
    """The gate of a run: the checkpoint, its page, and the alerts of a gate that stays shut."""
    have_gate()
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


def page(
    staged: Staged,
    checked: Checked,
    contract: Contract,
    *,
    run_id: str | None,
    folder: Path,
    language: Language,
    release: Release | None = None,
) -> Path:
    """Write the page of a judged file into the folder; its index.html."""
    from gx.site import PageFacts, render_page

    report = checked.report
    facts = PageFacts(
        day=staged.day,
        verdict=report.verdict,
        run_id=run_id,
        delivery_name=staged.delivery.name,
        sha256=staged.delivery.sha256,
        engine=staged.engine,
        lines=report.lines,
        good=report.good_lines,
        failing=report.failing_lines,
        contract_sha256=contract.sha256,
        generated_at=datetime.now(UTC),
        problems=report.problems,
        release=release,
    )
    return render_page(checked.result, facts=facts, folder=folder, language=language)


def tolerated(make: Callable[[], T]) -> T | None:
    """Pages never change a verdict and never hold up a day: what goes wrong is told in the log."""
    try:
        return make()
    except DaygateError as error:
        log.warning("%s %s", error.message, error.hint)
    except OSError as error:
        log.warning("The site could not be brought up to date: %s.", error.strerror)
    return None
