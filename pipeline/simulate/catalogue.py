"""The named faults: what each does to a day and which check is meant to catch it. Light to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One kind of defect that can be planted in a simulated day.

    At its default `rate` it makes its check fail on a day of the default size, and no other check.
    """

    name: str
    #: Id of the one check that must fail.
    caught_by: str
    #: What it does to a line, for people.
    describes: str
    #: Default share of the lines the check's rule looks at.
    rate: float


def _faults(caught_by: str, *declared: tuple[str, float, str]) -> tuple[Fault, ...]:
    return tuple(
        Fault(name=name, caught_by=caught_by, describes=describes, rate=rate) for name, rate, describes in declared
    )


#: A rule over all lines fails its check by the threshold, one over few lines by the rule floor: hence two rates.
_OF_ALL: Final = 0.05
_OF_FEW: Final = 0.30

FAULTS: Final[dict[str, Fault]] = {
    fault.name: fault
    for fault in (
        *_faults(
            "required_fields",
            ("user_id_missing", _OF_ALL, "lines without a user_id"),
            ("event_type_missing", _OF_ALL, "lines without an event_type"),
            ("session_id_empty", _OF_ALL, "lines whose session_id is empty"),
            ("query_null", _OF_FEW, "searches whose search_query is null"),
            ("order_id_missing", _OF_FEW, "orders without an order_id"),
            ("line_truncated", _OF_ALL, "lines cut in the middle"),
            ("line_not_object", _OF_ALL, "lines that hold a JSON array instead of an object"),
        ),
        *_faults(
            "unique_event_id",
            ("line_repeated", _OF_ALL, "lines delivered twice"),
            ("event_id_repeated", _OF_ALL, "events under the event_id of an earlier one"),
            ("order_id_repeated", _OF_FEW, "orders under the order_id of an earlier one"),
        ),
        *_faults(
            "value_ranges",
            ("quantity_zero", _OF_FEW, "baskets with a quantity below the smallest"),
            ("quantity_too_large", _OF_FEW, "baskets with a quantity above the largest"),
            ("quantity_as_text", _OF_FEW, 'baskets whose quantity is a text such as "3"'),
            ("unit_price_too_large", _OF_FEW, "baskets with a price above the highest"),
            ("total_amount_too_large", _OF_FEW, "orders with a total above the highest"),
            ("browser_unknown", _OF_ALL, "lines with a browser outside the list"),
            ("event_type_unknown", _OF_ALL, "lines with an event_type outside the list"),
            ("payment_method_unknown", _OF_FEW, "orders with a payment method outside the list"),
            ("user_id_malformed", _OF_ALL, "lines with a user_id of another form"),
            ("product_id_malformed", _OF_FEW, "lines with a product_id of another form"),
            ("query_too_long", _OF_FEW, "searches with a query that is too long"),
            ("result_count_negative", _OF_FEW, "searches with fewer results than none"),
            ("result_count_fraction", _OF_FEW, "searches with half a result"),
        ),
        *_faults(
            "funnel_order",
            ("purchase_without_cart", _OF_FEW, "orders in a visit of their own, without a basket"),
            ("purchase_before_cart", _OF_FEW, "orders timed before the first basket of their visit"),
            ("cart_without_view", _OF_FEW, "baskets in a visit of their own, without a view or tap"),
        ),
        *_faults(
            "timestamp_validity",
            ("date_impossible", _OF_ALL, "timestamps on 30 February"),
            ("day_wrong", _OF_ALL, "timestamps on the day before"),
            ("year_out_of_range", _OF_ALL, "timestamps after the contract's years"),
            ("timestamp_not_iso", _OF_ALL, "timestamps written day/month/year"),
        ),
        *_faults(
            "order_total",
            ("total_mismatch", _OF_ALL, "orders whose total is off by a small amount"),
            ("item_lost", _OF_ALL, "orders whose details lack an item"),
            ("details_unreadable", _OF_ALL, "orders whose details are cut in the middle"),
            ("price_as_text", _OF_ALL, "orders whose details hold a price as text"),
        ),
        *_faults(
            "platform_device",
            ("device_not_allowed", _OF_ALL, "lines with a device the platform does not run on"),
            ("os_not_allowed", _OF_ALL, "lines with a system the platform does not run on"),
            ("platform_changed", _OF_ALL, "lines on another platform than their visit began with"),
        ),
    )
}
