"""The archive of deliveries: what a run was judged on, found again by its ledger row."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pipeline.delivery import identity_of, no_room
from pipeline.errors import RefusedFile
from pipeline.files import sync_entries
from pipeline.records import DaySummary, Delivery

#: Such a delivery is archived unpacked, under the hash of the packed bytes.
_PACKED: Final = (".gz", ".zst")


def path_of(folder: Path, sha256: str) -> Path:
    """Where the delivery with that hash is kept."""
    return folder / f"{sha256}.jsonl"


@contextmanager
def settling(delivery: Delivery) -> Iterator[Callable[[], None]]:
    """Bring an archived delivery onto the disk beside whatever the block does.

    Yields:
        A function that returns when a power cut can no longer take the delivery; StepFailed when that cannot be.
    """

    def settle() -> None:
        try:
            with delivery.path.open("rb") as file:
                os.fsync(file.fileno())
            sync_entries(delivery.path.parent)
        except OSError as error:
            raise no_room(delivery.name, error) from error

    with ThreadPoolExecutor(1, "settle") as thread:
        yield thread.submit(settle).result


def reopen(folder: Path, run: DaySummary) -> Delivery:
    """The archived delivery of a judged run, the same bytes as then.

    Args:
        folder: the archive.
        run: a published or blocked run.

    Raises:
        RefusedFile: it is gone (reason archive_missing) or no longer what was judged (archive_changed).
    """
    if run.delivery_sha256 is None:
        raise _missing(run)
    path = path_of(folder, run.delivery_sha256)
    try:
        found = os.lstat(path)
        if not stat.S_ISREG(found.st_mode):
            raise _missing(run)
        same = found.st_size == run.delivery_bytes and (_is_packed(run) or _sha256(path) == run.delivery_sha256)
    except OSError:
        raise _missing(run) from None
    if not same:
        raise RefusedFile(
            f"The archived delivery of run {run.run_id} is no longer what was judged.",
            reason="archive_changed",
            hint=_again(run),
        )
    return Delivery(
        path=path,
        name=run.delivery_name or path.name,
        sha256=run.delivery_sha256,
        size=found.st_size,
        identity=identity_of(found),
    )


def _is_packed(run: DaySummary) -> bool:
    return (run.delivery_name or "").endswith(_PACKED)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _missing(run: DaySummary) -> RefusedFile:
    return RefusedFile(
        f"The archived delivery of run {run.run_id} is gone.", reason="archive_missing", hint=_again(run)
    )


def _again(run: DaySummary) -> str:
    return f"daygate run --date {run.day} --file PATH, with the whole delivery"
