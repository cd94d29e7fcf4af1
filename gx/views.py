"""Turns Great Expectations' rendered document tree into a page on which no value is ever markup.

Great Expectations' stock view writes cells, headings and tracebacks into HTML as they are and loads
its looks from other people's servers. This view walks the same tree (document, sections, content
blocks) with own templates under autoescape. It needs no script, no inline style and no network, so
the pages work under `gx.policy.POLICY`.

It has the constructor and the `render` of a stock view, so it can also be named as `view` of a site
section in `great_expectations.yml`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from great_expectations.render import RenderedDocumentContent

from gx.blocks import classes, is_anchor
from gx.look import environment
from pipeline.words import FAILED, NOT_APPLICABLE, NOT_JUDGED, PASSED

#: Columns of Great Expectations' table of results.
_RESULT_COLUMNS: Final = ["Status", "Expectation", "Observed Value"]
#: Great Expectations' heading over what is about no single column.
_NO_COLUMN: Final = "Table-Level Expectations"
#: States of checks that need no reading.
_CALM: Final = frozenset({PASSED[0], NOT_APPLICABLE[0]})
#: What the status icon of a stock expectation means.
_STOCK_STATES: Final = {"fa-check-circle": PASSED, "fa-times": FAILED, "fa-exclamation-triangle": NOT_JUDGED}


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
    #: The column that an expectation which is not ours is about; its sentences leave that to a heading.
    column: str | None = None

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
        return any("dg-samples" in classes(block) for block in self.evidence)

    @property
    def open(self) -> bool:
        """Whether the evidence is what the reader came for; it is folded away where all is well."""
        return self.state[0] not in _CALM


class PageView:
    """Renders a document to HTML. Takes what Great Expectations gives a view and uses none of it."""

    def __init__(self, **_: Any) -> None:
        self.env = environment()

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
        for judgement in _judgements(tree):
            (others if judgement.title is None else ours).append(judgement)
        values = {
            "facts": None,
            "checks": (),
            "problems": (),
            "command": None,
            "front": None,
            "home": "",
            "added": (),
        } | context
        return self.env.get_template(template or "page.html").render(
            title=tree["page_title"],
            ours=sorted(ours, key=lambda one: not one.open),
            others=others,
            run_info=_run_info(tree),
            **values,
        )


def _judgements(tree: Mapping[str, Any]) -> Iterator[Judgement]:
    """Every expectation in a validation page's tree, in its order."""
    for section in tree["sections"]:
        for block in section["content_blocks"]:
            if isinstance(block, Mapping) and list(block.get("header_row") or ())[:3] == _RESULT_COLUMNS:
                for row in block["table"]:
                    yield _judgement(row, section["section_name"])


def _judgement(row: Sequence[Any], section: str) -> Judgement:
    status, content, observed = row[0], row[1], row[2]
    blocks = content if isinstance(content, list) else [content]
    if isinstance(status, Mapping) and status.get("content_block_type") == "header":
        title, badge = status["header"], status["subheader"]
        attributes = (title["string_template"].get("styling") or {}).get("attributes") or {}
        anchor = str(attributes.get("id", ""))
        css = next((c for c in classes(badge) if c != "dg-state"), NOT_JUDGED[0])
        word = str(badge["string_template"]["params"]["value"])
        return Judgement(
            title=title,
            anchor=anchor if is_anchor(anchor) else None,
            state=(css, word),
            blocks=blocks,
            observed=observed,
        )
    column = None if section == _NO_COLUMN else section
    state = _stock_state(status)
    return Judgement(title=None, anchor=None, state=state, blocks=blocks, observed=observed, column=column)


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
