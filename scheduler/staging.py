"""A file on its way into columns, as the commands that look at files have it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

from pipeline.delivery import take
from pipeline.progress import Progress
from pipeline.records import Staged
from pipeline.settings import Settings
from pipeline.stage import stage

if TYPE_CHECKING:
    from pipeline.contract import Contract


@contextmanager
def staging(
    settings: Settings, source: Path | Literal["-"], *, day: date, contract: Contract, progress: Progress
) -> Iterator[Staged]:
    """A file (or stdin) staged in a temporary folder that goes away with the block.

    Raises:
        RefusedFile: the whole file is refused; nothing large has been imported by then.
    """
    with TemporaryDirectory(prefix="daygate-") as folder, ExitStack() as held:
        with progress.step("read"):
            delivery = held.enter_context(take(source, folder=None, stdin=sys.stdin.buffer))
        with progress.step("stage"):
            staged = stage(
                delivery,
                day=day,
                contract=contract,
                folder=Path(folder),
                workers=settings.workers,
                on_progress=progress.advance,
            )
        yield staged
