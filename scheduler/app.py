"""The composition root: the one place that knows the pipeline, Great Expectations and the database at once.

Everything the commands do is a function here; what it needs is imported when it is called, because
Great Expectations takes seconds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Literal, TypeVar

from pipeline import (
    alert_text,
    alerts,
    database,
    engines,
    findings,
    hours,
    ledger,
    outbox,
    outbox_sender,
    postgres,
    quality_log,
    slack,
)
from pipeline import contract as contracts
from pipeline.calibrate import Measured
from pipeline.day import DayOrder, DayRunner, RunFailed
from pipeline.errors import DaygateError
from pipeline.failed_rows import write_failed_rows
from pipeline.failpoints import failpoint
from pipeline.progress import Progress
from pipeline.records import (
    Alert,
    CheckReport,
    DaySummary,
    Delivery,
    Engine,
    EngineChoice,
    Release,
    Run,
    Staged,
    Verdict,
)
from pipeline.retry import patiently
from pipeline.settings import Settings
from pipeline.words import Language
from scheduler.ahead import have_gate, import_gate
from scheduler.staging import staging

if TYPE_CHECKING:
    from gx.gate import Checked
    from pipeline.contract import Contract

log = logging.getLogger(__name__)

T = TypeVar("T")


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
    with checking(settings, source, day=day, contract=contract, progress=progress, engine=asked) as (staged, checked):
        report = findings.of_file(checked.report, staged, contract) if in_common else checked.report
        if failed_rows is not None:
            with progress.step("failed rows"):
                write_failed_rows(staged, checked.report.failing, failed_rows)
        page = None
        if report_folder is not None:
            with progress.step("report"):
                page = _page(staged, checked, contract, run_id=None, folder=report_folder, language=settings.lang)
    return CheckOutcome(
        file=str(source),
        delivery=staged.delivery,
        day=day,
        engine=staged.engine,
        report=report,
        seconds=monotonic() - began,
        page=page,
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
    """A file staged and judged in a temporary folder that goes away with the block.

    Raises:
        RefusedFile: the whole file is refused.
    """
    with (
        staging(
            settings, source, day=day, contract=contract, progress=progress, engine=engine, meanwhile=import_gate
        ) as staged,
        engines.work_folder(settings, engine) as (work, _),
    ):
        with progress.step("check"):
            have_gate()
            from gx import gate

            checked = gate.check(staged, settings=settings, contract=contract, folder=work)
        yield staged, checked


@dataclass(frozen=True, kw_only=True, slots=True)
class RunOutcome:
    """How `daygate run` ended."""

    summary: DaySummary
    #: None when the delivery was published already.
    report: CheckReport | None
    #: The published page; None when it could not be made.
    page: Path | None
    unchanged: bool


def run_day(
    settings: Settings,
    day: date,
    *,
    file: Path | None,
    engine: EngineChoice | None,
    force: bool,
    progress: Progress,
    trigger: str = "cli",
) -> RunOutcome:
    """Take one day through the whole gate and publish whatever happened.

    Args:
        engine: the one of the settings when None.

    Raises:
        SettingsError: an engine that is not installed.
        DaygateError: nothing of the day became visible.
    """
    order = DayOrder(day=day, file=file, engine=engine or settings.engine, force=force, trigger=trigger)
    return run_order(settings, order, progress=progress)


def run_order(settings: Settings, order: DayOrder, *, progress: Progress) -> RunOutcome:
    """As `run_day`, for any order."""
    engines.require(order.engine)
    contract = contracts.load(settings.contract)
    with progress.step("database"):
        url = database_url(settings)
        database.upgrade(url)
    runner = DayRunner(
        settings=settings,
        contract=contract,
        database_url=url,
        gate=lambda staged, run: _judge(staged, run, settings, contract, order, url),
        progress=progress,
        meanwhile=import_gate,
    )
    try:
        outcome = runner.run(order)
    except RunFailed as failed:
        _publish_pages(settings, url, order.day)
        notify(settings, (failed.alert,))
        raise
    page = settings.site_folder / "runs" / outcome.summary.run_id / "index.html"
    if outcome.report is not None:
        with progress.step("pages"):
            _publish_pages(settings, url, order.day, [outcome.summary.run_id])
            failpoint("pages.done")
    # Also when nothing was done: the process that did it may have died before it told anybody.
    notify(settings, outcome.alerts)
    return RunOutcome(
        summary=outcome.summary,
        report=outcome.report,
        page=page if page.exists() else None,
        unchanged=outcome.report is None,
    )


def database_url(settings: Settings) -> str:
    """The configured server, or the embedded one, started when it does not run."""
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    return postgres.ensure_running(settings.home)


def upgrade(settings: Settings, *, wait_seconds: float = 0) -> str:
    """Apply missing migrations, waiting so long for a database that is away; a sentence about the version reached."""
    reached = patiently(lambda: database.upgrade(database_url(settings)), seconds=wait_seconds)
    return f"The database is at version {reached}."


def history(settings: Settings, days: int) -> list[DaySummary]:
    """The last days as the ledger tells them, newest first."""
    url = database_url(settings)
    database.upgrade(url)
    with database.session(url, name="status", doing="reading the ledger") as connection:
        return ledger.history(connection, days)


def judged_days(settings: Settings, days: int) -> list[Measured]:
    """What the checks found on the last days, under the contract of today, oldest first."""
    contract = contracts.load(settings.contract)
    url = database_url(settings)
    database.upgrade(url)
    with database.session(url, name="calibrate", doing="reading the quality log") as connection:
        return quality_log.judged_days(connection, days, contract_sha256=contract.sha256)


def stop_database(settings: Settings) -> None:
    """Stop the embedded PostgreSQL; its data stays."""
    postgres.stop(settings.home)


def _judge(
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
    page = _tolerated(
        lambda: _page(
            staged,
            checked,
            contract,
            run_id=run.run_id,
            folder=folder,
            language=settings.lang,
            release=order.release,
        )
    )
    return replace(report, page=page, hours=hours.spread(staged)), _of_a_shut_gate(outbox, run, report)


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
            checks=report.checks,
            lines=report.lines,
            failing_lines=report.failing_lines,
            problems=report.problems,
        )
        found = [told]
    return [alerts.with_findings(alert, report.findings) for alert in found]


def _page(
    staged: Staged,
    checked: Checked,
    contract: Contract,
    *,
    run_id: str | None,
    folder: Path,
    language: Language,
    release: Release | None = None,
) -> Path:
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


def unfinished_pages(settings: Settings, url: str) -> frozenset[str]:
    """Judged runs whose pages are made and not in the site; see `scheduler.site`."""
    from scheduler import site

    return frozenset(site.unfinished(settings, url))


def finish_pages(settings: Settings) -> None:
    """Bring those pages into the site."""
    from scheduler import site

    url = database_url(settings)
    missing = site.unfinished(settings, url)
    if missing:
        _tolerated(lambda: site.publish(settings, url, sorted(set(missing.values())), runs=sorted(missing)))


def _publish_pages(settings: Settings, url: str, day: date, runs: Sequence[str] = ()) -> None:
    """Bring the site up to date with a day that ended, in whatever way."""
    from scheduler import site

    _tolerated(lambda: site.publish(settings, url, [day], runs=runs))


def _tolerated(make: Callable[[], T]) -> T | None:
    """Pages never change a verdict and never hold up a day: what goes wrong is told in the log."""
    try:
        return make()
    except DaygateError as error:
        log.warning("%s %s", error.message, error.hint)
    except OSError as error:
        log.warning("The site could not be brought up to date: %s.", error.strerror)
    return None


def notify(settings: Settings, news: Sequence[Alert]) -> None:
    """Send alerts, and those that still wait before them; never raises.

    What cannot be kept in the outbox now is sent without it, once.
    """
    try:
        url = database_url(settings)
        with database.session(url, name="alerts", doing="keeping alerts") as connection:
            outbox.keep(connection, news)
    except DaygateError as error:
        log.warning("The outbox is away: %s", error.message)
        for alert in news:
            slack.send(alert_text.compose(alert, language=settings.lang), slack.channel_of(settings))
        return
    outbox_sender.work_off(url, settings)
