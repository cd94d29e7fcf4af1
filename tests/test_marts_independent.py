"""The published marts equal what DuckDB makes of the delivery itself, by other SQL on another engine."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import duckdb
import pytest

EVENTS = """
CREATE TABLE e AS
SELECT d.*, CAST("timestamp" AS TIMESTAMPTZ) AS moment,
       json_extract_string(extra_data, '$.coupon_code') AS coupon
FROM (SELECT *, row_number() OVER () AS line FROM read_csv(?, columns={'raw': 'JSON'}, delim='\\x01', quote='',
      escape='', header=false, parallel=false)) AS t,
     LATERAL (SELECT
        raw->>'$.event_type' AS event_type, raw->>'$.user_id' AS user_id, raw->>'$.session_id' AS session_id,
        raw->>'$.platform' AS platform, raw->>'$.timestamp' AS "timestamp", raw->>'$.product_id' AS product_id,
        raw->>'$.order_id' AS order_id, CAST(raw->>'$.total_amount' AS DECIMAL(38, 2)) AS total_amount,
        raw->>'$.payment_method' AS payment_method, raw->>'$.extra_data' AS extra_data) AS d
WHERE line NOT IN (SELECT unnest(CAST(? AS BIGINT[])))
"""
ITEMS = """
CREATE TABLE i AS
SELECT user_id, order_id, item->>'$.product_id' AS product_id,
       CAST(item->>'$.quantity' AS DECIMAL(38, 2)) AS n, CAST(item->>'$.unit_price' AS DECIMAL(38, 2)) AS price
FROM (SELECT user_id, order_id, unnest(CAST(json_extract(extra_data, '$.products') AS JSON[])) AS item
      FROM e WHERE event_type = 'purchase')
"""
#: mart -> (columns that are compared, DuckDB's own way to them)
WANTED = {
    "mart_user_daily": (
        (
            "user_id, session_count, page_view_count, click_count, add_to_cart_count, purchase_count, search_count,"
            " total_purchase_amount, extract(epoch FROM first_event_at), extract(epoch FROM last_event_at),"
            " extract(epoch FROM session_duration_total)"
        ),
        """
        SELECT u.user_id, s.sessions, views, clicks, carts, buys, searches, amount, first, last, s.seconds
        FROM (SELECT user_id, countif(event_type = 'page_view') AS views, countif(event_type = 'click') AS clicks,
                     countif(event_type = 'add_to_cart') AS carts, countif(event_type = 'purchase') AS buys,
                     countif(event_type = 'search') AS searches,
                     coalesce(sum(CASE WHEN event_type = 'purchase' THEN total_amount END), 0) AS amount,
                     epoch_us(min(moment)) / 1e6 AS first, epoch_us(max(moment)) / 1e6 AS last
              FROM e GROUP BY user_id) AS u
        JOIN (SELECT user_id, count(*) AS sessions, sum(length) / 1e6 AS seconds
              FROM (SELECT user_id, session_id, epoch_us(max(moment)) - epoch_us(min(moment)) AS length
                    FROM e GROUP BY ALL) GROUP BY user_id) AS s USING (user_id)
        """,
    ),
    "mart_funnel_daily": (
        (
            "platform, step1_viewers, step2_clickers, step3_cart_adders, step4_purchasers, view_to_click_rate,"
            " click_to_cart_rate, cart_to_purchase_rate, overall_conversion_rate"
        ),
        """
        WITH u AS (SELECT platform, event_type, user_id FROM e GROUP BY ALL),
             n AS (SELECT platform, countif(event_type = 'page_view') AS a, countif(event_type = 'click') AS b,
                          countif(event_type = 'add_to_cart') AS c, countif(event_type = 'purchase') AS d
                   FROM u GROUP BY platform)
        SELECT platform, a, b, c, d, round(100 * b / nullif(a, 0), 2), round(100 * c / nullif(b, 0), 2),
               round(100 * d / nullif(c, 0), 2), round(100 * d / nullif(a, 0), 2) FROM n
        """,
    ),
    "mart_product_daily": (
        "product_id, click_count, cart_add_count, purchase_count, revenue, units_sold, unique_viewers, unique_buyers",
        """
        WITH p AS (SELECT DISTINCT product_id FROM e WHERE product_id IS NOT NULL
                   UNION SELECT DISTINCT product_id FROM i)
        SELECT product_id,
               (SELECT count(*) FROM e WHERE e.product_id = p.product_id AND event_type = 'click'),
               (SELECT count(*) FROM e WHERE e.product_id = p.product_id AND event_type = 'add_to_cart'),
               (SELECT count(DISTINCT order_id) FROM i WHERE i.product_id = p.product_id),
               (SELECT coalesce(sum(n * price), 0) FROM i WHERE i.product_id = p.product_id),
               (SELECT coalesce(sum(n), 0) FROM i WHERE i.product_id = p.product_id),
               (SELECT count(DISTINCT user_id) FROM e
                WHERE e.product_id = p.product_id AND event_type IN ('page_view', 'click')),
               (SELECT count(DISTINCT user_id) FROM i WHERE i.product_id = p.product_id)
        FROM p
        """,
    ),
    "mart_orders": (
        (
            "order_id, user_id, extract(epoch FROM order_timestamp), total_amount, payment_method, platform,"
            " discount_amount, shipping_fee, coupon_code, item_count"
        ),
        """
        SELECT order_id, user_id, epoch_us(moment) / 1e6, total_amount, payment_method, platform,
               CAST(json_extract(extra_data, '$.discount_amount') AS DECIMAL(38, 2)),
               CAST(json_extract(extra_data, '$.shipping_fee') AS DECIMAL(38, 2)), coupon,
               json_array_length(extra_data, '$.products')
        FROM e WHERE event_type = 'purchase'
        """,
    ),
}

#: A weekday, a Saturday, and a day of which some lines are quarantined.
DAYS = [
    (date(2026, 1, 15), {}),
    (date(2026, 1, 17), {}),
    (date(2026, 2, 28), {"browser_unknown": 0.004, "line_repeated": 0.003, "date_impossible": 0.002}),
]


def comparable(rows):
    """Numbers of both engines in one form: seconds to a tenth of a millisecond, the rest exact to two decimals."""
    return sorted(tuple(_number(value) for value in row) for row in rows)


def _number(value):
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return f"{round(float(value), 2):.2f}"
    return "" if value is None else str(value)


@pytest.mark.parametrize(("day", "faults"), DAYS, ids=["weekday", "saturday", "with quarantine"])
def test_marts_equal_an_independent_computation_over_the_delivery(run_day, query, delivery, day, faults):
    """Every row of the four marts, from the same file, without our parser, our loader or our SQL."""
    file = delivery(day, users=400, **faults)
    summary = run_day(day, file=file).summary
    quarantined = [line for (line,) in query("SELECT line_no FROM quarantine_events")]
    other = duckdb.connect()
    other.execute("SET TimeZone = 'UTC'")
    other.execute(EVENTS, [str(file), quarantined])
    other.execute(ITEMS)

    assert summary.status == "published"
    assert bool(quarantined) == bool(faults)
    assert other.execute("SELECT count(*) FROM e").fetchone() == (summary.loaded,)
    for mart, (columns, sql) in WANTED.items():
        assert comparable(query(f"SELECT {columns} FROM {mart}")) == comparable(other.execute(sql).fetchall()), mart
