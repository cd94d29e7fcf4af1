"""How figures and hostile text are put into words, alike on pages, in alerts and in logs."""

from __future__ import annotations

import unicodedata
from decimal import Decimal
from math import floor
from typing import Final

#: Categories that move the cursor, reorder text, hide in it or have no shape: controls, format
#: characters (bidi, zero width), surrogates, private use, unassigned, line and paragraph separators.
_UNSHOWABLE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})

#: Shares below this are told with a decimal.
_FEW: Final = 0.1


def visible(text: str, *, limit: int = 200) -> str:
    r"""Hostile text as inert text on one line: what would act, hide or reorder becomes `\x1b`, `\u202e`, ….

    Args:
        limit: characters of `text` that are kept; what is longer ends in an ellipsis.
    """
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    if cut.isprintable():
        return cut
    return "".join(_escaped(c) if unicodedata.category(c) in _UNSHOWABLE else c for c in cut)


def _escaped(character: str) -> str:
    """As Python writes it in a string."""
    return character.encode("unicode_escape", "surrogatepass").decode()


def percent(good: int, of: int) -> str:
    """Share as a percentage with two decimals, rounded down so that it never reaches what it missed.

    `98.99 %` for 0.98999…; `100.00 %` only when nothing is missing; empty when `of` is 0.
    """
    if of == 0:
        return ""
    hundredths = good * 10_000 // of
    return f"{hundredths // 100}.{hundredths % 100:02d} %"


def floored(value: float) -> str:
    """As `percent`, of a share that is known as a number only; a hair below counts as reached."""
    return f"{floor(value * 10_000 + 1e-6) / 100:.2f} %"


def about(value: float) -> str:
    """A share in whole per cents, and with one decimal where there are few."""
    return f"{value * 100:.{0 if value >= _FEW else 1}f} %"


def share(value: float) -> str:
    """A share from the settings as a percentage, exactly as it was typed: 0.99 -> `99 %`."""
    number = (Decimal(repr(float(value))) * 100).normalize()
    return f"{number:f} %"


def won(exact: str) -> str:
    """An exact amount with thousands separators; its decimals only when there are any."""
    whole, _, decimals = exact.partition(".")
    grouped = f"{int(whole):,}" if whole.lstrip("-").isdigit() else whole
    return f"{grouped}.{decimals}" if decimals.strip("0") else grouped
