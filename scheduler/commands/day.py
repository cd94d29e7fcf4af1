"""`daygate run` and `daygate backfill`: days through the whole gate."""

from __future__ import annotations

import sys
from datetime import date as Date  # noqa: N812  # `date` is the flag
from pathlib import Path
from time import monotonic

from pipeline.errors import DaygateError, SettingsError
from pipeline.records import DaySummary, EngineChoice
from scheduler import report_text, tables
from scheduler.arguments import day as read_day
from scheduler.arguments import day_for, days, yesterday
from scheduler.boundary import complain, worst
from scheduler.commands import common
from scheduler.commands.common import code_of_run
from scheduler.output import look_of, write
from scheduler.screen import progress


def run(*, date: str | None, file: Path | None, engine: EngineChoice | None, force: bool) -> int:
    """Run one day and print its summary; a given file brings its day in its name when no day is given."""
    day = _day(date, file)
    settings = common.start(short_alerts=True)
    from scheduler import app

    began = monotonic()
    with progress() as shown:
        outcome = app.run_day(settings, day, file=file, engine=engine, force=force, progress=shown)
    return common.tell_run(outcome, shown.timings, took=monotonic() - began, settings=settings)


def _day(given: str | None, file: Path | None) -> Date:
    if file is not None:
        return day_for(str(file), given)
    return yesterday() if given is None else read_day(given, "--date")


def backfill(*, start: str | None, end: str | None, engine: EngineChoice | None) -> int:
    """Run every day from `start` to `end` (yesterday when not given) and end with a table."""
    if start is None:
        raise SettingsError("--start is missing.", hint="daygate backfill --start YYYY-MM-DD --end YYYY-MM-DD")
    wanted = days(start, end if end is not None else yesterday().isoformat())
    settings = common.start()
    from scheduler import app

    look = look_of(sys.stdout)
    codes: list[int] = []
    summaries: list[DaySummary] = []
    for day in wanted:
        began = monotonic()
        try:
            with progress() as shown:
                outcome = app.run_day(settings, day, file=None, engine=engine, force=False, progress=shown)
        except SettingsError:
            raise
        except DaygateError as error:
            complain(error)
            codes.append(error.exit_code)
            continue
        codes.append(code_of_run(outcome.summary))
        summaries.append(outcome.summary)
        write(report_text.last_line(outcome.summary, took=monotonic() - began, look=look))
    if summaries:
        write("\n" + tables.days(summaries, look))
    bad = sum(code != 0 for code in codes)
    write(f"\n{len(wanted)} days, {len(wanted) - bad} passed, {bad} did not")
    return worst(codes)
