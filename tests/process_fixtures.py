"""`daygate` as a process of its own: its words, folder, environment, streams and end."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pipeline.settings import PREFIX

ROOT = Path(__file__).parent.parent
TESTS = Path(__file__).parent
#: Seconds a command may take; far more than it does.
PATIENCE = 300


def environment(home: Path, **variables: str) -> dict[str, str]:
    """The surroundings of a command: this checkout, a home of its own, none of the caller's settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return {**kept, "PYTHONPATH": str(ROOT), "DAYGATE_HOME": str(home / "data"), **variables}


class Commands:
    """Runs commands in processes forked from one that has imported everything (warm_daygate.py)."""

    def __init__(self) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, TESTS / "warm_daygate.py", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=environment(TESTS),
            )

    def __call__(self, home: Path, *words: str, stdin: bytes = b"", **variables: str) -> subprocess.CompletedProcess:
        """Run one command line in the folder `home`, with `home/data` as its data folder, to its end."""
        request = {"words": words, "folder": str(home), "environment": environment(home, **variables)}
        ours, theirs = socket.socketpair()
        reader, writer = os.pipe()
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, ours:
            ours.settimeout(PATIENCE)
            with theirs:
                message = json.dumps(request).encode()
                socket.send_fds(self._requests, [message], [reader, out.fileno(), err.fileno(), theirs.fileno()])
            os.close(reader)
            feeder = threading.Thread(target=feed, args=(writer, stdin))
            feeder.start()
            code = self._ended(ours)
            feeder.join()
            return subprocess.CompletedProcess(words, code, *(whole(stream) for stream in (out, err)))

    @staticmethod
    def _ended(replies: socket.socket) -> int:
        with replies.makefile() as lines:
            child = int(next(lines))
            try:
                return int(next(lines))
            except TimeoutError:
                os.kill(child, 9)
                raise

    def close(self) -> None:
        """End the process that forks; its children have ended."""
        self._requests.close()
        self._server.wait(PATIENCE)


def feed(pipe: int, data: bytes) -> None:
    """Write all of it, or as much as the reader wants."""
    with suppress(BrokenPipeError), open(pipe, "wb") as stream:
        stream.write(data)


def whole(stream) -> bytes:
    """What a process wrote into a file."""
    stream.seek(0)
    return stream.read()


@pytest.fixture(scope="session")
def daygate_process() -> Iterator[Commands]:
    """Runs `daygate` in a process of its own: home, words, stdin, variables -> exit code, stdout, stderr."""
    commands = Commands()
    yield commands
    commands.close()
