"""Plans a day and writes it to disk, atomically and in bounded memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path

from pipeline import heap
from pipeline.ahead import ahead
from pipeline.contract import Contract
from pipeline.errors import SettingsError, StepFailed
from pipeline.files import appearing
from pipeline.parse_slow import MOST_LINES
from pipeline.simulate import pieces, shop
from pipeline.simulate.plan import Planner
from pipeline.simulate.plant import Garden, Ground, check_faults
from pipeline.simulate.population import Population
from pipeline.simulate.render import Renderer
from pipeline.zone import ZONE


@dataclass(frozen=True, kw_only=True, slots=True)
class Generated:
    """A simulated delivery on disk."""

    path: Path
    day: date
    lines: int
    #: Fault -> lines it was planted in.
    planted: dict[str, int]


def generate(
    day: date,
    *,
    contract: Contract,
    output: Path,
    users: int,
    seed: int,
    events: int | None = None,
    faults: Mapping[str, float],
    on_progress: Callable[[int, int], None] | None,
) -> Generated:
    """See `pipeline.simulate.generate`."""
    check_faults(faults)
    vocabulary = shop.read(contract)
    _check_arguments(day, contract, users, 10 ** vocabulary.model["user_digits"], seed, events)
    with heap.kept_blocks():
        texts = pieces.make(vocabulary)
        population = Population(vocabulary, users, seed)
        plan = Planner(vocabulary, texts, population, day, seed).plan(events)
        garden = Garden(Ground(plan, contract, vocabulary, population), faults, seed)
        renderer = Renderer(plan, vocabulary, texts, population)

        def made() -> Iterator[tuple[int, memoryview]]:
            for begin, lines in renderer.chunks():
                yield begin + len(lines), garden.damaged(begin, lines)

        def chunks() -> Iterator[memoryview]:
            for done, chunk in ahead(made()):
                yield chunk
                if on_progress is not None:
                    on_progress(done, len(plan))

        _write_atomically(output, chunks())
    planted = {name: garden.planted[name] for name in faults}
    return Generated(path=output, day=day, lines=garden.lines, planted=planted)


def _check_arguments(
    day: date, contract: Contract, users: int, user_numbers: int, seed: int, events: int | None
) -> None:
    allowed = contract.field("timestamp")
    start = datetime.combine(day, time(), ZONE)
    if (allowed.not_before and start < allowed.not_before) or (allowed.before and start >= allowed.before):
        raise SettingsError(f"{day} is outside the years of the contract ({contract.source}).")
    if not 1 <= users < user_numbers:
        raise SettingsError(f"users must be between 1 and {user_numbers - 1}, got {users}.")
    if seed < 0:
        raise SettingsError(f"seed must not be negative, got {seed}.")
    if events is not None and not 1 <= events <= MOST_LINES:
        raise SettingsError(f"events must be between 1 and {MOST_LINES}, got {events}.")


def _write_atomically(path: Path, chunks: Iterable[memoryview]) -> None:
    """Writes beside the target and renames, so that nobody ever sees half a file."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        written = 0
        with appearing(path) as file:
            for chunk in chunks:
                file.write(chunk)
                if hasattr(os, "posix_fadvise"):  # macOS has it not
                    # Has it brought to the disk at once: at the end all of it would have to be waited for.
                    os.posix_fadvise(file.fileno(), written, len(chunk), os.POSIX_FADV_DONTNEED)
                written += len(chunk)
    except OSError as error:
        raise StepFailed(f"{path}: cannot be written ({error.strerror}).", step="generate") from error
