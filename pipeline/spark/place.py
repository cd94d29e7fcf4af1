"""Where Spark keeps its files: `spark/` in the home, private, with one folder for each driver that runs."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_DRIVER: Final = "driver-"


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """The folder of one driver; it is the driver's as long as the lock is held."""

    folder: Path
    #: Descriptor of the held lock.
    lock: int

    @property
    def properties(self) -> Path:
        """Spark's configuration, 0600: it may hold the cluster's secret."""
        return self.folder / "spark.properties"

    @property
    def said(self) -> Path:
        """What the launcher and the JVM wrote to stdout and stderr."""
        return self.folder / "jvm.txt"

    def remove(self) -> None:
        """Take the folder away and let the lock go; what a dying JVM still writes is swept the next time."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(OSError):
            os.close(self.lock)


def root(home: Path) -> Path:
    """`spark/` in the home, made private when it is not there."""
    folder = home.absolute() / "spark"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def log_file(home: Path) -> Path:
    """Where Spark logs to; may hold values from events, as the deliveries beside it do."""
    return home.absolute() / "spark" / "spark.log"


def take(home: Path) -> Place:
    """A folder for this process; those of processes that are gone are removed."""
    above = root(home)
    with _alone(above):
        for old in above.glob(f"{_DRIVER}*"):
            _sweep(old)
        folder = above / f"{_DRIVER}{os.getpid()}-{secrets.token_hex(4)}"
        folder.mkdir(mode=0o700)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
    return Place(folder=folder, lock=lock)


@contextmanager
def _alone(above: Path) -> Iterator[None]:
    """A folder that is being made has no lock yet and must not be taken for an old one."""
    handle = os.open(above, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _sweep(folder: Path) -> None:
    try:
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:  # being removed at this moment
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        return
    finally:
        os.close(lock)
