"""The edge of the command line: turns whatever a command ends with into one exit code and few words."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Final

from pipeline.errors import DaygateError, ExitCode, tells_to_stop

#: Of several outcomes the one a script must hear of; what is not known is worse than a known FAIL.
_WORST_FIRST: Final = (ExitCode.USAGE, ExitCode.REFUSED, ExitCode.INCONCLUSIVE, ExitCode.BUSY, ExitCode.FAIL)
_OURS: Final = frozenset({"scheduler", "gx", "expectations_custom", "pipeline"})
#: As shells report a program that was interrupted (128 + SIGINT).
INTERRUPTED: Final = 130
_DEBUG: Final = "--debug"
#: What polars' allocator (jemalloc) is told: to give memory back after half a second. By itself it keeps up to
#: a tenth of a check's memory that nothing uses any more.
_ALLOCATOR: Final = ("_RJEM_MALLOC_CONF", "dirty_decay_ms:500,muzzy_decay_ms:0")


def main() -> None:
    """Run the command that was typed and leave with its exit code."""
    os.environ.setdefault(*_ALLOCATOR)
    try:
        code = call(sys.argv[1:])
    except KeyboardInterrupt:  # while the command line itself was being imported
        code = INTERRUPTED
    # Python looks for cycles in all there is, several times, before it ends: 0.08 s or more that nobody needs.
    gc.freeze()
    sys.exit(code)


def call(arguments: Sequence[str]) -> int:
    """Run one command line; nothing but `SystemExit` of a closed pipe leaves this function.

    `--debug` may stand anywhere before `--`.
    """
    words = list(arguments)
    options = words[: words.index("--")] if "--" in words else words
    debug = _DEBUG in options
    kept = [word for word in options if word != _DEBUG] + words[len(options) :]
    from typer import Abort
    from typer.exceptions import TyperException

    from scheduler.cli import app

    try:
        return int(app(kept or ["--help"], prog_name="daygate", standalone_mode=False) or 0)
    except DaygateError as error:
        complain(error)
        return error.exit_code
    except TyperException as error:
        _say(error.format_message(), _help_for(error))
        return ExitCode.USAGE
    except (KeyboardInterrupt, Abort):
        return INTERRUPTED
    except BaseException as error:  # the outermost boundary: a bug must end in an exit code, not in values
        if tells_to_stop(error):
            raise
        return _bug(error, debug=debug)


def complain(error: DaygateError) -> None:
    """Say on stderr what happened and, on a second line, what to do next."""
    _say(error.message, error.hint)


def worst(codes: Iterable[int]) -> ExitCode:
    """The exit code of several outcomes: 2, 4, 3, 5, 1, 0, the first that occurs."""
    found = set(codes)
    return next((code for code in _WORST_FIRST if code in found), ExitCode.OK)


def _say(message: str, hint: str) -> None:
    from pipeline.wording import visible
    from scheduler.output import write

    longest = 1000
    text = f"daygate: {visible(message, limit=longest)}"
    write(text + (f"\n  try: {visible(hint, limit=longest)}" if hint else ""), error=True)


def _help_for(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    return f"{context.command_path if context else 'daygate'} --help"


def _bug(error: BaseException, *, debug: bool) -> ExitCode:
    if debug:
        import traceback

        traceback.print_exception(error)
    _say(f"found a bug: {type(error).__name__} at {_place(error.__traceback__)}.", "" if debug else _again())
    return ExitCode.INCONCLUSIVE


def _again() -> str:
    return f"the same command with {_DEBUG}, and report what it shows (it may hold values from events)"


def _place(trace: TracebackType | None) -> str:
    """`module:line` of the innermost frame of ours; of the innermost at all when none is ours."""
    place = "?"
    ours = ""
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__", "?"))
        place = f"{module}:{trace.tb_lineno}"
        if module.split(".", maxsplit=1)[0] in _OURS:
            ours = place
        trace = trace.tb_next
    return ours or place
