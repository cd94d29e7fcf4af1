"""Order details: the JSON document inside an order line (`x-order-total`), read exactly or not at all."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from itertools import chain
from typing import Any, Final, NoReturn

import msgspec

from pipeline.contract import OrderTotal
from pipeline.parse_slow import DEPTH_CAP, UNSTORABLE, decimal, deeper_than, fits_decimal

#: Exact or nothing: a sum that would have to be rounded raises.
_EXACT: Final = Context(prec=100, traps=[Inexact, InvalidOperation, Overflow])
#: PostgreSQL expands a jsonb number to all its digits; far fewer than its own limit are plenty.
_LONGEST_NUMBER: Final = 1000
_MOST_UNITS: Final = 10**9
#: Whole numbers below it are read fast; sums of their products are far from any limit.
_PLAIN: Final = 10**9
_SPACED_COLON: Final = re.compile(r'"[ \t\r\n]+:')
_DECODE: Final = msgspec.json.Decoder().decode
#: Won. Beyond it a total and its details could not be compared in 38 digits.
_MOST_MONEY: Final = 10**19


@dataclass(frozen=True, kw_only=True, slots=True)
class Details:
    """What an order line says of its own sum. The amounts are None when the document is unreadable."""

    items_total: Decimal | None = None
    discount: Decimal | None = None
    shipping: Decimal | None = None
    #: PostgreSQL can hold the text as jsonb.
    storable: bool = True

    @property
    def readable(self) -> bool:
        """The amounts are there."""
        return self.items_total is not None


class _Unstorable(ValueError):
    """Not JSON, or JSON that jsonb refuses."""


class _Unreadable(ValueError):
    """JSON, but no order details."""


class _Repeated:
    """Stands for an object with a repeated key: storable, but nobody can say what it means."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = pairs


def read(text: str, order: OrderTotal) -> Details:
    """Read the document; anything but order details in exact numbers is unreadable, never guessed."""
    return _read_plain(text, order) or read_exactly(text, order)


def _read_plain(text: str, order: OrderTotal) -> Details | None:
    """The details of a flat document of texts and whole numbers, in a tenth of the time; None for any other.

    Without a backslash and without white space before a colon, `":` ends a key and occurs nowhere else: as many of
    it as keys that were found means that no key is there twice.
    """
    if "\\" in text or _SPACED_COLON.search(text):
        return None
    try:
        document = _DECODE(text)
        items = document[order.items]
        amounts = [(item[order.item_price], item[order.item_quantity]) for item in items]
        values = [value for part in (document, *items) for value in part.values() if value is not items]
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError, LookupError, TypeError, AttributeError):
        return None
    keys = len(document) + sum(map(len, items))
    if text.count('":') != keys or type(items) is not list or not all(map(_is_plain, values)):
        return None
    discount, shipping = (
        0 if found is None else found for found in map(document.get, (order.discount, order.shipping))
    )
    numbers = [discount, shipping, *chain.from_iterable(amounts)]
    if not all(type(number) is int and number >= 0 for number in numbers):
        return None
    total = sum(price * quantity for price, quantity in amounts)
    return Details(items_total=Decimal(total), discount=Decimal(discount), shipping=Decimal(shipping))


def _is_plain(value: object) -> bool:
    """A value that every reader takes alike and PostgreSQL can hold."""
    return value is None or type(value) is str or (type(value) is int and -_PLAIN < value < _PLAIN)


def read_exactly(text: str, order: OrderTotal) -> Details:
    """The same, one value at a time in exact numbers: what the fast reading must equal."""
    try:
        document = _decode(text)
    except _Unstorable:
        return Details(storable=False)
    if not isinstance(document, dict):
        return Details()
    try:
        return _amounts(document, order)
    except (_Unreadable, ArithmeticError):
        return Details()


def _amounts(document: dict[str, Any], order: OrderTotal) -> Details:
    items = document.get(order.items)
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise _Unreadable
    total = Decimal(0)
    for item in items:
        quantity = _number(item.get(order.item_quantity))
        if not 0 <= quantity <= _MOST_UNITS:
            raise _Unreadable
        total = _EXACT.add(total, _EXACT.multiply(quantity, _number(item.get(order.item_price))))
    discount = _number(document.get(order.discount), absent=Decimal(0))
    shipping = _number(document.get(order.shipping), absent=Decimal(0))
    before_shipping = _EXACT.subtract(_number(total), discount)
    if max(abs(before_shipping), abs(_EXACT.add(before_shipping, shipping))) > _MOST_MONEY:
        raise _Unreadable
    return Details(items_total=total, discount=discount, shipping=shipping)


def _number(value: object, *, absent: Decimal | None = None) -> Decimal:
    """A JSON number that fits our decimals; bool is none, although Python thinks so."""
    if value is None and absent is not None:
        return absent
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not fits_decimal(value):
        raise _Unreadable
    return Decimal(value)


def _decode(text: str) -> Any:
    if deeper_than(text, DEPTH_CAP):
        raise _Unstorable
    try:
        document = _DECODER.decode(text)
    except ValueError as error:
        raise _Unstorable from error
    if "\\u" in text and not _texts_are_storable(document):
        raise _Unstorable
    return document


def _texts_are_storable(value: Any) -> bool:
    if isinstance(value, str):
        return not UNSTORABLE.search(value)
    if isinstance(value, dict):
        return all(_texts_are_storable(part) for pair in value.items() for part in pair)
    if isinstance(value, _Repeated):
        return all(_texts_are_storable(part) for pair in value.pairs for part in pair)
    return not isinstance(value, list) or all(map(_texts_are_storable, value))


def _refuse(_: str) -> NoReturn:
    raise _Unstorable


def _integer(token: str) -> int:
    if len(token) > _LONGEST_NUMBER:
        raise _Unstorable
    return int(token)


def _decimal(token: str) -> Decimal:
    value = decimal(token)
    if len(token) > _LONGEST_NUMBER or not value.is_finite() or abs(value.adjusted()) > _LONGEST_NUMBER:
        raise _Unstorable
    return value


def _object(pairs: list[tuple[str, Any]]) -> Any:
    found = dict(pairs)
    return found if len(found) == len(pairs) else _Repeated(pairs)


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_decimal, parse_constant=_refuse
)
