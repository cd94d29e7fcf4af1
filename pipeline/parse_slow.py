"""The exact judge of a single line: what the fast path suspects, and the meaning the fast path must equal.

A line comes out as its good values, written as a flat JSON object that any reader understands alike,
and the list of its problems. Nothing is coerced; no problem holds a value from the data.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NoReturn

from pipeline.contract import Contract, Field

#: Most lines of a delivery: line numbers share a 63-bit order key with the microsecond of the day.
MOST_LINES: Final = 2**26 - 1
LINE_CAP: Final = 1 << 20
DEPTH_CAP: Final = 64
KEYS_CAP: Final = 1000
#: Longest key in characters.
KEY_CAP: Final = 4096
#: JSON's white space inside a line; a line of nothing else is blank.
SPACE: Final = " \t\r"
INT64: Final = range(-(2**63), 2**63)
#: Digits before and after the point of the staged decimals.
WHOLE_DIGITS: Final = 20
SCALE: Final = 18
#: What neither PostgreSQL's text nor its jsonb can hold.
UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")

#: A longer integer is out of every range; int() would refuse to read 5,000 digits anyway.
_LONGEST_INTEGER: Final = 40
#: A text, also one that never ends: without that, many quotes would make the scan quadratic.
_TEXT: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_BRACKETS: Final = {"{": 1, "[": 1, "}": -1, "]": -1}


class _Refused(ValueError):
    """The line is no acceptable JSON object; the argument is the kind of problem."""


class _TooLong:
    """Stands for an integer with more digits than any range."""


_TOO_LONG: Final = _TooLong()


@dataclass(frozen=True, slots=True)
class Judged:
    """A line's good values and its problems (`name:kind`)."""

    #: Field -> text or integer; numbers are decimal texts or integers.
    values: dict[str, str | int]
    problems: tuple[str, ...] = ()
    unknown_keys: bool = False

    @property
    def json(self) -> bytes:
        """The good values as one line."""
        return json.dumps(self.values, ensure_ascii=False, separators=(",", ":")).encode()


def refused(kind: str) -> Judged:
    """A line that is no acceptable JSON object."""
    return Judged({}, (f"line:{kind}",))


def judge(line: bytes, contract: Contract) -> Judged:
    """Judge one non-blank line (without its newline)."""
    if len(line) > LINE_CAP:
        return refused("line_too_long")
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return refused("utf8")
    if deeper_than(text, DEPTH_CAP):
        return refused("depth")
    try:
        found = _decode(text)
    except _Refused as error:
        return refused(str(error))
    values: dict[str, str | int] = {}
    problems = []
    for field in contract.fields:
        value = found.get(field.name)
        if value is None:
            continue
        good, kind = _VALUES[field.kind](value, field)
        if kind is not None:
            problems.append(f"{field.name}:{kind}")
        elif good is not None:
            values[field.name] = good
    return Judged(values, tuple(problems), unknown_keys=not found.keys() <= set(contract.names))


def deeper_than(text: str, cap: int) -> bool:
    """Whether brackets outside texts are nested deeper than `cap`, in linear time and without recursion."""
    if text.count("{") + text.count("[") <= cap:
        return False
    depth = 0
    for char in _TEXT.sub("", text):
        depth += _BRACKETS.get(char, 0)
        if depth > cap:
            return True
    return False


def fits_decimal(value: int | Decimal) -> bool:
    """Whether Decimal(38,18) holds the value exactly."""
    if isinstance(value, int):
        return -(10**WHOLE_DIGITS) < value < 10**WHOLE_DIGITS
    if not value:
        return True
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or value.adjusted() >= WHOLE_DIGITS:
        return False
    if exponent >= -SCALE:
        return True
    digits = value.as_tuple().digits
    return not any(digits[exponent + SCALE :])  # only zeros beyond the scale


def _decode(text: str) -> dict[str, Any]:
    body = text.strip(SPACE)
    try:
        found, end = _DECODER.raw_decode(body)
    except _Refused:
        raise
    except ValueError:
        raise _Refused("json") from None
    if end != len(body):
        raise _Refused("trailing")
    if not isinstance(found, dict):
        raise _Refused("not_object")
    return found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > KEYS_CAP or any(not key or len(key) > KEY_CAP for key, _ in pairs):
        raise _Refused("shape")
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Refused("dup_key")
    return found


def _integer(token: str) -> int | _TooLong:
    return int(token) if len(token) <= _LONGEST_INTEGER else _TOO_LONG


def decimal(token: str) -> Decimal:
    """The exact value of a JSON number; one beyond even Decimal's exponents becomes infinite, so fits nowhere."""
    try:
        return Decimal(token)
    except InvalidOperation:
        return Decimal("Infinity")


def _refuse_constant(_: str) -> NoReturn:
    raise _Refused("number")


def _text(value: Any, _: Field) -> tuple[str | None, str | None]:
    if not isinstance(value, str):
        return None, "type"
    bad = UNSTORABLE.search(value)
    if bad is None:
        return value, None
    return None, "nul" if bad.group() == "\x00" else "surrogate"


def _instant(value: Any, field: Field) -> tuple[str | None, str | None]:
    # Whether a readable text is an instant is judged for whole columns, in timestamps.py.
    good, kind = _text(value, field)
    return good, "unreadable" if kind in ("nul", "surrogate") else kind


def _whole(value: Any, _: Field) -> tuple[int | None, str | None]:
    if value is _TOO_LONG:
        return None, "range"
    if isinstance(value, bool) or not isinstance(value, int):
        return None, "type"
    return (value, None) if value in INT64 else (None, "range")


def _number(value: Any, _: Field) -> tuple[str | None, str | None]:
    if value is _TOO_LONG:
        return None, "range"
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None, "type"
    if not fits_decimal(value):
        return None, "range"
    return format(Decimal(value or 0), f".{SCALE}f"), None  # `or`: minus zero is zero


_VALUES: Final = {"string": _text, "timestamp": _instant, "integer": _whole, "number": _number}
_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=decimal, parse_constant=_refuse_constant
)
