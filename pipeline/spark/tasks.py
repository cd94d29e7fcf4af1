"""Our own functions on the executors: one task an item, and whatever an item comes to back on the driver.

An item may be worked on twice, at once or one after the other: Spark repeats what it lost and, when told to,
what is slow. Functions given here must stand that.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.errors import DaygateError

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

T = TypeVar("T")
R = TypeVar("R")


def on_executors(spark: SparkSession, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """What `work` makes of each item, in the items' order; small values only, they all come here.

    Args:
        work: of a module that executors can import, or a partial of such a function. An error of ours that it
            raises is raised here; any other is tried again by Spark, and then an error of Spark's.
    """
    if not items:
        return []
    task = _Task(payload=pickle.dumps((work, list(items))))
    numbers = spark.range(0, len(items), 1, len(items))
    answers: dict[int, Any] = {}
    for row in numbers.mapInArrow(task, "number long, answer binary").collect():
        failed, answers[row["number"]] = pickle.loads(row["answer"])  # noqa: S301  # written by our own executors
        if failed:
            raise answers[row["number"]]
    return [answers[number] for number in range(len(items))]


@dataclass(frozen=True)
class _Task:
    """Sent packed: what it imports must wait until the executor's threads are limited."""

    payload: bytes

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Arrow in and out, as `mapInArrow` has it."""
        # Each core has a task of its own already; read when polars is first imported.
        os.environ.setdefault("POLARS_MAX_THREADS", "1")
        import pyarrow as pa  # noqa: PLC0415

        work, items = pickle.loads(self.payload)  # noqa: S301  # written by our own driver
        for batch in batches:
            for number in batch.column(0).to_pylist():
                answer = pickle.dumps(_answer(work, items[number]))
                yield pa.RecordBatch.from_pydict({"number": [number], "answer": [answer]})


def _answer(work: Callable[[Any], Any], item: Any) -> tuple[bool, Any]:
    """Whether it failed, and the error or what was made."""
    try:
        return False, work(item)
    except DaygateError as error:
        return True, error
