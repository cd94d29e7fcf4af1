"""The output of `spark-batch`: one folder an aggregate, replaced whole, days that were not computed kept."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Final

from pipeline.errors import BusyError, SettingsError
from pipeline.files import fresh_folder, sync_folder

#: Begins the name of the folder that new files are made in.
WORK: Final = ".working-"


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """The output folder, made when it is not there, for this process alone until the block ends.

    Raises:
        BusyError: another process writes there.
        SettingsError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise SettingsError(
            f"The output folder {folder} cannot be made ({error.strerror}).", hint="--output DIR, a folder of yours"
        ) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(f"Another spark-batch writes to {folder}.", hint="run again when it has ended") from None
        _clean_up(folder)
        yield
    finally:
        os.close(handle)


def _clean_up(folder: Path) -> None:
    """What a killed writer left: a replaced folder that has no successor comes back, the rest goes."""
    for old in folder.glob(".*.old.*"):
        target = folder / old.name[1:].partition(".old.")[0]
        if not target.exists():
            old.rename(target)
    for pattern in (".*.old.*", ".*.new.*", f"{WORK}*"):
        for left in folder.glob(pattern):
            shutil.rmtree(left, ignore_errors=True)


def put_in_place(made: Path, target: Path, days: Collection[date]) -> None:
    """Replace an aggregate by what was made of some days and what it holds of all others, in one step.

    Args:
        made: the new days' files, on the same disk as `target`.
        target: the aggregate's folder; files in it that are not of the days stay.
    """
    words = tuple(str(day) for day in days)
    with fresh_folder(target) as fresh:
        shutil.copytree(made, fresh, copy_function=_link, dirs_exist_ok=True)
        if target.is_dir():
            shutil.copytree(
                target,
                fresh,
                copy_function=_link,
                dirs_exist_ok=True,
                ignore=lambda _, names: {name for name in names if name.partition(".csv")[0].endswith(words)},
            )
        sync_folder(fresh)


def _link(source: str, target: str) -> str:
    """The same file under a second name; a copy where the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target
