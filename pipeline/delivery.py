"""Taking a delivery: opening safely, hashing, decompressing, spooling, and refusing whole files.

The path and the bytes are hostile. Nothing is opened that is not a regular file, nothing is
decompressed beyond a ratio, and a file that changes while it is used is refused.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import stat
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

from pipeline.errors import RefusedFile, StepFailed
from pipeline.failpoints import failpoint
from pipeline.files import keep, same_bytes
from pipeline.records import Delivery
from pipeline.sniff import HEAD, require_json_lines

#: Largest plain content of a delivery.
MOST_BYTES: Final = 1 << 36
#: From here on it takes a while to read.
LARGE: Final = 8 << 20
#: Decompressed bytes per compressed byte; event logs compress 5 to 20 times.
MOST_RATIO: Final = 100
#: The ratio is not judged before this much came out.
_RATIO_FROM: Final = 16 << 20
#: Bytes read at once. Where another thread imports, each reading waits its turn.
_BLOCK: Final = 4 << 20
_TEMPORARY: Final = ".taking-"
#: Nobody takes a delivery for longer.
_STALE_SECONDS: Final = 86_400
_BLANK: Final = b" \t\r\n"
_BOM: Final = b"\xef\xbb\xbf"
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]+:/")
#: A zstd window beyond this is no honest log file.
_WINDOW: Final = 1 << 27
_LOOKS: Final = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@contextmanager
def take(
    source: Path | Literal["-"],
    *,
    folder: Path | None,
    stdin: BinaryIO | None = None,
    most_bytes: int = MOST_BYTES,
    meanwhile: Callable[[], None] | None = None,
) -> Iterator[Delivery]:
    """Take a delivery for as long as the block lasts.

    Args:
        source: a `.jsonl`, `.jsonl.gz` or `.jsonl.zst` file, or "-" for standard input.
        folder: where the plain bytes are kept as `<sha256>.jsonl` (0600), see `archive.settling`. Without it a
            plain file is read where it is, and a decompressed or spooled copy goes away with the block.
        stdin: what "-" reads.
        most_bytes: largest plain content.
        meanwhile: called while a large delivery that looks right so far is read on; returns at once.

    Raises:
        RefusedFile: the whole file is refused; on leaving the block also when it changed meanwhile.
        StepFailed: the private copy could not be written.
    """
    with tempfile.TemporaryDirectory(prefix="daygate-") if folder is None else _kept(folder) as place:
        delivery = _take(source, Path(place), stdin, most_bytes, meanwhile, in_place=folder is None)
        yield delivery
        verify_unchanged(delivery)


def verify_unchanged(delivery: Delivery) -> None:
    """Refuse a delivery whose file is no longer what was hashed.

    Raises:
        RefusedFile: reason changed.
    """
    if delivery.identity is None:
        return
    try:
        now = identity_of(delivery.path.stat(follow_symlinks=False))
    except OSError:
        now = None
    if now != delivery.identity:
        raise RefusedFile(
            f"{delivery.name} changed while it was read.",
            reason="changed",
            hint="Wait until it is complete, then run the same command again.",
        )


@contextmanager
def _kept(folder: Path) -> Iterator[Path]:
    """The archive folder, without what a killed process left there long ago."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for leftover in folder.glob(f"{_TEMPORARY}*"):
            if time.time() - leftover.lstat().st_mtime > _STALE_SECONDS:
                leftover.unlink()
    except OSError as error:
        raise StepFailed(
            f"The folder for deliveries cannot be used: {os.strerror(error.errno or errno.EIO)}.",
            step="deliver",
            hint="Look at the data folder (DAYGATE_HOME).",
        ) from error
    yield folder


def _take(
    source: Path | Literal["-"],
    place: Path,
    stdin: BinaryIO | None,
    most_bytes: int,
    meanwhile: Callable[[], None] | None,
    *,
    in_place: bool,
) -> Delivery:
    if source == "-":
        if stdin is None:
            raise ValueError("'-' needs stdin")
        return _read(stdin, "standard input", place, most_bytes, meanwhile, suffix="", original=None)
    path = Path(source)
    name = _printable(path.name)
    with _open(path, name) as file:
        before = identity_of(os.fstat(file.fileno()))
        suffix = path.suffix if path.suffix in _PLAIN else ""
        original = path if in_place and not suffix else None
        delivery = _read(file, name, place, most_bytes, meanwhile, suffix=suffix, original=original)
        if identity_of(os.fstat(file.fileno())) != before:
            raise RefusedFile(f"{name} changed while it was read.", reason="changed", hint="Wait until it is complete.")
    if original is None:
        return delivery
    return Delivery(path=path, name=name, sha256=delivery.sha256, size=delivery.size, identity=before)


