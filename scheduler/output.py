"""What the command line writes with: what a terminal can show, columns, and the two streams.

Nothing here knows a check or a day. Everything that came from a file, a file name or an event has gone
through `pipeline.wording.visible` before it is written.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TextIO

from pipeline.errors import DaygateError

#: Widths in cells: below the first a terminal is taken for broken, above the second lines get too long to read.
_NARROWEST, _USUAL, _WIDEST = 40, 80, 120
#: Fewer cells of a cut text tell nothing.
_FEWEST: Final = 8
#: Seconds from which minutes read better.
_MINUTES_FROM: Final = 100
_COLOURS: Final = {"good": "32", "bad": "31", "warn": "33", "faint": "2", "strong": "1"}
#: Typography of our own sentences where there is no Unicode.
_IN_ASCII: Final = str.maketrans({"…": "...", "·": "-", "\N{EN DASH}": "-", "\N{MINUS SIGN}": "-", "×": "x"})
#: Exit status of a program whose reader went away, as shells report it (128 + SIGPIPE).
READER_GONE: Final = 141

Align = Literal["<", ">"]
Role = Literal["good", "bad", "warn", "faint", "strong", ""]


def wide(text: str) -> int:
    """Terminal cells the text takes: two for East Asian wide characters, none for combining marks."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def pad(text: str, cells: int, align: Align = "<") -> str:
    """The text filled with spaces to that many cells; longer text stays as it is."""
    space = " " * (cells - wide(text))
    return text + space if align == "<" else space + text


def seconds(value: float) -> str:
    """`0.4 s`, `12.3 s`, `2 min 05 s`."""
    if value < _MINUTES_FROM:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02d} s"


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What the reader's terminal can show."""

    colour: bool = False
    unicode: bool = True
    #: Cells in a line.
    width: int = _USUAL

    def paint(self, text: str, role: Role) -> str:
        """The text in a colour, when there is colour; never the only carrier of a meaning."""
        return f"\x1b[{_COLOURS[role]}m{text}\x1b[0m" if self.colour and role else text

    @property
    def more(self) -> str:
        """Stands for what was cut."""
        return "…" if self.unicode else "..."

    @property
    def dot(self) -> str:
        """Between figures that stand side by side."""
        return " · " if self.unicode else " - "

    def fit(self, text: str, cells: int) -> str:
        """The text cut to at most that many cells; nothing when there is no room for a meaning."""
        if wide(text) <= cells:
            return text
        if cells < _FEWEST:
            return ""
        kept = ""
        for character in text:
            if wide(kept + character) > cells - len(self.more):
                break
            kept += character
        return kept + self.more


def look_of(stream: TextIO | None, environment: Mapping[str, str] = os.environ) -> Look:
    """The look for a stream: plain unless it is a terminal; `NO_COLOR` and `TERM=dumb` are respected."""
    if stream is None:
        return Look()
    terminal = stream.isatty()
    encoding = (stream.encoding or "ascii").lower().replace("-", "")
    colour = terminal and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
    return Look(colour=colour, unicode=encoding.startswith("utf"), width=_columns(stream) if terminal else _USUAL)


def _columns(stream: TextIO) -> int:
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except OSError:
        return _USUAL
    return min(columns, _WIDEST) if columns >= _NARROWEST else _USUAL


def columns(rows: Sequence[Sequence[str]], aligns: Sequence[Align], *, indent: int = 2) -> list[str]:
    """Rows as lines whose cells stand under each other, two spaces apart; no spaces at a line's end."""
    widths = [max((wide(row[place]) for row in rows), default=0) for place in range(len(aligns))]
    lines = []
    for row in rows:
        cells = (pad(cell, width, align) for cell, width, align in zip(row, widths, aligns, strict=True) if width)
        lines.append((" " * indent + "  ".join(cells)).rstrip())
    return lines


def write(text: str, *, error: bool = False) -> None:
    """Write one block and a newline to stdout (or stderr) at once.

    Raises:
        SystemExit: with `READER_GONE` when the reader of stdout has closed the pipe. That of stderr may go:
            the work goes on without being told of.
        DaygateError: stdout cannot be written, for example to a full disk.
    """
    stream = sys.stderr if error else sys.stdout
    if stream is None:
        return
    encoding = stream.encoding or "ascii"
    text = text if encoding.lower().startswith("utf") else text.translate(_IN_ASCII)
    try:
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        stream.flush()
    except OSError as problem:
        # The interpreter flushes once more at exit; that must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if error:
            return
        if isinstance(problem, BrokenPipeError):
            raise SystemExit(READER_GONE) from None
        raise DaygateError(f"The answer cannot be written ({problem.strerror}).") from problem
