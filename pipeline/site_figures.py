"""Everything the pages of the site say about the past, read from the ledger and the marts.

The number of queries is constant, and each reads a bounded number of days, so that a page costs the same
after a thousand days as after ten. Events themselves are never read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import median
from typing import Any, Final

from pipeline import findings as found_by_the_run
from pipeline import ledger, quality_log, volume
from pipeline.database import Connection, one, translated
from pipeline.hours import HOURS
from pipeline.records import CheckResult, DaySummary, Findings, Severity, Verdict

#: How many weeks back the days that make the usual are looked for.
_WEEKS_BACK: Final = 26
#: Attempts at one day that its page lists.
MOST_ATTEMPTS: Final = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckOfDay:
    """What one check found on one day, in one line."""

    day: date
    id: str
    verdict: Verdict
    severity: Severity
    evaluated_rows: int
    failed_rows: int
    #: Share 0..1; None when the check looked at no lines or could not be judged.
    pass_rate: float | None
    threshold: float
    worst_rule: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Conversion:
    """Buyers among the viewers of a platform on one published day."""

    day: date
    platform: str
    #: Per cent; None when nobody viewed.
    rate: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Availability:
    """Published days among the last ones; days before the ledger's first do not count."""

    published: int
    of: int


@dataclass(frozen=True, kw_only=True, slots=True)
class MonthOfDays:
    """A month that has runs."""

    first: date
    days: int
    published: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """The last days at one moment."""

    #: In Asia/Seoul, by the database's clock.
    today: date
    #: The ledger's first day; None before the first run.
    first: date | None
    #: The days that were asked for.
    start: date
    end: date
    #: One run a day, newest first: the published one, else the last attempt. Days without a run are left out.
    days: tuple[DaySummary, ...]
    #: Of those runs, oldest day first.
    checks: tuple[CheckOfDay, ...]
    #: Oldest day first, by platform.
    conversions: tuple[Conversion, ...]
    #: Newest first.
    months: tuple[MonthOfDays, ...]

    @property
    def calendar(self) -> list[date]:
        """Every day that was asked for, oldest first."""
        return [self.start + timedelta(days=n) for n in range((self.end - self.start).days + 1)]

    @property
    def by_day(self) -> dict[date, DaySummary]:
        """The days' runs by day."""
        return {run.day: run for run in self.days}

    def availability(self, days: int) -> Availability:
        """Over the last `days` whole calendar days, which end yesterday."""
        last = self.today - timedelta(days=1)
        first = max(last - timedelta(days=days - 1), self.first or self.today)
        published = sum(first <= run.day <= last and run.status == "published" for run in self.days)
        return Availability(published=published, of=max((last - first).days + 1, 0))


@dataclass(frozen=True, kw_only=True, slots=True)
class Usual:
    """A figure of the day beside the median of the same weekday's last passed days."""

    #: One of those of `pipeline.volume`.
    name: str
    value: float
    #: None without such days.
    usual: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class DayFigures:
    """One day as its page tells it."""

    #: The published run, else the last judged one, else the last attempt.
    run: DaySummary
    #: Newest first, at most `MOST_ATTEMPTS`.
    attempts: tuple[DaySummary, ...]
    #: Of `run`, without sample lines.
    checks: tuple[CheckResult, ...]
    #: Lines per hour of `run`; empty when it was not judged.
    hours: tuple[int, ...]
    #: Median lines per hour of the same weekday's last passed days; empty without any.
    usual_hours: tuple[float, ...]
    #: What changed, and volumes out of their band.
    findings: Findings
    volume: tuple[Usual, ...]
    #: Passed days of the same weekday behind the usual.
    usual_of: int
    #: Neighbours that have a run.
    before: date | None
    after: date | None
    #: report of `run`, as the ledger keeps it.
    report: Mapping[str, Any]


#: jsonb keeps no order.
_ORDER: Final = {
    name: place
    for place, name in enumerate((volume.EVENTS, volume.USERS, volume.ORDERS, volume.REVENUE, volume.ARRIVED))
}
_CLOCK: Final = "SELECT (now() AT TIME ZONE 'Asia/Seoul')::date, min(day), max(day) FROM pipeline_run_log"
_CHECKS: Final = """
SELECT run.day, q.check_id, q.verdict, q.severity, q.evaluated_rows, q.failed_rows, q.pass_rate, q.threshold,
       q.worst_rule
FROM quality_check_log AS q JOIN pipeline_run_log AS run USING (run_id)
WHERE q.run_id = ANY(%s) ORDER BY run.day, q.check_id
"""
_CONVERSIONS: Final = """
SELECT funnel_date, platform, overall_conversion_rate::float8
FROM mart_funnel_daily WHERE funnel_date BETWEEN %s AND %s ORDER BY funnel_date, platform
"""
_MONTHS: Final = """
SELECT date_trunc('month', day)::date, count(DISTINCT day), count(*) FILTER (WHERE is_current)
FROM pipeline_run_log GROUP BY 1 ORDER BY 1 DESC
"""
_USUAL_HOURS: Final = """
SELECT report -> 'hours' FROM pipeline_run_log
WHERE is_current AND verdict = 'PASS' AND day = ANY(%s) ORDER BY day DESC LIMIT %s
"""
_NEIGHBOURS: Final = """
SELECT (SELECT max(day) FROM pipeline_run_log WHERE day < %(day)s),
       (SELECT min(day) FROM pipeline_run_log WHERE day > %(day)s)
"""


