"""Quarantine: every line that is not loaded, with all its reasons and its bytes exactly as they came."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import polars as pl
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from pipeline import workspace
from pipeline.database import Connection, json_text, one, translated
from pipeline.errors import RefusedFile, StepFailed
from pipeline.failing import scan
from pipeline.kept_out import kept_out
from pipeline.records import CheckReport, Delivery, Run, Staged
from pipeline.stage import raw_lines

#: A batch ends with the line that crosses either bound.
_BATCH_ROWS: Final = 20_000
_BATCH_BYTES: Final = 32 * 2**20
#: A longer line is stored without its bytes: PostgreSQL could not take them, and the archived delivery has them.
RAW_LIMIT: Final = 16 * 2**20
_CSV: Final = pa_csv.WriteOptions(include_header=False, quoting_style="needed")
_COLUMNS: Final = ("line_no", "event_id", "byte_offset", "byte_length", "raw", "reasons")


@dataclass(frozen=True, kw_only=True, slots=True)
class QuarantineCount:
    """How many quarantined lines of a day break a rule."""

    check: str
    rule: str
    lines: int


def batches(staged: Staged, report: CheckReport, *, within: pl.Expr | None = None) -> Iterator[pl.DataFrame]:
    """The lines with a reason from a critical check, in line order.

    Args:
        within: only those failing lines.

    Yields:
        Frames of line_no, event_id (null when unreadable; hostile text), byte_offset, byte_length (Int64), raw
        (Binary; null above `RAW_LIMIT`), reasons (JSON text: `[{"check", "rule", "field", "reason"}]`).

    Raises:
        StepFailed: the delivery changed since it was staged.
    """
    blocking = kept_out(report.critical_checks)
    return failing_lines(staged, report.failing, of=blocking if within is None else blocking & within)


def failing_lines(staged: Staged, reasons_of: Path, *, of: pl.Expr | None = None) -> Iterator[pl.DataFrame]:
    """As `batches`, for lines with a reason that `of` holds for, or any reason when None; with all their reasons."""
    if not reasons_of.exists():
        return
    failing = scan(reasons_of)
    blocking = failing if of is None else failing.filter(of)
    critical = blocking.select("line_no").unique().collect()
    if critical.is_empty():
        return
    for places in _places(staged, critical):
        first, last = places["line_no"][0], places["line_no"][-1]
        within = failing.filter(pl.col("line_no").is_between(first, last)).join(
            places.lazy().select("line_no"), on="line_no", how="semi"
        )
        reason = pl.struct("check", "rule", "field", "reason").struct.json_encode()
        reasons = within.group_by("line_no").agg(
            (pl.lit("[") + reason.sort_by("check", "rule").str.join(",") + pl.lit("]")).first().alias("reasons")
        )
        joined = places.join(reasons.collect(), on="line_no", how="left", maintain_order="left")
        yield from _with_bytes(staged.delivery, joined)


def _places(staged: Staged, critical: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Where the critical lines are, a bounded number at a time."""
    for part in staged.parts:
        with pq.ParquetFile(part) as file:
            for batch in file.iter_batches(_BATCH_ROWS, columns=["line_no", "event_id", "byte_offset", "byte_length"]):
                frame = pl.DataFrame(pl.from_arrow(batch)).with_columns(pl.col("event_id").cast(pl.String))
                found = frame.join(critical, on="line_no", how="semi", maintain_order="left")
                if found.height:
                    yield found


def _with_bytes(delivery: Delivery, places: pl.DataFrame) -> Iterator[pl.DataFrame]:
    for frame in _pieces(places):
        offsets = zip(frame["byte_offset"], frame["byte_length"], strict=True)
        raw = list(_raw(delivery, offsets))
        yield frame.with_columns(pl.Series("raw", raw, dtype=pl.Binary)).select(_COLUMNS)


def _pieces(places: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The same rows, a piece at a time that is within both bounds."""
    held = pl.when(pl.col("byte_length") <= RAW_LIMIT).then(pl.col("byte_length")).otherwise(0)
    for frame in places.iter_slices(_BATCH_ROWS):
        group = frame.with_columns((held.cum_sum() // _BATCH_BYTES).alias("group"))
        yield from group.partition_by("group", maintain_order=True, include_key=False)


def _raw(delivery: Delivery, places: Iterable[tuple[int, int]]) -> Iterator[bytes | None]:
    """The bytes at each (offset, length) of the delivery; None above `RAW_LIMIT`."""
    spans = list(places)
    found = raw_lines(delivery, (span for span in spans if span[1] <= RAW_LIMIT))
    try:
        for _, length in spans:
            yield next(found) if length <= RAW_LIMIT else None
    except RefusedFile as error:
        # It was taken and judged already: now the step fails, not the file.
        raise StepFailed("The delivery became shorter while it was checked, or is gone.", step="publish") from error


def store(cursor: Any, run: Run, staged: Staged, report: CheckReport) -> int:
    """Write the quarantined lines of a run inside the caller's transaction; the number of lines."""
    if staged.engine == "spark":
        names = f"run_id, day, {', '.join(_COLUMNS)}"
        cursor.execute(f"INSERT INTO quarantine_events ({names}) SELECT {names} FROM {kept_table(run)}")
        return int(cursor.rowcount)
    return copy(cursor, "quarantine_events", run, batches(staged, report))


def kept_table(run: Run) -> str:
    """Where executors put the run's quarantined lines before they are published."""
    return f"{workspace.schema_of(run)}.quarantined"


def copy(cursor: Any, table: str, run: Run, frames: Iterator[pl.DataFrame]) -> int:
    """COPY lines as `batches` gives them into a table with the columns of quarantine_events; their number."""
    lines = 0
    for frame in frames:
        rows = frame.select(
            pl.lit(run.run_id).alias("run_id"),
            pl.lit(run.day).alias("day"),
            *_COLUMNS[:4],
            (pl.lit("\\x") + pl.col("raw").bin.encode("hex")).alias("raw"),
            "reasons",
        )
        sink = pa.BufferOutputStream()
        pa_csv.write_csv(rows.to_arrow(compat_level=pl.CompatLevel.oldest()), sink, _CSV)
        cursor.copy_expert(
            f"COPY {table} (run_id, day, {', '.join(_COLUMNS)}) FROM STDIN (FORMAT csv)",
            pa.BufferReader(sink.getvalue()),
            size=1 << 20,
        )
        lines += cursor.rowcount
    return lines


def summary(connection: Connection, day: date) -> list[QuarantineCount]:
    """Quarantined lines per check and rule of the day's last judged run, worst first."""
    with translated("reading the quarantine"), connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT reason ->> 'check', reason ->> 'rule', count(DISTINCT q.line_no)"
            " FROM quarantine_events AS q CROSS JOIN LATERAL jsonb_array_elements(q.reasons) AS reason"
            " WHERE q.run_id = (SELECT run_id FROM pipeline_run_log WHERE day = %s"
            "  AND status IN ('published', 'blocked') ORDER BY fence DESC LIMIT 1)"
            " GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2",
            (day,),
        )
        return [QuarantineCount(check=check, rule=rule, lines=lines) for check, rule, lines in cursor.fetchall()]


