"""Reads what was typed, strictly and before any file or server is touched."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path, PurePath
from typing import Final, get_args

from pipeline.errors import RefusedFile, SettingsError
from pipeline.records import Severity

# Not date.fromisoformat alone: it also takes 20240101 and 2024-W01-1.
_DATE: Final = re.compile(r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_DATED_FILE: Final = re.compile(r"\Aevents_([0-9]{4})([0-9]{2})([0-9]{2})(?![0-9])")
_DELIVERY: Final = re.compile(r"events_.*\.jsonl(?:\.gz|\.zst)?", re.DOTALL)
_OF_CHECK: Final = re.compile(r"\A([a-z_]+)=(.+)\Z")
_RATE: Final = re.compile(r"\A([0-9]*\.?[0-9]+)(%?)\Z")
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
        name = "standard input" if file == "-" else PurePath(file).name
        raise SettingsError(
            f"The day of {name} must be given: its name holds none (events_YYYYMMDD…).",
            hint="the same command with --date YYYY-MM-DD",
        )
    return found


def deliveries(words: Sequence[str], given: str | None) -> tuple[tuple[str, date], ...]:
    """Each file with the day it is checked for; a folder stands for its events_*.jsonl, .gz and .zst, by name.

    A day that is given holds for every file that was named, not for folders: the files of a folder are
    of different days, and each brings its own in its name.

    Raises:
        SettingsError: a file without a day, or a folder together with a day.
        RefusedFile: a folder that cannot be listed or holds no such file.
    """
    found: list[tuple[str, date]] = []
    for word in words:
        if not _is_folder(word):
            found.append((word, day_for(word, given)))
        elif given is not None:
            raise SettingsError(
                "--date names one day, a folder holds files of many.", hint="name the file, or leave --date out"
            )
        else:
            found += [(file, day_for(file, None)) for file in _files_in(word)]
    return tuple(found)


def _is_folder(word: str) -> bool:
    try:
        return word != "-" and Path(word).is_dir()
    except (OSError, ValueError):  # what cannot be a path is refused where files are opened
        return False


def _files_in(folder: str) -> list[str]:
    try:
        names = sorted(path.name for path in Path(folder).iterdir() if _DELIVERY.fullmatch(path.name))
    except OSError as error:
        raise RefusedFile(
            f"The folder {folder} cannot be listed: {error.strerror}.", reason="unreadable", hint="Check the path."
        ) from None
    if not names:
        raise RefusedFile(
            f"The folder {folder} holds no events_*.jsonl, .jsonl.gz or .jsonl.zst.",
            reason="empty",
            hint="name the files themselves",
        )
    return [str(Path(folder) / name) for name in names]


def thresholds(texts: Iterable[str]) -> dict[str, float]:
    """Lowest pass rates from `CHECK=RATE`, a share (0.99) or a percentage (99%).

    Raises:
        SettingsError: a check that is not known, or no rate between 0 and 1.
    """
    chosen: dict[str, float] = {}
    for check, text in _of_checks(texts, "--threshold", "CHECK=RATE", "funnel_order=0.95"):
        found = _RATE.match(text)
        # By digits, so that 99.9% is the very number that 0.999 is.
        rate = Decimal(found[1]).scaleb(-2 if found[2] else 0) if found else Decimal(-1)
        if not 0 <= rate <= 1:
            raise SettingsError(
                f"--threshold {check}: the rate must be a share like 0.95 or a percentage like 95%.",
                hint=f"--threshold {check}=0.95",
            )
        chosen[check] = float(rate)
    return chosen


def severities(texts: Iterable[str]) -> dict[str, str]:
    """Severities from `CHECK=critical` or `CHECK=warning`.

    Raises:
        SettingsError: a check or a severity that is not known.
    """
    chosen: dict[str, str] = {}
    for check, severity in _of_checks(texts, "--severity", "CHECK=SEVERITY", "funnel_order=warning"):
        if severity not in get_args(Severity):
            raise SettingsError(
                f"--severity {check}: it is critical (blocks) or warning (reports only).",
                hint=f"--severity {check}=warning",
            )
        chosen[check] = severity
    return chosen


def _of_checks(texts: Iterable[str], flag: str, form: str, example: str) -> Iterator[tuple[str, str]]:
    from pipeline.check_ids import CHECK_IDS

    for text in texts:
        found = _OF_CHECK.match(text)
        if found is None or found[1] not in CHECK_IDS:
            raise SettingsError(
                f"{flag} takes {form}, where CHECK is one of {', '.join(CHECK_IDS)}.", hint=f"{flag} {example}"
            )
        yield found[1], found[2]


def yesterday() -> date:
    """The last whole business day."""
    from datetime import datetime

    from pipeline.zone import ZONE

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


def chosen_days(given: str | None, start: str | None, end: str | None, *, command: str) -> tuple[date, ...]:
    """The day or the range that was given; yesterday when neither was.

    Raises:
        SettingsError: both, or half a range.
    """
    if start is None and end is None:
        return (yesterday() if given is None else day(given, "--date"),)
    if given is not None:
        raise SettingsError("--date and --start/--end exclude each other.", hint=f"daygate {command} --help")
    if start is None or end is None:
        raise SettingsError("--start and --end belong together.", hint="give both")
    return days(start, end)


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
