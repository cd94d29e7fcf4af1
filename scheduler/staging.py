"""A file on its way into columns, as the commands that look at files have it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pipeline import engines
from pipeline.delivery import take
from pipeline.progress import Progress
from pipeline.records import EngineChoice, Staged
from pipeline.settings import Settings
from pipeline.stage import Workers

if TYPE_CHECKING:
    from pipeline.contract import Contract


@contextmanager
def staging(
    settings: Settings,
    source: Path | Literal["-"],
    *,
    day: date,
    contract: Contract,
    progress: Progress,
    engine: EngineChoice = "pandas",
    meanwhile: Callable[[], None] | None = None,
) -> Iterator[tuple[Staged, Path]]:
    """A file (or stdin) staged, and the temporary work folder it is in, which goes away with the block.

    Raises:
        RefusedFile: the whole file is refused; nothing large has been imported by then.
    """
    if source == "-":
        # polars' handler of Ctrl-C lets a blocked read go on; whoever waits at a pipe must be able to leave.
        signal.siginterrupt(signal.SIGINT, True)
    with ExitStack() as held:
        folder, shared = held.enter_context(engines.work_folder(settings, engine))
        workers = held.enter_context(Workers(settings.workers))

        def begin() -> None:
            if engine == "pandas":
                workers.start()
            if meanwhile is not None:
                meanwhile()

        with progress.step("read"):
            copies = folder if shared else None
            delivery = held.enter_context(take(source, folder=copies, stdin=sys.stdin.buffer, meanwhile=begin))
        with progress.step("stage"):
            staged = engines.stage(
                settings,
                engines.choose(engine, settings, delivery),
                delivery,
                day=day,
                contract=contract,
                folder=folder / "staged",
                progress=progress,
                workers=workers,
            )
        yield staged, folder
