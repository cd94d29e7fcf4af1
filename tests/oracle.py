"""The seven checks once more, in plain Python over one line after another: the independent reference.

Shares no code with daygate: it reads the schema file itself and follows the words of the design. Slow and
simple on purpose; when it disagrees with the gate, one of them is wrong.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

SCHEMA = Path(__file__).parents[1] / "schemas" / "event_schema.json"
CHECKS = (
    "required_fields",
    "unique_event_id",
    "value_ranges",
    "funnel_order",
    "timestamp_validity",
    "order_total",
    "platform_device",
)
SEOUL = timezone(timedelta(hours=9))
_INSTANT = re.compile(
    r"\A([0-9]{4}-[0-9]{2}-[0-9]{2})T([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?(Z|[+-][0-9]{2}:[0-9]{2})?\Z",
    re.ASCII,
)


_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


#: Won; sums beyond it cannot be compared in 38 digits (ADR 0003).
MOST_MONEY = 10**19


class Unacceptable(ValueError):
    """Text that strict JSON does not allow."""


@dataclass
class Judgement:
    """Failing lines (1-based) and number of lines looked at, per check."""

    lines: int = 0
    failing: dict[str, set[int]] = field(default_factory=lambda: {check: set() for check in CHECKS})
    evaluated: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CHECKS, 0))

    def failed_checks(self) -> set[str]:
        """Checks with at least one failing line."""
        return {check for check, lines in self.failing.items() if lines}

    def below(self, threshold: float) -> set[str]:
        """Checks whose pass rate is below the threshold."""
        return {
            check
            for check, lines in self.failing.items()
            if self.evaluated[check] and 1 - len(lines) / self.evaluated[check] < threshold
        }


@dataclass
class Line:
    """One line as far as it can be read; `values` holds usable values only."""

    number: int
    #: None when the line is no acceptable JSON object.
    raw: dict[str, Any] | None
    values: dict[str, Any] = field(default_factory=dict)
    #: Fields with a present value that cannot be used: of a wrong type, or not storable.
    misfits: set[str] = field(default_factory=set)
    instant: datetime | None = None
    #: (microseconds since the day began, line number) when the instant lies on the day.
    place: tuple[int, int] | None = None


def judge(data: bytes | Path, day: date, schema: Path = SCHEMA) -> Judgement:
    """All seven checks over a delivery of JSON Lines."""
    rules = json.loads(schema.read_text(encoding="utf-8"))
    raw = data.read_bytes() if isinstance(data, Path) else data
    lines = [
        read(number, text, day, rules)
        for number, text in enumerate(raw.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1)
        if text.strip()
    ]
    found = Judgement(lines=len(lines))
    for check in ("required_fields", "value_ranges", "timestamp_validity"):
        found.evaluated[check] = len(lines)
    for line in lines:
        if required_missing(line, rules):
            found.failing["required_fields"].add(line.number)
        if line.misfits or any(outside(line, name, rules) or unkept(line, name, rules) for name in line.values):
            found.failing["value_ranges"].add(line.number)
        if bad_instant(line, day, rules):
            found.failing["timestamp_validity"].add(line.number)
    judge_ids(lines, rules, found)
    judge_funnel(lines, rules, found)
    judge_orders(lines, rules, found)
    judge_platforms(lines, rules, found)
    return found


def strict(text: str) -> Any:
    """Strict JSON: no duplicate keys, no NaN, exact numbers, at most 64 levels."""

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) < len(pairs):
            raise Unacceptable
        return dict(pairs)

    def refuse(_: str) -> Any:
        raise Unacceptable

    if text.count("[") + text.count("{") > 64 and levels(text) > 64:
        raise Unacceptable
    try:
        return json.loads(text, object_pairs_hook=members, parse_constant=refuse, parse_float=Decimal)
    except RecursionError as error:
        raise Unacceptable from error


def levels(text: str) -> int:
    """How deep arrays and objects are nested."""
    depth = deepest = 0
    for mark in re.findall(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(mark, 0)
        deepest = max(deepest, depth)
    return deepest


def storable(value: Any, inside: bool = False) -> bool:
    """Whether PostgreSQL can hold every text in the value."""
    if isinstance(value, str):
        return not _UNSTORABLE.search(value)
    if inside and isinstance(value, dict):
        return all(storable(name) and storable(item, True) for name, item in value.items())
    if inside and isinstance(value, list):
        return all(storable(item, True) for item in value)
    return True


def read(number: int, text: bytes, day: date, rules: dict[str, Any]) -> Line:
    """The line's usable values."""
    try:
        event = strict(text.decode("utf-8"))
    except ValueError:
        event = None
    if not isinstance(event, dict):
        return Line(number=number, raw=None)
    line = Line(number=number, raw=event)
    for name, declared in rules["properties"].items():
        value = event.get(name)
        if value is None:
            continue
        types = [declared["type"]] if isinstance(declared["type"], str) else declared["type"]
        stored = "format" in declared or storable(value)  # a timestamp is read, not stored as text
        if stored and fits(value, next(kind for kind in types if kind != "null")):
            line.values[name] = value
        else:
            line.misfits.add(name)
    if line.values.get("timestamp") == "":
        del line.values["timestamp"]
    line.instant = instant(line.values.get("timestamp"))
    if line.instant is not None:
        since = (line.instant - datetime(day.year, day.month, day.day, tzinfo=SEOUL)) // timedelta(microseconds=1)
        line.place = (since, number) if 0 <= since < 86_400_000_000 else None
    return line


