"""The text pieces event lines are made of, each written once and addressed by number.

A line is a common head and up to four pieces; drawing numbers and gathering pieces is what lets a
million lines be written without a Python loop over them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from pipeline.simulate.shop import Shop

#: Highest position of a tapped element and highest number of search results that are drawn, plus one.
POSITIONS = 40
RESULTS = 500
#: Numbered elements per element type.
ELEMENT_IDS = 24


@dataclass(frozen=True, kw_only=True, slots=True)
class Places:
    """Where each kind of page begins in the list of pages."""

    landing: int
    account: int
    basket: int
    payment: int
    done: int
    categories: int
    items: int
    results: int
    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Pieces:
    """All pieces that do not depend on the day; number 0 is the empty one."""

    texts: tuple[str, ...]
    places: Places
    #: First number of each kind; pages are numbered within by `places`.
    views: int
    urls: int
    inside_referrers: int
    outside_referrers: int
    #: Element kind (role of shop.toml's [elements]) -> first number, per weighted element type in order.
    elements: dict[str, int]
    positions: int
    products: int
    priced_products: int
    quantities: int
    queries: int
    results: int


def member(name: str, value: Any) -> str:
    """`,"name":value` as it stands inside an event."""
    return f",{json.dumps(name)}:{json.dumps(value, ensure_ascii=False)}"


class _Shelf:
    def __init__(self) -> None:
        self.texts = [""]

    def add(self, texts: Iterable[str]) -> int:
        first = len(self.texts)
        self.texts += texts
        return first


def make(shop: Shop) -> Pieces:
    """All pieces of a shop."""
    pages, places = _pages(shop)
    shelf = _Shelf()
    ids = [member("product_id", p.id) + member("category_id", shop.categories[p.category].id) for p in shop.products]
    return Pieces(
        places=places,
        views=shelf.add(member("page_url", url) + member("page_type", kind) for kind, url in pages),
        urls=shelf.add(member("page_url", url) for _, url in pages),
        inside_referrers=shelf.add(member("referrer", url) for _, url in pages),
        outside_referrers=shelf.add(member("referrer", url or None) for url in shop.model["referrers"]),
        elements={
            kind: shelf.add(
                member("element_id", f"{element}-{number:02d}") + member("element_type", element)
                for element in weights
                for number in range(1, ELEMENT_IDS + 1)
            )
            for kind, weights in shop.model["elements"].items()
        },
        positions=shelf.add(member("position", number) for number in range(POSITIONS)),
        products=shelf.add(ids),
        priced_products=shelf.add(
            text + member("unit_price", p.price) for text, p in zip(ids, shop.products, strict=True)
        ),
        quantities=shelf.add(
            member(shop.order.item_quantity, number + 1) for number in range(len(shop.model["orders"]["quantities"]))
        ),
        queries=shelf.add(member("search_query", term) for term in shop.terms),
        results=shelf.add(member("result_count", number) for number in range(RESULTS)),
        texts=tuple(shelf.texts),
    )


def _pages(shop: Shop) -> tuple[list[tuple[str, str]], Places]:
    """Every page as (page type, url), and where each kind begins."""
    origin = shop.model["origin"]
    single = ("landing", "account", "basket", "payment", "done")
    pages = [(shop.pages[role][0], origin + shop.pages[role][1]) for role in single]
    firsts = {}
    for name, role, ends in (
        ("categories", "listing", [c.id for c in shop.categories]),
        ("items", "item", [p.id for p in shop.products]),
        ("results", "results", [quote(term) for term in shop.terms]),
    ):
        firsts[name] = len(pages)
        kind, path = shop.pages[role]
        pages += [(kind, f"{origin}{path}{end}") for end in ends]
    return pages, Places(**{role: index for index, role in enumerate(single)}, **firsts, count=len(pages))
