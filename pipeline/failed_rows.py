"""Failing lines as a file, with all their reasons and exact bytes: JSON Lines, CSV or Parquet.

`daygate check --failed-rows` and `daygate quarantine export` write the same forms.
"""

from __future__ import annotations

import base64
import codecs
import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import SettingsError
from pipeline.files import appearing
from pipeline.quarantine import failing_lines
from pipeline.records import Delivery, Staged
from pipeline.stage import raw_lines

#: Spreadsheets take a cell that begins so for a formula (after blanks, and in full width too).
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001  # these are meant
_GUARD: Final = "'"
_BLANKS: Final = " \u3000"
#: The cells that `spreadsheet_safe` guards, as a regular expression that Java reads too.
GUARDED: Final = f"^(?:{_GUARD}|[{_BLANKS}]*[{re.escape(''.join(_FORMULA))}])"
_SCHEMA: Final = pa.schema(
    {"line": pa.int64(), "event_id": pa.string(), "reasons": pa.string(), "raw": pa.large_binary()}
)
#: Bytes of a long line held at once; whole groups of base64.
_PIECE: Final = 3 << 18
#: Parquet takes a value whole, several times over.
_MOST_IN_PARQUET: Final = 256 << 20
_ENCODING: Final = "raw_encoding"
_BASE64: Final = "base64"

#: Gives the delivery that long lines are read from; asked only when there is one.
Source = Callable[[], Delivery]


def write_failed_rows(staged: Staged, failing: Path, path: Path) -> None:
    """Write every failing line of a check; as `write_lines`.

    Args:
        staged: the delivery as staged; its bytes are looked up again.
        failing: Parquet of all failing (line_no, check, rule, field, reason).
        path: its suffix chooses the form.
    """
    require_form(path, flag="--failed-rows")
    write_lines(failing_lines(staged, failing), path, source=lambda: staged.delivery)


def require_form(path: Path, *, flag: str) -> None:
    """Refuse a path whose suffix names no form, before any work.

    Raises:
        SettingsError: another suffix than .jsonl, .csv or .parquet.
    """
    if path.suffix not in _WRITERS:
        raise SettingsError(f"{flag} writes .jsonl, .csv or .parquet.", hint=f"{flag} {path.stem or 'failed'}.jsonl")


def write_lines(frames: Iterator[pl.DataFrame], path: Path, *, source: Source) -> None:
    """Write lines; the file appears whole or not at all.

    Args:
        frames: line_no, event_id, byte_offset, byte_length, raw (null for a long line), reasons (JSON text).
        path: its suffix chooses the form.
        source: the delivery with the bytes of long lines.

    Raises:
        SettingsError: the path cannot be written, or Parquet cannot hold a line.
    """
    try:
        with appearing(path) as file:
            _WRITERS[path.suffix](frames, file, cache(source))
    except OSError as error:
        raise SettingsError(f"The lines cannot be written ({error.strerror}).", hint="Check the path.") from error


@dataclass(frozen=True, slots=True)
class _Row:
    """A line; `raw` is None when it is too long to be held."""

    line: int
    event_id: str | None
    offset: int
    length: int
    raw: bytes | None
    reasons: str

    def pieces(self, source: Source) -> Iterator[bytes]:
        """The bytes of a long line, a bounded piece at a time."""
        end = self.offset + self.length
        spans = ((at, min(_PIECE, end - at)) for at in range(self.offset, end, _PIECE))
        return raw_lines(source(), spans)

    def texts(self, source: Source) -> Iterator[str]:
        """The same as text, or as base64 where it is none."""
        if self.is_text(source):
            decoder = codecs.getincrementaldecoder("utf-8")()
            return (decoder.decode(piece) for piece in self.pieces(source))
        return (base64.b64encode(piece).decode("ascii") for piece in self.pieces(source))

    def is_text(self, source: Source) -> bool:
        """Whether a long line is UTF-8."""
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            for piece in self.pieces(source):
                decoder.decode(piece)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
        return True


def _rows(frame: pl.DataFrame) -> Iterator[_Row]:
    columns = ("line_no", "event_id", "byte_offset", "byte_length", "raw", "reasons")
    return (_Row(*row) for row in frame.select(columns).iter_rows())


