"""The service in figures, as Prometheus text or OpenMetrics.

Everything but the heartbeat and the process comes from the ledger, so it is the same from every instance
and survives a restart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime, time
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from pipeline.ledger_figures import JudgedDay, LedgerFigures
from pipeline.records import Verdict
from pipeline.zone import ZONE
from scheduler.version import installed

_OPENMETRICS: Final = "application/openmetrics-text"


def exposition(figures: LedgerFigures | None, *, heartbeat_age: float, accept: str) -> tuple[bytes, str]:
    """All metrics, and their content type.

    Args:
        figures: None while the database does not answer.
        heartbeat_age: seconds since the service's loop last turned.
        accept: the request's Accept header; OpenMetrics is sent to who asks for it.
    """
    registry = CollectorRegistry()
    registry.register(_Now(figures, heartbeat_age))
    ProcessCollector(registry=registry)
    if _wants_openmetrics(accept):
        text = openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call]
        return text, openmetrics.CONTENT_TYPE_LATEST
    return generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4


def _wants_openmetrics(accept: str) -> bool:
    for part in accept.split(","):
        kind, *parameters = (word.strip().lower() for word in part.split(";"))
        if kind == _OPENMETRICS:
            return not any(word.removeprefix("q=").strip("0.") == "" for word in parameters if word.startswith("q="))
    return False


class _Now(Collector):
    """One moment as metric families; made anew for each answer."""

    def __init__(self, figures: LedgerFigures | None, heartbeat_age: float) -> None:
        self._figures = figures
        self._heartbeat_age = heartbeat_age

    def describe(self) -> list[Metric]:
        """Nothing: names never clash in a registry of one's own."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The families, those of the ledger only when it was read."""
        yield _labelled("daygate_build_info", "The version that runs.", "version", {installed(): 1})
        yield _gauge("daygate_loop_heartbeat_age_seconds", "Since the service's loop last turned.", self._heartbeat_age)
        yield _gauge("daygate_database_up", "Whether the database answered.", self._figures is not None)
        if self._figures is not None:
            yield from _ledger(self._figures)
            if self._figures.newest is not None:
                yield from _newest(self._figures.newest)


def _ledger(figures: LedgerFigures) -> Iterator[Metric]:
    runs = CounterMetricFamily("daygate_runs", "Runs in the ledger.", labels=("status", "verdict"))
    for (status, verdict), count in sorted(figures.runs.items()):
        runs.add_metric((status, verdict), count)
    yield runs
    events = CounterMetricFamily("daygate_events", "Events of all judged runs.", labels=("outcome",))
    events.add_metric(("loaded",), figures.loaded)
    events.add_metric(("quarantined",), figures.quarantined)
    yield events
    yield _gauge("daygate_runs_in_progress", "Runs that hold a day now.", figures.running)
    yield _gauge("daygate_outbox_alerts", "Alerts nobody has been told of yet.", figures.outbox)
    yield _gauge("daygate_outbox_oldest_age_seconds", "How long the oldest of them waits.", figures.outbox_age)
    yield _gauge("daygate_outbox_given_up_alerts", "Alerts that nobody took.", figures.given_up)
    if figures.age is not None:
        yield _gauge("daygate_ledger_age_seconds", "Since the last run ended.", figures.age)
    if figures.newest_published is not None:
        yield _gauge(
            "daygate_published_day_timestamp_seconds",
            "Start of the newest day that is published.",
            _start(figures.newest_published),
        )


def _newest(day: JudgedDay) -> Iterator[Metric]:
    yield _gauge("daygate_day_timestamp_seconds", "Start of the newest day the gate answered.", _start(day.day))
    yield _labelled(
        "daygate_day_verdict",
        "The gate's answer about that day: 1 at the verdict it gave.",
        "verdict",
        {verdict.value: verdict.value == day.verdict for verdict in Verdict},
    )
    yield _labelled(
        "daygate_day_events",
        "Lines of that day.",
        "outcome",
        {"delivered": day.lines, "loaded": day.loaded, "quarantined": day.quarantined},
    )
    yield _labelled("daygate_step_duration_seconds", "Steps of that day's run.", "step", day.timings)
    yield _labelled(
        "daygate_check_pass_ratio",
        "Share of good lines; missing when the check looked at none.",
        "check",
        {check.id: check.pass_rate for check in day.checks if check.pass_rate is not None},
    )
    for name, about, field in (
        ("daygate_check_threshold_ratio", "Lowest share that passes.", "threshold"),
        ("daygate_check_events", "Lines the check looked at.", "evaluated_rows"),
        ("daygate_check_failed_events", "Lines that failed the check.", "failed_rows"),
    ):
        yield _labelled(name, about, "check", {check.id: getattr(check, field) for check in day.checks})


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(name, about, value=float(value))


def _labelled(name: str, about: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, about, labels=(label,))
    for key, value in values.items():
        family.add_metric((key,), float(value))
    return family


def _start(day: date) -> float:
    """The first instant of a business day, in seconds since 1970."""
    return datetime.combine(day, time(), ZONE).timestamp()
