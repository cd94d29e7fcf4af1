"""The worker's half of staging: parse one range, write one Parquet part.

Imported by the parent too, so nothing heavy at the top: a worker must limit polars to one thread
before polars is imported.
"""

from __future__ import annotations

import io
import os
import secrets
import signal
import threading
from dataclasses import dataclass
from datetime import date
from multiprocessing import parent_process
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline import heap
from pipeline.contract import Contract

if TYPE_CHECKING:
    import polars as pl

#: Values are dictionary-encoded: lz4 would save another sixth of the bytes and cost a quarter more time.
_COMPRESSION: Final = "uncompressed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """Whole lines of a file."""

    index: int
    offset: int
    #: Bytes, the last newline included.
    length: int
    first_line: int
    lines: int
    #: A single line too long to be read into memory.
    oversized: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A range as a Parquet file."""

    path: str
    rows: int
    blank_lines: int
    lines_with_unknown_keys: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """What all ranges of a delivery share."""

    path: str
    folder: str
    day: date
    contract: Contract

    def parse(self, cut: Range) -> Part:
        """Parse a range and write its part (complete or not there).

        Raises:
            OSError: the file cannot be read or the part cannot be written.
        """
        from pipeline import parse  # noqa: PLC0415  # imports polars, after `start` has limited its threads

        with Path(self.path).open("rb", buffering=0) as file:
            if cut.oversized:
                newline = os.pread(file.fileno(), 1, cut.offset + cut.length - 1) == b"\n"
                parsed = parse.too_long_line(
                    line_no=cut.first_line,
                    byte_offset=cut.offset,
                    byte_length=cut.length - newline,
                    contract=self.contract,
                )
            else:
                parsed = parse.parse_range(
                    os.pread(file.fileno(), cut.length, cut.offset),
                    first_line=cut.first_line,
                    first_offset=cut.offset,
                    contract=self.contract,
                    day=self.day,
                )
        path = Path(self.folder) / f"part-{cut.index:05}.parquet"
        _write(parsed.frame, path)
        return Part(
            path=str(path),
            rows=parsed.frame.height,
            blank_lines=parsed.blank_lines,
            lines_with_unknown_keys=parsed.lines_with_unknown_keys,
        )


def start() -> None:
    """Make this process a worker: one thread for polars, silent on Ctrl-C, gone when its parent is gone."""
    os.environ["POLARS_MAX_THREADS"] = "1"
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    heap.keep_blocks()


def get_ready() -> None:
    """Import what parsing needs."""
    import pipeline.parse  # noqa: F401, PLC0415  # as in `Work.parse`


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _write(frame: pl.DataFrame, path: Path) -> None:
    # In memory first: polars turns a full disk into a panic, a plain write into an OSError.
    made = io.BytesIO()
    frame.write_parquet(made, compression=_COMPRESSION, statistics=False)
    # A name of its own: on a cluster the same range may be worked on twice at once.
    temporary = path.with_suffix(f".parquet.{secrets.token_hex(4)}.tmp")
    try:
        temporary.write_bytes(made.getbuffer())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
