"""Loading: the good lines of a staged delivery, in bulk, into a table that nobody reads yet."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import polars as pl
import psycopg2.errors
import pyarrow as pa
import pyarrow.csv as pa_csv

from pipeline import database, workspace
from pipeline.ahead import ahead
from pipeline.contract import Contract, Kind
from pipeline.errors import SettingsError, StepFailed
from pipeline.failing import scan
from pipeline.failpoints import failpoint
from pipeline.kept_out import kept_out
from pipeline.records import CheckReport, Run, Staged

#: Rows formatted at a time: some 20 MB of text.
_BATCH_ROWS: Final = 50_000
#: Bytes handed to libpq at a time.
_SEND_BYTES: Final = 1 << 20
#: Columns the table has beside the contract's.
_OWN_COLUMNS: Final = frozenset({"day", "fence", "line_no", "flags"})
#: Type of the column that takes a kind of field.
_TYPES: Final[dict[Kind, str]] = {
    "string": "text",
    "integer": "bigint",
    "number": "numeric",
    "timestamp": "timestamp with time zone",
}
#: Quoted texts are values, also the empty one; what is unquoted and empty is NULL. The same rule in PostgreSQL.
_CSV: Final = pa_csv.WriteOptions(include_header=False, quoting_style="needed")


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadReceipt:
    """What was loaded, and where it waits for being published."""

    #: Schema-qualified name of the run's table.
    table: str
    rows: int
    contract_sha256: str


def load(url: str, run: Run, staged: Staged, report: CheckReport, contract: Contract) -> LoadReceipt:
    """COPY the good lines into the run's own table, with its key and the proof of its day.

    A line is good without a reason from a critical check; reasons of other checks become its `flags`.
    Table, rows and key are one transaction: a run that dies leaves nothing, and may load again.

    Raises:
        StepFailed: the number of rows is not the number of good lines.
        TransientError, DatabaseError: as `database.translated`.
    """
    with database.transaction(url, name="load", doing="loading the events") as cursor:
        workspace.create(cursor, run)
        create_table(cursor, run)
        # What is written goes to the disk at once, beside the rest of the COPY, and not all of it in the commit.
        cursor.execute("SET LOCAL backend_flush_after = '2MB'")
        # FREEZE: the rows are written once, as visible pages, and never again for hint bits or by vacuum.
        rows = copy(cursor, staged, report, contract, form="csv, FREEZE")
        return finish(cursor, run, report, contract, rows=rows)


def copy(
    cursor: Any,
    staged: Staged,
    report: CheckReport,
    contract: Contract,
    *,
    form: str = "csv",
    within: pl.Expr | None = None,
) -> int:
    """COPY the good lines of the parts into `events`; the number of rows.

    Args:
        form: what COPY is told of the text.
        within: the failing lines that can concern these parts, when they are not the whole delivery.
    """
    columns = ["line_no", *contract.names, "flags"]
    names = ", ".join(f'"{column}"' for column in columns)
    text = _Stream(ahead(_chunks(staged, contract, *_reasons(report, within))))
    try:
        cursor.copy_expert(f"COPY events ({names}) FROM STDIN (FORMAT {form})", text, size=_SEND_BYTES)
    except psycopg2.errors.QueryCanceled:
        # So psycopg2 calls it when reading the text fails; the reason is ours.
        raise text.failure or StepFailed("Loading took too long.", step="load") from None
    return int(cursor.rowcount)


def finish(cursor: Any, run: Run, report: CheckReport, contract: Contract, *, rows: int) -> LoadReceipt:
    """Hold what was loaded to what the gate counted, and give the table its key.

    Raises:
        StepFailed: the number of rows is not the number of good lines.
    """
    failpoint("load.copied")
    if rows != report.good_lines:
        raise StepFailed(f"{rows} rows were loaded where {report.good_lines} lines are good.", step="load")
    # Named for the published schema, where it will stand beside the keys of other runs.
    cursor.execute(f"ALTER TABLE events ADD CONSTRAINT {workspace.partition_of(run)}_key PRIMARY KEY (event_id)")
    # A third of the usual sample takes a third of the time, and the day's columns have few values or a million.
    cursor.execute("SET LOCAL default_statistics_target = 30")
    cursor.execute("ANALYZE events")
    return LoadReceipt(table=f"{workspace.schema_of(run)}.events", rows=rows, contract_sha256=contract.sha256)


def require_columns(connection: database.Connection, contract: Contract) -> None:
    """Make sure, before any work, that what the contract declares can be loaded.

    Raises:
        SettingsError: the contract declares fields that the table has no column for, or one of another type.
    """
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT attname::text, format_type(atttypid, NULL) FROM pg_attribute"
            " WHERE attrelid = 'daygate.event_versions'::regclass AND attnum > 0 AND NOT attisdropped"
        )
        known = {name: kind for name, kind in cursor.fetchall() if name not in _OWN_COLUMNS}
    details = contract.order_total.details if contract.order_total else None
    wanted = {field.name: "jsonb" if field.name == details else _TYPES[field.kind] for field in contract.fields}
    foreign = [name for name, kind in wanted.items() if known.get(name) != kind]
    if foreign:
        raise SettingsError(
            f"{contract.source} declares {', '.join(foreign)}, which raw_events has no fitting column for: "
            "tables and marts are for the shipped events.",
            hint="daygate check FILE takes any contract, with --report and --failed-rows",
        )


def create_table(cursor: Any, run: Run) -> None:
    """A table like the versions' parent; the CHECK spares the scan when it is attached."""
    cursor.execute("CREATE TABLE events (LIKE daygate.event_versions INCLUDING STORAGE INCLUDING COMPRESSION)")
    cursor.execute(
        "ALTER TABLE events ALTER day SET DEFAULT %(day)s, ALTER fence SET DEFAULT %(fence)s,"
        " ADD CONSTRAINT one_version CHECK (day = %(day)s::date AND fence = %(fence)s)",
        {"day": run.day, "fence": run.fence},
    )


