"""Every error daygate raises on purpose, grouped by what the person should do next.

Each class carries the exit code of design's command table; the command line turns an error into
one or two lines (what, where, next command) and exits with that code.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the `daygate` command, relied upon by other people's scripts."""

    OK = 0
    FAIL = 1
    USAGE = 2
    INCONCLUSIVE = 3
    REFUSED = 4
    BUSY = 5


class DaygateError(Exception):
    """Root of every error raised on purpose.

    Args:
        message: what happened and where, without secrets and without values from events.
        hint: the next command or step, shown on its own line.
    """

    exit_code: ExitCode = ExitCode.INCONCLUSIVE

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        """Errors travel between processes whole, whatever their constructors ask for."""
        return _made_again, (type(self), self.args, self.__dict__)


def _made_again(kind: type[DaygateError], args: tuple[object, ...], facts: dict[str, object]) -> DaygateError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(facts)
    return error


class SettingsError(DaygateError):
    """A setting or argument is wrong; running again unchanged cannot help."""

    exit_code = ExitCode.USAGE


class ContractError(SettingsError):
    """The event schema says something daygate cannot execute; the message names the place."""


class RefusedFile(DaygateError):
    """A whole delivery was refused before any check.

    `reason` is a stable word for scripts: empty, encoding, line_endings, not_jsonl, too_large, not_regular_file, …
    """

    exit_code = ExitCode.REFUSED

    def __init__(self, message: str, *, reason: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class BusyError(DaygateError):
    """Another run holds the day."""

    exit_code = ExitCode.BUSY


class StepFailed(DaygateError):
    """A step of the day failed; nothing of the day became visible.

    `step` is one of deliver, generate, stage, check, load, quarantine, marts, publish, block; or says what could not
    do its part in one of them: spark, spark-batch, run (its whole process).
    """

    def __init__(self, message: str, *, step: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.step = step


class TransientError(DaygateError):
    """The database or the network was away; the same call may succeed when repeated unchanged."""


class DatabaseError(DaygateError):
    """PostgreSQL refused for a reason that repeating cannot cure; names sqlstate and constraint, never a value."""

    def __init__(
        self, message: str, *, sqlstate: str | None = None, constraint: str | None = None, hint: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.sqlstate = sqlstate
        self.constraint = constraint


def tells_to_stop(error: BaseException) -> bool:
    """Whether it is no error but the order to end; all else that is no Exception is one, a panic in polars for one."""
    return isinstance(error, SystemExit | KeyboardInterrupt | GeneratorExit)
