"""What moves on a terminal while a command works, and where the log goes; both on stderr."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from pipeline.progress import Progress, Silent
from pipeline.wording import visible
from scheduler.output import write

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

    from pipeline.settings import Settings

#: Where an alert goes that no Slack takes.
ALERTS: Final = "daygate.alerts"
_LONGEST_RECORD: Final = 2000
#: What the service itself tells of.
_SERVICE: Final = logging.getLogger("daygate.service")
_OURS: Final = ("daygate", "expectations_custom", "gx", "pipeline", "scheduler")


@contextmanager
def progress() -> Iterator[Progress]:
    """A progress that draws while stderr is a terminal and is silent otherwise; only notes stay on the screen."""
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

    def note(self, text: str) -> None:
        """Print it above the bar."""
        self._bars.console.print(visible(text), markup=False, highlight=False, soft_wrap=True)

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


class Events(logging.Formatter):
    """One event a line: `time LEVEL name key=value …` for people, a JSON object for machines.

    Neither holds a control character or an exception's text. An alert keeps its lines, as in `Plain`; its JSON is
    one line all the same.
    """

    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        """The record; its `facts`, when it has some, as keys of their own."""
        facts: dict[str, object] = dict(getattr(record, "facts", {}))
        if record.exc_info and record.exc_info[0]:
            facts["exception"] = record.exc_info[0].__name__
        from pipeline.zone import ZONE

        text = record.getMessage()
        lines = text.split("\n") if record.name == ALERTS else [text]
        head = {
            "time": datetime.fromtimestamp(record.created, ZONE).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "event": ("\n" if self._as_json else "\n    ").join(visible(line, limit=_LONGEST_RECORD) for line in lines),
        }
        shown = {name: _fact(value) for name, value in facts.items() if value is not None}
        if self._as_json:
            return json.dumps({**head, **shown})
        words = [f"{name}={_quoted(value)}" for name, value in shown.items()]
        return " ".join([head["time"], head["level"], head["logger"], head["event"], *words])


def _fact(value: object) -> object:
    if isinstance(value, bool | int):
        return value
    return round(value, 3) if isinstance(value, float) else visible(str(value), limit=_LONGEST_RECORD)


def _quoted(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if not text or set(text) & set(' "=') else text


def configure_events(settings: Settings) -> None:
    """Send the log of the service to stderr: for people on a terminal, as JSON otherwise.

    Unless a level is set, our own records are shown from INFO on and other people's from WARNING on.
    """
    handler = ToStderr()
    handler.setFormatter(Events(as_json=sys.stderr is None or not sys.stderr.isatty()))
    asked = settings.log_level if "log_level" in settings.model_fields_set else None
    ours = logging.getLevelNamesMapping()[asked or "INFO"]
    others = logging.getLevelNamesMapping()[asked or "WARNING"]
    handler.addFilter(
        lambda record: (
            record.name == ALERTS or record.levelno >= (ours if record.name.split(".")[0] in _OURS else others)
        )
    )
    logging.basicConfig(level=min(ours, others), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)


def event(name: str, *, level: str = "INFO", **facts: object) -> None:
    """Log an event of the service with its facts; no values from events, no secrets."""
    _SERVICE.log(logging.getLevelNamesMapping()[level], name, extra={"facts": facts})
