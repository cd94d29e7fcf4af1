"""One file through the gate: no database, nothing published.

What is slow to import is imported when a file is judged: Great Expectations takes seconds, and what reads
columns some tenths, in which workers could parse.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Literal

from pipeline import contract as contracts
from pipeline import engines
from pipeline.contract import Contract
from pipeline.progress import Progress
from pipeline.records import CheckReport, Delivery, Engine, EngineChoice, Release, Staged
from pipeline.settings import Settings
from pipeline.words import Language
from scheduler.ahead import have_gate, import_gate
from scheduler.staging import staging

if TYPE_CHECKING:
    from gx.gate import Checked


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckOutcome:
    """What `daygate check` found in one file."""

    #: As given on the command line; hostile text.
    file: str
    delivery: Delivery
    day: date
    engine: Engine
    report: CheckReport
    seconds: float
    #: index.html of the written page; None when none was asked for.
    page: Path | None


def check_file(
    settings: Settings,
    source: Path | Literal["-"],
    *,
    day: date,
    engine: EngineChoice | None,
    failed_rows: Path | None,
    report_folder: Path | None,
    progress: Progress,
    in_common: bool = False,
) -> CheckOutcome:
    """Put one file through the seven checks; no database, nothing published.

    Args:
        engine: the one of the settings when None.
        in_common: find out what the failing lines have in common, which takes another look at a file that fails.

    Raises:
        SettingsError: an engine that is not installed.
        RefusedFile: the whole file is refused.
    """
    began = monotonic()
    asked = engine or settings.engine
    engines.require(asked)
    contract = contracts.load(settings.contract)
    judged = checking(settings, source, day=day, contract=contract, progress=progress, engine=asked)
    with judged as (staged, checked):
        report = checked.report
        if in_common:
            from pipeline import findings

            report = findings.of_file(report, staged, contract)
        if failed_rows is not None:
            from pipeline.failed_rows import write_failed_rows

            with progress.step("failed rows"):
                write_failed_rows(staged, checked.report.failing, failed_rows)
        made = None
        if report_folder is not None:
            with progress.step("report"):
                made = page(staged, checked, contract, run_id=None, folder=report_folder, language=settings.lang)
    return CheckOutcome(
        file=str(source),
        delivery=staged.delivery,
        day=day,
        engine=staged.engine,
        report=report,
        seconds=monotonic() - began,
        page=made,
    )


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
    spark = engine != "pandas"
    meanwhile = partial(import_gate, spark=spark)
    with staging(
        settings, source, day=day, contract=contract, progress=progress, engine=engine, meanwhile=meanwhile
    ) as (staged, folder):
        with progress.step("check"):
            have_gate(spark=spark)
            from gx import gate

            checked = gate.check(staged, settings=settings, contract=contract, folder=folder)
        yield staged, checked


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
