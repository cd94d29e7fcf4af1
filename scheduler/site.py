"""The site kept up to date: the pages a published day touches, and the whole site anew from the database.

Part of the composition root, beside `scheduler.app`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from pipeline import contract as contracts
from pipeline import database, ledger, quality_log, site_figures
from pipeline.database import Connection
from pipeline.failpoints import failpoint
from pipeline.progress import Progress
from pipeline.records import DaySummary, Release, Verdict
from pipeline.settings import Settings
from pipeline.site_figures import DayFigures, Figures
from pipeline.words import speaking
from pipeline.zone import ZONE

if TYPE_CHECKING:
    from gx.pages import Place
    from gx.site import PageFacts

log = logging.getLogger(__name__)

#: Where a run's page takes what became of the run later.
_LATER: Final = "<!--later-->"
#: In a run's folder: its pages are in the site.
_PUBLISHED: Final = "pages.done"


@dataclass(frozen=True, kw_only=True, slots=True)
class Built:
    """What a rebuilding of the site came to."""

    folder: Path
    days: int
    runs: int
    seconds: float


def publish(settings: Settings, url: str, days: Sequence[date], *, runs: Sequence[str] = ()) -> None:
    """Bring every page that a day touches up to date; the same few pages for each day however many days there are.

    Args:
        settings: where the site is, and its language.
        url: the database.
        days: the days that were tried.
        runs: whose pages, rendered in their folders, are to be in the site.

    Raises:
        DocsError: a page could not be made or written.
        TransientError, DatabaseError: as `database.translated`.
    """
    from gx import pages, published

    site = settings.site_folder
    with (
        published.translated(),
        speaking(settings.lang),
        database.session(url, name="site", doing="reading the ledger") as connection,
        published.locked(site),
    ):
        for run_id in runs:
            rendered = settings.runs_folder / run_id / "page"
            if rendered.is_dir():
                published.publish_page(rendered, site, run_id)
            failpoint("pages.copied")
        figures = site_figures.read(connection, days=pages.DAYS_BACK)
        touched = _touched(connection, days, site)
        months = sorted({day.replace(day=1) for day in days})
        written = {pages.day_path(day) for day in touched} | {pages.month_path(first) for first in months}
        has = pages.has_in(site)
        making = _Making(settings, connection, figures, lambda path: path in written or has(path))
        made = making.days(list(touched.values()))
        for first in months:
            made |= making.month(first)
        published.write(site, made | making.shared())
        for found in touched.values():
            _tell_release(site, making, found)
        oldest = published.oldest_kept(figures.today, settings.site_keep_days)
        if oldest is not None:
            published.forget(site, before=oldest)
    for run_id in runs:
        (settings.runs_folder / run_id / _PUBLISHED).touch()


def unfinished(settings: Settings, url: str) -> dict[str, date]:
    """Judged runs, with their days, whose pages are made and not in the site: their process died, or the site is gone.

    Of each of the newest days the last judged run counts; pages that retention removed are not missed.
    """
    from gx.pages import DAYS_BACK, run_path
    from gx.published import INDEX, oldest_kept

    with database.session(url, name="site", doing="reading the ledger") as connection:
        judged = ledger.newest_judged(connection, DAYS_BACK)
    front = (settings.site_folder / INDEX).is_file()
    oldest = oldest_kept(datetime.now(ZONE).date(), settings.site_keep_days) or date.min
    return {
        run.run_id: run.day
        for run in judged
        if run.day >= oldest
        and (settings.runs_folder / run.run_id / "page" / INDEX).is_file()
        and not (
            front
            and (settings.runs_folder / run.run_id / _PUBLISHED).is_file()
            and (settings.site_folder / run_path(run.run_id)).is_file()
        )
    }


def build(settings: Settings, url: str, progress: Progress) -> Built:
    """The whole site anew from the database, swapped in at once while others read the old one.

    Raises:
        BusyError: another process is building it.
        DocsError: it could not be made; the old one stays.
    """
    from gx import published

    began = monotonic()
    with (
        published.translated(),
        speaking(settings.lang),
        published.rebuilt(settings.site_folder) as fresh,
        database.session(url, name="docs", doing="reading the ledger") as connection,
    ):
        building = _Building(settings, connection, fresh, progress)
        with progress.step("days"):
            building.catch_up()
        with progress.step("swap"), published.locked(settings.site_folder):
            building.catch_up()
            building.finish()
            published.swap(fresh, settings.site_folder)
    return Built(folder=settings.site_folder, days=len(building.seen), runs=building.runs, seconds=monotonic() - began)


class _Making:
    """Pages from figures, by their paths in the site."""

    def __init__(
        self, settings: Settings, connection: Connection, figures: Figures, has: Callable[[str], bool]
    ) -> None:
        self._settings = settings
        self._connection = connection
        self._figures = figures
        self._has = has
        self._at = datetime.now(UTC)

    def place(self, depth: int) -> Place:
        from gx.pages import Place

        return Place(generated_at=self._at, has=self._has, depth=depth)

    def days(self, found: list[DayFigures]) -> dict[str, str]:
        from gx import day_page, pages

        return {pages.day_path(one.run.day): day_page.day_page(one, self.place(2)) for one in found}

    def month(self, first: date) -> dict[str, str]:
        from gx import pages

        figures = site_figures.month(self._connection, self._figures, first)
        return {pages.month_path(first): pages.month(figures, self.place(2))}

    def shared(self) -> dict[str, str]:
        """The pages about many days; their cost does not grow."""
        from expectations_custom import checks, rules
        from gx import day_page, pages
        from gx.published import INDEX

        contract = contracts.load(self._settings.contract)
        newest = next(iter(self._figures.days), None)
        said = None
        if newest is not None:
            said = day_page.told(newest, quality_log.checks_of(self._connection, newest.run_id))
        return {
            INDEX: pages.calendar(self._figures, said, self.place(0)),
            f"trends/{INDEX}": pages.trends(self._figures, self.place(1)),
            f"quarantine/{INDEX}": pages.quarantine(self._figures, self.place(1)),
            f"checks/{INDEX}": pages.checks_page(
                self._settings, contract, checks.CHECKS, rules.table(contract), self.place(1)
            ),
        }


class _Building:
    """A new site in a folder of its own, day by day."""

    def __init__(self, settings: Settings, connection: Connection, fresh: Path, progress: Progress) -> None:
        from expectations_custom import rules

        self._settings = settings
        self._connection = connection
        self._fresh = fresh
        self._progress = progress
        self._contract = contracts.load(settings.contract)
        self._table = rules.table(self._contract)
        #: Day -> its runs and what became of them, when its pages were made.
        self.seen: dict[date, str] = {}
        self.runs = 0

    def catch_up(self) -> None:
        """Make the pages of the days that are new or have changed since the last time."""
        from gx import pages, published

        figures = self._figures()
        oldest = published.oldest_kept(figures.today, self._settings.site_keep_days)
        states = site_figures.states(self._connection, since=oldest)
        kept = {pages.day_path(day) for day in states}
        making = _Making(
            self._settings, self._connection, figures, lambda path: path in kept or (self._fresh / path).is_file()
        )
        for day, state in states.items():
            if self.seen.get(day) == state:
                continue
            found = site_figures.day(self._connection, day)
            if found is not None:
                for run, report in site_figures.reports(self._connection, day):
                    self._run(run, report)
                published.write(self._fresh, making.days([found]))
                _tell_release(self._fresh, making, found)
            self.seen[day] = state
            self._progress.advance(len(self.seen), len(states))

    def finish(self) -> None:
        """Make the pages about many days."""
        from gx import pages, published

        figures = self._figures()
        months = {one.first for one in figures.months if any(day.replace(day=1) == one.first for day in self.seen)}
        paths = {pages.month_path(first) for first in months}
        has = pages.has_in(self._fresh)
        making = _Making(self._settings, self._connection, figures, lambda path: path in paths or has(path))
        for first in sorted(months):
            published.write(self._fresh, making.month(first))
        published.write(self._fresh, making.shared())

    def _figures(self) -> Figures:
        from gx.pages import DAYS_BACK

        return site_figures.read(self._connection, days=DAYS_BACK)

    def _run(self, run: DaySummary, report: dict[str, Any]) -> None:
        from gx import published, stored
        from gx.pages import run_path
        from gx.site import page_of

        result = stored.result_of(report, run_id=run.run_id, settings=self._settings, table=self._table)
        published.write(self._fresh, {run_path(run.run_id): page_of(result, facts_of(run, report))})
        published.copy_assets(self._fresh / "runs" / run.run_id)
        self.runs += 1


def facts_of(run: DaySummary, report: dict[str, Any]) -> PageFacts:
    """What the page of a run says beside the validation, as the ledger keeps it."""
    from gx.site import PageFacts
    from gx.stored import added

    release = None
    if run.released_by is not None and run.release_reason is not None and run.released_run is not None:
        release = Release(run_id=run.released_run, by=run.released_by, reason=run.release_reason)
    return PageFacts(
        day=run.day,
        verdict=run.verdict or Verdict.INCONCLUSIVE,
        run_id=run.run_id,
        delivery_name=run.delivery_name or "",
        sha256=run.delivery_sha256 or "",
        engine=run.engine,
        lines=run.lines,
        good=report.get("good_lines") or 0,
        failing=report.get("failing_lines") or 0,
        contract_sha256=run.contract_sha256 or "",
        generated_at=run.finished_at or run.started_at,
        problems=tuple(report.get("problems") or ()),
        release=release,
        added=tuple(added(report)),
    )


def _touched(connection: Connection, days: Sequence[date], site: Path) -> dict[date, DayFigures]:
    """The days, and those before and after them that have a page, which leads to them."""
    from gx.pages import day_path

    found = {day: figures for day in days if (figures := site_figures.day(connection, day)) is not None}
    beside = {day for one in found.values() for day in (one.before, one.after) if day is not None} - found.keys()
    for day in sorted(beside):
        if (site / day_path(day)).is_file() and (figures := site_figures.day(connection, day)) is not None:
            found[day] = figures
    return found


def _tell_release(site: Path, making: _Making, found: DayFigures) -> None:
    """Let the page of a blocked run say that its day was released; done again it changes nothing."""
    from gx.look import render
    from gx.pages import run_path
    from gx.published import write

    run = found.run
    if run.released_run is None:
        return
    path = run_path(run.released_run)
    if not (site / path).is_file():
        return
    page = (site / path).read_text(encoding="utf-8")
    if _LATER in page:
        # Values on the page are escaped, so none can look like the mark.
        said = render("later.html", run=run, href=making.place(2).run(run.run_id))
        write(site, {path: page.replace(_LATER, said, 1)})
