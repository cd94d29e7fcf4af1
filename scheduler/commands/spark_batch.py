"""`daygate spark-batch`: the aggregates of a day or a range, from the command line."""

from __future__ import annotations

from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Final

from pipeline.wording import visible
from scheduler import arguments
from scheduler.boundary import complain, worst
from scheduler.commands.common import start as read_settings
from scheduler.output import columns, seconds, write
from scheduler.screen import progress

if TYPE_CHECKING:
    from scheduler.batch import BatchOutcome

_LONGEST_PATH: Final = 1000


def spark_batch(
    *, date: str | None, start: str | None, end: str | None, source: Path | None, output: Path | None
) -> int:
    """Write the aggregates and say where and how many rows; the exit code is that of the worst day."""
    days = arguments.chosen_days(date, start, end, command="spark-batch")
    settings = read_settings()
    folder = (output or settings.aggregates_folder).absolute()
    from scheduler import batch

    began = monotonic()
    with progress() as shown:
        outcome = batch.run(settings, days, source=source, folder=folder, progress=shown)
    for error in outcome.refused:
        complain(error)
    if outcome.days:
        write(_rows(outcome))
    took = seconds(monotonic() - began)
    write(f"{len(days)} days, {len(outcome.days)} aggregated, {len(outcome.refused)} left out, {took}")
    return worst(error.exit_code for error in outcome.refused)


def _rows(outcome: BatchOutcome) -> str:
    """Each aggregate with its rows and its folder."""
    rows = [
        (name, f"{count:,} rows", visible(str(outcome.folder / name), limit=_LONGEST_PATH))
        for name, count in outcome.rows.items()
    ]
    return "\n".join(columns(rows, ("<", ">", "<")))
