"""What a reader should know beside the verdict: found once, in the run, and kept with it.

As JSON-ready facts the findings stand in `pipeline_run_log.report` and in report.json.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

from polars.exceptions import PolarsError

from pipeline import changes, database, landing, volume
from pipeline.contract import Contract
from pipeline.errors import StepFailed
from pipeline.records import Change, CheckReport, Commonality, Findings, Staged, Verdict, VolumeFinding
from pipeline.settings import Settings

log = logging.getLogger(__name__)

T = TypeVar("T")


def added(
    report: CheckReport, staged: Staged, *, url: str, settings: Settings, contract: Contract, file: Path | None
) -> CheckReport:
    """The report with what changed and whether the volume is unusual.

    The verdict stays as it is, except that with `volume_severity = critical` an unusual volume makes a PASS a FAIL.

    Args:
        report: what the gate said.
        staged: of which delivery.
        url: the database, for the days before.
        settings: the source of deliveries, and what an unusual volume means.
        contract: names the fields.
        file: the delivery as it was given; the day's own file when None.

    Raises:
        TransientError, DatabaseError: as `database.translated`.
        StepFailed: the volume decides, and cannot be measured.
    """
    with database.session(url, name="findings", doing="looking at the days before") as connection:
        changed = _tolerated(lambda: changes.find(connection, staged, report, contract=contract, day=staged.day))
        measured = _tolerated(lambda: _measured(staged, settings, contract, file))
        unusual = volume.unusual(measured or {}, volume.usual_days(connection, staged.day))
    decides = settings.volume_severity == "critical"
    if measured is None and decides:
        raise StepFailed("The volume of the day could not be measured.", step="check")
    found = Findings(changes=changed or (), volume=unusual, measured=measured or {})
    blocked = decides and unusual and report.verdict is Verdict.PASS
    return replace(report, findings=found, verdict=Verdict.FAIL if blocked else report.verdict)


def of_file(report: CheckReport, staged: Staged, contract: Contract) -> CheckReport:
    """The report with what the failing lines have in common: all that is known of a file beside its own lines."""
    changed = _tolerated(lambda: changes.find(None, staged, report, contract=contract, day=staged.day))
    return replace(report, findings=Findings(changes=changed or ()))


def _measured(staged: Staged, settings: Settings, contract: Contract, file: Path | None) -> dict[str, float]:
    found = volume.measured(staged, contract)
    if settings.source != "landing":
        return found
    landed = landing.find(settings, staged.day)
    path = file or (None if landed is None else landed.path)
    hours = None if path is None else volume.arrival(path, staged.day)
    return found if hours is None else {**found, volume.ARRIVED: hours}


def _tolerated(look: Callable[[], T]) -> T | None:
    """Findings never hold up a day: what goes wrong with its files is told in the log."""
    try:
        return look()
    except (PolarsError, OSError) as error:
        log.warning("The day's findings are incomplete (%s).", type(error).__name__)
        return None


def facts(findings: Findings) -> dict[str, Any]:
    """All of it; days as ISO texts."""
    return {
        "changes": [change_facts(change) for change in findings.changes],
        "volume": [asdict(found) for found in findings.volume],
        "measured": dict(findings.measured),
    }


def change_facts(change: Change) -> dict[str, Any]:
    """One change."""
    told = asdict(change) | {"commonalities": [asdict(one) for one in change.commonalities]}
    return {name: value.isoformat() if isinstance(value, date) else value for name, value in told.items()}


def from_facts(told: Mapping[str, Any] | None) -> Findings:
    """What `facts` wrote; nothing for runs of before there were findings."""
    if not told:
        return Findings()
    return Findings(
        changes=tuple(_change(change) for change in told["changes"]),
        volume=tuple(VolumeFinding(**found) for found in told["volume"]),
        measured=dict(told["measured"]),
    )


def _change(told: Mapping[str, Any]) -> Change:
    last_good = told["last_good_day"]
    return Change(
        **{
            **told,
            "first_bad_day": date.fromisoformat(told["first_bad_day"]),
            "last_good_day": None if last_good is None else date.fromisoformat(last_good),
            "commonalities": tuple(Commonality(**one) for one in told["commonalities"]),
        }
    )
