"""What the beginning of a file looks like: JSON Lines, or something a person should hear about at once.

Only the head is looked at. A file is JSON Lines when any of its first lines is a JSON object, so one
garbage line at the top of a good file is a failing line and not a refused file.
"""

from __future__ import annotations

import json
import re
from typing import Final

from pipeline.errors import RefusedFile

#: Bytes that decide.
HEAD: Final = 64 << 10
#: Non-blank lines that decide.
_LINES: Final = 50

_MAGIC: Final = (
    (b"\x7fELF", "a program (ELF)"),
    (b"MZ", "a program (Windows)"),
    (b"PAR1", "a Parquet file"),
    (b"ORC", "an ORC file"),
    (b"Obj\x01", "an Avro file"),
    (b"\x1f\x8b", "gzip-compressed data"),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed data"),
    (b"PK\x03\x04", "a zip archive"),
    (b"BZh", "bzip2-compressed data"),
    (b"\xfd7zXZ\x00", "xz-compressed data"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"%PDF-", "a PDF"),
    (b"\x89PNG", "a picture (PNG)"),
    (b"\xff\xd8\xff", "a picture (JPEG)"),
)
_COMPRESSED: Final = {"gzip-compressed data": ".jsonl.gz", "zstd-compressed data": ".jsonl.zst"}
_WIDE: Final = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_WIDE_START: Final = re.compile(rb"[ \t\r\n]*(?:[\x21-\x7e]\x00|\x00{1,3}[\x21-\x7e])")
_CR_ONLY: Final = re.compile(rb"\}[ \t]*\r[ \t\r]*\{")
_BOM: Final = b"\xef\xbb\xbf"
#: A text file holds no more control characters than this share.
_BINARY_SHARE: Final = 0.05
_CONTROL: Final = bytes(set(range(32)) - set(b"\t\n\r\x0c\x1b")) + b"\x7f"
_SEPARATORS: Final = (b",", b";", b"\t")
_CONVERT: Final = "Write one JSON object per line (UTF-8), e.g.: jq -c '.[]' FILE > FILE.jsonl"


def require_json_lines(head: bytes, name: str, *, whole: bool) -> None:
    """Refuse a head that cannot be JSON Lines.

    Args:
        head: the first bytes of the plain content, not only blank.
        name: the file's name, for the message.
        whole: the head is the whole content.

    Raises:
        RefusedFile: reason encoding, line_endings or not_jsonl; the message says what it looks like.
    """
    for magic, looks in _MAGIC:
        if head.startswith(magic):
            compressed = _COMPRESSED.get(looks)
            hint = f"Name it *{compressed} and it is read as such." if compressed else _CONVERT
            raise _not_json_lines(name, looks, hint)
    if head.startswith(_WIDE) or _WIDE_START.match(head):
        raise RefusedFile(
            f"{name} is not UTF-8: it looks like UTF-16 or UTF-32.",
            reason="encoding",
            hint="Convert it: iconv -f UTF-16 -t UTF-8 FILE > FILE.jsonl",
        )
    if b"\n" not in head.strip() and _CR_ONLY.search(head):
        raise RefusedFile(
            f"{name} ends its lines with CR only.",
            reason="line_endings",
            hint="Convert it: tr '\\r' '\\n' < FILE > FILE.jsonl",
        )
    look = _look(head.removeprefix(_BOM), whole=whole)
    if look is not None:
        raise _not_json_lines(name, look, _CONVERT)


def _not_json_lines(name: str, looks: str, hint: str) -> RefusedFile:
    return RefusedFile(f"{name} is not JSON Lines: it looks like {looks}.", reason="not_jsonl", hint=hint)


def _look(head: bytes, *, whole: bool) -> str | None:
    """What the head looks like; None when it may be JSON Lines."""
    lines = [line for line in (part.strip(b" \t\r") for part in head.split(b"\n")) if line][: _LINES + 1]
    complete = lines if whole or len(lines) > _LINES else lines[:-1]
    objects = sum(map(_is_object, complete[:_LINES]))
    if objects > 1 or (objects and lines[0] != b"["):
        return None
    first = lines[0]
    if first.startswith(b"["):
        return "one JSON array"
    if first.startswith(b"{"):
        continued = [line for line in lines[1:] if not line.startswith(b"{")]
        return "pretty-printed JSON" if continued and 2 * len(continued) >= len(lines) - 1 else None
    if first.startswith(b"<"):
        return "HTML" if b"html" in head[:1024].lower() else "XML"
    if len(head.translate(None, _CONTROL)) < len(head) * (1 - _BINARY_SHARE):
        return "binary data"
    return None if _is_json(first) or any(line.startswith(b"{") for line in lines) else _look_of_text(lines)


def _look_of_text(lines: list[bytes]) -> str:
    for separator in _SEPARATORS:
        columns = {line.count(separator) for line in lines[:5]}
        if len(columns) == 1 and columns != {0}:
            return "CSV"
    return "text"


def _is_object(line: bytes) -> bool:
    return line.startswith(b"{") and line.endswith(b"}") and _is_json(line)


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line.decode())
    except (ValueError, RecursionError):
        return False
    return True
