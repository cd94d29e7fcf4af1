"""The dashboard in the terminal: a pure function from figures to text."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from itertools import groupby
from typing import Final

from gx.day_page import told
from gx.pages import WINDOWS, state_of
from pipeline.check_ids import CHECK_IDS
from pipeline.records import CheckResult, DaySummary, Verdict
from pipeline.site_figures import Figures
from pipeline.wording import percent, visible
from pipeline.words import FAILED, INCONCLUSIVE, MISSING, NO_VERDICT, PASSED, RELEASED, RUNNING, State
from scheduler.output import Align, Look, Role, columns

#: State -> sign, its stand-in where there is no Unicode, and colour.
_SIGNS: Final[dict[State, tuple[str, str, Role]]] = {
    PASSED: ("✓", "+", "good"),
    FAILED: ("✗", "x", "bad"),
    INCONCLUSIVE: ("?", "?", "bad"),
    RELEASED: ("r", "r", "warn"),
    NO_VERDICT: ("!", "!", "bad"),
    RUNNING: ("~", "~", "faint"),
    MISSING: ("·", ".", "faint"),
}
_STEPS: Final = "▁▂▃▄▅▆▇█"
_PLAIN_STEPS: Final = "_.-~=+*#"
_ALIGNS: Final[tuple[Align, ...]] = ("<", ">", "<", "<")


def dashboard(figures: Figures, checks: Sequence[CheckResult], *, days: int, look: Look) -> str:
    """The last days at a glance.

    Args:
        figures: of at least so many days.
        checks: of the newest day that has a run.
        days: how far to look back.
        look: what the terminal can show.
    """
    if not figures.days:
        return "No day has been through the gate yet.\n  try: daygate run"
    shown = [day for day in figures.calendar if figures.first and day >= figures.first][-days:]
    parts = [
        _newest(figures.days[0], checks, look),
        _availability(figures, look),
        _strip(figures, shown, look),
        _checks(figures, shown, look),
        _trends(figures, shown, look),
    ]
    return "\n\n".join("\n".join(part) for part in parts)


def spark(values: Sequence[float | None], look: Look, *, low: float | None = None) -> str:
    """Values as a line of little bars, the lowest from `low` on; a space where there is none."""
    steps = _STEPS if look.unicode else _PLAIN_STEPS
    known = [value for value in values if value is not None]
    if not known:
        return ""
    least = min(known) if low is None else min(low, *known)
    room = (max(known) - least) or 1.0
    top = len(steps) - 1
    return "".join(" " if value is None else steps[round((value - least) / room * top)] for value in values)


def _newest(run: DaySummary, checks: Sequence[CheckResult], look: Look) -> list[str]:
    said = told(run, checks)
    state = state_of(run)
    head = f"{run.day:%A} {run.day}  {look.paint(state[1], _SIGNS[state][2])}"
    return [look.paint(head, "strong"), *(f"  {visible(line, limit=500)}" for line in (said.sentence, *said.broken))]


def _availability(figures: Figures, look: Look) -> list[str]:
    found = [(days, figures.availability(days)) for days in WINDOWS]
    words = [
        f"{days} days {percent(one.published, one.of) or '-'} ({one.published} of {one.of})" for days, one in found
    ]
    return [look.paint("Availability", "strong"), "  " + look.dot.join(words)]


def _strip(figures: Figures, shown: Sequence[date], look: Look) -> list[str]:
    by_day = figures.by_day
    lines = []
    for month, days in groupby(shown, key=lambda day: (day.year, day.month)):
        month_days = list(days)
        states = [state_of(by_day[day]) if day in by_day else MISSING for day in month_days]
        signs = "".join(look.paint(_sign(state, look), _SIGNS[state][2]) for state in states)
        lines.append(f"  {month[0]}-{month[1]:02d}  {month_days[0].day:>2} {signs} {month_days[-1].day}")
    used = {state_of(by_day[day]) if day in by_day else MISSING for day in shown}
    legend = ", ".join(f"{_sign(state, look)} {state[1].lower()}" for state in _SIGNS if state in used)
    return [look.paint("Days", "strong"), *lines, look.paint(f"  {legend}", "faint")]


def _sign(state: State, look: Look) -> str:
    sign, plain, _ = _SIGNS[state]
    return sign if look.unicode else plain


def _checks(figures: Figures, shown: Sequence[date], look: Look) -> list[str]:
    """Days each check did not pass, its pass rate over the days, and the last day it did not pass."""
    rows = []
    for check in CHECK_IDS:
        found = {one.day: one for one in figures.checks if one.id == check}
        judged = [found[day] for day in shown if day in found]
        failed = [one.day for one in judged if one.verdict is not Verdict.PASS]
        rates = [found[day].pass_rate if day in found else None for day in shown]
        last = f"last {failed[-1]}" if failed else "never"
        rows.append((check, f"{len(failed)} of {len(judged)}", last, spark(rates, look, low=0.98)))
    lines = columns(rows, _ALIGNS)
    return [look.paint("Checks: days not passed, and the share of good lines", "strong"), *lines]


def _trends(figures: Figures, shown: Sequence[date], look: Look) -> list[str]:
    by_day = figures.by_day
    judged = [by_day[day] if day in by_day and by_day[day].verdict else None for day in shown]
    published = [run if run is not None and run.status == "published" else None for run in judged]
    series: list[tuple[str, list[float | None], str]] = [
        ("events", [None if run is None else run.lines for run in judged], ",.0f"),
        ("users", [None if run is None else run.unique_users for run in published], ",.0f"),
        ("revenue (won)", [None if run is None else float(run.revenue) for run in published], ",.0f"),
    ]
    rates = {(one.day, one.platform): one.rate for one in figures.conversions}
    series += [
        (f"conversion {visible(platform, limit=20)} (%)", [rates.get((day, platform)) for day in shown], ".2f")
        for platform in sorted({platform for _, platform in rates})
    ]
    rows = []
    for name, values, form in series:
        known = [value for value in values if value is not None]
        rows.append((name, f"{known[-1]:{form}}" if known else "-", "", spark(values, look, low=0)))
    return [look.paint("Trends, and the last value", "strong"), *columns(rows, _ALIGNS)]
