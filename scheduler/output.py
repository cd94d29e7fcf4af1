"""What the command line writes with: escaping, figures, columns, and the two streams.

Nothing here knows a check or a day. Everything that came from a file, a file name or an event goes
through `safe` before it reaches a terminal.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal, TextIO

#: Categories that move the cursor, reorder text, hide in it or have no shape: controls, format
#: characters (bidi, zero width), surrogates, private use, unassigned, line and paragraph separators.
_UNSHOWABLE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_COLOURS: Final = {"good": "32", "bad": "31", "warn": "33", "faint": "2", "strong": "1"}
#: Exit status of a program whose reader went away, as shells report it (128 + SIGPIPE).
READER_GONE: Final = 141

Align = Literal["<", ">"]
Role = Literal["good", "bad", "warn", "faint", "strong", ""]


def safe(text: str, *, limit: int = 200) -> str:
    r"""Hostile text as inert text on one line: what a terminal could act on becomes `\x1b`, `\u202e`, ….

    Args:
        limit: longest result in characters; what is longer ends in `...`.
    """
    cut = text if len(text) <= limit else text[: limit - 3] + "..."
    return "".join(
        _escaped(c) if unicodedata.category(c) in _UNSHOWABLE else c for c in cut
    )


def _escaped(character: str) -> str:
    point = ord(character)
    if point < 0x100:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"


def wide(text: str) -> int:
    """Terminal cells the text takes: two for East Asian wide characters, none for combining marks."""
    return sum(
        0
        if unicodedata.combining(c)
        else 2
        if unicodedata.east_asian_width(c) in "WF"
        else 1
        for c in text
    )


def pad(text: str, cells: int, align: Align = "<") -> str:
    """The text filled with spaces to that many cells; longer text stays as it is."""
    space = " " * (cells - wide(text))
    return text + space if align == "<" else space + text


def percent(good: int, of: int) -> str:
    """Share as a percentage with two decimals, rounded down so that it never reaches what it missed.

    `98.99 %` for 0.98999…; `100.00 %` only when nothing is missing; empty when `of` is 0.
    """
    if of == 0:
        return ""
    hundredths = good * 10_000 // of
    return f"{hundredths // 100}.{hundredths % 100:02d} %"


def share(value: float) -> str:
    """A share from the settings as a percentage, exactly as it was typed: 0.99 -> `99 %`."""
    number = (Decimal(repr(value)) * 100).normalize()
    return f"{number:f} %"


def seconds(value: float) -> str:
    """`0.4 s`, `12.3 s`, `2 min 05 s`."""
    if value < 100:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02d} s"


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What the reader's terminal can show."""

    colour: bool = False
    unicode: bool = True
    #: Cells in a line.
    width: int = 80

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
        if cells < 8:
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
    colour = (
        terminal
        and not environment.get("NO_COLOR")
        and environment.get("TERM") != "dumb"
    )
    return Look(
        colour=colour,
        unicode=encoding.startswith("utf"),
        width=_columns(stream) if terminal else 80,
    )


def _columns(stream: TextIO) -> int:
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except OSError:
        return 80
    return min(columns, 120) if columns >= 40 else 80


def columns(
    rows: Sequence[Sequence[str]], aligns: Sequence[Align], *, indent: int = 2
) -> list[str]:
    """Rows as lines whose cells stand under each other, two spaces apart; no spaces at a line's end."""
    widths = [
        max((wide(row[place]) for row in rows), default=0)
        for place in range(len(aligns))
    ]
    lines = []
    for row in rows:
        cells = (
            pad(cell, width, align)
            for cell, width, align in zip(row, widths, aligns, strict=True)
            if width
        )
        lines.append((" " * indent + "  ".join(cells)).rstrip())
    return lines


def write(text: str, *, error: bool = False) -> None:
    """Write one block and a newline to stdout (or stderr) at once.

    Raises:
        SystemExit: with `READER_GONE` when the reader has closed the pipe; nothing more is written.
    """
    stream = sys.stderr if error else sys.stdout
    if stream is None:
        return
    encoding = stream.encoding or "ascii"
    try:
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        stream.flush()
    except BrokenPipeError:
        # The interpreter flushes once more at exit; that must not meet the closed pipe again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        raise SystemExit(READER_GONE) from None
