"""`daygate calibrate`: thresholds that fit a shop, from its past deliveries."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from pipeline import settings_file
from pipeline.calibrate import Measured, propose
from pipeline.errors import DaygateError, ExitCode, SettingsError
from pipeline.records import Verdict
from pipeline.settings import Settings, config_file
from pipeline.settings import load as load_settings
from scheduler import calibration_text
from scheduler.arguments import deliveries
from scheduler.boundary import complain, worst
from scheduler.commands.common import start
from scheduler.output import look_of, write
from scheduler.screen import progress


def calibrate(files: Sequence[str], *, days: int | None, write_down: bool) -> int:
    """Measure the files, or the days the ledger knows, and print what would fit; 4 or 3 when some could not be judged.

    Raises:
        SettingsError: nothing to measure, a file without a day in its name, or too few days to be written.
    """
    if bool(files) == (days is not None):
        raise SettingsError("Give either files or --days.", hint="daygate calibrate --help")
    dated = _dated(files)
    settings = start()
    measured, codes = _from_files(settings, dated) if dated else (_from_ledger(settings, days or 0), [])
    if not measured:
        return worst(codes)
    proposal = propose(measured, settings)
    source = "files" if files else f"ledger, last {days} days"
    look = look_of(sys.stdout)
    write(calibration_text.proposed(proposal, source=source, floor=settings.rule_floor, look=look))
    written = None
    if write_down and proposal.changes:
        if proposal.provisional:
            raise SettingsError(
                f"{len(measured)} days are too few to be written.", hint="the same command with more days"
            )
        written = config_file()
        _write(written, proposal.changes, calibration_text.changes(proposal))
    if words := calibration_text.ending(proposal, written=written):
        write(words)
    return worst(codes)


def _write(path: Path, wanted: dict[str, dict[str, object]], changes: settings_file.Changes) -> None:
    settings_file.write(path, changes)
    now = load_settings()
    for table, values in wanted.items():
        if any(getattr(now, table).get(key) != value for key, value in values.items()):
            raise SettingsError(
                f"{path} is written, but DAYGATE_{table.upper()} in the environment counts before it.",
                hint=f"unset DAYGATE_{table.upper()}",
            )


def _dated(files: Sequence[str]) -> tuple[tuple[str, date], ...]:
    try:
        return deliveries(files, None)
    except SettingsError as error:
        raise SettingsError(error.message, hint="name it events_YYYYMMDD.jsonl (or .gz, .zst)") from None


def _from_files(settings: Settings, dated: Sequence[tuple[str, date]]) -> tuple[list[Measured], list[int]]:
    """What the files measure, each content once, and the exit codes of those that could not be judged."""
    from scheduler.checking import check_file

    found: dict[str, Measured] = {}
    codes: list[int] = []
    for file, day in dated:
        try:
            with progress() as shown:
                outcome = check_file(
                    settings.model_copy(update={"sample_lines": 0}),
                    Path(file),
                    day=day,
                    engine=None,
                    failed_rows=None,
                    report_folder=None,
                    progress=shown,
                )
        except SettingsError:
            raise
        except DaygateError as error:
            complain(error)
            codes.append(error.exit_code)
            continue
        if outcome.report.verdict is Verdict.INCONCLUSIVE:
            complain(DaygateError(f"{file}: could not be judged and is left out.", hint=f"daygate check {file}"))
            codes.append(ExitCode.INCONCLUSIVE)
            continue
        found[outcome.delivery.sha256] = Measured(day=day, checks=outcome.report.checks)
    return list(found.values()), codes


def _from_ledger(settings: Settings, days: int) -> list[Measured]:
    from scheduler import app

    measured = app.judged_days(settings, days)
    if not measured:
        raise SettingsError(
            f"The ledger has no judged run of the last {days} days under this contract.",
            hint="daygate calibrate FILE…",
        )
    return measured
