"""Runs a command as a whole process and follows it and its children: time, processor and memory."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

#: Seconds between two looks at the memory of the tree; each costs some milliseconds a gigabyte.
PAUSE = 0.2


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One run of a command."""

    #: Seconds from start to end.
    wall: float
    #: User and system seconds of the process and all it waited for.
    cpu: float
    #: MB of the whole tree at its highest, shared pages counted once (sum of PSS).
    peak: float
    #: MB of the largest process at its highest (VmHWM).
    largest: float
    code: int
    out: str


class Failed(RuntimeError):
    """The command ended otherwise than it should."""


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path,
    environment: Mapping[str, str] | None = None,
    codes: Sequence[int] = (0,),
) -> Measured:
    """Run a command to its end.

    Raises:
        Failed: an exit code that is not one of `codes`; with the end of what it said.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.monotonic()
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
        )
        watch = _Watch(process.pid)
        watch.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        watch.stop()
        out.seek(0)
        err.seek(0)
        said, complained = out.read().decode(errors="replace"), err.read().decode(errors="replace")
    if process.returncode not in codes:
        raise Failed(f"{' '.join(map(str, command))} ended with {process.returncode}:\n{complained[-2000:]}")
    return Measured(
        wall=wall,
        cpu=usage.ru_utime + usage.ru_stime,
        peak=watch.peak / 1000,
        largest=max(watch.largest, usage.ru_maxrss) / 1000,
        code=process.returncode,
        out=said,
    )


class _Watch(threading.Thread):
    """Looks at the memory of a process tree until it is told to stop."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid = pid
        self.peak = 0
        self.largest = 0
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.wait(PAUSE):
            pids = tree(self.pid)
            self.peak = max(self.peak, sum(_kilobytes(pid, "smaps_rollup", "Pss:") for pid in pids))
            self.largest = max([self.largest, *(_kilobytes(pid, "status", "VmHWM:") for pid in pids)])

    def stop(self) -> None:
        self.done.set()
        self.join()


def tree(pid: int) -> list[int]:
    """A process and its living descendants."""
    found = [pid]
    try:
        children = [child for task in Path(f"/proc/{pid}/task").iterdir() for child in _children(task)]
    except OSError:  # gone meanwhile
        children = []
    return found + [other for child in children for other in tree(child)]


def _children(task: Path) -> list[int]:
    """Processes that a thread started; none when it is gone."""
    try:
        return [int(child) for child in (task / "children").read_text().split()]
    except OSError:
        return []


def _kilobytes(pid: int, file: str, row: str) -> int:
    """A row of a file in /proc; 0 when the process is gone."""
    try:
        text = Path(f"/proc/{pid}/{file}").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith(row)), 0)


def processor_seconds(pid: int) -> float:
    """Seconds a server has used so far, with its living children and those it has seen end."""
    ticks = 0
    for one in tree(pid):
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        # utime and stime; of the server itself also those of its ended children.
        ticks += sum(int(fields[place]) for place in ((11, 12, 13, 14) if one == pid else (11, 12)))
    return ticks / os.sysconf("SC_CLK_TCK")
