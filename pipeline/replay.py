"""Replay: corrected lines take the place of quarantined ones, and the whole day is checked again.

Corrections are JSON Lines, one object per line: `{"line": 17, "raw": "the corrected line"}`, with
`"raw_encoding": "base64"` where the line is no text. What `daygate quarantine export` writes has this form; its
other keys (`event_id`, `reasons`) may stay and mean nothing here.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import polars as pl

from pipeline.delivery import verify_unchanged
from pipeline.errors import RefusedFile
from pipeline.failing import scan
from pipeline.kept_out import kept_out
from pipeline.parse import BOM
from pipeline.parse_slow import MOST_LINES
from pipeline.quarantine import Reason
from pipeline.records import CheckReport, Delivery

#: Corrections are held in memory; who corrects more has a better delivery.
MOST_BYTES: Final = 512 << 20
_KEYS: Final = frozenset({"line", "raw", "raw_encoding", "event_id", "reasons"})
_BLANK: Final = b" \t\r"
#: Bytes copied, or looked at for newlines, at once.
_PIECE: Final = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class StillFailing:
    """A line that was quarantined and still fails."""

    line: int
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Recovery:
    """What corrected lines came to."""

    #: Lines that were in quarantine, and how many of them are good now.
    quarantined: int
    recovered: int
    #: The first of the others, in line order.
    still: tuple[StillFailing, ...]
    #: Lines that were good and fail now.
    newly: int


def read(delivery: Delivery) -> dict[int, bytes]:
    """The corrections of a file: line -> its new bytes.

    Raises:
        RefusedFile: a line of the file is no correction, or corrects a line twice (reason not_corrections).
    """
    found: dict[int, bytes] = {}
    with delivery.path.open("rb") as file:
        for number, text in enumerate(file, 1):
            if number == 1:
                text = text.removeprefix(BOM)  # noqa: PLW2901  # the mark belongs to the file
            if not text.strip():
                continue
            line, raw = _correction(text, f"line {number} of {delivery.name}")
            if line in found:
                raise _refused(f"line {number} of {delivery.name} corrects line {line} a second time")
            found[line] = raw
    return found


def _correction(text: bytes, place: str) -> tuple[int, bytes]:
    try:
        document = json.loads(text.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise _refused(f"{place} is not one JSON object with each key once") from None
    if not isinstance(document, dict) or not document.keys() <= _KEYS:
        raise _refused(f"{place} is not an object with the keys line and raw")
    line, raw, encoding = document.get("line"), document.get("raw"), document.get("raw_encoding")
    if type(line) is not int or not 1 <= line <= MOST_LINES:
        raise _refused(f"{place}: line is not a line number")
    if not isinstance(raw, str) or encoding not in (None, "base64"):
        raise _refused(f"{place}: raw is not text, or raw_encoding is not base64")
    found = _bytes(raw, place, packed=encoding is not None)
    if b"\n" in found or not found.strip(_BLANK):
        raise _refused(f"{place}: raw is not one line with something in it")
    return line, found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(found := dict(pairs)) != len(pairs):
        raise ValueError
    return found


def _bytes(raw: str, place: str, *, packed: bool) -> bytes:
    try:
        return base64.b64decode(raw, validate=True) if packed else raw.encode("utf-8")
    except (binascii.Error, UnicodeEncodeError, ValueError):
        raise _refused(f"{place}: raw cannot be turned into bytes") from None


def _refused(what: str) -> RefusedFile:
    return RefusedFile(
        f"The corrections are refused: {what}.",
        reason="not_corrections",
        hint='one object per line: {"line": 17, "raw": "the corrected line"}',
    )


def compose(delivery: Delivery, quarantined: pl.DataFrame, corrections: Mapping[int, bytes], target: Path) -> None:
    """Write the delivery with its corrected lines.

    Args:
        delivery: as it was judged.
        quarantined: where its quarantined lines are, as `quarantine.places`.
        corrections: line -> new bytes; a line that is not quarantined must have these bytes already.
        target: the corrected delivery.

    Raises:
        RefusedFile: a line is not in quarantine (reason not_quarantined), or the delivery changed meanwhile.
    """
    wanted = pl.DataFrame({"line_no": sorted(corrections)}, schema={"line_no": pl.Int64})
    others = wanted.join(quarantined, on="line_no", how="anti")["line_no"].sort().to_list()
    _require_put_right(delivery, {line: corrections[line] for line in others})
    spans = quarantined.join(wanted, on="line_no", how="semi").sort("byte_offset")
    position = 0
    with delivery.path.open("rb") as original, target.open("xb") as corrected:
        for line, offset, length in spans.select("line_no", "byte_offset", "byte_length").iter_rows():
            _copy(original, corrected, offset - position)
            corrected.write(corrections[line])
            position = original.seek(offset + length)
        _copy(original, corrected, delivery.size - position)
    verify_unchanged(delivery)


def _copy(source: BinaryIO, target: BinaryIO, length: int) -> None:
    while length > 0 and (piece := source.read(min(_PIECE, length))):
        target.write(piece)
        length -= len(piece)


def _require_put_right(delivery: Delivery, corrections: Mapping[int, bytes]) -> None:
    """A line may be outside quarantine when an earlier replay has put it right: then it is what is given now."""
    if not corrections:
        return
    found = _find(delivery, frozenset(corrections))
    with delivery.path.open("rb") as file:
        for line, raw in corrections.items():
            offset, length = found.get(line, (0, -1))
            file.seek(offset)
            if length != len(raw) or file.read(length) != raw:
                raise RefusedFile(
                    f"Line {line} is not in quarantine and cannot be corrected.",
                    reason="not_quarantined",
                    hint="daygate quarantine show DAY lists the lines",
                )


def _find(delivery: Delivery, wanted: frozenset[int]) -> dict[int, tuple[int, int]]:
    """Where some lines are; one that is not there is left out. A line is read in bounded pieces."""
    found: dict[int, tuple[int, int]] = {}
    last = max(wanted)
    with delivery.path.open("rb") as file:
        start = position = len(BOM) if file.read(len(BOM)) == BOM else 0
        file.seek(position)
        number = 1
        while number <= last and (piece := file.readline(_PIECE)):
            position += len(piece)
            ended = piece.endswith(b"\n")
            if number in wanted:
                found[number] = (start, position - start - ended)
            if ended:
                number, start = number + 1, position
    return found


def recovery(quarantined: pl.DataFrame, report: CheckReport, *, limit: int) -> Recovery:
    """Compare the quarantine of the earlier run with what fails now.

    Args:
        quarantined: the lines that were in quarantine, as `quarantine.places`.
        report: the gate's answer about the corrected delivery; its list of failing lines must still be there.
        limit: most lines to tell of one by one.
    """
    failing = scan(report.failing)
    now = failing.filter(kept_out(report.critical_checks)).select("line_no").unique().collect()
    still = now.join(quarantined, on="line_no", how="semi").sort("line_no")
    shown = still["line_no"].head(limit).to_list()
    reasons: dict[int, list[Reason]] = {line: [] for line in shown}
    rows = failing.filter(pl.col("line_no").is_in(shown)).sort("line_no", "check", "rule").collect()
    for line, check, rule, field, reason in rows.select("line_no", "check", "rule", "field", "reason").iter_rows():
        reasons[line].append(Reason(check=check, rule=rule, field=field, reason=reason))
    return Recovery(
        quarantined=quarantined.height,
        recovered=quarantined.height - still.height,
        still=tuple(StillFailing(line=line, reasons=tuple(reasons[line])) for line in shown),
        newly=now.height - still.height,
    )
