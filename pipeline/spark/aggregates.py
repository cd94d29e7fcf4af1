"""The aggregates of good lines: one SQL file each in `marts/spark/`, a SELECT with a header like a mart's.

Everything happens on the executors; the driver sees counts only. What a day costs is planning rather than work
unless it is big, so several days go through in one pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache, reduce
from pathlib import Path
from shutil import rmtree
from typing import Final

from pyarrow import parquet as parquet_file
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as f
from pyspark.sql import types as t

from pipeline.database import MARTS_FOLDER
from pipeline.errors import StepFailed
from pipeline.failed_rows import GUARDED
from pipeline.marts import Mart, read

FOLDER: Final = MARTS_FOLDER / "spark"
#: Column a day's folder is named by, and the view the files read.
DAY: Final = "event_date"
EVENTS: Final = "events"
#: Digits behind the point that are always shown.
_CENTS: Final = 2
_STAMP: Final = "yyyy-MM-dd'T'HH:mm:ss.SSSXXX"
#: Zeros behind the point that only a column's scale adds.
_ZEROS: Final = r"(\.\d*?)0+$"
_COPY: Final = "folder"
_UNSORTED: Final = ".unsorted"
_CSV: Final = {
    "header": "true",
    "quoteAll": "true",
    "escape": '"',
    "emptyValue": "",
    # The default trims what it writes.
    "ignoreLeadingWhiteSpace": "false",
    "ignoreTrailingWhiteSpace": "false",
}

Done = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class GoodDay:
    """The good lines of a day: staged parts without those that are kept out."""

    day: date
    parts: tuple[Path, ...]
    #: Parquet of (event_date, line_no) of every line that is kept out.
    kept_out: Path
    #: Lines that must be left.
    lines: int

    @property
    def bytes(self) -> int:
        """Of the staged parts."""
        return sum(part.stat().st_size for part in self.parts)


@cache
def all_aggregates() -> tuple[Mart, ...]:
    """Every file, each after those it reads."""
    waiting = [read(file.stem, FOLDER) for file in sorted(FOLDER.glob("*.sql"))]
    names = {aggregate.name for aggregate in waiting}
    ordered: list[Mart] = []
    while waiting:
        made = {aggregate.name for aggregate in ordered}
        ready = [one for one in waiting if not names.intersection(one.reads) - made]
        ordered += ready
        waiting = [one for one in waiting if one not in ready]
    return tuple(ordered)


def write_days(spark: SparkSession, days: Sequence[GoodDay], into: Path, *, on_progress: Done) -> dict[str, int]:
    """Compute every aggregate of some days, all days in one pass.

    Below `into` appear `NAME/parquet/event_date=DAY/part-00000.parquet` and `NAME/csv/NAME_DAY.csv`; what is there of
    other days stays.

    Args:
        into: a folder that the executors write to.
        on_progress: called with (aggregates done, aggregates in all).

    Returns:
        aggregate -> rows.

    Raises:
        StepFailed: of a day other lines are left than were loaded.
    """
    _good_lines(spark, days).createOrReplaceTempView(EVENTS)
    _require_all(spark, days)
    for number, aggregate in enumerate(all_aggregates(), 1):
        _write(spark, aggregate, [good.day for good in days], into / aggregate.name)
        on_progress(number, len(all_aggregates()))
    # Not before the end: aggregates read each other's files under the names that Spark gave them.
    return {
        aggregate.name: sum(_tidied(into / aggregate.name / "parquet" / f"{DAY}={good.day}") for good in days)
        for aggregate in all_aggregates()
    }


def _good_lines(spark: SparkSession, days: Sequence[GoodDay]) -> DataFrame:
    staged = (spark.read.parquet(*map(str, good.parts)).withColumn(DAY, f.lit(good.day)) for good in days)
    kept_out = spark.read.parquet(*(str(good.kept_out) for good in days))
    return reduce(DataFrame.unionByName, staged).join(kept_out, on=[DAY, "line_no"], how="left_anti")


def _require_all(spark: SparkSession, days: Sequence[GoodDay]) -> None:
    found = {row[DAY]: row["count"] for row in spark.table(EVENTS).groupBy(DAY).count().collect()}
    for good in days:
        left = found.get(good.day, 0)
        if left != good.lines:
            raise StepFailed(f"{good.day}: {left} lines are left where {good.lines} are good.", step="spark-batch")


def _write(spark: SparkSession, aggregate: Mart, days: Sequence[date], folder: Path) -> None:
    """The files of one aggregate, and a view of its name: later ones read what was computed, not the way to it."""
    made = spark.sql(aggregate.sql)
    parquet = folder / "parquet"
    made.orderBy(*aggregate.grain).write.mode("append").partitionBy(DAY).parquet(str(parquet))
    written = spark.read.schema(made.schema).parquet(str(parquet)).where(f.col(DAY).isin(*days))
    written.createOrReplaceTempView(aggregate.name)
    # One file a day for people, so one task a day; the folder's name is taken from a copy, the cell stays.
    copied = written.select("*", f.col(DAY).alias(_COPY)).repartition(len(days), DAY)
    texts = copied.sortWithinPartitions(_COPY, *aggregate.grain).select(*_texts(made.schema), _COPY)
    csv = folder / "csv"
    texts.write.partitionBy(_COPY).options(**_CSV).csv(str(csv / _UNSORTED))
    for day in days:
        header = ",".join(f'"{field.name}"' for field in made.schema) + "\n"
        _only_file(csv / _UNSORTED / f"{_COPY}={day}", csv / f"{aggregate.name}_{day}.csv", header)
    rmtree(csv / _UNSORTED)


def _texts(schema: t.StructType) -> list[Column]:
    """The columns as cells: instants with their zone, numbers without padding, texts that are no formula anywhere."""
    return [_text(f.col(field.name), field.dataType).alias(field.name) for field in schema]


def _text(column: Column, kind: t.DataType) -> Column:
    if isinstance(kind, t.StringType):
        return f.when(column.rlike(GUARDED), f.concat(f.lit("'"), column)).otherwise(column)
    if isinstance(kind, t.TimestampType):
        return f.date_format(column, _STAMP)
    if isinstance(kind, t.DecimalType) and kind.scale > _CENTS:
        return f.regexp_replace(f.regexp_replace(column.cast("string"), _ZEROS, "$1"), r"\.$", "")
    return column.cast("string")


def _tidied(folder: Path) -> int:
    """Leave the data only, under names that do not change from run to run; the number of rows."""
    folder.mkdir(exist_ok=True)
    rows = 0
    for file in sorted(folder.iterdir()):
        if file.suffix != ".parquet":
            file.unlink()
    for number, file in enumerate(sorted(folder.iterdir())):
        rows += parquet_file.read_metadata(file).num_rows
        file.rename(folder / f"part-{number:05}.parquet")
    return rows


def _only_file(folder: Path, target: Path, header: str) -> None:
    """Put the folder's one file in the target's place; a day without rows has none, and a header is due."""
    files = list(folder.glob("*.csv"))
    for file in files:
        file.replace(target)
    if not files:
        target.write_text(header, encoding="utf-8")
