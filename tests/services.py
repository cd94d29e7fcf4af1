"""A service as a process of its own, and what can be seen of it from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest

#: How long a test waits for what must happen; far more than it takes.
PATIENCE = 240.0


def wait_for(seen, seconds: float = PATIENCE):
    """Wait until something is seen, and return it."""
    pause, left = threading.Event(), int(seconds / 0.05)
    while not (found := seen()):
        left -= 1
        assert left, "it was not seen in time"
        pause.wait(0.05)
    return found


class Served:
    """A service in a process of its own, with what it logs."""

    def __init__(self, command, variables, folder: Path) -> None:
        self.log = folder / "service.log"
        self.file = self.log.open("ab")
        self.process = subprocess.Popen(command, cwd=folder, env=variables, stderr=self.file, stdout=self.file)

    def events(self, name=None):
        """What it told of so far, a line each."""
        lines = self.log.read_text(encoding="utf-8").splitlines(keepends=True)
        told = [json.loads(line) for line in lines if line.endswith("\n")]
        return [line for line in told if name in (None, line["event"])]

    def end(self, number=signal.SIGTERM) -> int:
        """Send a signal; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=PATIENCE)


def runs_on(home) -> list[str]:
    """The process ids of what works on days of this home."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            around = (process / "environ").read_bytes()
        except OSError:
            continue
        if b"scheduler.child" in words and str(home).encode() in around:
            found.append(process.name)
    return found


def worker_of(process_id) -> int:
    """The process that a warm program stands for."""
    name = f"warm-{process_id}\n"

    def found():
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if (process / "comm").read_text(encoding="utf-8") == name:
                    return int(process.name)
            except OSError:
                continue
        return None

    return wait_for(found)


def needs(found, what: str) -> None:
    """Skip a test where this machine lacks something; where every change is tested nothing may be lacking."""
    if not found:
        assert "CI" not in os.environ, f"this machine lacks {what}"
        pytest.skip(f"needs {what}")
