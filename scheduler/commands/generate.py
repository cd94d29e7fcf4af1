"""`daygate generate`: the simulator from the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Final

from pipeline import contract, simulate
from pipeline.errors import ExitCode
from pipeline.wording import visible
from scheduler import arguments
from scheduler.commands.common import start as read_settings
from scheduler.output import columns, seconds, write
from scheduler.screen import progress

#: Stands for no fault but for the question which there are.
LIST: Final = "list"


def generate(
    *,
    date: str | None,
    start: str | None,
    end: str | None,
    users: int | None,
    events: int | None,
    seed: int | None,
    output: Path | None,
    faults: Sequence[str],
) -> int:
    """Write one file per day and say where, how many lines, and what was planted.

    The fault `list` prints the known faults instead.
    """
    if LIST in faults:
        write(_known())
        return ExitCode.OK
    days = arguments.chosen_days(date, start, end, command="generate")
    settings = read_settings(users=users, seed=seed)
    planted = arguments.faults(faults, {name: fault.rate for name, fault in simulate.FAULTS.items()})
    rules = contract.load(settings.contract)
    for number, day in enumerate(days, 1):
        began = monotonic()
        with progress() as shown, shown.step(f"{day} ({number} of {len(days)})"):
            made = simulate.generate(
                day,
                contract=rules,
                output=output / settings.event_file(day).name if output else settings.event_file(day),
                users=settings.users,
                seed=settings.seed,
                events=events,
                faults=planted,
                on_progress=shown.advance,
            )
        write(f"{visible(str(made.path), limit=1000)}: {made.lines:,} lines, {seconds(monotonic() - began)}")
        for name, lines in made.planted.items():
            write(f"  planted {name}: {lines:,} lines, for {simulate.FAULTS[name].caught_by} to catch")
    return ExitCode.OK


def _known() -> str:
    rows = [(fault.name, fault.caught_by, fault.describes) for fault in simulate.FAULTS.values()]
    return "\n".join(columns([("name", "caught by", "what it does"), *rows], ("<", "<", "<"), indent=0))
