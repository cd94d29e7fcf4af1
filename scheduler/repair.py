"""What a person does about a bad day: look at its quarantine, replay corrected lines, release it.

Part of the composition root, beside `scheduler.app`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from pipeline import archive, database, ledger, quarantine, release, replay
from pipeline import contract as contracts
from pipeline.database import Connection
from pipeline.day import DayOrder
from pipeline.delivery import take
from pipeline.errors import SettingsError
from pipeline.failed_rows import require_form, write_lines
from pipeline.progress import Progress
from pipeline.quarantine import QuarantineCount, QuarantinedLine
from pipeline.records import CheckReport, DaySummary
from pipeline.replay import Recovery
from pipeline.settings import Settings
from scheduler import app, checking
from scheduler.app import RunOutcome

#: Bytes of a quarantined line that a terminal is shown.
HEAD_BYTES: Final = 1000
#: Lines that still fail after a replay, told of one by one.
MOST_STILL: Final = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class QuarantinedDay:
    """A day with lines in quarantine: its last judged run, and its lines by check and rule."""

    run: DaySummary
    counts: tuple[QuarantineCount, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """Some quarantined lines of a day."""

    run: DaySummary
    #: Lines with such a reason, also those that are not among `lines`.
    found: int
    lines: tuple[QuarantinedLine, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Replayed:
    """How a replay ended."""

    outcome: RunOutcome
    #: None when the corrected delivery was published already.
    recovery: Recovery | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Tried:
    """What a dry run of a replay found."""

    report: CheckReport
    recovery: Recovery


def quarantined_days(settings: Settings, days: int) -> list[QuarantinedDay]:
    """The days with lines in quarantine among the last ones, newest first."""
    with _ledger(settings) as connection:
        runs = [run for run in ledger.judged_days(connection, days) if run.quarantined]
        return [QuarantinedDay(run=run, counts=tuple(quarantine.summary(connection, run.day))) for run in runs]


def quarantined_lines(settings: Settings, day: date, *, check: str | None, rule: str | None, limit: int) -> Shown:
    """The first quarantined lines of a day.

    Raises:
        SettingsError: the day was never judged.
    """
    with _ledger(settings) as connection:
        run = _judged(connection, day)
        return Shown(
            run=run,
            found=quarantine.count(connection, run.run_id, check=check, rule=rule),
            lines=tuple(quarantine.lines(connection, run.run_id, check=check, rule=rule, limit=limit, head=HEAD_BYTES)),
        )


def export(settings: Settings, day: date, path: Path) -> DaySummary:
    """Write all quarantined lines of a day with their exact bytes; the run they belong to.

    Raises:
        SettingsError: the suffix names no form, the day was never judged, or the path cannot be written.
        RefusedFile: a long line is kept in the archived delivery only, and that is gone.
    """
    require_form(path, flag="--output")
    with _ledger(settings) as connection:
        run = _judged(connection, day)
        lines = quarantine.stored(connection, run.run_id)
        write_lines(lines, path, source=lambda: archive.reopen(settings.deliveries_folder, run))
    return run


def replay_lines(settings: Settings, day: date, file: Path, *, dry_run: bool, progress: Progress) -> Replayed | Tried:
    """Put corrected lines into the day's delivery and take the whole day through the gate again.

    Args:
        file: the corrections; `pipeline.replay` tells their form.
        dry_run: check only; nothing is written to the database or the data folder.

    Raises:
        RefusedFile: the corrections are refused, or the archived delivery is gone.
        SettingsError: the day was never judged.
        DaygateError: as `app.run_day`.
    """
    with take(file, folder=None, most_bytes=replay.MOST_BYTES) as fixed:
        corrections = replay.read(fixed)
    with _ledger(settings, upgrade=not dry_run) as connection:
        run = _judged(connection, day)
        places = quarantine.places(connection, run.run_id)
    delivery = archive.reopen(settings.deliveries_folder, run)
    with TemporaryDirectory(prefix="daygate-") as work:
        corrected = Path(work) / f"events_{day:%Y%m%d}.corrected.jsonl"
        replay.compose(delivery, places, corrections, corrected)
        if dry_run:
            contract = contracts.load(settings.contract)
            with checking.checking(settings, corrected, day=day, contract=contract, progress=progress) as (_, checked):
                found = replay.recovery(places, checked.report, limit=MOST_STILL)
            return Tried(report=checked.report, recovery=found)
        order = DayOrder(day=day, file=corrected, engine=run.engine, force=False, trigger="replay", follows=run.run_id)
        outcome = app.run_order(settings, order, progress=progress)
    report = outcome.report
    recovery = None if report is None else replay.recovery(places, report, limit=MOST_STILL)
    return Replayed(outcome=outcome, recovery=recovery)


def release_day(settings: Settings, day: date, *, reason: str, by: str | None, progress: Progress) -> RunOutcome:
    """Publish the good lines of a day that failed, and keep who did it and why.

    Raises:
        SettingsError: there is nothing to release, or no reason.
        RefusedFile: the archived delivery is gone.
        DaygateError: as `app.run_day`; also when the gate answers otherwise than when it blocked the day.
    """
    release.require_words(day, by=by, reason=reason)
    with _ledger(settings) as connection:
        blocked = release.releasable(connection, day)
    order = DayOrder(
        day=day,
        file=None,
        engine=blocked.engine,
        force=False,
        trigger="release",
        delivery=archive.reopen(settings.deliveries_folder, blocked),
        follows=blocked.run_id,
        release=release.decision(blocked, by=by, reason=reason),
    )
    return app.run_order(settings, order, progress=progress)


@contextmanager
def _ledger(settings: Settings, *, upgrade: bool = True) -> Iterator[Connection]:
    """A connection to a database of this version; without `upgrade` it is not brought there."""
    url = app.database_url(settings)
    if upgrade:
        database.upgrade(url)
    with database.session(url, name="quarantine", doing="reading the quarantine") as connection:
        if not upgrade and database.version(connection) != database.newest_version():
            raise SettingsError(
                "The database is not at this version, and a dry run changes nothing.", hint="daygate db upgrade"
            )
        yield connection


def _judged(connection: Connection, day: date) -> DaySummary:
    run = ledger.judged(connection, day)
    if run is None:
        raise SettingsError(
            f"{day} was never judged; nothing of it is in quarantine.", hint=f"daygate run --date {day}"
        )
    return run
