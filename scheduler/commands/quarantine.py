"""`daygate quarantine …` and `daygate release`: what a person does about a bad day."""

from __future__ import annotations

import sys
from pathlib import Path
from time import monotonic
from typing import Final

from pipeline.errors import ExitCode
from scheduler import quarantine_text, report_text
from scheduler.arguments import day as read_day
from scheduler.commands import common
from scheduler.commands.common import FEW_SAMPLES
from scheduler.output import look_of, write
from scheduler.screen import progress

#: How the day is named where it is refused.
_DAY: Final = "DAY"


def list_days(days: int) -> int:
    """The days with lines in quarantine, newest first."""
    settings = common.start()
    from scheduler import repair

    write(quarantine_text.days(repair.quarantined_days(settings, days), back=days, look=look_of(sys.stdout)))
    return ExitCode.OK


def show(day: str, *, check: str | None, rule: str | None, limit: int) -> int:
    """Some lines of a day with their reasons."""
    wanted = read_day(day, _DAY)
    settings = common.start()
    from pipeline import archive
    from scheduler import repair

    shown = repair.quarantined_lines(settings, wanted, check=check, rule=rule, limit=limit)
    archived = archive.path_of(settings.deliveries_folder, shown.run.delivery_sha256 or "")
    write(quarantine_text.lines(shown, look_of(sys.stdout), archived=archived if archived.is_file() else None))
    return ExitCode.OK


def export(day: str, *, output: Path) -> int:
    """All lines of a day into a file."""
    wanted = read_day(day, _DAY)
    settings = common.start()
    from pipeline.wording import visible
    from scheduler import repair

    run = repair.export(settings, wanted, output)
    write(f"{run.quarantined:,} lines of {run.day} written to {visible(str(output))}")
    return ExitCode.OK


def replay(day: str, *, file: Path, dry_run: bool) -> int:
    """Corrected lines through the gate together with their day."""
    wanted = read_day(day, _DAY)
    settings = common.start(short_alerts=True)
    from scheduler import repair

    look = look_of(sys.stdout)
    began = monotonic()
    with progress() as shown:
        done = repair.replay_lines(settings, wanted, file, dry_run=dry_run, progress=shown)
    if done.recovery is not None:
        write(quarantine_text.recovered(done.recovery, day=wanted, dry=dry_run, look=look) + "\n")
    if isinstance(done, repair.Tried):
        samples = min(FEW_SAMPLES, settings.sample_lines)
        write(report_text.tried(done.report, day=wanted, took=monotonic() - began, samples=samples, look=look))
        return common.code_of(done.report.verdict)
    return common.tell_run(done.outcome, shown.timings, took=monotonic() - began, settings=settings)


def release(day: str, *, reason: str, by: str | None) -> int:
    """The good lines of a day that failed."""
    wanted = read_day(day, _DAY)
    settings = common.start(short_alerts=True)
    from scheduler import repair

    began = monotonic()
    with progress() as shown:
        outcome = repair.release_day(settings, wanted, reason=reason, by=by, progress=shown)
    return common.tell_run(outcome, shown.timings, took=monotonic() - began, settings=settings)
