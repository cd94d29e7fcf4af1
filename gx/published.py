"""The published site on disk: every page appears in one rename, and readers never meet a half or a missing one.

    index.html, months/, days/, trends/, checks/, quarantine/   replaced whenever a day is published
    runs/<run_id>/                                               one folder per run, as it was rendered
    assets/

Publishing a day writes the same few pages however many days there are. `rebuilt` swaps a whole new site in with one
exchange of two folders; the old one stays beside it until the next time, for readers that are still in it.
"""

from __future__ import annotations

import ctypes
import fcntl
import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from gx.look import ASSETS
from pipeline.errors import BusyError, DaygateError
from pipeline.files import replace_file, sync_entries

log = logging.getLogger(__name__)

INDEX: Final = "index.html"
_RUN_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
#: Days and runs carry their day in the names of their folders.
_DAY_FOLDER: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)")
_RUN_FOLDER: Final = re.compile(r"(\d{4})(\d\d)(\d\d)-.+")
#: renameat2(2): swap two names in one step.
_RENAME_EXCHANGE: Final = 2
_AT_FDCWD: Final = -100


class DocsError(DaygateError):
    """A page or the site could not be made; no verdict depends on it."""


def publish_page(page_folder: Path, site_folder: Path, run_id: str) -> Path:
    """Copy the rendered page of a run into the site; one that is there is replaced file by file, the page last.

    Args:
        page_folder: made by `gx.site.render_page`.
        site_folder: made when it is not there.
        run_id: ours; names the folder below `runs/`.

    Returns:
        The published `index.html`.

    Raises:
        DocsError: the run id is no folder name, or the page could not be copied.
    """
    if not _RUN_ID.fullmatch(run_id):
        raise DocsError("The run id cannot name a folder of the site.")
    target = site_folder / "runs" / run_id
    try:
        files = sorted(path for path in page_folder.rglob("*") if path.is_file())
        for path in sorted(files, key=lambda path: path == page_folder / INDEX):
            _replace(target / path.relative_to(page_folder), path.read_bytes())
    except OSError as error:
        raise DocsError(f"The page of run {run_id} could not be published to {site_folder} ({why(error)}).") from error
    return target / INDEX


def write(site_folder: Path, pages: Mapping[str, str]) -> None:
    """Write pages by their paths, each in one step; what they load comes first.

    Raises:
        DocsError: the site could not be written.
    """
    try:
        site_folder.mkdir(parents=True, exist_ok=True)
        copy_assets(site_folder)
        for path, page in pages.items():
            _replace(site_folder / path, page.encode())
    except OSError as error:
        raise DocsError(f"The pages in {site_folder} could not be written ({why(error)}).") from error


def forget(site_folder: Path, *, before: date) -> int:
    """Remove the pages of days before that one, and of their runs; how many folders went.

    Raises:
        DocsError: a folder could not be removed.
    """
    gone = 0
    try:
        for name, pattern in (("days", _DAY_FOLDER), ("runs", _RUN_FOLDER)):
            folder = site_folder / name
            for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
                found = pattern.fullmatch(entry.name)
                if found and tuple(map(int, found.groups())) < (before.year, before.month, before.day):
                    shutil.rmtree(entry)
                    gone += 1
    except OSError as error:
        raise DocsError(f"Old pages in {site_folder} could not be removed ({why(error)}).") from error
    return gone


def oldest_kept(today: date, keep_days: int | None) -> date | None:
    """The first day whose pages stay; None when all do."""
    return None if keep_days is None else today - timedelta(days=keep_days)


@contextmanager
def translated() -> Iterator[None]:
    """Whatever a template or a figure raises becomes a `DocsError` that names its type: its text may hold values."""
    try:
        yield
    except (DaygateError, OSError):
        raise
    except Exception as error:
        raise DocsError(f"The pages could not be made ({why(error)}).") from error


@contextmanager
def locked(site_folder: Path) -> Iterator[None]:
    """One process at a time changes the site; the others wait, a moment each.

    Raises:
        DocsError: the lock cannot be had.
    """
    with _lock(site_folder, "lock", wait=True):
        old = _beside(site_folder, "old")
        if old.is_dir() and not site_folder.exists():
            old.rename(site_folder)  # a `swap` in two steps was killed between them
        shutil.rmtree(old, ignore_errors=True)
        yield


@contextmanager
def rebuilt(site_folder: Path) -> Iterator[Path]:
    """A folder of its own for a new site, gone when the block ends, unless `swap` has put it in place.

    The last look and the swap belong into one `locked`, so that nothing is published between them.

    Raises:
        BusyError: another process is building.
        DocsError: the folder could not be made.
    """
    fresh = _beside(site_folder, "new")
    with _lock(site_folder, "build", wait=False):
        try:
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(parents=True)
            yield fresh
        finally:
            shutil.rmtree(fresh, ignore_errors=True)


def swap(fresh: Path, site_folder: Path) -> None:
    """Put the new site in the place of the old one; call within `locked`.

    Raises:
        DocsError: the folders could not be swapped.
    """
    old = _beside(site_folder, "old")
    try:
        os.sync()  # thousands of small files at once
        if not site_folder.exists():
            fresh.rename(site_folder)
        elif _exchange(fresh, site_folder):
            fresh.rename(old)
        else:  # for a moment there is no site; after a kill here, `locked` brings the old one back
            site_folder.rename(old)
            fresh.rename(site_folder)
        sync_entries(site_folder.parent)
    except OSError as error:
        raise DocsError(f"The new site could not take the place of {site_folder} ({why(error)}).") from error


def copy_assets(folder: Path) -> None:
    """Style sheet, icon and script, where they are not the same already."""
    for asset in sorted(ASSETS.iterdir()):
        target, content = folder / "assets" / asset.name, asset.read_bytes()
        if not target.is_file() or target.read_bytes() != content:
            _replace(target, content)


def why(error: BaseException) -> str:
    """The reason of an operating system error, or only the type: other texts may hold values."""
    return str(error.strerror) if isinstance(error, OSError) and error.strerror else type(error).__name__


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, content)


def _beside(site_folder: Path, what: str) -> Path:
    return site_folder.with_name(f".{site_folder.name}.{what}")


@contextmanager
def _lock(site_folder: Path, what: str, *, wait: bool) -> Iterator[None]:
    try:
        site_folder.parent.mkdir(parents=True, exist_ok=True)
        file = _beside(site_folder, what).open("w")
    except OSError as error:
        raise DocsError(f"The site cannot be locked ({why(error)}).") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise BusyError("Another process is building the site.", hint="Wait for it") from None
        yield


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step; False where the system or the file system cannot."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        return False
    if libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    log.info("The file system cannot swap folders in one step (%s).", os.strerror(ctypes.get_errno()))
    return False
