"""Staging: a delivery becomes Parquet parts of typed columns, every line accounted for.

The file is cut at newlines into ranges; each range is parsed and written on its own, in this process
for small files and in worker processes for big ones. Memory does not grow with the file.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from datetime import date
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Final, Self

from pipeline import stage_worker
from pipeline.contract import Contract
from pipeline.errors import RefusedFile, StepFailed
from pipeline.failpoints import failpoint
from pipeline.parse_slow import MOST_LINES
from pipeline.records import Delivery, Engine, Staged
from pipeline.stage_worker import Part, Range

#: Bytes of a range: one Parquet part.
RANGE: Final = 16 << 20
#: Lines of a range at most: of lines of a few bytes 16 MB would be gigabytes in columns.
RANGE_LINES: Final = 1 << 18
#: Smaller deliveries are parsed here; starting a worker costs more.
IN_PROCESS: Final = 8 << 20
#: Bytes read at once where only newlines matter.
_PIECE: Final = 4 << 20

OnProgress = Callable[[int, int], None]


def stage(
    delivery: Delivery,
    *,
    day: date,
    contract: Contract,
    folder: Path,
    workers: Workers,
    on_progress: OnProgress | None = None,
    meanwhile: Callable[[], None] | None = None,
    range_bytes: int = RANGE,
) -> Staged:
    """Stage a delivery into `folder` as `part-00000.parquet` and so on, in line order.

    Args:
        day: the business day its place in the day is counted from.
        folder: made if missing; parts of an earlier attempt are removed.
        workers: they parse a big file, and have ended or are about to when this returns.
        on_progress: called with (bytes done, bytes in all).
        meanwhile: called when worker processes have the work and this one has none; returns at once.
        range_bytes: bytes of a range.

    Raises:
        RefusedFile: more lines than can be numbered, or the file got shorter meanwhile.
        StepFailed: a worker died or a part could not be written.
    """
    empty(folder)
    work = stage_worker.Work(path=str(delivery.path), folder=str(folder), day=day, contract=contract)
    parts: list[Part] = []
    done = 0
    with _parsing(work, workers, delivery.size, meanwhile) as parse:
        for cut, part in parse(_ranges(delivery, range_bytes)):
            require_all_lines(delivery, cut, part)
            parts.append(part)
            failpoint("stage.part")
            done += cut.length
            if on_progress is not None:
                on_progress(done, delivery.size)
    return manifest(delivery, day, parts, engine="pandas")


def empty(folder: Path) -> None:
    """Make the folder for parts, without those of an earlier attempt."""
    with step_errors():
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("part-*.parquet*"):
            old.unlink()


def manifest(delivery: Delivery, day: date, parts: Sequence[Part], *, engine: Engine) -> Staged:
    """The parts of a whole delivery, given in any order."""
    ordered = sorted(parts, key=lambda part: part.path)
    return Staged(
        delivery=delivery,
        day=day,
        parts=tuple(Path(part.path) for part in ordered),
        lines=sum(part.rows for part in ordered),
        blank_lines=sum(part.blank_lines for part in ordered),
        lines_with_unknown_keys=sum(part.lines_with_unknown_keys for part in ordered),
        engine=engine,
    )


def require_all_lines(delivery: Delivery, cut: Range, part: Part) -> None:
    """Hold a part to the lines that were counted when its range was cut.

    Raises:
        StepFailed: they are not the same.
    """
    if part.rows + part.blank_lines != cut.lines:
        raise StepFailed(
            f"Lines {cut.first_line}+ of {delivery.name}: {cut.lines} lines became {part.rows} rows and "
            f"{part.blank_lines} blank lines.",
            step="stage",
            hint="This is a bug in daygate or the file changed meanwhile; run again.",
        )


def raw_lines(delivery: Delivery, spans: Iterable[tuple[int, int]], *, longest: int | None = None) -> Iterator[bytes]:
    """The raw bytes of lines by (byte_offset, byte_length), in the order given.

    Args:
        longest: cut each line after so many bytes; a single line can be as big as the file.

    Raises:
        RefusedFile: the file cannot be opened any more, or is shorter than a span.
    """
    with opened(delivery) as handle:
        for offset, length in spans:
            yield read_exactly(delivery, handle, offset, length if longest is None else min(length, longest))


def read_exactly(delivery: Delivery, handle: int, offset: int, length: int) -> bytes:
    """So many bytes from there on.

    Raises:
        RefusedFile: the file is shorter.
    """
    data = os.pread(handle, length, offset)
    while len(data) < length:
        more = os.pread(handle, length - len(data), offset + len(data))
        if not more:
            raise _changed(delivery)
        data += more
    return data


@contextmanager
def opened(delivery: Delivery) -> Iterator[int]:
    """The delivery's file, to be read from any place.

    Raises:
        RefusedFile: it cannot be opened any more.
    """
    try:
        handle = os.open(delivery.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        raise _changed(delivery) from None
    try:
        yield handle
    finally:
        os.close(handle)


def _changed(delivery: Delivery) -> RefusedFile:
    return RefusedFile(
        f"{delivery.name} changed while it was read.", reason="changed", hint="Wait until it is complete."
    )


def _ranges(delivery: Delivery, range_bytes: int) -> Iterator[Range]:
    """Cut at newlines, counting lines; a line that fills a whole range is one of its own."""
    index, line, offset = 0, 1, 0
    with opened(delivery) as handle:
        while offset < delivery.size:
            data = os.pread(handle, range_bytes, offset)
            end = data.rfind(b"\n") + 1
            if offset + len(data) >= delivery.size:
                end = delivery.size - offset
                data = data[:end]
            if not data:
                raise _changed(delivery)
            oversized = not end
            if oversized:
                end = _line_end(handle, offset + len(data), delivery.size) - offset
                lines = 1
            else:
                lines = newlines_in(memoryview(data)[:end]) + (data[end - 1 : end] != b"\n")
                if lines > RANGE_LINES:
                    end, lines = many_lines_ends(data)[0], RANGE_LINES
            require_numbers(delivery, line + lines - 1)
            yield Range(index=index, offset=offset, length=end, first_line=line, lines=lines, oversized=oversized)
            index, line, offset = index + 1, line + lines, offset + end


def newlines_in(data: bytes | memoryview) -> int:
    """Newlines in the bytes, in less than half the time that `bytes.count` takes."""
    import numpy as np  # noqa: PLC0415  # takes a while, as does all that is imported before workers parse

    return int(np.count_nonzero(np.frombuffer(data, np.uint8) == ord("\n")))


def many_lines_ends(data: bytes) -> list[int]:
    """Where every `RANGE_LINES`-th line of the bytes ends."""
    import numpy as np  # noqa: PLC0415

    newlines = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n"))
    return [int(newline) + 1 for newline in newlines[RANGE_LINES - 1 :: RANGE_LINES]]


def require_numbers(delivery: Delivery, lines: int) -> None:
    """Refuse a delivery with more lines than can be numbered."""
    if lines > MOST_LINES:
        raise RefusedFile(
            f"{delivery.name} has more than {MOST_LINES:,} lines.", reason="too_large", hint="Split it by day."
        )


def _line_end(handle: int, offset: int, size: int) -> int:
    """Where the line ends (past its newline) that goes on at `offset`."""
    while offset < size:
        data = os.pread(handle, _PIECE, offset)
        newline = data.find(b"\n")
        if newline >= 0:
            return offset + newline + 1
        if not data:
            break
        offset += len(data)
    return size


class Workers:
    """Processes that parse big files: started ahead or when there is work, and ended by whoever staged with them."""

    def __init__(self, most: int) -> None:
        """So many; none of them leaves the work to this process."""
        self.most = most
        self._executor: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end(wait=False)

    def start(self) -> ProcessPoolExecutor:
        """Have them import what they need beside whatever comes before the work."""
        if self._executor is None:
            # Spawned: a forked child would inherit locks of threads that do not exist in it.
            self._executor = ProcessPoolExecutor(
                self.most, mp_context=get_context("spawn"), initializer=stage_worker.start
            )
            with step_errors(), _without_interrupts():
                for _ in range(self.most):
                    self._executor.submit(stage_worker.get_ready)
        return self._executor

    def end(self, *, wait: bool) -> None:
        """Let them go, without what they were to do; they are gone when this returns, or soon after."""
        if self._executor is not None:
            self._executor.shutdown(wait=wait, cancel_futures=True)
            self._executor = None

    def parse(self, work: stage_worker.Work, ranges: Iterator[Range]) -> Iterator[tuple[Range, Part]]:
        """Parts in any order, of ranges that are taken while they are still being cut."""
        executor = self.start()
        waiting: dict[Future[Part], Range] = {}
        for cut in ranges:
            # Submitting may start a worker, which is deaf to Ctrl-C from its first moment on: it inherits the mask.
            with step_errors(), _without_interrupts():
                waiting[executor.submit(work.parse, cut)] = cut
            if len(waiting) > self.most:
                yield from _finished(waiting)
        while waiting:
            yield from _finished(waiting)


def _finished(waiting: dict[Future[Part], Range]) -> Iterator[tuple[Range, Part]]:
    done, _ = wait(waiting, return_when=FIRST_COMPLETED)
    for future in done:
        with step_errors():
            part = future.result()
        yield waiting.pop(future), part


@contextmanager
def _parsing(
    work: stage_worker.Work, workers: Workers, size: int, meanwhile: Callable[[], None] | None
) -> Iterator[Callable[[Iterator[Range]], Iterator[tuple[Range, Part]]]]:
    """A function that parses ranges of a file of that size, here or in worker processes."""
    if not workers.most or size <= IN_PROCESS:
        yield partial(_parse_here, work)
        return
    workers.start()
    try:
        if meanwhile is not None:
            meanwhile()
        yield partial(workers.parse, work)
    except BaseException:
        # Nobody writes into the folder any more when the caller removes it.
        workers.end(wait=True)
        raise
    # All parts are there: the workers end while what follows begins, and at the latest with this process.
    workers.end(wait=False)


def _parse_here(work: stage_worker.Work, ranges: Iterator[Range]) -> Iterator[tuple[Range, Part]]:
    for cut in ranges:
        with step_errors():
            part = work.parse(cut)
        yield cut, part


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Ctrl-C waits until the block is left; processes started meanwhile never hear it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def step_errors() -> Iterator[None]:
    """What stops staging, in words a person can act on."""
    try:
        yield
    except (BrokenProcessPool, MemoryError) as error:
        raise StepFailed(
            "A process that parses the file died or ran out of memory.",
            step="stage",
            hint="Free some memory or set DAYGATE_WORKERS=1, then run again.",
        ) from error
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else type(error).__name__
        raise StepFailed(
            f"Staging could not read the delivery or write its parts: {why}.",
            step="stage",
            hint="Look at the disk of the data folder (DAYGATE_HOME), then run again.",
        ) from error
