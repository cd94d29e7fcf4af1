"""The pages of the site that tell of many days: calendar, months, trends, the checks, quarantine.

    index.html                    the calendar: the newest months, newest day first
    months/2026-11/index.html     every older month
    days/2026-11-22/index.html    gx.day_page
    runs/<run_id>/index.html      gx.site, rendered by Great Expectations' renderers
    trends/index.html, checks/index.html, quarantine/index.html

Pure functions from figures to HTML; `Place` says what a page may link to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gx import charts
from gx.blocks import anchor
from gx.charts import Chart, Series
from gx.look import STATES, count, named, render
from gx.published import INDEX
from pipeline.check_ids import CHECK_IDS
from pipeline.contract import Contract
from pipeline.records import DaySummary, Verdict
from pipeline.settings import Settings
from pipeline.site_figures import CheckOfDay, Figures
from pipeline.wording import percent, share
from pipeline.words import MISSING, NO_VERDICT, NOT_DUE, PASSED, RELEASED, RUNNING, State, spoken

if TYPE_CHECKING:
    from expectations_custom.rule import Check, RuleTable

#: Days the front page and the trends look back on.
DAYS_BACK: Final = 90
_MONTHS_SHOWN: Final = 3
_DAYS_LISTED: Final = 31
WINDOWS: Final = (7, 30, 90)
_WEEK: Final = 7


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a page stands: what it may link to, and when it was made."""

    generated_at: datetime
    #: Whether the site has such a page, by its path.
    has: Callable[[str], bool]
    #: How many folders deep the page lies.
    depth: int = 0

    @property
    def home(self) -> str:
        """Leads from the page to the folder of the site."""
        return "../" * self.depth

    def link(self, path: str) -> str | None:
        """A link to a page of the site; None when it has no such page."""
        return self.home + path if self.has(path) else None

    def day(self, day: date) -> str | None:
        """A link to the page of a day."""
        return self.link(day_path(day))

    def run(self, run_id: str | None) -> str | None:
        """A link to the page of a run."""
        return None if run_id is None else self.link(run_path(run_id))

    def render(self, template: str, here: str, **context: Any) -> str:
        """A page at this place."""
        return render(template, root=self.home, home=self.home, here=here, generated_at=self.generated_at, **context)


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """A day in words."""

    sentence: str
    #: One sentence for each check that did not pass.
    broken: tuple[str, ...]


def day_path(day: date) -> str:
    """The page of a day."""
    return f"days/{day}/{INDEX}"


def run_path(run_id: str) -> str:
    """The page of a run."""
    return f"runs/{run_id}/{INDEX}"


def month_path(first: date) -> str:
    """The page of a month."""
    return f"months/{first:%Y-%m}/{INDEX}"


def has_in(folder: Path) -> Callable[[str], bool]:
    """Whether a folder holds such a page."""
    return lambda path: (folder / path).is_file()


def state_of(run: DaySummary) -> State:
    """How a run's day is shown."""
    if run.outcome == "released":
        return RELEASED
    if run.verdict is None:
        return RUNNING if run.status == "running" else NO_VERDICT
    return STATES[run.verdict]


def calendar(figures: Figures, newest: Told | None, place: Place) -> str:
    """The front page.

    Args:
        figures: of the last `DAYS_BACK` days.
        newest: what is said of the newest day that has a run; None before the first run.
        place: of the page.
    """
    by_day = figures.by_day
    run = figures.days[0] if figures.days else None
    yesterday = figures.today - timedelta(days=1)
    return place.render(
        "calendar.html",
        "days",
        newest=None if run is None else _row(run.day, run, place) | {"sentence": newest.sentence if newest else ""},
        broken=newest.broken if newest else (),
        late=yesterday if run is not None and run.day < yesterday else None,
        availability=[_available(figures, days) for days in WINDOWS],
        released=[_row(one.day, one, place) for one in figures.days if one.released_by],
        months=[_month(first, by_day, figures, place) for first in _months(figures)[:_MONTHS_SHOWN]],
        signs=(PASSED, *list(STATES.values())[1:], RELEASED, NO_VERDICT, MISSING),
        rows=_rows(figures, place)[:_DAYS_LISTED],
        older=[
            {
                "first": one.first,
                "href": place.link(month_path(one.first)),
                "published": one.published,
                "days": one.days,
            }
            for one in figures.months
        ],
    )


def month(figures: Figures, place: Place) -> str:
    """The page of one month, whose days `figures` holds."""
    first = figures.start
    return place.render(
        "month.html",
        "days",
        first=first,
        grid=_month(first, figures.by_day, figures, place) | {"href": None},
        rows=_rows(figures, place),
    )


