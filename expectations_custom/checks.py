"""The seven checks, in the order people see them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One of the seven, as logged."""

    id: str
    type: str
    title: str
    #: One sentence: when a line fails.
    says: str
    #: Whether the pass rate is over all lines or over those its rules apply to.
    all_lines: bool = False


CHECKS: Final = (
    Check(
        id="required_fields",
        type="null_check",
        title="Required fields",
        says="A line fails when a required field of its event type is missing, null or empty, "
        "or when it is not one JSON object.",
        all_lines=True,
    ),
    Check(
        id="unique_event_id",
        type="duplicate_check",
        title="Unique ids",
        says="A line fails when an earlier line has the same event id, or an earlier order the same order id; "
        "the first copy stays good.",
    ),
    Check(
        id="value_ranges",
        type="range_check",
        title="Values within the contract",
        says="A line fails when a present value has a wrong type or lies outside the contract's list, "
        "pattern, length or range.",
        all_lines=True,
    ),
    Check(
        id="funnel_order",
        type="sequence_check",
        title="Funnel order",
        says="A line fails when the step that must come before it has not happened earlier in its session.",
    ),
    Check(
        id="timestamp_validity",
        type="range_check",
        title="Timestamps",
        says="A line fails when its timestamp is no real instant, lies outside the contract's years, "
        "or is not on the day being checked.",
        all_lines=True,
    ),
    Check(
        id="order_total",
        type="integrity_check",
        title="Order totals",
        says="An order fails when its total differs from items − discount + shipping, or its details cannot be read.",
    ),
    Check(
        id="platform_device",
        type="consistency_check",
        title="Platform and device",
        says="A line fails when its device or system does not go with its platform, "
        "or the platform differs from the one its session began with.",
    ),
)