def fits(value: Any, kind: str) -> bool:
    """Whether a JSON value is of the declared type and within what a column can hold."""
    if kind == "string":
        return isinstance(value, str)
    if isinstance(value, bool) or not isinstance(value, int if kind == "integer" else int | Decimal):
        return False
    return -(2**63) <= value < 2**63 if kind == "integer" else abs(value) < 10**20


def instant(text: str | None) -> datetime | None:
    """A real RFC 3339 instant; without an offset it is Seoul time."""
    match = _INSTANT.match(text) if text else None
    if match is None:
        return None
    when, clock, fraction, zone = match.groups()
    if zone not in (None, "Z") and (int(zone[1:3]) > 23 or int(zone[4:6]) > 59):
        return None
    try:
        naive = datetime.fromisoformat(f"{when}T{clock}.{(fraction or '').ljust(6, '0')[:6]}")
        if zone is None:
            return naive.replace(tzinfo=SEOUL)
        return datetime.fromisoformat(naive.isoformat() + zone.replace("Z", "+00:00"))
    except ValueError:
        return None


def required_here(line: Line, rules: dict[str, Any]) -> list[str]:
    """Names of the fields the line must have."""
    names = list(rules["required"])
    for branch in rules.get("allOf", ()):
        if line.values.get("event_type") == branch["if"]["properties"]["event_type"]["const"]:
            names += branch["then"]["required"]
    return names


def required_missing(line: Line, rules: dict[str, Any]) -> bool:
    """A required field is missing, null or empty, or the line is no object."""
    if line.raw is None:
        return True
    return any(name not in line.misfits and line.values.get(name) in (None, "") for name in required_here(line, rules))


def outside(line: Line, name: str, rules: dict[str, Any]) -> bool:
    """A usable value breaks the contract; an empty required one belongs to another check."""
    value, declared = line.values.get(name), rules["properties"][name]
    if value is None or "format" in declared or (value == "" and name in required_here(line, rules)):
        return False
    return (
        ("enum" in declared and value not in declared["enum"])
        or ("pattern" in declared and not re.fullmatch(declared["pattern"][1:-1], value, re.ASCII))
        or ("minLength" in declared and len(value) < declared["minLength"])
        or ("maxLength" in declared and len(value) > declared["maxLength"])
        or ("minimum" in declared and value < declared["minimum"])
        or ("maximum" in declared and value > declared["maximum"])
    )


def unkept(line: Line, name: str, rules: dict[str, Any]) -> bool:
    """Order details on an event that is no order, which PostgreSQL could not hold as JSON."""
    order = rules.get("x-order-total") or {"details": None, "event": None}
    if name != order["details"] or line.values.get("event_type") == order["event"] or not line.values[name]:
        return False
    try:
        json.loads(line.values[name], parse_constant=float, parse_float=Decimal)
        return not storable(strict(line.values[name]), True)
    except Unacceptable:
        return False  # a repeated key is kept as it stands
    except (ValueError, RecursionError):
        return True


def bad_instant(line: Line, day: date, rules: dict[str, Any]) -> bool:
    """A present timestamp is no instant, outside the years, or not on the day."""
    if "timestamp" not in line.values:
        return False
    declared = rules["properties"]["timestamp"]
    if line.instant is None or line.place is None:
        return True
    first = datetime.fromisoformat(declared.get("formatMinimum", "0001-01-02T00:00:00+00:00"))
    end = datetime.fromisoformat(declared.get("formatExclusiveMaximum", "9999-12-31T00:00:00+00:00"))
    return not first <= line.instant < end


