"""One node of a standalone cluster in the foreground, as a container runs it.

    python -m pipeline.spark.node master
    python -m pipeline.spark.node worker spark://spark-master:7077

The process becomes Spark's own, so that signals reach it and its end is the node's.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

from pipeline.errors import DaygateError, SettingsError
from pipeline.spark import configuration, java

#: Where workers and drivers find the master.
PORT: Final = 7077
_USAGE: Final = 2
#: Java heap of the node itself; executors have their own.
_MEMORY: Final = "512m"
_MASTER: Final = "org.apache.spark.deploy.master.Master"
_WORKER: Final = "org.apache.spark.deploy.worker.Worker"


def command(words: Sequence[str], *, address: str, work: Path) -> list[str]:
    """What follows `spark-class`.

    Args:
        words: `master`, or `worker` and the master's URL.
        address: what the others reach this machine by.
        work: a worker's folder for its executors.

    Raises:
        SettingsError: other words.
    """
    match list(words):
        case ["master"]:
            return [_MASTER, "--host", address, "--port", str(PORT)]
        case ["worker", url] if url.startswith("spark://"):
            return [_WORKER, "--host", address, "--work-dir", str(work), url]
        case _:
            raise SettingsError(
                "A node is a master, or a worker and the master's URL.", hint="master, worker spark://…"
            )


def _become(words: Sequence[str]) -> NoReturn:
    """Turn this process into the node."""
    place = Path(tempfile.gettempdir())
    arguments = command(words, address=socket.gethostbyname(socket.gethostname()), work=place / "work")
    runtime = java.home_for_spark(java.find(), place)
    environment = {**configuration.environment("spark://", runtime), "SPARK_DAEMON_MEMORY": _MEMORY}
    program = configuration.spark_home() / "bin" / "spark-class"
    os.execve(program, [str(program), *arguments], {**os.environ, **environment})  # noqa: S606  # Spark's own program


if __name__ == "__main__":
    try:
        _become(sys.argv[1:])
    except DaygateError as error:
        sys.stderr.write(f"daygate: {error.message}\n  try: {error.hint}\n")
        sys.exit(_USAGE)
