"""The page of one day: what was decided, what changed, how much there was, every attempt, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final

from gx import charts
from gx.charts import Chart, Series
from gx.check_lines import CheckLine, line, state_of
from gx.look import count, named
from gx.pages import Place, Told
from gx.pages import state_of as state_of_run
from pipeline.changes import HOUR
from pipeline.check_ids import CHECK_IDS
from pipeline.records import OUTSIDE, Change, CheckResult, DaySummary, Verdict, VolumeFinding
from pipeline.site_figures import DayFigures, Usual
from pipeline.volume import ARRIVED
from pipeline.wording import floored
from pipeline.words import FAILED, WARNED, State, spoken

_HOURS: Final = tuple(f"{hour:02d}" for hour in range(24))


def day_page(found: DayFigures, place: Place) -> str:
    """The page of a day that has at least one run."""
    run = found.run
    page = place.run(run.run_id)
    return place.render(
        "day.html",
        "days",
        run=run,
        state=state_of_run(run),
        sentence=sentence(run, found.checks),
        broken=_broken(found.checks) + _added(found.report),
        before=_neighbour(found.before, place),
        after=_neighbour(found.after, place),
        later_blocked=run.is_current
        and found.attempts[0].run_id != run.run_id
        and found.attempts[0].status != "running",
        blocked_href=place.run(run.released_run),
        problems=[spoken().again(str(problem)) for problem in found.report.get("problems") or ()],
        checks=_check_lines(found.checks, page),
        page=page,
        changes=[_change(one, page) for one in found.findings.changes],
        findings=[_finding(one) for one in found.findings.volume],
        volume=[_volume(one) for one in found.volume] if run.verdict is not None else (),
        usual_says=_usual_says(run.day, found.usual_of),
        hours=_hours(found) if found.hours else None,
        attempts=[_attempt(one, place) for one in found.attempts],
        commands=_commands(run),
    )


def sentence(run: DaySummary, checks: Sequence[CheckResult]) -> str:
    """What was decided about a day, as a person would say it."""
    say = spoken()
    if run.verdict is None:
        if run.status == "running":
            return say("day.under_way")
        return say("day.broke", error=run.error) if run.error else say("day.broke_unknown")
    if run.verdict is Verdict.INCONCLUSIVE:
        return say("day.unjudged")
    if run.verdict is Verdict.FAIL:
        failed = _titles(checks, FAILED) or say("day.other_failed")
        return say("day.released" if run.released_by else "day.failed", checks=failed)
    warned = _titles(checks, WARNED)
    said = say("day.warned", checks=warned) if warned else say("day.passed")
    return f"{said} {say('day.stay_out', count=run.quarantined)}" if run.quarantined else said


def told(run: DaySummary, checks: Sequence[CheckResult]) -> Told:
    """A day in words, for the front page."""
    return Told(sentence=sentence(run, checks), broken=_broken(checks))


def _broken(checks: Sequence[CheckResult]) -> tuple[str, ...]:
    """How bad each check is that did not pass, in a sentence."""
    return tuple(
        spoken()(
            "day.how_bad" if one.worst else "day.how_bad_alone",
            check=one.title,
            rate=one.rate,
            needed=one.needed,
            failed=one.failed,
            of=one.evaluated,
            rule=one.worst,
        )
        for one in _check_lines(checks, None)
        if one.judged and not one.good
    )


def _added(report: Mapping[str, Any]) -> tuple[str, ...]:
    """Each guard and each expectation of one's own that did not pass, in a sentence."""
    bad = [one["id"] for one in report.get("added") or () if one["verdict"] != Verdict.PASS]
    return tuple(spoken()("day.added_bad", name=spoken().again(name)) for name in bad)


def _check_lines(checks: Sequence[CheckResult], page: str | None) -> list[CheckLine]:
    """The seven in the order people see them, each leading to its section on the page of the run."""
    order = {check: place for place, check in enumerate(CHECK_IDS)}
    own = sorted((check for check in checks if check.id in order), key=lambda check: order[check.id])
    return [line(check, href=None if page is None else f"{page}#check-{check.id}") for check in own]


def _titles(checks: Sequence[CheckResult], state: State) -> str:
    found = {check.id for check in checks if state_of(check) == state}
    return ", ".join(named(check) for check in CHECK_IDS if check in found)


def _neighbour(day: date | None, place: Place) -> dict[str, object] | None:
    href = None if day is None else place.day(day)
    return None if href is None else {"day": day, "href": href}


def _attempt(run: DaySummary, place: Place) -> dict[str, Any]:
    took = None if run.finished_at is None else (run.finished_at - run.started_at).total_seconds()
    superseded = run.status == "published" and not run.is_current
    return {
        "run": run,
        "state": state_of_run(run),
        "status": "superseded" if superseded else run.outcome,
        "took": "–" if took is None else spoken()("day.seconds", seconds=f"{took:,.1f}"),
        "href": place.run(run.run_id),
    }