def judge_ids(lines: list[Line], rules: dict[str, Any], found: Judgement) -> None:
    """An earlier line has the same event id, or an earlier order the same order id."""
    order = rules.get("x-order-total") or {"event": None, "order_id": None}
    events: set[str] = set()
    orders: set[str] = set()
    for line in lines:
        event_id, order_id = line.values.get("event_id"), line.values.get(order["order_id"])
        is_order = line.values.get("event_type") == order["event"] and bool(order_id)
        found.evaluated["unique_event_id"] += bool(event_id) or is_order
        if (event_id in events) or (is_order and order_id in orders):
            found.failing["unique_event_id"].add(line.number)
        if event_id:
            events.add(event_id)
        if is_order:
            orders.add(str(order_id))


def judge_funnel(lines: list[Line], rules: dict[str, Any], found: Judgement) -> None:
    """A step without an earlier one of those it needs; what cannot be placed is evidence, never judged."""
    funnel = rules.get("x-funnel-sequence") or {"scope": "", "steps": []}
    for step in funnel["steps"]:
        earliest: dict[str, tuple[int, int]] = {}
        for line in lines:
            scope = line.values.get(funnel["scope"])
            if scope is not None and line.values.get("event_type") in step["after_any"]:
                place = line.place or (-1, -1)
                earliest[scope] = min(place, earliest.get(scope, place))
        for line in lines:
            scope = line.values.get(funnel["scope"])
            if line.values.get("event_type") != step["event"] or not scope or line.place is None:
                continue
            found.evaluated["funnel_order"] += 1
            if scope not in earliest or earliest[scope] >= line.place:
                found.failing["funnel_order"].add(line.number)


def judge_orders(lines: list[Line], rules: dict[str, Any], found: Judgement) -> None:
    """The total is not what the details say, or the details cannot be read."""
    order: dict[str, Any] = rules.get("x-order-total") or dict.fromkeys(("event", "details", "total"), "")
    for line in lines:
        details, total = line.values.get(order["details"]), line.values.get(order["total"])
        if line.values.get("event_type") != order["event"] or not details:
            continue
        expected = order_sum(details, order)
        judged = total is not None and not outside(line, order["total"], rules)
        found.evaluated["order_total"] += 1
        if expected is None or (judged and abs(Decimal(total or 0) - expected) > order["tolerance"]):
            found.failing["order_total"].add(line.number)


def order_sum(details: str, order: dict[str, Any]) -> Decimal | None:
    """Items minus discount plus shipping; None when the details are not readable."""

    def amount(value: Any) -> Decimal:
        if not fits(value, "number"):
            raise Unacceptable
        return Decimal(value)

    try:
        document = strict(details)
        if not storable(document, True) or not isinstance(document[order["items"]], list):
            return None
        items = sum(
            amount(item[order["item_price"]]) * amount(item[order["item_quantity"]])
            for item in document[order["items"]]
        )
        discount, shipping = (document.get(order[part]) for part in ("discount", "shipping"))
        before_shipping = Decimal(items) - amount(0 if discount is None else discount)
        expected = before_shipping + amount(0 if shipping is None else shipping)
        return expected if max(abs(before_shipping), abs(expected)) <= MOST_MONEY else None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def judge_platforms(lines: list[Line], rules: dict[str, Any], found: Judgement) -> None:
    """Device or system do not go with the platform, or the platform is not the one the visit began with."""
    declared = rules.get("x-platform-device-rules") or {"field": "", "scope": "", "allowed": {}}
    begun: dict[str, tuple[tuple[int, int], str]] = {}
    for line in lines:
        platform, scope = str(line.values.get(declared["field"])), str(line.values.get(declared["scope"], ""))
        if platform in declared["allowed"] and scope and line.place is not None:
            begun[scope] = min((line.place, platform), begun.get(scope, (line.place, platform)))
    for line in lines:
        platform, scope = str(line.values.get(declared["field"])), str(line.values.get(declared["scope"], ""))
        if platform not in declared["allowed"]:
            continue
        companions = [
            (name, values)
            for name, values in declared["allowed"][platform].items()
            if line.values.get(name) in rules["properties"][name]["enum"]
        ]
        in_visit = scope in begun
        found.evaluated["platform_device"] += bool(companions) or in_visit
        refused = any(line.values[name] not in values for name, values in companions)
        if refused or (in_visit and begun[scope][1] != platform):
            found.failing["platform_device"].add(line.number)
