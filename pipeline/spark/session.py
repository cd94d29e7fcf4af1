"""The one Spark session of a process, made from the settings when it is first asked for.

Spark's and Java's own noise goes to a file in the home, never to the terminal; everything that listens does so on
this machine only, as long as the master is on it.
"""

from __future__ import annotations

import atexit
import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from pipeline.errors import DaygateError, SettingsError, StepFailed
from pipeline.progress import Progress
from pipeline.settings import Settings
from pipeline.spark import configuration, java
from pipeline.spark.place import Place, log_file, take

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)

_CONNECT: Final = "sc://"
_CONNECT_PORT: Final = 15002
_ANSWERS_WITHIN: Final = 10.0
#: Set by spark-submit: Java is there already, with the master and the memory it was given.
_SUBMITTED: Final = "PYSPARK_GATEWAY_PORT"


class _Held:
    """What this process holds of Spark."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.session: SparkSession | None = None
        self.place: Place | None = None
        #: Whether whoever watches knows where the session can be watched.
        self.link_told = False


_held: Final = _Held()


@contextmanager
def session(settings: Settings) -> Iterator[SparkSession]:
    """The process's session, started when there is none yet or the old one died; it stays for the next who asks.

    The settings of whoever comes first count.

    Raises:
        SettingsError: Spark or a fit Java is not installed.
        StepFailed: Spark does not start, or the cluster does not answer.
    """
    configuration.require_installed()
    from pipeline.spark import gateway

    with _held.lock:
        if _held.session is not None and not gateway.alive(_held.session):
            stop()
        found = _held.session
        if found is None:
            found = _held.session = _started(settings)
            atexit.register(stop)
    yield found


def stop() -> None:
    """End the session, its Java and its files, when there is one."""
    with _held.lock:
        ending, place = _held.session, _held.place
        _held.session = _held.place = None
        _held.link_told = False
        if ending is not None:
            # A Java that died has nothing left to be ended.
            with suppress(Exception):
                ending.stop()
        if place is not None:
            from pipeline.spark import gateway

            gateway.end()
            place.remove()
        atexit.unregister(stop)


def _ui_link(spark: SparkSession) -> str | None:
    """Where Spark shows what it does; None when it does not."""
    try:
        return spark.sparkContext.uiWebUrl
    except Exception:  # noqa: BLE001  # Connect has no context, and says so with an error of its own
        return None


def tell_link(spark: SparkSession, progress: Progress) -> None:
    """Tell whoever watches where that is, if anywhere; once, however many files or days the process takes."""
    link = _ui_link(spark)
    if link and not _held.link_told:
        _held.link_told = True
        progress.note(f"Spark shows what it does at {link} while it runs.")


@contextmanager
def failures(step: str, settings: Settings) -> Iterator[None]:
    """What Spark raises inside the block becomes a StepFailed that names its kind, never its text: that holds values.

    Raises:
        StepFailed: instead of anything of Spark's or its connection's.
    """
    try:
        yield
    except Exception as error:
        if not _is_sparks(error):
            raise
        raise StepFailed(
            f"Spark could not finish the step {step}: {_kind(error)}.",
            step=step,
            hint=f"Read {log_file(settings.home)}, then run again",
        ) from error


def _is_sparks(error: Exception) -> bool:
    module = type(error).__module__.split(".", maxsplit=1)[0]
    return module in {"pyspark", "py4j", "grpc"} or isinstance(error, ConnectionError)


def _kind(error: Exception) -> str:
    """The error class that Spark gives (words in capitals), or the type; of a Java error Java's."""
    with suppress(Exception):
        condition = error.getCondition()  # type: ignore[attr-defined]
        if condition:
            return str(condition)
    with suppress(Exception):
        return str(error.java_exception.getClass().getSimpleName())  # type: ignore[attr-defined]
    return type(error).__name__


def _started(settings: Settings) -> SparkSession:
    from pipeline.spark import gateway

    if settings.spark_master.startswith(_CONNECT):
        found = _connected(settings)
    elif _SUBMITTED in os.environ:
        found = gateway.submitted()
    else:
        found = _launched(settings)
    if link := _ui_link(found):
        log.info("Spark shows what it does at %s while it runs.", link)
    return found


def _launched(settings: Settings) -> SparkSession:
    """A session on a Java of our own. Nothing secret goes on its command line, which everybody can read."""
    from pipeline.spark import gateway

    runtime = java.find()
    place = _held.place = take(settings.home)
    try:
        configuration.write(place.properties, configuration.of(settings, place.folder))
        environment = configuration.environment(
            settings.spark_master, java.home_for_spark(runtime, place.folder.parent)
        )
        environment["PYSPARK_SUBMIT_ARGS"] = configuration.submit_arguments(place.properties)
        return gateway.launched(environment, place.said)
    except Exception as error:
        said = _last_words(place.said)
        stop()
        if isinstance(error, DaygateError):
            raise
        raise StepFailed(
            f"Spark does not start on {shown(settings.spark_master)}: {said or _kind(error)}.",
            step="spark",
            hint=f"daygate doctor, then read {log_file(settings.home)}",
        ) from error


def _connected(settings: Settings) -> SparkSession:
    from pipeline.spark import gateway

    where = urlsplit(settings.spark_master)
    try:
        # Spark's client would try for minutes before it says that nobody is there.
        socket.create_connection((where.hostname or "", where.port or _CONNECT_PORT), timeout=_ANSWERS_WITHIN).close()
        return gateway.connected(settings.spark_master)
    except ImportError as error:
        raise SettingsError(
            "Spark Connect needs packages that are not installed.", hint="pip install 'daygate[connect]'"
        ) from error
    except Exception as error:
        raise StepFailed(
            f"No Spark Connect server answers at {shown(settings.spark_master)}: {_kind(error)}.",
            step="spark",
            hint="Start it (docs/spark.md), or set DAYGATE_SPARK_MASTER",
        ) from error


def _last_words(said: Path) -> str:
    """The last line that Java or the launcher wrote, no data having been read yet; empty when there is none."""
    with suppress(OSError):
        lines = said.read_text(encoding="utf-8", errors="replace").splitlines()
        return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "")
    return ""


def shown(master: str) -> str:
    """The master without what may follow its port: Connect takes tokens there."""
    parts = urlsplit(master)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else master
