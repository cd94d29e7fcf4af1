"""What the contenders are told of the shop, read from the same contract, and how they answer.

A contender is run as `python CONTENDER.py FILE DAY` and prints one JSON object: the lines it read and the failing
lines of each rule it can express, under our rule's name (`check/rule`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

CONTRACT: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "schemas" / "event_schema.json").read_text(encoding="utf-8")
)
FIELDS: dict[str, dict[str, Any]] = CONTRACT["properties"]
REQUIRED: list[str] = CONTRACT["required"]
REQUIRED_BY_TYPE: dict[str, list[str]] = {
    part["if"]["properties"]["event_type"]["const"]: part["then"]["required"] for part in CONTRACT["allOf"]
}
ENUMS = {name: field["enum"] for name, field in FIELDS.items() if "enum" in field}
PATTERNS = {name: field["pattern"] for name, field in FIELDS.items() if "pattern" in field}
LENGTHS = {
    name: (field.get("minLength", 0), field["maxLength"]) for name, field in FIELDS.items() if "maxLength" in field
}
RANGES = {name: (field["minimum"], field["maximum"]) for name, field in FIELDS.items() if "minimum" in field}
TIMESTAMP = FIELDS["timestamp"]
ALLOWED: dict[str, dict[str, list[str]]] = CONTRACT["x-platform-device-rules"]["allowed"]
STEPS: list[tuple[str, list[str]]] = [
    (step["event"], step["after_any"]) for step in CONTRACT["x-funnel-sequence"]["steps"]
]
ORDER: dict[str, Any] = CONTRACT["x-order-total"]


def kind(name: str) -> str:
    """`string`, `integer` or `number`."""
    types = FIELDS[name]["type"]
    return types if isinstance(types, str) else next(one for one in types if one != "null")


def asked() -> tuple[Path, str]:
    """The file and the day of the command line."""
    return Path(sys.argv[1]), sys.argv[2]


def every_rule() -> list[str]:
    """Our rules, but for wrong types of fields without bounds, which no contender sees."""
    bounded = {**ENUMS, **PATTERNS, **LENGTHS, **RANGES}
    return [
        "required_fields/line",
        *(f"required_fields/{name}" for name in REQUIRED),
        *(f"required_fields/{event}.{name}" for event, names in REQUIRED_BY_TYPE.items() for name in names),
        *("unique_event_id/event_id", "unique_event_id/order_id"),
        *(f"value_ranges/{name}" for name in FIELDS if name in bounded),
        *(f"funnel_order/{event}" for event, _ in STEPS),
        *("timestamp_validity/instant", "timestamp_validity/range", "timestamp_validity/day"),
        *("order_total/extra_data", "order_total/total_amount"),
        *("platform_device/device_type", "platform_device/os", "platform_device/session"),
    ]


def answer(lines: int, found: Mapping[str, int], *, without: Collection[str] = ()) -> None:
    """Print what was found.

    Args:
        found: failing lines of a rule; a rule that is not there found none.
        without: rules (or checks) that cannot be expressed.
    """
    rules = {
        rule: int(found.get(rule) or 0)
        for rule in every_rule()
        if rule not in without and rule.split("/")[0] not in without
    }
    unknown = found.keys() - rules.keys()
    if unknown:
        raise SystemExit(f"not our rules: {sorted(unknown)}")
    print(json.dumps({"lines": lines, "rules": rules}))
