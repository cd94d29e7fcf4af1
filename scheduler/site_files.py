"""The published site over HTTP: its files and nothing else.

A path is taken apart into plain names, and every name is opened below the folder of the one before
without following links. What is no plain name, no regular file or of no known type does not exist.
"""

from __future__ import annotations

import asyncio
import io
import os
import re
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse

INDEX: Final = "index.html"
#: A folder or file of the site: no dot in front, no separators, no bytes beyond ASCII.
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
_DEEPEST: Final = 8
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
_ASSETS: Final = "assets"
#: Pages are asked for again each time and mostly answered with 304. The front page's assets change with
#: an upgrade; those of a run never do.
_PAGE, _FRONT_ASSET, _RUN_ASSET = "private, no-cache", "private, max-age=86400", "private, max-age=31536000, immutable"
_CHUNK: Final = 64 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class _Opened:
    file: io.FileIO
    size: int
    #: Changes whenever the file is replaced.
    tag: str


class Site:
    """Serves a site folder, which may come into being later."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def serve(self, request: Request) -> Response:
        """The file of a path, the index of a folder, or 404. Ranges are not offered: pages are small."""
        names = _names(request.scope["path"])
        if names is None:
            return _not_found()
        if names[-1] == "":
            names[-1] = INDEX
        opened = await asyncio.to_thread(_open, self._folder, names)
        if opened is None:
            return _not_found() if names != [INDEX] else _not_found("No day was run yet; its page will be here.")
        if opened == "folder":
            # Every name was checked, so this leads nowhere but to ourselves.
            return RedirectResponse("/" + "/".join(names) + "/", status_code=308)
        return _answer(request, opened, names)


def _not_found(words: str = "Not found.") -> Response:
    """There is no such thing here."""
    return PlainTextResponse(f"{words}\n", status_code=404, headers={"cache-control": "no-store"})


def _names(path: str) -> list[str] | None:
    """The names in a path, the last of them empty for a folder; None when it is no path of a site."""
    first, *names = path.split("/")
    if first or not names or len(names) > _DEEPEST:
        return None
    fits = all(_NAME.fullmatch(name) for name in names[:-1]) and (not names[-1] or _NAME.fullmatch(names[-1]))
    return names if fits else None


def _open(folder: Path, names: list[str]) -> _Opened | Literal["folder"] | None:
    """The open file; `folder` when the names lead to one; None when they lead nowhere.

    A site that another took the place of meanwhile is being removed: what is missing there is looked for in the other.
    """
    while True:
        try:
            root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return None
        entered = os.fstat(root)
        found = _open_below(root, names)
        if found is not None or _is_still(folder, entered):
            return found


def _is_still(folder: Path, entered: os.stat_result) -> bool:
    try:
        return os.path.samestat(entered, folder.stat())
    except OSError:
        return False


def _open_below(parent: int, names: list[str]) -> _Opened | Literal["folder"] | None:
    suffix = Path(names[-1]).suffix
    try:
        for name in names[:-1]:
            child = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
            os.close(parent)
            parent = child
        # Without O_NONBLOCK a named pipe would hold the thread for good.
        found = os.open(names[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
    except OSError:
        return None
    finally:
        os.close(parent)
    facts = os.fstat(found)
    if stat.S_ISREG(facts.st_mode) and suffix in _TYPES:
        tag = sha256(repr((facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns)).encode()).hexdigest()
        return _Opened(file=io.FileIO(found), size=facts.st_size, tag=f'"{tag[:32]}"')
    os.close(found)
    return "folder" if stat.S_ISDIR(facts.st_mode) else None


def _answer(request: Request, opened: _Opened, names: list[str]) -> Response:
    headers = {"etag": opened.tag, "cache-control": _caching(names), "accept-ranges": "none"}
    if opened.tag in request.headers.get("if-none-match", ""):
        opened.file.close()
        return Response(status_code=304, headers=headers)
    headers |= {"content-length": str(opened.size), "content-type": _TYPES[Path(names[-1]).suffix]}
    if request.method == "HEAD":
        opened.file.close()
        return Response(headers=headers)
    return StreamingResponse(_chunks(opened), headers=headers)


def _caching(names: list[str]) -> str:
    if _ASSETS not in names[:-1]:
        return _PAGE
    return _FRONT_ASSET if names[0] == _ASSETS else _RUN_ASSET


async def _chunks(opened: _Opened) -> AsyncIterator[bytes]:
    with opened.file as file:
        while chunk := await asyncio.to_thread(file.read, _CHUNK):
            yield chunk
