-- audit: orders_match_events
-- Every order of the day's purchase events is in mart_orders once, and no other; their sum is the ledger's revenue.
-- Set daygate.day to the day in question; every row returned is an error.

WITH events AS (
    SELECT DISTINCT order_id
    FROM daygate.raw_events
    WHERE day = (SELECT current_setting('daygate.day')::date) AND event_type = 'purchase' AND order_id IS NOT NULL
),
orders AS (
    SELECT order_id, total_amount
    FROM daygate.mart_orders
    WHERE order_date = (SELECT current_setting('daygate.day')::date)
)
SELECT coalesce(e.order_id, o.order_id) AS order_id
FROM events AS e
FULL JOIN orders AS o USING (order_id)
WHERE e.order_id IS NULL OR o.order_id IS NULL
UNION ALL
SELECT r.run_id
FROM daygate.pipeline_run_log AS r
WHERE r.is_current
  AND r.day = (SELECT current_setting('daygate.day')::date)
  AND r.revenue <> (SELECT coalesce(sum(total_amount), 0) FROM orders)
