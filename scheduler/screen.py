"""What moves on a terminal while a command works, and where the log goes; both on stderr."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from pipeline.progress import Progress, Silent
from pipeline.wording import visible
from scheduler.output import write

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

#: Where an alert goes that no Slack takes.
ALERTS: Final = "daygate.alerts"
_LONGEST_RECORD: Final = 2000


@contextmanager
def progress() -> Iterator[Progress]:
    """A progress that draws while stderr is a terminal and is silent otherwise; it leaves nothing behind."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield Silent()
        return
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    looks = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    with Bars(*looks, console=Console(stderr=True), transient=True) as bars:
        yield Drawn(bars)


class Drawn(Silent):
    """One bar for the step that runs."""

    def __init__(self, bars: Bars) -> None:
        super().__init__()
        self._bars = bars
        self._open: list[Any] = []

    def began(self, name: str) -> None:
        """Show the step without a length until `advance` tells one."""
        self._open.append(self._bars.add_task(visible(name), total=None))

    def advance(self, done: int, total: int) -> None:
        """Move the bar of the innermost step; without a step there is nothing to move."""
        if self._open:
            self._bars.update(self._open[-1], completed=done, total=total or None)

    def ended(self, name: str, seconds: float) -> None:  # noqa: ARG002  # the signature of Silent
        """Take the bar away."""
        self._bars.remove_task(self._open.pop())


class Plain(logging.Formatter):
    """A record without control characters; of an exception only the type, never its values.

    A record is one line, except an alert: that is ours from end to end and keeps its lines, indented so
    that none can pass for a record of its own. With `short_alerts` its first line stands for it, because
    the command prints the whole story itself.
    """

    def __init__(self, *, short_alerts: bool = False) -> None:
        super().__init__()
        self._alert_lines = 1 if short_alerts else None

    def format(self, record: logging.LogRecord) -> str:
        """`LEVEL logger: message`, with the exception's type when there is one."""
        text = f"{record.levelname} {record.name}: {record.getMessage()}"
        if record.exc_info and record.exc_info[0]:
            text += f" ({record.exc_info[0].__name__})"
        lines = text.split("\n")[: self._alert_lines] if record.name == ALERTS else [text]
        return "\n    ".join(visible(line, limit=_LONGEST_RECORD) for line in lines)


class ToStderr(logging.Handler):
    """Writes each record to what is stderr at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record; a reader that went away does not stop the work."""
        write(self.format(record), error=True)


def configure_logging(level: str, *, short_alerts: bool = False) -> None:
    """Send records of that level and above to stderr, of an alert its first line only when `short_alerts`."""
    handler = ToStderr()
    handler.setFormatter(Plain(short_alerts=short_alerts))
    # On the handler too: Great Expectations gives its loggers levels of its own.
    handler.setLevel(level)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