def trends(figures: Figures, place: Place) -> str:
    """How checks and figures went over the days."""
    shown = [day for day in figures.calendar if figures.first is not None and day >= figures.first]
    by_check: dict[str, dict[date, CheckOfDay]] = {}
    for check in figures.checks:
        by_check.setdefault(check.id, {})[check.day] = check
    labels = [spoken().short(day) for day in shown]
    checks = [_trend(check, by_check[check], shown, labels, place) for check in CHECK_IDS if check in by_check]
    return place.render(
        "trends.html",
        "trends",
        checks=checks,
        days=len(shown),
        first=shown[0] if shown else figures.start,
        last=figures.end,
        volumes=_volumes(figures, shown, labels) if checks else (),
        conversion=_conversion(figures, shown, labels) if checks else None,
    )


def quarantine(figures: Figures, place: Place) -> str:
    """What is kept out of which day."""
    found: dict[date, list[CheckOfDay]] = {}
    for check in figures.checks:
        found.setdefault(check.day, []).append(check)
    runs = [run for run in figures.days if run.quarantined]
    failed = {
        check: sum(one.failed_rows for run in runs for one in found.get(run.day, ()) if one.id == check)
        for check in CHECK_IDS
    }
    most = max(failed.values(), default=0) or 1
    return place.render(
        "quarantine.html",
        "quarantine",
        known=bool(figures.days),
        of=len([day for day in figures.calendar if figures.first is not None and day >= figures.first]),
        total=sum(run.quarantined for run in runs),
        rows=[_row(run.day, run, place) | _kept_out(run, found.get(run.day, ())) for run in runs],
        checks=[
            {"id": check, "title": named(check), "failed": lines, "share": round(100 * lines / most, 1)}
            for check, lines in sorted(failed.items(), key=lambda item: -item[1])
            if lines
        ],
    )


def checks_page(settings: Settings, contract: Contract, checks: Sequence[Check], table: RuleTable, place: Place) -> str:
    """What every day must pass: the seven checks and their rules."""
    say = spoken()
    return place.render(
        "checks.html",
        "checks",
        contract=contract.source,
        sha256=contract.sha256,
        floor=share(settings.rule_floor),
        floor_lines=settings.rule_floor_lines,
        checks=[
            {
                "id": check.id,
                "title": say.known(f"title.{check.id}", check.title),
                "says": say.known(f"says.{check.id}", check.says),
                "severity": say(f"figure.{settings.severity(check.id)}"),
                "threshold": share(settings.threshold(check.id)),
                "rules": [
                    {
                        "id": rule.id,
                        "field": rule.field,
                        "says": say.again(rule.says),
                        "source": rule.source,
                        "anchor": anchor("rule", check.id, rule.id),
                        "floor": share(settings.floors_of(check.id).get(rule.id, settings.rule_floor)),
                    }
                    for rule in table.of(check.id)
                ],
            }
            for check in checks
        ],
    )


def _row(day: date, run: DaySummary | None, place: Place) -> dict[str, Any]:
    return {
        "day": day,
        "weekday": spoken().weekdays()[day.weekday()],
        "href": None if run is None else place.day(day),
        "state": MISSING if run is None else state_of(run),
        "run": run,
    }


def _rows(figures: Figures, place: Place) -> list[dict[str, Any]]:
    """Newest first; days before the first run and days that are not over are left out."""
    by_day = figures.by_day
    first = figures.first or figures.today
    wanted = (day for day in reversed(figures.calendar) if day in by_day or first <= day < figures.today)
    return [_row(day, by_day.get(day), place) for day in wanted]


def _available(figures: Figures, days: int) -> dict[str, Any]:
    found = figures.availability(days)
    return {"days": days, "share": percent(found.published, found.of), "published": found.published, "of": found.of}


def _months(figures: Figures) -> list[date]:
    """The first days of the months that have days to show, newest first."""
    first = max(figures.start, figures.first or figures.end)
    found = [figures.end.replace(day=1)]
    while found[-1] > first:
        found.append((found[-1] - timedelta(days=1)).replace(day=1))
    return found


def _month(first: date, by_day: Mapping[date, DaySummary], figures: Figures, place: Place) -> dict[str, Any]:
    """A month as weeks of seven cells, Monday first; None outside the month."""
    following = (first.replace(day=28) + timedelta(days=4)).replace(day=1)
    days = [first + timedelta(days=n) for n in range((following - first).days)]
    cells: list[dict[str, Any] | None] = [None] * first.weekday()
    cells += [_cell(day, by_day.get(day), figures, place) for day in days]
    cells += [None] * (-len(cells) % _WEEK)
    weeks = [cells[n : n + _WEEK] for n in range(0, len(cells), _WEEK)]
    return {"first": first, "weeks": weeks, "href": place.link(month_path(first))}


