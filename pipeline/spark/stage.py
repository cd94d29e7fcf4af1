"""Staging on executors: the same parser, the same parts, and line numbers that are right from the first line on.

Two small jobs. The first counts newlines in pieces of the file; then every range's first line is known, and the
second parses ranges wherever there is a free core. Executors read the delivery and write the parts by their paths:
on a cluster the data folder must be the same for all. Compressed deliveries have been unpacked there before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import stage as local
from pipeline.contract import Contract
from pipeline.records import Delivery, Staged
from pipeline.spark.tasks import on_executors
from pipeline.stage_worker import Part, Range, Work

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """What is to be known of a piece of the file to cut it at newlines."""

    offset: int
    newlines: int
    #: Behind the first and behind the last newline, counted from the file's start; None without one.
    first_end: int | None
    last_end: int | None
    #: Behind every `RANGE_LINES`-th newline: pieces of tiny lines are cut there.
    many_ends: tuple[int, ...]


def stage(
    spark: SparkSession,
    delivery: Delivery,
    *,
    day: date,
    contract: Contract,
    folder: Path,
    on_progress: local.OnProgress | None = None,
    range_bytes: int = local.RANGE,
) -> Staged:
    """As `pipeline.stage.stage`, on the executors; errors likewise, and those of Spark."""
    local.empty(folder)
    offsets = range(0, delivery.size, range_bytes)
    pieces = on_executors(spark, partial(count, delivery, range_bytes), offsets)
    ranges = list(cut(delivery, pieces, range_bytes))
    work = Work(path=str(delivery.path), folder=str(folder), day=day, contract=contract)
    parts = on_executors(spark, partial(parse, work), ranges)
    for made, part in zip(ranges, parts, strict=True):
        local.require_all_lines(delivery, made, part)
    if on_progress is not None:
        on_progress(delivery.size, delivery.size)
    return local.manifest(delivery, day, parts, engine="spark")


def count(delivery: Delivery, length: int, offset: int) -> Piece:
    """Look at one piece."""
    with local.step_errors(), local.opened(delivery) as handle:
        data = local.read_exactly(delivery, handle, offset, min(length, delivery.size - offset))
    newlines = local.newlines_in(data)
    return Piece(
        offset=offset,
        newlines=newlines,
        first_end=offset + data.find(b"\n") + 1 if newlines else None,
        last_end=offset + data.rfind(b"\n") + 1 if newlines else None,
        many_ends=tuple(offset + end for end in local.many_lines_ends(data)) if newlines >= local.RANGE_LINES else (),
    )


def cut(delivery: Delivery, pieces: Sequence[Piece], longest: int) -> Iterator[Range]:
    """Ranges of whole lines, about one a piece; a line beyond `longest` bytes is a range of its own.

    Raises:
        RefusedFile: more lines than can be numbered.
    """
    line, start = 1, 0
    for index, (end, lines, oversized) in enumerate(_ends(pieces, delivery.size, longest)):
        local.require_numbers(delivery, line + lines - 1)
        yield Range(index=index, offset=start, length=end - start, first_line=line, lines=lines, oversized=oversized)
        line, start = line + lines, end


def _ends(pieces: Sequence[Piece], size: int, longest: int) -> Iterator[tuple[int, int, bool]]:
    """Where ranges end, how many lines they hold, and whether that is one line too long to be read."""
    at = 0
    for piece in pieces:
        if piece.first_end is None or piece.last_end is None:
            continue
        told = 0
        if piece.first_end - at > longest:
            yield piece.first_end, 1, True
            at, told = piece.first_end, 1
        for number, end in enumerate(piece.many_ends, 1):
            yield end, number * local.RANGE_LINES - told, False
            at, told = end, number * local.RANGE_LINES
        if piece.newlines > told:
            yield piece.last_end, piece.newlines - told, False
            at = piece.last_end
    if at < size:
        yield size, 1, size - at > longest


def parse(work: Work, made: Range) -> Part:
    """Parse one range and write its part."""
    with local.step_errors():
        return work.parse(made)
