"""What `daygate check --explain` prints: pure functions from an `Explained` to text and to JSON."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from itertools import groupby
from operator import attrgetter
from textwrap import wrap
from typing import Final

from pipeline.wording import visible
from scheduler.explain import Explained
from scheduler.output import Look, columns, wide
from scheduler.output_json import Document, file_name

#: Characters of the raw line and of a single value that are shown.
_RAW_SHOWN: Final = 4000
_VALUE_SHOWN: Final = 300
_MESSAGE_SHOWN: Final = 200


def text(explained: Explained, look: Look) -> str:
    """The line, its values, every rule's judgement and the JSON Schema's; the last line sums it up."""
    title = look.dot.join((visible(explained.file), f"line {explained.line}", explained.day.isoformat()))
    lines = [look.paint(title, "strong"), ""]
    if explained.raw is None:
        return "\n".join([*lines, f"Line {explained.line} is blank: it counts as a line number and holds no event."])
    lines += [f"Raw line, {explained.length:,} bytes:", *_raw(explained.raw, look), ""]
    for head, block in (
        ("Values as they were read:", _values(explained, look)),
        ("Rules that look at it:", _rules(explained, look)),
        ("JSON Schema:", _schema(explained, look)),
    ):
        lines += [head, *block, ""]
    return "\n".join([*lines, _sum(explained, look)])


def _raw(raw: bytes, look: Look) -> list[str]:
    shown = visible(raw.decode("utf-8", "backslashreplace"), limit=_RAW_SHOWN)
    return [f"  {piece}" for piece in _pieces(shown, look.width - 2)]


def _pieces(text: str, cells: int) -> Iterator[str]:
    """The text in pieces of at most that many cells, without a care for words."""
    piece, taken = "", 0
    for character in text:
        takes = wide(character)
        if taken + takes > cells:
            yield piece
            piece, taken = "", 0
        piece, taken = piece + character, taken + takes
    yield piece


def _values(explained: Explained, look: Look) -> Iterator[str]:
    kinds = dict(problem.split(":", 1) for problem in explained.problems)
    if "line" in kinds:
        yield f"  none: the line is no event ({kinds['line']})"
        return
    taken = {name: value for name, value in explained.values.items() if value is not None or name in kinds}
    width = max(map(len, taken), default=0)
    for name, value in taken.items():
        said = [] if value is None else [visible(value, limit=_VALUE_SHOWN) or '""']
        said += [f"(not taken: {kinds[name]})"] if name in kinds else []
        pieces = _pieces(" ".join(said), look.width - width - 4)
        for number, piece in enumerate(pieces):
            yield f"  {'' if number else name:{width}}  {piece}".rstrip()
    absent = [name for name in explained.values if name not in taken]
    if absent:
        yield from _indented(f"absent or null: {', '.join(absent)}", width, look)
    if explained.unknown_keys:
        keys = ", ".join(visible(key, limit=40) for key in explained.unknown_keys[:20])
        yield from _indented(f"not in the contract: {keys}", width, look)


def _rules(explained: Explained, look: Look) -> Iterator[str]:
    """The broken rules with their reasons, then those that hold, under their checks."""
    good, bad = ("✓", "✗") if look.unicode else ("+", "x")
    for judgement in explained.judgements:
        if judgement.reason is not None:
            yield f"  {look.paint(bad, 'bad')} {judgement.check}/{visible(judgement.rule)}"
            said = f"{judgement.reason} [{judgement.source}]"
            yield from wrap(visible(said, limit=1000), look.width, initial_indent=" " * 6, subsequent_indent=" " * 6)
    held = [judgement for judgement in explained.judgements if judgement.reason is None]
    rows = [(visible(judgement.rule), f"[{visible(judgement.source)}]") for judgement in held]
    lines = dict(zip(held, columns(rows, ("<", "<"), indent=6), strict=True))
    for check, members in groupby(held, key=attrgetter("check")):
        yield f"  {look.paint(good, 'good')} {check}"
        yield from (lines[member] for member in members)


def _schema(explained: Explained, look: Look) -> Iterator[str]:
    if explained.schema_errors is None:
        yield "  not asked: the line is no JSON object"
    elif not explained.schema_errors:
        yield "  no objection"
    for place, message in explained.schema_errors or ():
        said = f"{visible(place)}: {visible(message, limit=_MESSAGE_SHOWN)}"
        yield from wrap(said, look.width, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)


def _sum(explained: Explained, look: Look) -> str:
    failing = list(dict.fromkeys(judgement.check for judgement in explained.judgements if judgement.reason))
    of = f"of the {len(explained.judgements)} rules that look at line {explained.line}"
    if not failing:
        return look.paint("GOOD", "good") + f": it keeps all {of}"
    broken = sum(judgement.reason is not None for judgement in explained.judgements)
    word = look.paint("FAILS", "bad") if explained.blocking else look.paint("FAILS (warning)", "warn")
    return f"{word}: it breaks {broken} {of}: {', '.join(failing)}"


def _indented(said: str, width: int, look: Look) -> list[str]:
    indent = " " * (width + 4)
    return wrap(said, look.width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def document(explained: Explained, *, version: str) -> Document:
    """The same as one JSON-ready document; `raw` as text, or base64 where it is none."""
    raw: Mapping[str, object] = {"raw": None}
    if explained.raw is not None:
        try:
            raw = {"raw": explained.raw.decode("utf-8")}
        except UnicodeDecodeError:
            raw = {"raw": base64.b64encode(explained.raw).decode("ascii"), "raw_encoding": "base64"}
    return {
        "daygate": version,
        "file": file_name(explained.file),
        "sha256": explained.sha256,
        "day": explained.day.isoformat(),
        "line": explained.line,
        "blocking": sorted(explained.blocking),
        **raw,
        "values": dict(explained.values),
        "unknown_keys": list(explained.unknown_keys),
        "problems": list(explained.problems),
        "rules": [
            {"check": j.check, "rule": j.rule, "field": j.field, "source": j.source, "reason": j.reason}
            for j in explained.judgements
        ],
        "json_schema": None
        if explained.schema_errors is None
        else [{"path": place, "message": message} for place, message in explained.schema_errors],
    }


def dumps(made: Document) -> str:
    """Pure ASCII, as all JSON of `check`."""
    return json.dumps(made, indent=2, allow_nan=False).replace("\x7f", "\\u007f")
