"""A pure-Python validator of the original's kind: json.loads each line, seven functions over the list of events.

Leaves out: nothing of the seven checks; lines that are no JSON are counted and forgotten. It keeps reasons for the
first lines only, holds all events in memory, and does not see repeated keys.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import shop

Event = dict[str, Any]
SEOUL = ZoneInfo("Asia/Seoul")
PATTERNS = {name: re.compile(pattern) for name, pattern in shop.PATTERNS.items()}
NUMBERS = {"integer": (int,), "number": (int, float), "string": (str,)}


def read(file: Any) -> tuple[list[Event], int]:
    """All events with their line, and how many lines were none."""
    events, unreadable = [], 0
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            try:
                event = json.loads(line)
                event["_line"] = number
            except (ValueError, TypeError):
                unreadable += 1
                continue
            events.append(event)
    return events, unreadable


def required(events: list[Event], found: Counter[str]) -> None:
    """Check 1."""
    for event in events:
        for name in shop.REQUIRED:
            if event.get(name) in (None, ""):
                found[f"required_fields/{name}"] += 1
        for name in shop.REQUIRED_BY_TYPE.get(event.get("event_type"), ()):
            if event.get(name) in (None, ""):
                found[f"required_fields/{event['event_type']}.{name}"] += 1


def unique(events: list[Event], found: Counter[str]) -> None:
    """Check 2."""
    seen: set[str] = set()
    orders: set[str] = set()
    for event in events:
        if event.get("event_id"):
            found["unique_event_id/event_id"] += event["event_id"] in seen
            seen.add(event["event_id"])
        if event.get("event_type") == shop.ORDER["event"] and event.get("order_id"):
            found["unique_event_id/order_id"] += event["order_id"] in orders
            orders.add(event["order_id"])


def values(events: list[Event], found: Counter[str]) -> None:
    """Check 3."""
    for event in events:
        for name, value in event.items():
            if name in shop.FIELDS and value not in (None, "") and name != "timestamp" and bad_value(name, value):
                found[f"value_ranges/{name}"] += 1


def bad_value(name: str, value: Any) -> bool:
    """Whether a present value breaks the contract."""
    if not isinstance(value, NUMBERS[shop.kind(name)]) or isinstance(value, bool):
        return True
    if name in shop.ENUMS and value not in shop.ENUMS[name]:
        return True
    if name in PATTERNS and not PATTERNS[name].match(value):
        return True
    if name in shop.LENGTHS and not shop.LENGTHS[name][0] <= len(value) <= shop.LENGTHS[name][1]:
        return True
    return name in shop.RANGES and not shop.RANGES[name][0] <= value <= shop.RANGES[name][1]


def times(events: list[Event], found: Counter[str], day: date) -> None:
    """Check 5; leaves each event's instant on it for the others when it is of the day."""
    low, high = (datetime.fromisoformat(shop.TIMESTAMP[name]) for name in ("formatMinimum", "formatExclusiveMaximum"))
    for event in events:
        if not event.get("timestamp"):
            continue
        try:
            instant = datetime.fromisoformat(event["timestamp"])
        except (ValueError, TypeError):
            found["timestamp_validity/instant"] += 1
            continue
        found["timestamp_validity/range"] += not low <= instant < high
        if instant.astimezone(SEOUL).date() == day:
            event["_place"] = (instant, event["_line"])
        else:
            found["timestamp_validity/day"] += 1


def sessions(events: list[Event], found: Counter[str]) -> None:
    """Checks 4 and, in part, 7."""
    by_session: defaultdict[str, list[Event]] = defaultdict(list)
    for event in events:
        if event.get("session_id"):
            by_session[event["session_id"]].append(event)
    for group in by_session.values():
        placed = sorted((event for event in group if "_place" in event), key=lambda event: event["_place"])
        seen = {event.get("event_type") for event in group if "_place" not in event}
        began = None
        for event in placed:
            for step, after in shop.STEPS:
                if event.get("event_type") == step and not seen & set(after):
                    found[f"funnel_order/{step}"] += 1
            seen.add(event.get("event_type"))
            if began is None and event.get("platform") in shop.ALLOWED:
                began = event["platform"]
        for event in group:
            if event.get("platform") in shop.ALLOWED and began is not None:
                found["platform_device/session"] += event["platform"] != began


def orders(events: list[Event], found: Counter[str]) -> None:
    """Check 6."""
    low, high = shop.RANGES["total_amount"]
    for event in events:
        if event.get("event_type") != shop.ORDER["event"] or not event.get("extra_data"):
            continue
        try:
            details = json.loads(event["extra_data"])
            items = sum(item["unit_price"] * item["quantity"] for item in details["products"])
            expected = items - (details.get("discount_amount") or 0) + (details.get("shipping_fee") or 0)
        except (ValueError, KeyError, TypeError):
            found["order_total/extra_data"] += 1
            continue
        if low <= event["total_amount"] <= high:
            found["order_total/total_amount"] += abs(event["total_amount"] - expected) > shop.ORDER["tolerance"]


def platforms(events: list[Event], found: Counter[str]) -> None:
    """Check 7."""
    for event in events:
        allowed = shop.ALLOWED.get(event.get("platform"), {})
        for name, choices in allowed.items():
            value = event.get(name)
            found[f"platform_device/{name}"] += value in shop.ENUMS[name] and value not in choices


def main() -> None:
    """All seven, one after another."""
    file, day = shop.asked()
    events, unreadable = read(file)
    found: Counter[str] = Counter({"required_fields/line": unreadable})
    for look in (required, unique, values):
        look(events, found)
    times(events, found, date.fromisoformat(day))
    for look in (sessions, orders, platforms):
        look(events, found)
    shop.answer(len(events) + unreadable, found)


if __name__ == "__main__":
    main()
