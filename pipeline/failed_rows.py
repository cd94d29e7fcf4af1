"""`--failed-rows`: all failing lines with all their reasons, as JSON Lines, CSV or Parquet."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import SettingsError
from pipeline.quarantine import failing_lines
from pipeline.records import Staged

#: Spreadsheets take a cell that begins so for a formula (after blanks, and in full width too).
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001  # these are meant
_SCHEMA: Final = pa.schema(
    {"line": pa.int64(), "event_id": pa.string(), "reasons": pa.string(), "raw": pa.large_binary()}
)


def write_failed_rows(staged: Staged, failing: Path, path: Path) -> None:
    """Write every failing line; the file appears whole or not at all.

    Args:
        staged: the delivery as staged; its bytes are looked up again.
        failing: Parquet of all failing (line_no, check, rule, field, reason).
        path: its suffix chooses the form: .jsonl, .csv or .parquet.

    Raises:
        SettingsError: another suffix, or the path cannot be written.
    """
    writers = {".jsonl": _jsonl, ".csv": _csv, ".parquet": _parquet}
    if path.suffix not in writers:
        raise SettingsError(
            "--failed-rows writes .jsonl, .csv or .parquet.", hint=f"--failed-rows {path.stem or 'failed'}.jsonl"
        )
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with partial.open("wb") as file:
            writers[path.suffix](failing_lines(staged, failing), file)
        partial.replace(path)
    except OSError as error:
        raise SettingsError(f"The failed rows cannot be written ({error.strerror}).", hint="Check the path.") from error
    finally:
        partial.unlink(missing_ok=True)


def _jsonl(frames: Iterator[pl.DataFrame], file: BinaryIO) -> None:
    for frame in frames:
        for line, event_id, raw, reasons in _rows(frame):
            row: dict[str, Any] = {"line": line, "event_id": event_id, "reasons": json.loads(reasons)}
            file.write(json.dumps({**row, **_raw(raw)}, ensure_ascii=False).encode("utf-8") + b"\n")


def _raw(raw: bytes) -> dict[str, str]:
    """The line as text, or as base64 where it is none."""
    try:
        return {"raw": raw.decode("utf-8")}
    except UnicodeDecodeError:
        return {"raw": base64.b64encode(raw).decode("ascii"), "raw_encoding": "base64"}


def _csv(frames: Iterator[pl.DataFrame], file: BinaryIO) -> None:
    with io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True) as text:
        writer = csv.writer(text, quoting=csv.QUOTE_ALL)
        writer.writerow(["line", "event_id", "checks", "reasons", "raw", "raw_encoding"])
        for frame in frames:
            for line, event_id, raw, reasons in _rows(frame):
                told = json.loads(reasons)
                shown = _raw(raw)
                writer.writerow(
                    [
                        line,
                        spreadsheet_safe(event_id or ""),
                        " ".join(dict.fromkeys(reason["check"] for reason in told)),
                        spreadsheet_safe("; ".join(reason["reason"] for reason in told)),
                        spreadsheet_safe(shown["raw"]),
                        shown.get("raw_encoding", ""),
                    ]
                )
        text.flush()
        text.detach()


def spreadsheet_safe(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return "'" + text if text.lstrip(" \u3000").startswith(_FORMULA) else text


def _parquet(frames: Iterator[pl.DataFrame], file: BinaryIO) -> None:
    with pq.ParquetWriter(file, _SCHEMA, compression="zstd") as writer:
        for frame in frames:
            table = frame.select(line="line_no", event_id="event_id", reasons="reasons", raw="raw").to_arrow()
            writer.write_table(table.cast(_SCHEMA))


def _rows(frame: pl.DataFrame) -> Iterator[tuple[int, str | None, bytes, str]]:
    return frame.select("line_no", "event_id", "raw", "reasons").iter_rows()