def _cell(day: date, run: DaySummary | None, figures: Figures, place: Place) -> dict[str, Any]:
    row = _row(day, run, place)
    due = figures.first is not None and figures.first <= day < figures.today and figures.start <= day <= figures.end
    return row if run is not None or due else row | {"state": NOT_DUE}


def _trend(
    check: str, found: Mapping[date, CheckOfDay], shown: Sequence[date], labels: Sequence[str], place: Place
) -> dict[str, Any]:
    say = spoken()
    judged = [found.get(day) for day in shown]
    failed = [one.day for one in judged if one is not None and one.verdict is not Verdict.PASS]
    known = sum(one is not None for one in judged)
    rates = [None if one is None or one.pass_rate is None else 100 * one.pass_rate for one in judged]
    needed = [None if one is None else 100 * one.threshold for one in judged]
    says = say("trends.never_failed", count=known)
    if failed:
        says = say("trends.failed_on", failed=len(failed), of=known, last=say.day(failed[-1]))
    return {
        "id": check,
        "title": named(check),
        "failed": len(failed),
        "judged": known,
        "share": round(100 * len(failed) / known, 1) if known else 0,
        "last": {"day": failed[-1], "href": place.day(failed[-1])} if failed else None,
        "chart": charts.chart(
            named(check),
            id=f"check-{check}",
            labels=labels,
            series=[
                Series(
                    name=say("figure.good_lines"),
                    values=rates,
                    bad=frozenset(n for n, day in enumerate(shown) if day in failed),
                ),
                Series(name=say("figure.needed"), values=needed, kind="limit"),
            ],
            scale=charts.to_hundred([*rates, *needed]),
            shown=lambda value: f"{value:.2f} %".replace(".00 %", " %"),
            says=f"{say('trends.rate_of', check=named(check))}. {says}",
        ),
    }


def _volumes(figures: Figures, shown: Sequence[date], labels: Sequence[str]) -> list[Chart]:
    by_day = figures.by_day
    runs = [by_day.get(day) for day in shown]
    bad = frozenset(n for n, run in enumerate(runs) if run is not None and state_of(run) not in (PASSED, RELEASED))

    def values(of: Callable[[DaySummary], float], *, published: bool) -> list[float | None]:
        kept = [run if run and run.verdict and (run.status == "published" or not published) else None for run in runs]
        return [None if run is None else of(run) for run in kept]

    return [
        _bars("events", values(lambda run: run.lines, published=False), labels, bad, count),
        _bars("users", values(lambda run: run.unique_users, published=True), labels, bad, count),
        _bars("revenue", values(lambda run: float(run.revenue), published=True), labels, bad, count),
    ]


def _bars(
    name: str,
    values: Sequence[float | None],
    labels: Sequence[str],
    bad: frozenset[int],
    written: Callable[[float], str],
) -> Chart:
    say = spoken()
    title = say(f"trends.{name}")
    return charts.chart(
        title,
        id=f"trend-{name}",
        labels=labels,
        series=[Series(name=say(f"figure.{name}"), values=values, kind="bars", bad=bad)],
        scale=charts.from_zero(values),
        shown=written,
        says=_ranged(title, values, written),
    )


def _conversion(figures: Figures, shown: Sequence[date], labels: Sequence[str]) -> Chart:
    say = spoken()
    platforms = sorted({one.platform for one in figures.conversions})[:6]
    rates = {(one.day, one.platform): one.rate for one in figures.conversions}
    series = [Series(name=name, values=[rates.get((day, name)) for day in shown]) for name in platforms]

    written = "{:.2f} %".format
    return charts.chart(
        say("trends.conversion_of"),
        id="trend-conversion",
        labels=labels,
        series=series,
        scale=charts.from_zero(value for one in series for value in one.values),
        shown=written,
        says=" ".join(_ranged(one.name, one.values, written) for one in series),
    )


def _ranged(name: str, values: Iterable[float | None], written: Callable[[float], str]) -> str:
    """A row of values in a sentence."""
    known = [value for value in values if value is not None]
    if not known:
        return spoken()("trends.no_values", name=name)
    low, high, last = written(min(known)), written(max(known)), written(known[-1])
    return spoken()("trends.range", name=name, low=low, high=high, last=last)


def _kept_out(run: DaySummary, checks: Sequence[CheckOfDay]) -> dict[str, Any]:
    failing = [check for check in checks if check.failed_rows]
    worst = max(failing, key=lambda check: check.failed_rows, default=None)
    return {
        "lines": run.quarantined,
        "share": f"{100 * run.quarantined / run.lines:.2f} %" if run.lines else "–",
        "check": None if worst is None else named(worst.id),
        "rule": None if worst is None else worst.worst_rule,
        "failed": 0 if worst is None else worst.failed_rows,
    }
