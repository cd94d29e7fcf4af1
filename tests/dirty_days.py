"""Dirty deliveries in any number: visits with planted defects of every kind, the same ones for the same seed.

Values come from lists of what has ever been trouble; ids are taken from earlier visits, so that copies, changes of
platform and evidence in other places of the file happen all the time.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

from conftest import Session

STEPS = ("page_view", "search", "click", "add_to_cart", "purchase")
TEXTS = (
    None, "", " ", "x", "\t", "\u00a0", "가" * 201, "a\0b", "\ud800", "\U0001f600", "１２３", "<script>", "'; --",
    "U000001\n", "E" * 20_000, "null", "P0001", "CAT001", "web", "iOS", "desktop", 7, 7.5, True, [], {}, -1, 2**70,
)  # fmt: skip
NUMBERS = (
    None, 0, 1, -1, 99, 100, 10_000_000, 10_000_001, 100_000_000, 0.5, 1e-18, 1e-19, 1.0, 1e19, -1e19,
    99999999999999999999, 2**63 - 1, 2**63, -(2**63), 1e400, "3", "", True, [],
)  # fmt: skip
INSTANTS = (
    None, "", "now", 0, "2026-01-15", "2026-02-30T10:00:00+09:00", "2026-01-15T24:00:00+09:00", "2026-01-15T10:00:60Z",
    "2026-01-14T15:00:00Z", "2026-01-15T15:00:00Z", "2026-01-15T00:00:00+09:00", "2026-01-15T23:59:59.999999",
    "2026-01-15T10:00:00", "2026-01-15T10:00:00-12:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z",
    "1582-10-10T00:00:00Z", "1899-12-31T00:00:00Z", "2019-12-31T23:59:59+09:00", "2031-01-01T00:00:00+09:00",
)  # fmt: skip
DETAILS = (
    "{}", "null", "{oops", "", '{"products": []}', '{"products": [{"quantity": 1, "unit_price": 4900}]}',
    '{"products": [{"quantity": 1, "unit_price": 1e19}], "discount_amount": -1e19}',
    '{"products": [{"quantity": 1, "unit_price": 99999999999999999999}], "discount_amount": 99999999999999999999}',
    '{"products": [{"quantity": 1, "unit_price": 0.000000000000000001}]}', '{"products": [{"quantity": true}]}',
    '{"products": [{"quantity": 1, "unit_price": 4900.000000000000000001}], "shipping_fee": null}',
    '{"products": [{"quantity": 1, "unit_price": 1}, {"quantity": 1, "unit_price": 4898}], "products": []}',
)  # fmt: skip
LINES = (
    b"", b" ", b"oops", b"[]", b"null", b"3", b'{"a": 1, "a": 2}', b'{"a": NaN}', b"{}", b"\xff\xfe",
    b'{"event_id": "x"', b'{"event_type": "purchase"} x', b"\xef\xbb\xbf{}", b"\r",
    b'{"a": ' + b"[" * 70 + b"]" * 70 + b"}",
)  # fmt: skip


def lines(seed: int, visits: int) -> Iterator[bytes]:
    """The lines of so many visits, in a file's order."""
    chance = random.Random(seed)
    told: list[dict[str, Any]] = []
    for number in range(1, visits + 1):
        made = [*_visit(chance, number, told)]
        if chance.random() < 0.2:
            chance.shuffle(made)
        told = (told + [event for event in made if isinstance(event, dict)])[-200:]
        yield from (event if isinstance(event, bytes) else _text(event) for event in made)


def _visit(chance: random.Random, number: int, told: list[dict[str, Any]]) -> Iterator[dict[str, Any] | bytes]:
    session = Session(
        number, platform=chance.choice(("web", "ios", "android")), start=f"2026-01-15T{number % 24:02d}:00:00"
    )
    for step in STEPS if chance.random() < 0.5 else chance.choices(STEPS, k=chance.randint(1, 5)):
        session.add(step)
    for event in session.events:
        if chance.random() < 0.4:
            for _ in range(chance.randint(1, 3)):
                chance.choice(DAMAGES)(chance, event, told)
        yield event
        if chance.random() < 0.03:
            yield chance.choice(LINES)


def _value(chance: random.Random, event: dict[str, Any], told: list[dict[str, Any]]) -> None:
    """A field, of this event or another kind of event, has some other value."""
    event[chance.choice([*event, "position", "referrer", "product_id", "browser", "unknown"])] = chance.choice(TEXTS)


def _number(chance: random.Random, event: dict[str, Any], told: list[dict[str, Any]]) -> None:
    event[chance.choice(("quantity", "unit_price", "total_amount", "position", "result_count"))] = chance.choice(
        NUMBERS
    )


def _instant(chance: random.Random, event: dict[str, Any], told: list[dict[str, Any]]) -> None:
    event["timestamp"] = chance.choice(INSTANTS)


def _details(chance: random.Random, event: dict[str, Any], told: list[dict[str, Any]]) -> None:
    event["extra_data"] = chance.choice(DETAILS)


def _gone(chance: random.Random, event: dict[str, Any], told: list[dict[str, Any]]) -> None:
    event.pop(chance.choice(list(event)), None)


def _borrowed(chance: random.Random, event: dict[str, Any], told: list[dict[str, Any]]) -> None:
    """An id, the platform, or everything is what an earlier line has."""
    if told:
        donor = chance.choice(told)
        for name in chance.choice((("event_id",), ("session_id",), ("order_id",), ("platform",), tuple(donor))):
            if name in donor:
                event[name] = donor[name]


DAMAGES: tuple[Callable[[random.Random, dict[str, Any], list[dict[str, Any]]], None], ...] = (
    _value, _number, _instant, _details, _gone, _borrowed, _borrowed,
)  # fmt: skip


def _text(event: dict[str, Any]) -> bytes:
    """As JSON writers write; half surrogates and infinities stay what they are."""
    return json.dumps(event).encode().replace(b"Infinity", b"1e400")
