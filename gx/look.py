"""How pages come out of templates: every value escaped and made visible, every sentence from the catalogue.

Loads nothing of Great Expectations, so that the pages of the site cost their process little.
"""

from __future__ import annotations

from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from gx.blocks import classes, place, segments
from gx.policy import META_POLICY
from pipeline.records import Verdict
from pipeline.wording import visible, won
from pipeline.words import FAILED, INCONCLUSIVE, PASSED, State, spoken
from pipeline.zone import ZONE

TEMPLATES: Final = Path(__file__).parent / "templates"
ASSETS: Final = Path(__file__).parent / "assets"

STATES: Final[dict[Verdict, State]] = {
    Verdict.PASS: PASSED,
    Verdict.FAIL: FAILED,
    Verdict.INCONCLUSIVE: INCONCLUSIVE,
}
#: Longest single value on a page.
_LONGEST: Final = 2_000


@cache
def environment() -> Environment:
    """Compiled templates are kept: they are the same for every page and language."""
    env = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        finalize=_finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {
        "segments": segments,
        "classes": classes,
        "count": count,
        "won": won,
        "moment": _moment,
        "long": lambda value: spoken().day(value),
        "short": lambda value: spoken().short(value),
        "month": lambda value: spoken().month(value),
        "stated": _stated,
        "named": named,
        "status": lambda word: spoken().known(f"status.{word}", word),
        "place": place,
        "trigger": lambda word: spoken().known(f"trigger.{word}", word),
    }
    env.globals |= {"policy": META_POLICY, "say": _say, "words": spoken}
    return env


def render(template: str, **context: Any) -> str:
    """A page of the site.

    Args:
        template: file name below `gx/templates`.
        context: what the template needs; a name that is missing is an error.
    """
    return environment().get_template(template).render(**context)


def count(value: float) -> str:
    """A count with thousands separators; halves, as medians have them, are rounded."""
    return f"{round(value):,}"


def _moment(value: datetime) -> str:
    """`2026-11-22 02:01 KST`: alike in every language."""
    local = value.astimezone(ZONE)
    return f"{local:%Y-%m-%d %H:%M} {local.tzname()}"


def _stated(word: str) -> str:
    """The word of a state in the page's language."""
    return spoken().state(word)


def named(check: str) -> str:
    """The title of a check in the page's language; made of its id when the catalogue does not know it."""
    return spoken().known(f"title.{check}", check.replace("_", " ").capitalize())


def _say(name: str, **values: Any) -> str:
    """A sentence in the language of the moment; the environment outlives it."""
    return spoken()(name, **values)


def _finalize(value: Any) -> Any:
    """Every value on its way into a page: hidden, reordering and control characters become visible."""
    if value is None:
        return ""
    if isinstance(value, Markup):
        return value
    return visible(str(value), limit=_LONGEST)