def read(connection: Connection, *, days: int) -> Figures:
    """The last `days` calendar days; they end yesterday, or with the newest run when that is later or long ago.

    Raises:
        TransientError, DatabaseError: as `database.translated`.
    """
    with translated("reading the ledger"), connection, connection.cursor() as cursor:
        cursor.execute(_CLOCK)
        today, first, last = one(cursor)
        cursor.execute(_MONTHS)
        months = tuple(MonthOfDays(first=m, days=of, published=good) for m, of, good in cursor.fetchall())
    yesterday = today - timedelta(days=1)
    end = yesterday if last is None or yesterday - timedelta(days=days) < last < yesterday else last
    return _between(connection, end - timedelta(days=days - 1), end, today=today, first=first, months=months)


def month(connection: Connection, about: Figures, first: date) -> Figures:
    """As `about`, for the days of the month that begins on `first`."""
    following = (first.replace(day=28) + timedelta(days=4)).replace(day=1)
    end = min(following - timedelta(days=1), max(about.end, first))
    return _between(connection, first, end, today=about.today, first=about.first, months=about.months)


def _between(
    connection: Connection,
    start: date,
    end: date,
    *,
    today: date,
    first: date | None,
    months: tuple[MonthOfDays, ...],
) -> Figures:
    runs = ledger.between(connection, start, end)
    with translated("reading the quality log"), connection, connection.cursor() as cursor:
        cursor.execute(_CHECKS, ([run.run_id for run in runs],))
        checks = tuple(_check(row) for row in cursor.fetchall())
        cursor.execute(_CONVERSIONS, (start, end))
        conversions = tuple(
            Conversion(day=day, platform=platform, rate=rate) for day, platform, rate in cursor.fetchall()
        )
    return Figures(
        today=today,
        first=first,
        start=start,
        end=end,
        days=tuple(runs),
        checks=checks,
        conversions=conversions,
        months=months,
    )


def _check(row: Sequence[Any]) -> CheckOfDay:
    day, check, verdict, severity, evaluated, failed, rate, threshold, worst = row
    return CheckOfDay(
        day=day,
        id=check,
        verdict=Verdict(verdict),
        severity=severity,
        evaluated_rows=evaluated,
        failed_rows=failed,
        pass_rate=None if verdict == Verdict.INCONCLUSIVE else rate,
        threshold=threshold,
        worst_rule=worst,
    )


def day(connection: Connection, day: date) -> DayFigures | None:
    """What the page of a day says; None when nobody ever tried it.

    Raises:
        TransientError, DatabaseError: as `database.translated`.
    """
    attempts = ledger.page(connection, limit=MOST_ATTEMPTS, day=day)
    run = ledger.published(connection, day) or ledger.judged(connection, day) or next(iter(attempts), None)
    if run is None:
        return None
    with translated("reading the ledger"), connection, connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(report, '{}') FROM pipeline_run_log WHERE run_id = %s", (run.run_id,))
        (report,) = one(cursor)
        cursor.execute(_USUAL_HOURS, ([day - timedelta(weeks=n) for n in range(1, _WEEKS_BACK + 1)], volume.USUAL_DAYS))
        usual_hours = [hours for (found,) in cursor.fetchall() if (hours := _hours(found))]
        cursor.execute(_NEIGHBOURS, {"day": day})
        before, after = one(cursor)
    usual = volume.usual_days(connection, day)
    findings = found_by_the_run.from_facts(report.get("findings"))
    return DayFigures(
        run=run,
        attempts=tuple(attempts),
        checks=tuple(quality_log.checks_of(connection, run.run_id)),
        hours=_hours(report.get("hours")),
        usual_hours=tuple(float(median(hour)) for hour in zip(*usual_hours, strict=True)),
        findings=findings,
        volume=tuple(
            Usual(name=name, value=value, usual=_median([day[name] for day in usual if name in day]))
            for name, value in sorted(findings.measured.items(), key=lambda item: _ORDER.get(item[0], len(_ORDER)))
        ),
        usual_of=len(usual),
        before=before,
        after=after,
        report=report,
    )


def _hours(found: Any) -> tuple[int, ...]:
    return tuple(found) if isinstance(found, list) and len(found) == HOURS else ()


def _median(values: Sequence[float]) -> float | None:
    return float(median(values)) if values else None


def states(connection: Connection, *, since: date | None) -> dict[date, str]:
    """Every day since then that has a run, oldest first, with its runs and what became of them as one text."""
    with translated("reading the ledger"), connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT day, string_agg(concat_ws(' ', run_id, status, is_current), ',' ORDER BY fence)"
            " FROM pipeline_run_log WHERE %(since)s::date IS NULL OR day >= %(since)s GROUP BY day ORDER BY day",
            {"since": since},
        )
        return dict(cursor.fetchall())


def reports(connection: Connection, day: date) -> list[tuple[DaySummary, dict[str, Any]]]:
    """The judged runs of a day with their reports, at most `MOST_ATTEMPTS`, newest first."""
    runs = [run for run in ledger.page(connection, limit=MOST_ATTEMPTS, day=day) if run.verdict is not None]
    with translated("reading the ledger"), connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT run_id, coalesce(report, '{}') FROM pipeline_run_log WHERE run_id = ANY(%s)",
            ([run.run_id for run in runs],),
        )
        found = dict(cursor.fetchall())
    return [(run, found[run.run_id]) for run in runs]
