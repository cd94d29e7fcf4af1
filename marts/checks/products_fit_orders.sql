-- audit: products_fit_orders
-- A product is in no more orders than the day has, has no more buyers than orders, and is clicked as often as loaded.
-- Set daygate.day to the day in question; every row returned is an error.

WITH clicks AS (
    SELECT product_id, count(*) AS clicks
    FROM daygate.raw_events
    WHERE day = (SELECT current_setting('daygate.day')::date) AND event_type = 'click' AND product_id IS NOT NULL
    GROUP BY product_id
),
purchases AS (
    SELECT purchases FROM daygate.pipeline_run_log WHERE is_current AND day = (SELECT current_setting('daygate.day')::date)
),
products AS (
    SELECT * FROM daygate.mart_product_daily WHERE activity_date = (SELECT current_setting('daygate.day')::date)
)
SELECT coalesce(p.product_id, c.product_id) AS product_id
FROM products AS p
FULL JOIN clicks AS c USING (product_id)
WHERE coalesce(p.click_count, -1) <> coalesce(c.clicks, 0)
   OR p.purchase_count > (SELECT purchases FROM purchases)
   OR p.unique_buyers > p.purchase_count
