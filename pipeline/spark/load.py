"""Loading and quarantine on executors: every part is copied by whoever has a free core, exactly once.

A task works off one staged part in one transaction, which first writes the part's name into a table with a unique
key. Spark may repeat a task, or run it twice at once: the second waits for the first, finds the name and leaves.
Tables, key and check are the driver's; what is loaded goes public by the same publish as any other day's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from pipeline import database, quarantine, workspace
from pipeline import load as local
from pipeline.contract import Contract
from pipeline.load import LoadReceipt
from pipeline.records import CheckReport, Run, Staged
from pipeline.spark.tasks import on_executors

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

#: (cursor in the run's schema, one part as a delivery of its own, its failing lines): rows written.
Copy = Callable[[Any, Staged, pl.Expr], int]
_LOADED: Final = "loaded_parts"
_KEPT: Final = "kept_parts"


@dataclass(frozen=True, kw_only=True)
class Job:
    """What the tasks of a step share."""

    url: str
    run: Run
    staged: Staged
    #: The table that tells which parts are done.
    done: str
    doing: str
    copy: Copy


def load(
    spark: SparkSession, url: str, run: Run, staged: Staged, report: CheckReport, contract: Contract
) -> LoadReceipt:
    """As `pipeline.load.load`, on the executors; errors likewise, and those of Spark."""
    prepare_load(url, run)
    on_executors(spark, partial(once, loading(url, run, staged, report, contract)), staged.parts)
    return finish_load(url, run, report, contract)


def keep(spark: SparkSession, url: str, run: Run, staged: Staged, report: CheckReport) -> None:
    """Copy the lines that are kept out beside the run's tables, for the publish to take over; may be repeated.

    Raises:
        TransientError, DatabaseError: as `database.translated`.
        StepFailed: the delivery changed since it was staged.
    """
    prepare_keep(url, run)
    if report.failing_lines:
        on_executors(spark, partial(once, keeping(url, run, staged, report)), staged.parts)


def prepare_load(url: str, run: Run) -> None:
    """Make the run's schema with an empty table for its events."""
    with database.transaction(url, name="load", doing="preparing the load") as cursor:
        workspace.create(cursor, run)
        local.create_table(cursor, run)
        _create_tokens(cursor, _LOADED)


def loading(url: str, run: Run, staged: Staged, report: CheckReport, contract: Contract) -> Job:
    """The copying of good lines."""
    copy = partial(_load_part, report=_slim(report), contract=contract)
    return Job(url=url, run=run, staged=staged, done=_LOADED, doing="loading the events", copy=copy)


def finish_load(url: str, run: Run, report: CheckReport, contract: Contract) -> LoadReceipt:
    """Hold what all tasks together copied to what the gate counted, and give the table its key."""
    with database.transaction(url, name="load", doing="finishing the load") as cursor:
        workspace.enter(cursor, run)
        cursor.execute("SELECT count(*) FROM events")
        (rows,) = database.one(cursor)
        return local.finish(cursor, run, report, contract, rows=rows)


def prepare_keep(url: str, run: Run) -> None:
    """Make an empty table for the lines that are kept out, in the run's schema."""
    with database.transaction(url, name="load", doing="preparing the quarantine") as cursor:
        cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {workspace.schema_of(run)}")
        workspace.enter(cursor, run)
        cursor.execute(f"DROP TABLE IF EXISTS {quarantine.kept_table(run)}, {_KEPT}")
        cursor.execute(f"CREATE TABLE {quarantine.kept_table(run)} (LIKE daygate.quarantine_events)")
        _create_tokens(cursor, _KEPT)


def keeping(url: str, run: Run, staged: Staged, report: CheckReport) -> Job:
    """The copying of lines that are kept out."""
    copy = partial(_keep_part, run=run, report=_slim(report))
    return Job(url=url, run=run, staged=staged, done=_KEPT, doing="filling the quarantine", copy=copy)


def once(job: Job, part: Path) -> None:
    """Copy a part unless that was done before."""
    with database.transaction(job.url, name="executor", doing=job.doing) as cursor:
        workspace.enter(cursor, job.run)
        # Another attempt at the same part is waited for, however long it copies.
        cursor.execute("SET LOCAL lock_timeout = 0")
        cursor.execute(f"INSERT INTO {job.done} VALUES (%s) ON CONFLICT DO NOTHING", (part.name,))
        if cursor.rowcount:
            job.copy(cursor, replace(job.staged, parts=(part,)), _lines_of(part))


def _create_tokens(cursor: Any, name: str) -> None:
    cursor.execute(f"CREATE TABLE {name} (part text PRIMARY KEY)")


def _slim(report: CheckReport) -> CheckReport:
    """The report without samples: they would travel to every task."""
    return replace(report, checks=tuple(replace(check, samples=()) for check in report.checks))


def _lines_of(part: Path) -> pl.Expr:
    """Which failing lines can be of the part."""
    first, last = pl.scan_parquet(part).select(pl.min("line_no"), pl.max("line_no").alias("last")).collect().row(0)
    return pl.col("line_no").is_between(first, last)


def _load_part(cursor: Any, staged: Staged, within: pl.Expr, *, report: CheckReport, contract: Contract) -> int:
    return local.copy(cursor, staged, report, contract, within=within)


def _keep_part(cursor: Any, staged: Staged, within: pl.Expr, *, run: Run, report: CheckReport) -> int:
    frames = quarantine.batches(staged, report, within=within)
    return quarantine.copy(cursor, quarantine.kept_table(run), run, frames)
