"""Great Expectations with its own expectations and row conditions, on pandas with Arrow types.

Leaves out: malformed lines, wrong types, repeated keys, the order of a session, the platform of a session and order
totals, all of which need custom expectations; of copies it counts every one, not those after the first.
"""

from __future__ import annotations

import frames
import great_expectations
import shop
from great_expectations import expectations as e
from great_expectations.expectations.row_conditions import Column

LEFT_OUT = ("required_fields/line", "funnel_order", "order_total", "platform_device/session", "unique_event_id")


def suite() -> list[tuple[str, e.Expectation]]:
    """(rule, expectation) for all that core expectations can say."""
    found: list[tuple[str, e.Expectation]] = [
        ("unique", e.ExpectColumnValuesToBeUnique(column="event_id")),
        ("unique", e.ExpectColumnValuesToBeUnique(column="order_id")),
    ]
    found += [(f"required_fields/{name}", e.ExpectColumnValuesToNotBeNull(column=name)) for name in shop.REQUIRED]
    for event, names in shop.REQUIRED_BY_TYPE.items():
        of_type = Column("event_type") == event
        found += [
            (f"required_fields/{event}.{name}", e.ExpectColumnValuesToNotBeNull(column=name, row_condition=of_type))
            for name in names
        ]
    for name in shop.FIELDS:
        found += [(f"value_ranges/{name}", expectation) for expectation in bounds(name)]
    for name in ("device_type", "os"):
        found += [
            (
                f"platform_device/{name}",
                e.ExpectColumnValuesToBeInSet(
                    column=name, value_set=allowed[name], row_condition=Column("platform") == platform
                ),
            )
            for platform, allowed in shop.ALLOWED.items()
        ]
    read = e.ExpectColumnValuesToNotBeNull(column="instant", row_condition=Column("timestamp").is_not_null())
    low, high = shop.TIMESTAMP["formatMinimum"][:4], shop.TIMESTAMP["formatExclusiveMaximum"][:4]
    years = e.ExpectColumnValuesToBeBetween(column="year", min_value=int(low), max_value=int(high) - 1)
    day = e.ExpectColumnValuesToBeInSet(column="on_day", value_set=[True])
    return [
        *found,
        ("timestamp_validity/instant", read),
        ("timestamp_validity/range", years),
        ("timestamp_validity/day", day),
    ]


def bounds(name: str) -> list[e.Expectation]:
    """The contract's bounds of a field."""
    found: list[e.Expectation] = []
    if name in shop.ENUMS:
        found.append(e.ExpectColumnValuesToBeInSet(column=name, value_set=shop.ENUMS[name]))
    if name in shop.PATTERNS:
        found.append(e.ExpectColumnValuesToMatchRegex(column=name, regex=shop.PATTERNS[name]))
    elif name in shop.LENGTHS:
        low, high = shop.LENGTHS[name]
        found.append(e.ExpectColumnValueLengthsToBeBetween(column=name, min_value=low, max_value=high))
    if name in shop.RANGES:
        low, high = shop.RANGES[name]
        found.append(e.ExpectColumnValuesToBeBetween(column=name, min_value=low, max_value=high))
    return found


def main() -> None:
    """Validate with SUMMARY results, and count the unexpected values per rule."""
    file, day = shop.asked()
    frame, unreadable = frames.read(file)
    texts = [name for name in shop.FIELDS if shop.kind(name) == "string"]
    prepared = frames.with_times(frame.lazy(), day).with_columns(
        *(frames.emptied(name) for name in texts), year=frames.pl.col("instant").dt.year()
    )
    data = prepared.drop("place", "line").collect().to_pandas(use_pyarrow_extension_array=True)
    context = great_expectations.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("bench").add_dataframe_asset("events")
    batch = asset.add_batch_definition_whole_dataframe("day").get_batch({"dataframe": data})
    rules = suite()
    expectations = [expectation for _, expectation in rules]
    for number, expectation in enumerate(expectations):
        expectation.meta = {"rule": rules[number][0]}
    result = batch.validate(
        great_expectations.ExpectationSuite(name="events", expectations=expectations), result_format="SUMMARY"
    )
    counts: dict[str, int] = {}
    for found in result.results:
        rule = found.expectation_config.meta["rule"]
        if found.exception_info.get("raised_exception"):
            raise SystemExit(f"{rule}: {found.exception_info}")
        counts[rule] = counts.get(rule, 0) + found.result.get("unexpected_count", 0)
    counts.pop("unique")
    shop.answer(frame.height + unreadable, counts, without=LEFT_OUT)


if __name__ == "__main__":
    main()
