"""Turns Great Expectations' rendered document tree into a page on which no value is ever markup.

Great Expectations' stock view writes cells, headings and tracebacks into HTML as they are and loads
its looks from other people's servers. This view walks the same tree (document, sections, content
blocks) with own templates under autoescape. It needs no script, no inline style and no network, so
the pages work under `gx.policy.POLICY`.

It has the constructor and the `render` of a stock view, so it can also be named as `view` of a site
section in `great_expectations.yml`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from pathlib import Path
from string import Template
from typing import Any, Final

from great_expectations.render import RenderedDocumentContent
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from expectations_custom.renderers import FAILED, NOT_APPLICABLE, NOT_JUDGED, PASSED
from gx.policy import META_POLICY
from pipeline.settings import ZONE
from pipeline.wording import visible

TEMPLATES: Final = Path(__file__).parent / "templates"
ASSETS: Final = Path(__file__).parent / "assets"

#: Longest single value on a page.
_LONGEST: Final = 2_000
#: Inline elements a renderer may ask for; everything else becomes plain text.
_TAGS: Final = frozenset({"strong", "em", "code"})
#: Classes and anchors are set by renderers, never by data; still only this shape reaches a page.
_CLASS: Final = re.compile(r"dg-[a-z]+")
_ANCHOR: Final = re.compile(r"check-[a-z0-9_]{1,64}")
#: Columns of Great Expectations' table of results.
_RESULT_COLUMNS: Final = ["Status", "Expectation", "Observed Value"]
#: States of checks that need no reading.
_CALM: Final = frozenset({PASSED[0], NOT_APPLICABLE[0]})
#: What the status icon of a stock expectation means.
_STOCK_STATES: Final = {"fa-check-circle": PASSED, "fa-times": FAILED, "fa-exclamation-triangle": NOT_JUDGED}
#: A parameter of the stock header that is markup; the word beside it says the same.
_MARKUP_PARAMETER: Final = "html_success_icon"


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """A run of text inside a string template."""

    text: str
    tag: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """One row of Great Expectations' table of results: an expectation and what was found."""

    #: Content block with the title; None for expectations that are not ours.
    title: Any
    anchor: str | None
    #: CSS class and word.
    state: tuple[str, str]
    blocks: Sequence[Any]
    observed: Any

    @property
    def words(self) -> list[Any]:
        """What is said in sentences."""
        return [block for block in self.blocks if not _is_evidence(block)]

    @property
    def evidence(self) -> list[Any]:
        """Tables of rules and lines."""
        return [block for block in self.blocks if _is_evidence(block)]

    @property
    def broken(self) -> bool:
        """Whether there are lines to look at."""
        return any("dg-samples" in _classes(block) for block in self.evidence)

    @property
    def open(self) -> bool:
        """Whether the evidence is what the reader came for; it is folded away where all is well."""
        return self.state[0] not in _CALM


class PageView:
    """Renders a document to HTML. Takes what Great Expectations gives a view and uses none of it."""

    def __init__(self, **_: Any) -> None:
        self.env = _environment()

    def render(self, document: RenderedDocumentContent | None, template: str | None = None, **context: Any) -> str:
        """The page as text.

        Args:
            document: what a Great Expectations page renderer returned; None when there is no result.
            template: file name below `gx/templates`; the page of one run when None.
            context: what the template needs beside the document.
        """
        tree: dict[str, Any] = document.to_json_dict() if document is not None else {"sections": [], "page_title": ""}
        ours: list[Judgement] = []
        others: list[Judgement] = []
        for judgement in judgements(tree):
            (others if judgement.title is None else ours).append(judgement)
        values = {"facts": None, "checks": (), "problems": (), "command": None, "front": None} | context
        return self.env.get_template(template or "page.html").render(
            title=tree["page_title"],
            ours=sorted(ours, key=lambda one: not one.open),
            others=others,
            run_info=_run_info(tree),
            **values,
        )


@cache
def _environment() -> Environment:
    """Compiled templates are kept: they are the same for every page."""
    env = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        finalize=_finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {"segments": segments, "classes": _classes, "count": _count, "moment": _moment, "long": _long}
    env.globals["policy"] = META_POLICY
    return env


def judgements(tree: Mapping[str, Any]) -> Iterator[Judgement]:
    """Every expectation in a validation page's tree, in its order."""
    for section in tree["sections"]:
        for block in section["content_blocks"]:
            if isinstance(block, Mapping) and list(block.get("header_row") or ())[:3] == _RESULT_COLUMNS:
                for row in block["table"]:
                    yield _judgement(row)


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


def _judgement(row: Sequence[Any]) -> Judgement:
    status, content, observed = row[0], row[1], row[2]
    blocks = content if isinstance(content, list) else [content]
    if isinstance(status, Mapping) and status.get("content_block_type") == "header":
        title, badge = status["header"], status["subheader"]
        attributes = (title["string_template"].get("styling") or {}).get("attributes") or {}
        anchor = str(attributes.get("id", ""))
        css = next((c for c in _classes(badge) if c != "dg-state"), NOT_JUDGED[0])
        word = str(badge["string_template"]["params"]["value"])
        return Judgement(
            title=title,
            anchor=anchor if _ANCHOR.fullmatch(anchor) else None,
            state=(css, word),
            blocks=blocks,
            observed=observed,
        )
    return Judgement(title=None, anchor=None, state=_stock_state(status), blocks=blocks, observed=observed)


def _is_evidence(block: Any) -> bool:
    return isinstance(block, Mapping) and block.get("content_block_type") in ("table", "collapse")


def _stock_state(status: Any) -> tuple[str, str]:
    """State shown by a stock status icon; what is not recognised counts as not judged."""
    icon = status.get("string_template") or {} if isinstance(status, Mapping) else {}
    styling = (icon.get("styling") or {}).get("params") or {}
    names = [name for style in styling.values() for name in style.get("classes") or ()]
    return next((_STOCK_STATES[name] for name in names if name in _STOCK_STATES), NOT_JUDGED)


def _run_info(tree: Mapping[str, Any]) -> list[Any]:
    """Great Expectations' own tables about the run (statistics, versions, batch)."""
    overview = [block for s in tree["sections"] if s["section_name"] == "Overview" for block in s["content_blocks"]]
    return [block for block in overview if block["content_block_type"] != "header"]


def _classes(block: Any) -> list[str]:
    """Our own classes of a content block."""
    styling = block.get("styling") or {} if isinstance(block, Mapping) else {}
    return [name for name in styling.get("classes") or () if _CLASS.fullmatch(name)]


def _finalize(value: Any) -> Any:
    """Every value on its way into a page: hidden, reordering and control characters become visible."""
    if value is None:
        return ""
    if isinstance(value, Markup):
        return value
    return visible(str(value), limit=_LONGEST)


def _count(value: int) -> str:
    return f"{value:,}"


def _moment(value: datetime) -> str:
    local = value.astimezone(ZONE)
    return f"{local:%Y-%m-%d %H:%M} {local.tzname()}"


def _long(value: date) -> str:
    return f"{value:%A}, {value.day} {value:%B %Y}"
