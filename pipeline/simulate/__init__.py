"""The simulator: a shop's day as a delivery, clean or with named faults planted in it.

Light to import; NumPy and Arrow are reached only when a day is generated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from pipeline.contract import Contract
from pipeline.simulate.catalogue import FAULTS, Fault

if TYPE_CHECKING:
    from pipeline.simulate.write import Generated

__all__ = ["FAULTS", "Fault", "generate"]


def generate(
    day: date,
    *,
    contract: Contract,
    output: Path,
    users: int,
    seed: int,
    events: int | None = None,
    faults: Mapping[str, float] = MappingProxyType({}),
    on_progress: Callable[[int, int], None] | None = None,
) -> Generated:
    """Writes a simulated day as JSON Lines, ordered by time, streaming to disk.

    Equal arguments give equal bytes on any machine; nothing else (clock, environment, global
    random state) has an influence.

    Args:
        day: the business day; all events lie within it (Asia/Seoul).
        contract: the event contract whose words are used.
        output: file to write; replaced atomically when it exists, its folder is made.
        users: size of the population of customers; each keeps device and habits on every day.
        seed: not negative; the population depends on it alone, the day on seed and date.
        events: exactly so many events; what the customers do on such a day when None.
        faults: fault name (see `FAULTS`) -> share of the lines it concerns, above 0 and at most 1.
        on_progress: called with (events written, events in all).

    Raises:
        ContractError: the contract lacks words the simulator uses.
        SettingsError: an argument is out of range, a fault is unknown or finds no line to be planted in.
        StepFailed: the file cannot be written.
    """
    from pipeline.simulate import write  # noqa: PLC0415  # keeps NumPy and Arrow out of `daygate --help`

    return write.generate(
        day,
        contract=contract,
        output=output,
        users=users,
        seed=seed,
        events=events,
        faults=faults,
        on_progress=on_progress,
    )