def _change(change: Change, page: str | None) -> dict[str, Any]:
    """Since when, how it usually is, and what stands out; a change told of a passed day begins and ends with it."""
    say = spoken()
    now = _rate(change.pass_rate)
    since = say("day.since_ever", first=say.day(change.first_bad_day))
    if change.last_good_day is not None:
        since = say("day.since", first=say.day(change.first_bad_day), last=say.day(change.last_good_day))
    level = say("day.now_only", now=now)
    if change.usual_pass_rate is not None:
        level = say("day.usually", usual=_rate(change.usual_pass_rate), now=now)
    return {
        "check": change.check_id,
        "title": named(change.check_id),
        "href": None if page is None else f"{page}#check-{change.check_id}",
        "since": since,
        "level": level,
        "rows": [
            {
                "dimension": _dimension(one.dimension),
                "value": _value(one.dimension, one.value),
                "failing_share": _rate(one.failing_share),
                "overall_share": _rate(one.overall_share),
                "failing_lines": one.failing_lines,
            }
            for one in change.commonalities
        ],
    }


def _rate(share: float | None) -> str:
    return "–" if share is None else floored(share)


def _dimension(name: str) -> str:
    said = spoken().known(f"dimension.{name}", name)
    return said[:1].upper() + said[1:]


def _value(dimension: str, value: str) -> str:
    if value == OUTSIDE:
        return spoken()("day.outside")
    return f"{value}:00" if dimension == HOUR else value


def _finding(found: VolumeFinding) -> str:
    """A volume out of its band in a sentence."""
    return spoken()(
        "day.late" if found.metric == ARRIVED else "day.finding",
        metric=_metric(found.metric),
        value=_figure(found.metric, found.value),
        low=_figure(found.metric, found.low),
        high=_figure(found.metric, found.high),
        median=_figure(found.metric, found.median),
        count=found.days,
    )


def _volume(one: Usual) -> dict[str, str]:
    difference = "–"
    if one.usual and one.name != ARRIVED:
        difference = f"{100 * (one.value / one.usual - 1):+.1f} %".replace("-", "−")
    return {
        "title": _metric(one.name),
        "value": _figure(one.name, one.value),
        "usual": "–" if one.usual is None else _figure(one.name, one.usual),
        "difference": difference,
    }


def _metric(name: str) -> str:
    return spoken().known(f"volume.{name}", name)


def _figure(metric: str, value: float) -> str:
    if metric == ARRIVED:
        return spoken()("volume.hours", hours=f"{value:,.1f}")
    return count(value)


def _usual_says(day: date, of: int) -> str:
    say = spoken()
    return say("day.volume_of" if of else "day.volume_none", count=of, weekday=say.weekday(day))


def _hours(found: DayFigures) -> Chart:
    say = spoken()
    day = say.day(found.run.day)
    series = [Series(name=say("day.this_day"), values=found.hours, kind="bars")]
    if found.usual_hours:
        series.append(Series(name=say("day.usual"), values=found.usual_hours))
    busiest = max(range(len(_HOURS)), key=lambda hour: found.hours[hour])
    return charts.chart(
        say("day.hours"),
        id="hours",
        labels=_HOURS,
        series=series,
        scale=charts.from_zero([*found.hours, *found.usual_hours]),
        shown=count,
        says=f"{say('day.hours_of', day=day)}: {_HOURS[busiest]}:00 {count(found.hours[busiest])}.",
    )


def _commands(run: DaySummary) -> list[tuple[str, str]]:
    """What a person can do about the day, as commands to copy."""
    say = spoken()
    if run.verdict is None:
        return [] if run.status == "running" else [(say("day.do_run"), f"daygate run --date {run.day}")]
    found: list[tuple[str, str]] = []
    if run.quarantined:
        found += [
            (say("day.do_show"), f"daygate quarantine show {run.day}"),
            (
                say("day.do_export", count=run.quarantined),
                f"daygate quarantine export {run.day} --output lines-{run.day}.jsonl",
            ),
        ]
    if run.status == "blocked":
        if run.quarantined:
            fixed = f"daygate quarantine replay {run.day} --file lines-{run.day}.jsonl"
            found.append((say("day.do_replay"), fixed))
        if run.verdict is Verdict.FAIL and run.quarantined < run.lines:
            found.append((say("day.do_release"), f'daygate release {run.day} --reason "{say("day.why")}"'))
        if run.verdict is Verdict.INCONCLUSIVE:
            found.append((say("day.do_run"), f"daygate run --date {run.day} --force"))
    return found
