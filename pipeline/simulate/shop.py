"""The simulated shop: `shop.toml` read once and checked against the event contract.

The model speaks in roles (the view, the tap, the basket …); which event type, page type or element
type a role is called, and every other value of the contract, stands in the data file.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from pipeline.contract import Contract, Funnel, OrderTotal, PlatformRules
from pipeline.errors import ContractError

#: Fields the simulator writes; each is declared by the contract.
FIELDS = (
    *("event_id", "event_type", "user_id", "session_id", "timestamp", "platform", "device_type", "os", "browser"),
    *("page_url", "page_type", "referrer", "element_id", "element_type", "position", "product_id", "category_id"),
    *("quantity", "unit_price", "order_id", "total_amount", "payment_method", "extra_data"),
    *("search_query", "result_count"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Events:
    """The event type of each role."""

    view: str
    tap: str
    basket: str
    order: str
    lookup: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """What a customer visits with."""

    platform: str
    device_type: str
    os: str
    browser: str
    weight: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Product:
    """One product of the catalogue; price in won."""

    id: str
    category: int
    price: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Category:
    """A category with the index range of its products and search terms."""

    id: str
    weight: float
    first_product: int
    products: int
    first_term: int
    terms: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Shop:
    """The whole model. `model` holds the plain tables of shop.toml (weights, chances, calendar …)."""

    events: Events
    #: Page role -> (page type, path).
    pages: dict[str, tuple[str, str]]
    profiles: tuple[Profile, ...]
    categories: tuple[Category, ...]
    products: tuple[Product, ...]
    #: Search terms, by category.
    terms: tuple[str, ...]
    model: dict[str, Any]
    #: The contract's extensions, which a simulated shop always has.
    order: OrderTotal
    funnel: Funnel
    platform: PlatformRules


@cache
def _document() -> dict[str, Any]:
    return tomllib.loads((files("pipeline.simulate") / "shop.toml").read_text(encoding="utf-8"))


def read(contract: Contract) -> Shop:
    """The simulated shop in the words of `contract`.

    Raises:
        ContractError: the contract does not know a field or value the simulator uses.
    """
    model = _document()
    for name in FIELDS:
        if name not in contract.names:
            raise _foreign(contract, f"the field {name}")
    if contract.order_total is None or contract.funnel is None or contract.platform is None:
        raise _foreign(contract, "the extensions x-order-total, x-funnel-sequence and x-platform-device-rules")
    _check_values(contract, model)
    categories, products, terms = _catalogue(model)
    return Shop(
        events=Events(**model["events"]),
        pages={role: (kind, path) for role, (kind, path) in model["pages"].items()},
        profiles=_profiles(contract, contract.platform, model),
        categories=categories,
        products=products,
        terms=terms,
        model=model,
        order=contract.order_total,
        funnel=contract.funnel,
        platform=contract.platform,
    )


def _foreign(contract: Contract, what: str) -> ContractError:
    return ContractError(
        f"The simulator needs {what}, which {contract.source} does not declare.",
        hint="The simulator plays the shipped contract; a shop with other events lands files: DAYGATE_SOURCE=landing",
    )


def _check_values(contract: Contract, model: dict[str, Any]) -> None:
    used = [("event_type", value) for value in model["events"].values()]
    used += [("page_type", kind) for kind, _ in model["pages"].values()]
    used += [("element_type", value) for weights in model["elements"].values() for value in weights]
    used += [("payment_method", value) for value in model["payments"]]
    for profile in model["profiles"]:
        used += [(name, profile[name]) for name in ("platform", "device_type", "os")]
        used += [("browser", value) for value in profile["browser"]]
    for name, value in used:
        if value not in (contract.field(name).enum or (value,)):
            raise _foreign(contract, f"the value {value!r} of {name}")


def _profiles(contract: Contract, rules: PlatformRules, model: dict[str, Any]) -> tuple[Profile, ...]:
    profiles = []
    for declared in model["profiles"]:
        for name, values in rules.allowed.get(declared["platform"], {}).items():
            if declared[name] not in values:
                raise _foreign(contract, f"{name} {declared[name]!r} on {declared['platform']!r}")
        total = sum(declared["browser"].values())
        profiles += [
            Profile(
                platform=declared["platform"],
                device_type=declared["device_type"],
                os=declared["os"],
                browser=browser,
                weight=declared["weight"] * share / total,
            )
            for browser, share in declared["browser"].items()
        ]
    return tuple(profiles)


def _catalogue(model: dict[str, Any]) -> tuple[tuple[Category, ...], tuple[Product, ...], tuple[str, ...]]:
    categories: list[Category] = []
    products: list[Product] = []
    terms: list[str] = []
    for index, declared in enumerate(model["categories"]):
        categories.append(
            Category(
                id=declared["id"],
                weight=declared["weight"],
                first_product=len(products),
                products=len(declared["products"]),
                first_term=len(terms),
                terms=len(declared["searches"]),
            )
        )
        products += [Product(id=name, category=index, price=price) for name, price in declared["products"]]
        terms += declared["searches"]
    return tuple(categories), tuple(products), tuple(terms)