def _open(path: Path, name: str) -> BinaryIO:
    """Open a regular file without following a link or waiting for a pipe."""
    if _URL.match(str(path)):
        raise RefusedFile(
            f"{name} is named by a URL; only local files are read.", reason="url", hint="Download it first."
        )
    try:
        found = os.lstat(path)
        if not stat.S_ISREG(found.st_mode):
            raise _not_regular(name, found.st_mode)
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        code = error.errno if isinstance(error, OSError) else None
        if code == errno.ELOOP:
            raise _not_regular(name, stat.S_IFLNK) from None
        why = os.strerror(code) if code else "not a possible path"
        raise RefusedFile(f"{name} cannot be read: {why}.", reason="unreadable", hint="Check the path.") from None
    opened = os.fstat(handle)
    if not stat.S_ISREG(opened.st_mode):  # swapped between the two calls
        os.close(handle)
        raise _not_regular(name, opened.st_mode)
    return os.fdopen(handle, "rb", buffering=0)


def _not_regular(name: str, mode: int) -> RefusedFile:
    looks = next((text for test, text in _LOOKS if test(mode)), "something else")
    return RefusedFile(
        f"{name} is not a regular file: it is {looks}.",
        reason="not_regular_file",
        hint="Name the file itself; a stream can be given as '-'.",
    )


def identity_of(found: os.stat_result) -> tuple[int, ...]:
    """Device, inode, size and times of a file: what tells that it was touched."""
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _printable(name: str) -> str:
    """A file name as text that can be encoded and takes one line."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace") if "\x00" not in name else repr(name)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class _Hashed(io.RawIOBase):
    """A file whose bytes are hashed as they are read."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.hash = hashlib.sha256()
        self.count = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        block = self.file.read(size)
        self.hash.update(block)
        self.count += len(block)
        return block


