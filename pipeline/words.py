"""What pages and alerts say, per language: one catalogue, `words.toml`, English and Korean side by side.

A sentence is named by section and key; `{…}` are filled with plain values, which stay values: whoever shows the
result escapes it as a whole.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Final, Literal

Language = Literal["en", "ko"]

#: CSS class and word of a state, in the words the terminal uses too; a page says the word in its language.
State = tuple[str, str]
PASSED: Final[State] = ("dg-pass", "PASS")
FAILED: Final[State] = ("dg-fail", "FAIL")
WARNED: Final[State] = ("dg-warn", "WARNING")
NOT_APPLICABLE: Final[State] = ("dg-none", "NOT APPLICABLE")
NOT_JUDGED: Final[State] = ("dg-error", "NOT JUDGED")
INCONCLUSIVE: Final[State] = ("dg-error", "INCONCLUSIVE")
NO_VERDICT: Final[State] = ("dg-none", "NO VERDICT")
RUNNING: Final[State] = ("dg-none", "RUNNING")
RELEASED: Final[State] = ("dg-released", "RELEASED")
MISSING: Final[State] = ("dg-missing", "MISSING")
NOT_DUE: Final[State] = ("dg-later", "not due")

#: How the gate's own English joins what is wrong with a field, and steps of which one must come first.
_BREACHES: Final = ", or "
_OR: Final = " or "
_NUMBERS: Final = frozenset({"count", "limit", "lines", "tolerance", "day"})
#: No sentence of the gate is longer; longer ones are not looked at, because they come from elsewhere.
_LONGEST: Final = 400

CATALOGUE: Final = Path(__file__).with_name("words.toml")


@cache
def catalogue() -> dict[str, dict[str, str]]:
    """Name of a sentence (`section.key`) -> language -> sentence."""
    sections = tomllib.loads(CATALOGUE.read_text(encoding="utf-8"))
    return {f"{section}.{key}": said for section, keys in sections.items() for key, said in keys.items()}


@cache
def _forms(sections: tuple[str, ...]) -> tuple[tuple[str, re.Pattern[str]], ...]:
    """The sentences of some sections with what their English looks like, in the order of the catalogue."""
    return tuple(
        (name, re.compile(re.sub(r"\\{(\w+)\\}", _blank, re.escape(said["en"]))))
        for name, said in catalogue().items()
        if name.partition(".")[0] in sections
    )


def _blank(place: re.Match[str]) -> str:
    """What a place of a sentence can hold."""
    return rf"(?P<{place[1]}>[\d.,-]+)" if place[1] in _NUMBERS else f"(?P<{place[1]}>.+?)"


@dataclass(frozen=True, slots=True)
class Words:
    """Speaks one language."""

    language: Language

    def __call__(self, name: str, /, **values: object) -> str:
        """The sentence of that name, filled.

        Integers are written with thousands separators. A name ending in a number's word has a form for one:
        with `count=1` the sentence `name_one` is taken where there is one.
        """
        said = catalogue()
        if values.get("count") == 1 and f"{name}_one" in said:
            name = f"{name}_one"
        shown = {key: f"{value:,}" if isinstance(value, int) else value for key, value in values.items()}
        return said[name][self.language].format(**shown)

    def known(self, name: str, otherwise: str) -> str:
        """The sentence of that name when there is one, for names that come from a contract or the ledger."""
        return self(name) if name in catalogue() else otherwise

    def again(self, said: str) -> str:
        """A rule's sentence, a line's reason, a verdict's problem or a guard in this language; itself when it is none.

        The gate writes them in English whatever the language, so that what is kept has one form.
        """
        if self.language == "en" or len(said) > _LONGEST:
            return said
        if (whole := self._matched(said, "rule", "problem", "guard")) is not None:
            return whole
        field, _, wrong = said.partition(" ")
        found = [self._matched(one, "breach") for one in wrong.split(_BREACHES)]
        known = [one for one in found if one is not None]
        return f"{field}: {self('rule.or').join(known)}" if len(known) == len(found) else said

    def _matched(self, said: str, *sections: str) -> str | None:
        for name, form in _forms(sections):
            if match := form.fullmatch(said):
                values = {key: value.replace(_OR, self("rule.or")) for key, value in match.groupdict().items()}
                return self(name, **values)
        return None

    def state(self, word: str) -> str:
        """The word of a state or verdict, as the terminal has it, in this language."""
        return self.known(f"state.{word.lower().replace(' ', '_')}", word)

    def day(self, value: date) -> str:
        """`Sunday, 22 November 2026`."""
        return self("date.day", weekday=self.weekday(value), day=str(value.day), **self._month(value))

    def short(self, value: date) -> str:
        """`22 Nov`."""
        return self("date.short", day=str(value.day), **self._month(value))

    def month(self, value: date) -> str:
        """`November 2026`."""
        return self("date.month", **self._month(value))

    def weekday(self, value: date) -> str:
        """`Sunday`."""
        return self("date.weekdays").split()[value.weekday()]

    def weekdays(self) -> list[str]:
        """`Mon` to `Sun`."""
        return self("date.short_weekdays").split()

    def _month(self, value: date) -> dict[str, str]:
        long, short = (self(f"date.{which}").split()[value.month - 1] for which in ("months", "short_months"))
        return {"year": str(value.year), "month": long, "short_month": short}


_SPOKEN: Final[ContextVar[Language]] = ContextVar("language", default="en")


@contextmanager
def speaking(language: Language) -> Iterator[Words]:
    """Set the language of what is rendered inside, also by Great Expectations, which hands nothing through."""
    before = _SPOKEN.set(language)
    try:
        yield Words(language)
    finally:
        _SPOKEN.reset(before)


def spoken() -> Words:
    """The words of the language that is being spoken."""
    return Words(_SPOKEN.get())
