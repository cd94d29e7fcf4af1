"""Plain DuckDB SQL: read once into a table, then one aggregate query of all rules.

Leaves out: malformed lines (they become rows of NULLs and cannot be shown), wrong types that a cast takes ("3",
12.5), repeated keys, failing lines and reasons: it only counts.
"""

from __future__ import annotations

import duckdb
import shop

TYPES = {"string": "VARCHAR", "integer": "BIGINT", "number": "DOUBLE"}


def listed(values: list[str]) -> str:
    """SQL literals."""
    return ", ".join(f"'{value}'" for value in values)


def rules(day: str) -> dict[str, str]:
    """Rule -> SQL condition of a failing line."""
    found = {"required_fields/line": "NOT is_object"}
    for name in shop.REQUIRED:
        found[f"required_fields/{name}"] = f"is_object AND ({name} IS NULL OR {name} = '')"
    for event, names in shop.REQUIRED_BY_TYPE.items():
        for name in names:
            empty = f" OR {name} = ''" if shop.kind(name) == "string" else ""
            found[f"required_fields/{event}.{name}"] = f"event_type = '{event}' AND ({name} IS NULL{empty})"
    found["unique_event_id/event_id"] = "event_id <> '' AND line > first_event"
    found["unique_event_id/order_id"] = "event_type = 'purchase' AND order_id <> '' AND line > first_order"
    for name in shop.FIELDS:
        bad = bounds(name)
        if bad:
            present = f"{name} <> '' AND " if shop.kind(name) == "string" else ""
            found[f"value_ranges/{name}"] = f"{present}({bad})"
    for event, _ in shop.STEPS:
        found[f"funnel_order/{event}"] = (
            f"event_type = '{event}' AND session_id <> '' AND place IS NOT NULL AND "
            f"coalesce(before_{event} >= place, true)"
        )
    found["timestamp_validity/instant"] = "timestamp <> '' AND instant IS NULL"
    low, high = shop.TIMESTAMP["formatMinimum"], shop.TIMESTAMP["formatExclusiveMaximum"]
    found["timestamp_validity/range"] = f"instant < '{low}' OR instant >= '{high}'"
    found["timestamp_validity/day"] = f"instant::DATE <> DATE '{day}'"
    found["order_total/extra_data"] = "event_type = 'purchase' AND extra_data <> '' AND items IS NULL"
    found["order_total/total_amount"] = (
        "event_type = 'purchase' AND total_amount BETWEEN 1 AND 100000000 AND abs(total_amount - items) > 1"
    )
    for name in ("device_type", "os"):
        wrong = " OR ".join(
            f"platform = '{platform}' AND {name} NOT IN ({listed(allowed[name])})"
            for platform, allowed in shop.ALLOWED.items()
        )
        found[f"platform_device/{name}"] = f"{name} IN ({listed(shop.ENUMS[name])}) AND ({wrong})"
    found["platform_device/session"] = f"platform IN ({listed(list(shop.ALLOWED))}) AND platform <> began_with"
    return found


def bounds(name: str) -> str:
    """SQL condition of a present value outside the contract; empty when there are no bounds."""
    parts = []
    if name in shop.ENUMS:
        parts.append(f"{name} NOT IN ({listed(shop.ENUMS[name])})")
    if name in shop.PATTERNS:
        parts.append(f"NOT regexp_full_match({name}, '{shop.PATTERNS[name]}')")
    if name in shop.LENGTHS:
        parts.append(f"length({name}) NOT BETWEEN {shop.LENGTHS[name][0]} AND {shop.LENGTHS[name][1]}")
    if name in shop.RANGES:
        parts.append(f"{name} NOT BETWEEN {shop.RANGES[name][0]} AND {shop.RANGES[name][1]}")
    return " OR ".join(parts)


def main() -> None:
    """Read, join the facts of sessions and ids, count."""
    file, day = shop.asked()
    con = duckdb.connect()
    con.execute("SET TimeZone = 'Asia/Seoul'")
    load(con, str(file), day)
    names = rules(day)
    counts = ", ".join(f"count(*) FILTER (WHERE {condition})" for condition in names.values())
    found = con.execute(f"SELECT count(*), {counts} FROM ({facts()})").fetchone()
    assert found is not None
    shop.answer(found[0], dict(zip(names, found[1:], strict=True)))


def facts() -> str:
    """SQL of the events with what no single line knows."""
    platforms = listed(list(shop.ALLOWED))
    evidence = ", ".join(
        f"min(coalesce(place, -1)) FILTER (WHERE event_type IN ({listed(after)})) AS before_{event}"
        for event, after in shop.STEPS
    )
    return f"""
        WITH sessions AS (
            SELECT session_id, {evidence},
                   arg_min(platform, place) FILTER (WHERE platform IN ({platforms})) AS began_with
            FROM events WHERE session_id <> '' GROUP BY session_id),
        ids AS (SELECT event_id, min(line) AS first_event FROM events GROUP BY event_id),
        orders AS (SELECT order_id, min(line) AS first_order FROM events
                   WHERE event_type = 'purchase' GROUP BY order_id)
        SELECT * FROM events LEFT JOIN sessions USING (session_id) LEFT JOIN ids USING (event_id)
             LEFT JOIN orders USING (order_id)
    """


def load(con: duckdb.DuckDBPyConnection, file: str, day: str) -> None:
    """The events with their line, their place in time, and the sum of their items."""
    columns = ", ".join(f"{name}: '{TYPES[shop.kind(name)]}'" for name in shop.FIELDS)
    con.execute(f"""
        CREATE TEMP TABLE events AS
        WITH raw AS (
            SELECT row_number() OVER () AS line, *, try_cast(timestamp AS TIMESTAMPTZ) AS instant,
                   CASE WHEN event_type = 'purchase' AND extra_data <> ''
                        THEN try_cast(extra_data AS JSON) END AS details
            FROM read_json('{file}', format = 'newline_delimited', ignore_errors = true, columns = {{{columns}}}))
        SELECT * EXCLUDE (details),
               event_id IS NOT NULL OR event_type IS NOT NULL OR user_id IS NOT NULL AS is_object,
               CASE WHEN instant::DATE = DATE '{day}' THEN epoch_us(instant) * 1000000::HUGEINT + line END AS place,
               CASE WHEN json_type(details, '$.products') = 'ARRAY'
                         AND NOT list_contains(json_type(details, '$.products[*].unit_price'), 'VARCHAR')
                    THEN coalesce(list_sum(list_transform(
                             json_extract(details, '$.products[*]'),
                             lambda item: (item->>'unit_price')::DOUBLE * (item->>'quantity')::DOUBLE)), 0)
                         - coalesce((details->>'discount_amount')::DOUBLE, 0)
                         + coalesce((details->>'shipping_fee')::DOUBLE, 0) END AS items
        FROM raw
    """)


if __name__ == "__main__":
    main()
