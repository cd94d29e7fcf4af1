"""A run in a process of its own: the child that does the work, and the watch its parent keeps.

A crash, a hang or too much memory in a run costs that run and nothing else. The child leads a process group, so
that what it started can be ended with it; it holds the end of a pipe, so that it notices when its parent is gone.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from time import monotonic
from typing import Final, Literal, NoReturn

from scheduler import orphans

#: As shells report a program that ended on SIGTERM (128 + 15).
TERMINATED: Final = 143
#: How often the parent looks whether the child has ended, and how often it asks `watch`; seconds.
_LOOK_SECONDS: Final = 0.1
_WATCH_SECONDS: Final = 10.0

How = Literal["ended", "timeout", "stopped", "abandoned"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """How a child ended."""

    #: ended by itself (also by a signal nobody of ours sent), for taking too long, because the service stops, or
    #: because `watch` gave it up.
    how: How
    #: Exit code; negative when a signal ended it.
    code: int
    seconds: float

    @property
    def signal_name(self) -> str | None:
        """SIGKILL and the like; None when it exited."""
        if self.code >= 0:
            return None
        known = {number.value: number.name for number in signal.Signals}
        return known.get(-self.code, f"signal {-self.code}")


class Child:
    """A running child; safe to be killed from a signal handler."""

    def __init__(self, command: Sequence[str]) -> None:
        self._began = monotonic()
        self._process = subprocess.Popen(  # noqa: S603  # our own entry point
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
        )

    def kill(self) -> None:
        """End the child and everything it started, at once."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def supervise(
        self,
        *,
        deadline_seconds: float,
        grace_seconds: float,
        stopping: threading.Event,
        watch: Callable[[], bool] = lambda: True,
    ) -> Ending:
        """Wait for the child's end and clean up behind it.

        Args:
            deadline_seconds: a child that takes longer is killed.
            grace_seconds: how long it may take to stop when told to.
            stopping: tells that the service stops.
            watch: asked every few seconds; False gives the child up, as if the service stopped.
        """
        how: How = "ended"
        asked = _Asked(watch)
        next_watch = monotonic() + _WATCH_SECONDS
        while not self._has_ended():
            now = monotonic()
            if now > self._began + deadline_seconds:
                how = "timeout"
                break
            if stopping.is_set():
                how = "stopped"
                break
            if now > next_watch:
                next_watch = now + _WATCH_SECONDS
                asked.again()
            if not asked.answer:
                how = "abandoned"
                break
            stopping.wait(_LOOK_SECONDS)
        if how in ("stopped", "abandoned"):
            self._ask_to_stop(grace_seconds)
        # What the child started must not outlive it; while it is not reaped, nobody else can bear its number.
        self.kill()
        code = self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        return Ending(how=how, code=code, seconds=monotonic() - self._began)

    def _ask_to_stop(self, grace_seconds: float) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGTERM)
        until = monotonic() + grace_seconds
        pause = threading.Event()
        while not self._has_ended() and monotonic() < until:
            pause.wait(_LOOK_SECONDS)

    def _has_ended(self) -> bool:
        orphans.reap(keep={self._process.pid})
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


class _Asked:
    """A question asked in a thread, so that an answer that does not come holds nobody up."""

    def __init__(self, question: Callable[[], bool]) -> None:
        self._question = question
        self._thread: threading.Thread | None = None
        #: The last one; True until there is one.
        self.answer = True

    def again(self) -> None:
        """Ask, unless the answer before is still awaited."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._ask, name="watch", daemon=True)
            self._thread.start()

    def _ask(self) -> None:
        self.answer = self._question()


def command(day: date, *, trigger: str, file: Path | None) -> list[str]:
    """The command line of a run."""
    words = [sys.executable, "-m", "scheduler.child", "--date", day.isoformat(), "--trigger", trigger]
    return words if file is None else [*words, "--file", str(file)]


def pages_command() -> list[str]:
    """The command line that finishes the site."""
    return [sys.executable, "-m", "scheduler.child", "--pages"]


# -- the child's own half ------------------------------------------------------------------------


def main(arguments: Sequence[str]) -> int:
    """Run one day, or finish the site; the exit codes of `daygate run`, and 143 when told to stop."""
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole terminal; the parent decides
    threading.Thread(target=_follow_parent, name="parent", daemon=True).start()
    parser = ArgumentParser()
    parser.add_argument("--pages", action="store_true")
    parser.add_argument("--date", type=date.fromisoformat)
    parser.add_argument("--trigger")
    parser.add_argument("--file", type=Path)
    asked = parser.parse_args(arguments)
    if asked.pages:
        return _guarded(_finish_pages, None)
    return _guarded(lambda: _run(asked.date, asked.trigger, asked.file), asked.date)


def _guarded(work: Callable[[], int], day: date | None) -> int:
    from pipeline.errors import BusyError, DaygateError, ExitCode, tells_to_stop
    from scheduler.screen import event

    try:
        return work()
    except BusyError as busy:
        event("run.busy", day=day, error=busy.message)
        return ExitCode.BUSY
    except DaygateError as error:
        event("run.failed", level="ERROR", day=day, error=error.message, hint=error.hint)
        return error.exit_code
    except BaseException as error:  # the child's outermost boundary: its text may hold values
        if tells_to_stop(error):
            raise
        event("run.failed", level="ERROR", day=day, error=f"a bug: {type(error).__name__}")
        return ExitCode.INCONCLUSIVE


def _run(day: date, trigger: str, file: Path | None) -> int:
    from pipeline import settings as all_settings
    from pipeline.progress import Silent
    from scheduler.commands.common import code_of
    from scheduler.screen import configure_events, event

    settings = all_settings.load()
    configure_events(settings)
    from scheduler import app

    # Before the limit: an embedded server that has to be started again must not inherit it.
    app.database_url(settings)
    _limit_memory(settings.run_memory_bytes)
    outcome = app.run_day(settings, day, file=file, engine=None, force=False, progress=Silent(), trigger=trigger)
    told = outcome.summary
    event(
        "run.told",
        day=day,
        run=told.run_id,
        status=told.status,
        verdict=told.verdict,
        unchanged=outcome.unchanged,
        lines=told.lines,
        loaded=told.loaded,
        quarantined=told.quarantined,
    )
    return code_of(told.verdict)


def _finish_pages() -> int:
    from pipeline import settings as all_settings
    from scheduler import app
    from scheduler.screen import configure_events

    settings = all_settings.load()
    configure_events(settings)
    app.finish_pages(settings)
    return 0


def _limit_memory(most_bytes: int | None) -> None:
    if most_bytes is None:
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = most_bytes if hard == resource.RLIM_INFINITY else min(most_bytes, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))


def _stop(_number: int, _frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the way out is not to be interrupted
    raise SystemExit(TERMINATED)


def _follow_parent() -> None:
    """Stop when the parent is gone: then the pipe, on which it never says anything, ends."""
    with suppress(OSError, ValueError):
        os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)


def _leave(code: int) -> NoReturn:
    """End without taking the libraries apart, which takes seconds, and in which a signal would be fatal."""
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    try:
        _code = main(sys.argv[1:])
    except SystemExit as told:
        _code = told.code if isinstance(told.code, int) else 1
    _leave(_code)