def _chunks(staged: Staged, contract: Contract, critical: pl.DataFrame, flags: pl.DataFrame) -> Iterator[bytes]:
    """CSV text of the good lines, in line order, a bounded piece at a time."""
    for part in staged.parts:
        for frame in pl.read_parquet(part, columns=["line_no", *contract.names]).iter_slices(_BATCH_ROWS):
            good = frame.join(critical, on="line_no", how="anti", maintain_order="left")
            flagged = good.join(flags, on="line_no", how="left", maintain_order="left")
            yield _csv(flagged.select(_texts(contract)))


def _reasons(report: CheckReport, within: pl.Expr | None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Lines that are not loaded, and (line_no, flags) of those that are loaded with a warning."""
    failing = scan(report.failing).select("line_no", "check", "rule")
    if within is not None:
        failing = failing.filter(within)
    blocking = kept_out(report.critical_checks)
    critical = failing.filter(blocking).select("line_no").unique().collect()
    if within is None and critical.height != report.failing_lines:
        raise StepFailed(
            f"{critical.height} failing lines are listed where {report.failing_lines} were counted.", step="load"
        )
    joined = pl.lit('{"') + pl.col("check").unique().sort().str.join('","') + pl.lit('"}')
    flags = failing.filter(~blocking).group_by("line_no").agg(joined.first().alias("flags")).collect()
    return critical, flags


def _texts(contract: Contract) -> list[pl.Expr]:
    """The columns as PostgreSQL reads them; money without the zeros that staging's scale adds.

    Instants are written here because the CSV writer takes more time for them than for all the rest.
    """
    kinds = {field.name: field.kind for field in contract.fields}
    texts = [pl.col("line_no")]
    for name, kind in kinds.items():
        if kind == "string":
            texts.append(pl.col(name).cast(pl.String))
        elif kind == "number":
            texts.append(pl.col(name).cast(pl.String).str.strip_chars_end("0").str.strip_chars_end("."))
        elif kind == "timestamp":
            texts.append(pl.col(name).dt.strftime("%Y-%m-%d %H:%M:%S%.6fZ"))
        else:
            texts.append(pl.col(name))
    return [*texts, pl.col("flags")]


def _csv(frame: pl.DataFrame) -> bytes:
    sink = io.BytesIO()
    table: pa.Table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
    pa_csv.write_csv(table, sink, _CSV)
    return sink.getvalue()


class _Stream:
    """What psycopg2 reads a COPY from."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.chunks = chunks
        self.chunk = b""
        self.at = 0
        #: What went wrong while reading; psycopg2 would hide it.
        self.failure: Exception | None = None

    def read(self, size: int = _SEND_BYTES) -> bytes:
        while self.at == len(self.chunk):
            try:
                following = next(self.chunks, None)
            except Exception as error:
                self.failure = error
                raise
            if following is None:
                return b""
            self.chunk, self.at = following, 0
        piece = self.chunk[self.at : self.at + size]
        self.at += len(piece)
        return piece

    def readline(self, size: int = -1) -> bytes:
        """Asked for by psycopg2's check of the argument; COPY never calls it."""
        return self.read(size)
