"""Reads what was typed, strictly and before any file or server is touched."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from pathlib import PurePath
from typing import Final

from pipeline.errors import SettingsError

# Not date.fromisoformat alone: it also takes 20240101 and 2024-W01-1.
_DATE: Final = re.compile(r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_DATED_FILE: Final = re.compile(r"\Aevents_([0-9]{4})([0-9]{2})([0-9]{2})(?![0-9])")
_FAULT: Final = re.compile(r"\A([a-z][a-z0-9_]*)(?:=([0-9]*\.?[0-9]+))?\Z")


def day(text: str, flag: str) -> date:
    """A business day as YYYY-MM-DD.

    Raises:
        SettingsError: it has another form or is not in the calendar; the text is not repeated.
    """
    try:
        return date.fromisoformat(text) if _DATE.match(text) else _no_day(flag)
    except ValueError:
        return _no_day(flag)


def _no_day(flag: str) -> date:
    raise SettingsError(f"{flag} must be a day of the calendar as YYYY-MM-DD.", hint=f"{flag} 2026-01-15")


def day_of_file(file: str) -> date | None:
    """The day in a name like `events_20260115.jsonl.gz`; None when there is none."""
    found = _DATED_FILE.match(PurePath(file).name)
    try:
        return date(*map(int, found.groups())) if found else None
    except ValueError:
        return None


def day_for(file: str, given: str | None) -> date:
    """The day a file is checked for: the one given, else the one in its name.

    Raises:
        SettingsError: neither is there.
    """
    found = day(given, "--date") if given is not None else day_of_file(file)
    if found is None:
        raise SettingsError(
            "The file's name holds no day (events_YYYYMMDD…), so the day must be given.",
            hint="the same command with --date YYYY-MM-DD",
        )
    return found


def yesterday() -> date:
    """The last whole business day."""
    from datetime import datetime

    from pipeline.settings import ZONE

    return datetime.now(ZONE).date() - timedelta(days=1)


def days(start: str, end: str) -> tuple[date, ...]:
    """Every day from the first to the last, both included.

    Raises:
        SettingsError: one is no day, or the first comes after the last.
    """
    first, last = day(start, "--start"), day(end, "--end")
    if first > last:
        raise SettingsError("--start comes after --end.", hint="swap the two days")
    return tuple(first + timedelta(days=n) for n in range((last - first).days + 1))


def faults(texts: Iterable[str], usual: Mapping[str, float]) -> dict[str, float]:
    """Planted faults from `NAME` or `NAME=RATE`; `usual` maps every known name to its rate when none is given.

    Raises:
        SettingsError: a name that is not known or a rate outside 0..1.
    """
    chosen: dict[str, float] = {}
    for text in texts:
        found = _FAULT.match(text)
        if found is None or found[1] not in usual:
            raise SettingsError(
                "--fault takes NAME or NAME=RATE of a known fault.", hint="daygate generate --fault list"
            )
        rate = float(found[2]) if found[2] else usual[found[1]]
        if not 0 < rate <= 1:
            raise SettingsError(f"--fault {found[1]}: the rate must be above 0 and at most 1.")
        chosen[found[1]] = rate
    return chosen
