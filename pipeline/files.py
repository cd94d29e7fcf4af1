"""Files and folders that appear whole or not at all, and stay after a power cut.

What is being made bears a hidden name and a lock that the kernel drops with its process: `sweep` knows by it what a
killed process left.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

#: Names of what is being made: `.index.html.0a1b2c3d.tmp`, `.taking-x1y2.tmp`, `.<folder>.new.<process>`, `….old.…`.
_HIDDEN: Final = re.compile(r"\.(?:.+\.[0-9a-f]{8}|taking-.+)\.tmp|\.(?P<target>.+)\.(?P<what>new|old)\.[0-9]+")
#: Bytes that are compared at once.
_PIECE: Final = 4 << 20
#: A process locks what it makes well within this.
_SECONDS_TO_LOCK: Final = 1.0


@contextmanager
def fresh_folder(target: Path) -> Iterator[Path]:
    """A new folder beside `target` that takes its place when the block ends well and vanishes otherwise.

    A new target appears in one rename. One that exists is moved aside first, so for the time of two
    renames it is not there; it is never half there.
    """
    fresh, old = (target.with_name(f".{target.name}.{what}.{os.getpid()}") for what in ("new", "old"))
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    locks = [_locked(fresh)]
    try:
        yield fresh
        if target.exists():
            locks.append(_locked(target))
            target.rename(old)
        try:
            fresh.rename(target)
        except OSError:
            if old.exists():
                old.rename(target)
            raise
        sync_entries(target.parent)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        for lock in locks:
            os.close(lock)


@contextmanager
def appearing(path: Path) -> Iterator[BinaryIO]:
    """A new file that takes the place of `path` when the block ends well, on disk by then, and vanishes otherwise."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with partial.open("xb") as file:
            keep(file)
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        sync_entries(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file in one step, on disk when this returns."""
    with appearing(path) as file:
        file.write(content)


def keep(file: BinaryIO) -> None:
    """Lock an open file that is being made, until it is closed."""
    fcntl.flock(file.fileno(), fcntl.LOCK_EX)


def sweep(folder: Path) -> int:
    """Remove what killed processes left half made in a folder; how much that was.

    A folder that was moved aside to make room comes back when nothing took its place.
    """
    swept = 0
    for path in sorted(folder.glob(".*")):
        hidden = _HIDDEN.fullmatch(path.name)
        if hidden is None or path.is_symlink() or _is_used(path):
            continue
        target = None if hidden["target"] is None else path.with_name(hidden["target"])
        if hidden["what"] == "old" and target is not None and not target.exists():
            path.rename(target)
        elif path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        swept += 1
    return swept


def _locked(folder: Path) -> int:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(handle, fcntl.LOCK_EX)
    return handle


def _is_used(path: Path) -> bool:
    """Whether a living process makes it, or may be about to lock what it has just made."""
    try:
        if time.time() - path.lstat().st_mtime < _SECONDS_TO_LOCK:
            return True
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def same_bytes(one: Path, other: Path) -> bool:
    """Whether two files hold the same, read in large pieces: beside an import each reading waits its turn."""
    with one.open("rb", buffering=0) as first, other.open("rb", buffering=0) as second:
        while (piece := first.read(_PIECE)) == second.read(_PIECE):
            if not piece:
                return True
    return False


def sync_folder(folder: Path) -> None:
    """Everything in a folder on disk when this returns."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    for path in (folder, *(p for p in folder.rglob("*") if p.is_dir())):
        sync_entries(path)


def sync_entries(folder: Path) -> None:
    """The names in a folder on disk when this returns."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
