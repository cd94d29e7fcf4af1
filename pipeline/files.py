"""Files and folders that appear whole or not at all, and stay after a power cut."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def fresh_folder(target: Path) -> Iterator[Path]:
    """A new folder beside `target` that takes its place when the block ends well and vanishes otherwise.

    A new target appears in one rename. One that exists is moved aside first, so for the time of two
    renames it is not there; it is never half there.
    """
    fresh, old = (target.with_name(f".{target.name}.{what}.{os.getpid()}") for what in ("new", "old"))
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        yield fresh
        if target.exists():
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


@contextmanager
def appearing(path: Path) -> Iterator[BinaryIO]:
    """A new file that takes the place of `path` when the block ends well, on disk by then, and vanishes otherwise."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with partial.open("xb") as file:
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