def _jsonl(frames: Iterator[pl.DataFrame], file: BinaryIO, source: Source) -> None:
    for row in (row for frame in frames for row in _rows(frame)):
        told: dict[str, Any] = {"line": row.line, "event_id": row.event_id, "reasons": json.loads(row.reasons)}
        if row.raw is not None:
            file.write(json.dumps({**told, **_raw(row.raw)}, ensure_ascii=False).encode("utf-8") + b"\n")
            continue
        file.write(json.dumps(told, ensure_ascii=False).encode("utf-8")[:-1] + b', "raw": "')
        file.writelines(json.dumps(text, ensure_ascii=False)[1:-1].encode("utf-8") for text in row.texts(source))
        file.write(b'"}\n' if row.is_text(source) else f'", "{_ENCODING}": "{_BASE64}"}}\n'.encode())


def _raw(raw: bytes) -> dict[str, str]:
    """The line as text, or as base64 where it is none."""
    try:
        return {"raw": raw.decode("utf-8")}
    except UnicodeDecodeError:
        return {"raw": base64.b64encode(raw).decode("ascii"), _ENCODING: _BASE64}


def _csv(frames: Iterator[pl.DataFrame], file: BinaryIO, source: Source) -> None:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerow(["line", "event_id", "checks", "reasons", "raw", _ENCODING])
    for row in (row for frame in frames for row in _rows(frame)):
        told = json.loads(row.reasons)
        cells = [
            str(row.line),
            spreadsheet_safe(row.event_id or ""),
            " ".join(dict.fromkeys(reason["check"] for reason in told)),
            spreadsheet_safe("; ".join(reason["reason"] for reason in told)),
        ]
        if row.raw is not None:
            shown = _raw(row.raw)
            writer.writerow([*cells, spreadsheet_safe(shown["raw"]), shown.get(_ENCODING, "")])
        else:
            _long_csv(cells, row, text, source)
    text.detach()  # the file is the caller's to close


def _long_csv(cells: list[str], row: _Row, text: io.TextIOWrapper, source: Source) -> None:
    """The row of a long line, quoted as the writer quotes it."""
    text.write(",".join('"' + cell.replace('"', '""') + '"' for cell in cells) + ',"')
    first = next((piece for piece in row.texts(source) if piece), "")
    shown = next((left for piece in row.texts(source) if (left := piece.lstrip(_BLANKS))), "")
    text.write(_GUARD if first.startswith(_GUARD) or shown.startswith(_FORMULA) else "")
    text.writelines(piece.replace('"', '""') for piece in row.texts(source))
    text.write(f'","{"" if row.is_text(source) else _BASE64}"\r\n')


def spreadsheet_safe(text: str) -> str:
    """A cell that no spreadsheet takes for a formula: an apostrophe at its start is always ours to take away."""
    return _GUARD + text if text.startswith(_GUARD) or text.lstrip(_BLANKS).startswith(_FORMULA) else text


def _parquet(frames: Iterator[pl.DataFrame], file: BinaryIO, source: Source) -> None:
    with pq.ParquetWriter(file, _SCHEMA, compression="zstd") as writer:
        for frame in frames:
            for group in frame.with_columns(run=pl.col("raw").is_null().rle_id()).partition_by("run"):
                for part in group.iter_slices(1) if group["raw"].is_null().all() else [group]:
                    whole = part if part["raw"].null_count() == 0 else _whole(part, source)
                    table = whole.select(line="line_no", event_id="event_id", reasons="reasons", raw="raw").to_arrow()
                    writer.write_table(table.cast(_SCHEMA))


def _whole(frame: pl.DataFrame, source: Source) -> pl.DataFrame:
    """One long line with its bytes."""
    row = next(_rows(frame))
    if row.length > _MOST_IN_PARQUET:
        raise SettingsError(
            f"Parquet cannot hold line {row.line:,} with its {row.length:,} bytes.",
            hint="the same command with a path that ends in .jsonl",
        )
    (raw,) = raw_lines(source(), [(row.offset, row.length)])
    return frame.with_columns(pl.Series("raw", [raw], dtype=pl.Binary))


_WRITERS: Final[dict[str, Callable[[Iterator[pl.DataFrame], BinaryIO, Source], None]]] = {
    ".jsonl": _jsonl,
    ".csv": _csv,
    ".parquet": _parquet,
}