@dataclass(frozen=True, kw_only=True, slots=True)
class QuarantinedLine:
    """A line as `daygate quarantine show` tells it; everything but our reasons is hostile."""

    line: int
    #: In bytes.
    length: int
    #: Its first bytes; None when it is kept in the archived delivery only.
    head: bytes | None
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """Why a line failed; the words are ours."""

    check: str
    rule: str
    field: str | None
    reason: str


def _reasons_of(document: list[dict[str, str | None]]) -> tuple[Reason, ...]:
    """The reasons of a line as the database keeps them."""
    return tuple(
        Reason(check=found["check"] or "", rule=found["rule"] or "", field=found["field"], reason=found["reason"] or "")
        for found in document
    )


def count(connection: Connection, run_id: str, *, check: str | None = None, rule: str | None = None) -> int:
    """How many quarantined lines of a run have such a reason."""
    with translated("counting the quarantine"), connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM quarantine_events WHERE run_id = %s AND reasons @> %s", (run_id, _like(check, rule))
        )
        return int(one(cursor)[0])


def lines(
    connection: Connection, run_id: str, *, check: str | None = None, rule: str | None = None, limit: int, head: int
) -> list[QuarantinedLine]:
    """The first quarantined lines of a run with such a reason, in line order.

    Args:
        check: only lines that fail this check.
        rule: only lines that fail a rule of this name.
        limit: most lines.
        head: most bytes of each.
    """
    with translated("reading the quarantine"), connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT line_no, byte_length, substring(raw FROM 1 FOR %s), reasons FROM quarantine_events"
            " WHERE run_id = %s AND reasons @> %s ORDER BY line_no LIMIT %s",
            (head, run_id, _like(check, rule), limit),
        )
        return [
            QuarantinedLine(
                line=line, length=length, head=None if raw is None else bytes(raw), reasons=_reasons_of(reasons)
            )
            for line, length, raw, reasons in cursor.fetchall()
        ]


def _like(check: str | None, rule: str | None) -> str:
    """What `reasons` must contain."""
    return json_text([{name: value for name, value in (("check", check), ("rule", rule)) if value is not None}])


def places(connection: Connection, run_id: str) -> pl.DataFrame:
    """Where the quarantined lines of a run are in its archived delivery: line_no, byte_offset, byte_length (Int64)."""
    schema = dict.fromkeys(("line_no", "byte_offset", "byte_length"), pl.Int64)
    frames = [pl.DataFrame(schema=schema)]
    with translated("reading the quarantine"), connection, connection.cursor(name="places") as cursor:
        cursor.execute(
            f"SELECT {', '.join(schema)} FROM quarantine_events WHERE run_id = %s ORDER BY line_no", (run_id,)
        )
        while rows := cursor.fetchmany(_BATCH_ROWS):
            frames.append(pl.DataFrame(rows, schema=schema, orient="row"))
    return pl.concat(frames)


def stored(connection: Connection, run_id: str) -> Iterator[pl.DataFrame]:
    """The quarantined lines of a run as `batches` gave them, read back a bounded piece at a time."""
    schema = dict(zip(_COLUMNS, (pl.Int64, pl.String, pl.Int64, pl.Int64, pl.Binary, pl.String), strict=True))
    for piece in _pieces(places(connection, run_id)):
        with translated("reading the quarantine"), connection, connection.cursor() as cursor:
            cursor.execute(
                f"SELECT {', '.join(_COLUMNS)} FROM quarantine_events"
                " WHERE run_id = %s AND line_no BETWEEN %s AND %s ORDER BY line_no",
                (run_id, piece["line_no"][0], piece["line_no"][-1]),
            )
            rows = [
                (*row[:4], None if row[4] is None else bytes(row[4]), _reasons_text(row[5]))
                for row in cursor.fetchall()
            ]
        yield pl.DataFrame(rows, schema=schema, orient="row")


def _reasons_text(document: list[dict[str, str | None]]) -> str:
    """In the form `batches` gives; jsonb keeps no order of keys."""
    ordered = [{key: reason[key] for key in ("check", "rule", "field", "reason")} for reason in document]
    return json.dumps(ordered, ensure_ascii=False, separators=(",", ":"))