def _read(
    file: BinaryIO,
    name: str,
    place: Path,
    most_bytes: int,
    meanwhile: Callable[[], None] | None,
    *,
    suffix: str,
    original: Path | None,
) -> Delivery:
    """Read everything once: hash, decompress, look at the head, and write the private copy unless it stays in place."""
    hashed = _Hashed(file)
    blocks = _limited(_sniffed(_PLAIN[suffix](hashed, name), name), name, most_bytes)
    if meanwhile is not None:
        blocks = _announced(blocks, meanwhile)
    if original is not None:
        size = sum(map(len, blocks))
        return Delivery(path=original, name=name, sha256=hashed.hash.hexdigest(), size=size)
    handle, temporary = tempfile.mkstemp(dir=place, prefix=_TEMPORARY, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb", buffering=0) as copy:
            keep(copy)
            size = _write(blocks, copy, name)
        failpoint("deliver.copied")
        kept = place / f"{hashed.hash.hexdigest()}.jsonl"
        if not (kept.is_file() and not kept.is_symlink() and same_bytes(kept, Path(temporary))):
            Path(temporary).replace(kept)
    finally:
        Path(temporary).unlink(missing_ok=True)
    identity = identity_of(kept.stat(follow_symlinks=False))
    return Delivery(path=kept, name=name, sha256=hashed.hash.hexdigest(), size=size, identity=identity)


def _write(blocks: Iterator[bytes], copy: BinaryIO, name: str) -> int:
    size = 0
    for block in blocks:
        size += len(block)
        left = memoryview(block)
        try:
            while left:
                left = left[copy.write(left) :]
        except OSError as error:
            raise no_room(name, error) from error
    return size


def no_room(name: str, error: OSError) -> StepFailed:
    """What is said of a private copy that the disk does not take."""
    return StepFailed(
        f"The private copy of {name} could not be written: {os.strerror(error.errno or errno.EIO)}.",
        step="deliver",
        hint="Make room in the data folder (DAYGATE_HOME) or the temporary folder, then run again.",
    )


def _blocks(file: _Hashed, name: str) -> Iterator[bytes]:
    while block := _read_block(file, name):
        yield block


def _read_block(file: _Hashed, name: str) -> bytes:
    try:
        return file.read(_BLOCK)
    except OSError as error:
        why = os.strerror(error.errno or errno.EIO)
        raise RefusedFile(f"{name} cannot be read: {why}.", reason="unreadable", hint="Check the disk.") from None


def _decompressed(file: _Hashed, name: str, packing: _Packing) -> Iterator[bytes]:
    """Streaming decompression, several members in a row included, in bounded memory."""
    engine, made, used = packing.engine(), 0, False
    for block in _blocks(file, name):
        if not used and not block.startswith(packing.magic):
            raise RefusedFile(
                f"{name} is not compressed as its suffix says.", reason="not_jsonl", hint="Name it by what it is."
            )
        for start in range(0, len(block), packing.piece):
            data = block[start : start + packing.piece]
            while data:
                if engine.eof:
                    data = data.lstrip(packing.padding)
                    if not data:
                        break
                    engine = packing.engine()
                try:
                    plain = engine.decompress(data)
                except packing.error():
                    raise _damaged(name) from None
                used = True
                data = engine.unused_data if engine.eof else b""
                made += len(plain)
                _check_ratio(made, file.count - len(block) + start + packing.piece, name)
                yield plain
    if used and not engine.eof:
        raise _damaged(name)


@dataclass(frozen=True, slots=True)
class _Packing:
    """A kind of compression."""

    magic: bytes
    #: Bytes given to the engine at once: even at the format's highest ratio they become some megabytes only.
    piece: int
    #: What may stand between members.
    padding: bytes
    engine: Callable[[], Any]
    error: Callable[[], type[Exception]]


def _zstd_engine() -> Any:
    import zstandard  # noqa: PLC0415  # only for such files

    return zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompressobj()


def _zstd_error() -> type[Exception]:
    import zstandard  # noqa: PLC0415  # only for such files

    return zstandard.ZstdError


_GZIP: Final = _Packing(b"\x1f\x8b", 16 << 10, b"\x00", partial(zlib.decompressobj, 31), lambda: zlib.error)
_ZSTD: Final = _Packing(b"\x28\xb5\x2f\xfd", 512, b"", _zstd_engine, _zstd_error)
_PLAIN: Final[dict[str, Callable[[_Hashed, str], Iterator[bytes]]]] = {
    "": _blocks,
    ".gz": partial(_decompressed, packing=_GZIP),
    ".zst": partial(_decompressed, packing=_ZSTD),
}


def _damaged(name: str) -> RefusedFile:
    return RefusedFile(
        f"{name} is damaged or cut off: it does not decompress to its end.",
        reason="damaged",
        hint="Transfer it again.",
    )


def _check_ratio(made: int, taken: int, name: str) -> None:
    if made > _RATIO_FROM and made > MOST_RATIO * taken:
        raise RefusedFile(
            f"{name} decompresses to more than {MOST_RATIO} times its size.",
            reason="too_large",
            hint="If that is right, decompress it yourself and give the plain file.",
        )


def _limited(blocks: Iterator[bytes], name: str, most_bytes: int) -> Iterator[bytes]:
    size = 0
    for block in blocks:
        size += len(block)
        if size > most_bytes:
            raise RefusedFile(
                f"{name} holds more than {most_bytes:,} bytes.", reason="too_large", hint="Split it by day."
            )
        yield block


def _announced(blocks: Iterator[bytes], meanwhile: Callable[[], None]) -> Iterator[bytes]:
    size = 0
    for block in blocks:
        if size <= LARGE < size + len(block):
            meanwhile()
        size += len(block)
        yield block


def _sniffed(blocks: Iterator[bytes], name: str) -> Iterator[bytes]:
    """Pass the blocks on; the first non-blank bytes must look like JSON Lines."""
    head, judged = b"", False
    for block in blocks:
        if not judged:
            head = (head + block).removeprefix(_BOM).lstrip(_BLANK)
            if len(head) >= HEAD:
                require_json_lines(head[:HEAD], name, whole=False)
                judged = True
        yield block
    if not head:
        raise RefusedFile(f"{name} is empty: it holds no event.", reason="empty", hint="Check what wrote it.")
    if not judged:
        require_json_lines(head, name, whole=True)
