"""The checks by name, in the order people see them; what each is stands in `expectations_custom/checks/`."""

from __future__ import annotations

from typing import Final

CHECK_IDS: Final = (
    "required_fields",
    "unique_event_id",
    "value_ranges",
    "funnel_order",
    "timestamp_validity",
    "order_total",
    "platform_device",
)
