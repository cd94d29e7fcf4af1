"""A day's own file: whether it is there, whether it is complete, and whether it is another than the one that was run.

A shop lands `events_YYYYMMDD.jsonl` (also `.gz` and `.zst`) in the events folder. With `landing_marker = rename`
a file is complete as soon as it bears that name: write it under another name on the same disk and rename it. With
`done` it is complete when an empty `FILE.done`, not older than the file, stands beside it: write it last.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Final

from pipeline.delivery import identity_of
from pipeline.settings import Settings

log = logging.getLogger(__name__)

#: What a day's file may end with beyond its name.
SUFFIXES: Final = ("", ".gz", ".zst")


@dataclass(frozen=True, kw_only=True, slots=True)
class Landed:
    """A complete file of a day."""

    path: Path
    #: What tells that it was touched.
    identity: tuple[int, ...]
    #: When it was last written, renamed or marked; seconds since 1970 on the clock of the file system.
    changed_at: float


def find(settings: Settings, day: date) -> Landed | None:
    """The day's complete file, the newest when it landed in several forms; None when there is none.

    A generated file needs no marker.
    """
    plain = settings.event_file(day)
    marked = settings.source == "landing" and settings.landing_marker == "done"
    found = (_look(plain.with_name(plain.name + suffix), marked=marked) for suffix in SUFFIXES)
    return max((landed for landed in found if landed is not None), key=lambda landed: landed.changed_at, default=None)


def _look(path: Path, *, marked: bool) -> Landed | None:
    here = _regular(path)
    if here is None:
        return None
    changed_at = max(here.st_mtime, here.st_ctime)
    if marked:
        marker = _regular(path.with_name(path.name + ".done"))
        if marker is None or marker.st_mtime_ns < here.st_mtime_ns:
            return None
        changed_at = max(changed_at, marker.st_mtime)
    return Landed(path=path, identity=identity_of(here), changed_at=changed_at)


def _regular(path: Path) -> os.stat_result | None:
    try:
        here = path.lstat()
    except FileNotFoundError:
        return None
    except OSError as error:
        log.warning("%s cannot be looked at: %s.", path.name, os.strerror(error.errno or 0))
        return None
    return here if stat.S_ISREG(here.st_mode) else None


class Hashes:
    """The sha256 of files, read again only when they were touched."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, ...], str] = {}

    def differs(self, landed: Landed | None, *, sha256: str | None, since: datetime) -> bool:
        """Whether the file holds something else than what was run.

        Args:
            landed: the file now; None never differs.
            sha256: of what was run; None when the run failed before it knew.
            since: when that run began; a file that was not touched later is not read.
        """
        if landed is None or landed.changed_at <= since.timestamp():
            return False
        return sha256 is None or self._of(landed) not in (None, sha256)

    def _of(self, landed: Landed) -> str | None:
        if landed.identity not in self._known:
            try:
                with landed.path.open("rb") as file:
                    self._known[landed.identity] = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                log.warning("%s cannot be read: %s.", landed.path.name, os.strerror(error.errno or 0))
                return None
        return self._known[landed.identity]
