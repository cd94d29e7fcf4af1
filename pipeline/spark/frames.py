"""A staged delivery as Spark sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyarrow import parquet

from pipeline.records import Staged

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def staged_frame(spark: SparkSession, staged: Staged) -> DataFrame:
    """All staged columns, one row a line in no order; nothing is read yet."""
    from pyspark.sql.pandas.types import from_arrow_schema  # noqa: PLC0415  # an extra

    # Given, so that no job is spent on looking it up; instants before 1900 are what they say.
    schema = from_arrow_schema(parquet.read_schema(staged.parts[0]))
    reader = spark.read.schema(schema).option("datetimeRebaseMode", "CORRECTED")
    return reader.parquet(*(str(part) for part in staged.parts))
