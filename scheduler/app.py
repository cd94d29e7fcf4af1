"""The composition root: what the commands do, where pipeline, gate, database, site and Slack meet.

What is slow to import is imported by who needs it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

from pipeline import (
    alert_text,
    database,
    engines,
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
from pipeline.failpoints import failpoint
from pipeline.progress import Progress
from pipeline.records import Alert, CheckReport, DaySummary, EngineChoice
from pipeline.retry import patiently
from pipeline.settings import Settings
from scheduler import judging
from scheduler.ahead import import_gate

log = logging.getLogger(__name__)


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
        gate=lambda staged, run: judging.judge(staged, run, settings, contract, order, url),
        progress=progress,
        meanwhile=partial(import_gate, spark=order.engine != "pandas"),
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
        judging.tolerated(lambda: site.publish(settings, url, sorted(set(missing.values())), runs=sorted(missing)))


def _publish_pages(settings: Settings, url: str, day: date, runs: Sequence[str] = ()) -> None:
    """Bring the site up to date with a day that ended, in whatever way."""
    from scheduler import site

    judging.tolerated(lambda: site.publish(settings, url, [day], runs=runs))


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
