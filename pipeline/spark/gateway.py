"""The Java that belongs to this process, with Spark in it: started and ended. Imported only where Spark is there."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from pyspark import SparkContext
from pyspark.java_gateway import launch_gateway
from pyspark.logger import PySparkLogger
from pyspark.sql import SparkSession

from pipeline.spark.configuration import MEANING

#: Loggers of pyspark that print a failed query's message, values and all.
_TELL_VALUES: Final = ("SQLQueryContextLogger", "DataFrameQueryContextLogger")
_MOST_SECONDS_TO_END: Final = 30


def launched(environment: Mapping[str, str], said: Path) -> SparkSession:
    """A session in a new Java, configured by what the environment names.

    Args:
        environment: variables that hold while Java and the context start.
        said: file that takes what Java and its launcher write to stdout and stderr.
    """
    _be_quiet()
    with _environment(environment), said.open("wb") as file:
        gateway = launch_gateway(popen_kwargs={"stdout": file, "stderr": file})  # type: ignore[no-untyped-call]
        SparkContext(gateway=gateway)
    return SparkSession.builder.getOrCreate()


def submitted() -> SparkSession:
    """The session of a program that spark-submit started, with its master and its memory."""
    _be_quiet()
    return SparkSession.builder.appName("daygate").config(map=dict(MEANING)).getOrCreate()


def connected(url: str) -> SparkSession:
    """A session of a Spark Connect server."""
    _be_quiet()
    spark = SparkSession.builder.remote(url).getOrCreate()
    for name, value in MEANING.items():
        spark.conf.set(name, value)
    return spark


def alive(spark: SparkSession) -> bool:
    """Whether the session still answers."""
    try:
        spark.conf.get("spark.sql.session.timeZone")
        context: Any = getattr(spark, "_sc", None)
        return context is None or (context._jsc is not None and not context._jsc.sc().isStopped())  # noqa: SLF001  # no public way to ask
    except Exception:  # noqa: BLE001  # whatever it is, there is no session to go on with
        return False


def end() -> None:
    """Close the pipe that keeps our Java alive, and forget it, so that a new one can be started."""
    gateway: Any = SparkContext._gateway  # noqa: SLF001  # pyspark has no public way to end its Java
    process = getattr(gateway, "proc", None)
    if process is None:
        return
    with suppress(Exception):
        gateway.shutdown()
    with suppress(Exception):
        process.stdin.close()
        process.wait(timeout=_MOST_SECONDS_TO_END)
    if process.poll() is None:
        process.kill()
        process.wait()
    SparkContext._gateway = SparkContext._jvm = SparkContext._active_spark_context = None  # noqa: SLF001  # as above


def _be_quiet() -> None:
    for name in _TELL_VALUES:
        PySparkLogger.getLogger(name).disabled = True
    logging.getLogger("py4j").setLevel(logging.WARNING)
    # It also writes tracebacks to the root logger, of what it raises anyway.
    logging.getLogger().addFilter(_is_not_py4js)


def _is_not_py4js(record: logging.LogRecord) -> bool:
    return Path(record.pathname).parent.name != "py4j"


@contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
