"""Great Expectations' content blocks read as what they are: runs of text, our own classes and anchors, never markup."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from string import Template
from typing import Any, Final

#: Inline elements a renderer may ask for; everything else becomes plain text.
_TAGS: Final = frozenset({"strong", "em", "code"})
#: Classes and anchors are set by renderers, never by data; still only this shape reaches a page.
_CLASS: Final = re.compile(r"dg-[a-z]+")
#: What may name a place on a page; anchors are made by us of ids, some of which come from a contract.
_ANCHOR: Final = re.compile(r"check-[a-z0-9_]{1,64}|rule-[a-z0-9_]{1,64}-[A-Za-z0-9_.]{1,64}")
#: A parameter of the stock header that is markup; the word beside it says the same.
_MARKUP_PARAMETER: Final = "html_success_icon"


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """A run of text inside a string template."""

    text: str
    tag: str | None = None


def segments(string_template: Mapping[str, Any]) -> list[Segment]:
    """A string template as runs of text; values stay values, whatever they look like.

    A template without parameters is data itself (a description, a traceback) and is taken literally.
    """
    template = str(string_template.get("template") or "")
    params = string_template.get("params") or {}
    tag = string_template.get("tag") if string_template.get("tag") in _TAGS else None
    if not params:
        return [Segment(text=template, tag=tag)]
    styling = string_template.get("styling") or {}
    found: list[Segment] = []
    end = 0
    for match in Template.pattern.finditer(template):
        name = match["named"] or match["braced"]
        if name not in params and match["escaped"] is None:
            continue
        found.append(Segment(text=template[end : match.start()], tag=tag))
        end = match.end()
        found.append(Segment(text="$", tag=tag) if name is None else _parameter(name, params, styling, tag))
    found.append(Segment(text=template[end:], tag=tag))
    return [segment for segment in found if segment.text]


def _parameter(name: str, params: Mapping[str, Any], styling: Mapping[str, Any], tag: str | None) -> Segment:
    if name == _MARKUP_PARAMETER or params[name] is None:
        return Segment(text="")
    own = ((styling.get("params") or {}).get(name) or {}).get("tag")
    return Segment(text=str(params[name]), tag=own if own in _TAGS else tag)


def classes(block: Any) -> list[str]:
    """Our own classes of a content block."""
    styling = block.get("styling") or {} if isinstance(block, Mapping) else {}
    return [name for name in styling.get("classes") or () if _CLASS.fullmatch(name)]


def anchor(kind: str, *names: str) -> str | None:
    """The name of a place on a page, `rule-value_ranges-os`; None when the ids cannot be one."""
    made = "-".join((kind, *names))
    return made if _ANCHOR.fullmatch(made) else None


def is_anchor(text: str) -> bool:
    """Whether the text may name a place on a page."""
    return _ANCHOR.fullmatch(text) is not None


def place(item: Any) -> str | None:
    """The anchor that a renderer gave a cell."""
    template = item.get("string_template") if isinstance(item, Mapping) else None
    styling = template.get("styling") if isinstance(template, Mapping) else None
    name = str(((styling or {}).get("attributes") or {}).get("id", ""))
    return name if is_anchor(name) else None
