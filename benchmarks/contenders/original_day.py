"""The original's day: validate in Python, executemany into an indexed table, four marts one after another.

Run as `original_day.py DATABASE_URL FILE DAY`; works in a schema of its own, `original`, made anew. Written from the
original's description: one table with its key and five indexes, batches of INSERT … ON CONFLICT DO NOTHING, marts by
DELETE + INSERT over the whole table. Leaves out: quarantine, audits, and a moment at which everything appears.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import psycopg2
import pure_python
import shop

BATCH = 1000
TYPES = {"string": "text", "integer": "bigint", "number": "numeric"}
INDEXES = ("timestamp", "user_id", "session_id", "event_type", "product_id")
KINDS = {"extra_data": "jsonb", "timestamp": "timestamptz"}
MARTS = {
    "mart_user_daily": """
        SELECT user_id, timestamp::date AS activity_date, count(DISTINCT session_id) AS session_count,
               count(*) FILTER (WHERE event_type = 'page_view') AS page_view_count,
               count(*) FILTER (WHERE event_type = 'click') AS click_count,
               count(*) FILTER (WHERE event_type = 'add_to_cart') AS add_to_cart_count,
               count(*) FILTER (WHERE event_type = 'purchase') AS purchase_count,
               count(*) FILTER (WHERE event_type = 'search') AS search_count,
               coalesce(sum(total_amount), 0) AS total_purchase_amount,
               min(timestamp) AS first_event_at, max(timestamp) AS last_event_at
        FROM original.events WHERE timestamp::date = %(day)s GROUP BY 1, 2""",
    "mart_funnel_daily": """
        SELECT timestamp::date AS funnel_date, platform,
               count(DISTINCT user_id) FILTER (WHERE event_type = 'page_view') AS step1_viewers,
               count(DISTINCT user_id) FILTER (WHERE event_type = 'click') AS step2_clickers,
               count(DISTINCT user_id) FILTER (WHERE event_type = 'add_to_cart') AS step3_cart_adders,
               count(DISTINCT user_id) FILTER (WHERE event_type = 'purchase') AS step4_purchasers
        FROM original.events WHERE timestamp::date = %(day)s GROUP BY 1, 2""",
    "mart_product_daily": """
        WITH sales AS (
            SELECT item->>'product_id' AS product_id, count(*) AS purchases,
                   sum((item->>'quantity')::numeric * (item->>'unit_price')::numeric) AS revenue,
                   count(DISTINCT user_id) AS buyers
            FROM original.events, jsonb_array_elements(extra_data->'products') AS item
            WHERE event_type = 'purchase' AND timestamp::date = %(day)s GROUP BY 1),
        interest AS (
            SELECT product_id, count(*) FILTER (WHERE event_type = 'click') AS clicks,
                   count(*) FILTER (WHERE event_type = 'add_to_cart') AS carts,
                   count(DISTINCT user_id) AS viewers
            FROM original.events WHERE product_id IS NOT NULL AND timestamp::date = %(day)s GROUP BY 1)
        SELECT %(day)s::date AS activity_date, * FROM interest FULL JOIN sales USING (product_id)""",
    "mart_orders": """
        SELECT order_id, timestamp::date AS order_date, user_id, timestamp AS order_timestamp, total_amount,
               payment_method, platform, (extra_data->>'discount_amount')::numeric AS discount_amount,
               (extra_data->>'shipping_fee')::numeric AS shipping_fee, extra_data->>'coupon_code' AS coupon_code,
               jsonb_array_length(extra_data->'products') AS item_count
        FROM original.events WHERE event_type = 'purchase' AND timestamp::date = %(day)s""",
}


def prepare(cursor: Any, day: str) -> None:
    """Empty tables of a schema of its own; the marts get their columns from their own queries."""
    cursor.execute("DROP SCHEMA IF EXISTS original CASCADE")
    cursor.execute("CREATE SCHEMA original")
    columns = ", ".join(f"{name} {KINDS.get(name, TYPES[shop.kind(name)])}" for name in shop.FIELDS)
    cursor.execute(f"CREATE TABLE original.events ({columns}, PRIMARY KEY (event_id))")
    for name in INDEXES:
        cursor.execute(f"CREATE INDEX ON original.events ({name})")
    for name, query in MARTS.items():
        cursor.execute(f"CREATE TABLE original.{name} AS {query} LIMIT 0", {"day": day})


def validate(file: Path, day: str) -> list[dict[str, Any]]:
    """The seven checks, and the events."""
    events, _ = pure_python.read(file)
    found: Counter[str] = Counter()
    for look in (pure_python.required, pure_python.unique, pure_python.values):
        look(events, found)
    pure_python.times(events, found, date.fromisoformat(day))
    for look in (pure_python.sessions, pure_python.orders, pure_python.platforms):
        look(events, found)
    return events


def load(connection: Any, cursor: Any, events: list[dict[str, Any]]) -> None:
    """Batches of rows, each row a statement."""
    names = list(shop.FIELDS)
    statement = (
        f"INSERT INTO original.events ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))})"
        " ON CONFLICT (event_id) DO NOTHING"
    )
    for begin in range(0, len(events), BATCH):
        rows = [tuple(event.get(name) for name in names) for event in events[begin : begin + BATCH]]
        cursor.executemany(statement, rows)
        connection.commit()


def main() -> None:
    """Prints the seconds of each step."""
    url, file, day = sys.argv[1:]
    connection = psycopg2.connect(url)
    seconds, clock = {}, time.monotonic()

    def lap(step: str) -> None:
        nonlocal clock
        seconds[step], clock = time.monotonic() - clock, time.monotonic()

    with connection.cursor() as cursor:
        prepare(cursor, day)
        connection.commit()
        cursor.execute("SET TIME ZONE 'Asia/Seoul'")
        lap("prepare")
        events = validate(Path(file), day)
        lap("check")
        load(connection, cursor, events)
        lap("load")
        for name, query in MARTS.items():
            cursor.execute(f"INSERT INTO original.{name} {query}", {"day": day})
            connection.commit()
        lap("marts")
        cursor.execute("DROP SCHEMA original CASCADE")
        connection.commit()
    connection.close()
    print(json.dumps({"lines": len(events), "seconds": seconds}))


if __name__ == "__main__":
    main()
