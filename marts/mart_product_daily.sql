-- mart: mart_product_daily
-- grain: product_id, activity_date
-- reads: events
-- idempotent: delete+insert of the day in the publish transaction; running twice changes nothing
--
-- Interest in and sales of each product. Viewers are users whose page view or click names the product; sales come from
-- the products listed in the orders' details, of which unreadable parts count for nothing. conversion_rate is buyers
-- per viewer in per cent, NULL without viewers.

WITH interests AS (
    SELECT product_id,
           user_id,
           count(*) FILTER (WHERE event_type = 'click')       AS clicks,
           count(*) FILTER (WHERE event_type = 'add_to_cart') AS cart_adds,
           bool_or(event_type IN ('page_view', 'click'))      AS viewed
    FROM events
    WHERE product_id IS NOT NULL
    GROUP BY product_id, user_id
),
interest AS (
    SELECT product_id,
           sum(clicks)::bigint    AS click_count,
           sum(cart_adds)::bigint AS cart_add_count,
           count(user_id) FILTER (WHERE viewed) AS unique_viewers
    FROM interests
    GROUP BY product_id
),
items AS (
    SELECT e.line_no,
           e.user_id,
           item ->> 'product_id' AS product_id,
           CASE WHEN jsonb_typeof(item -> 'quantity') = 'number' THEN (item ->> 'quantity')::numeric END AS quantity,
           CASE WHEN jsonb_typeof(item -> 'unit_price') = 'number' THEN (item ->> 'unit_price')::numeric END AS unit_price
    FROM events AS e
    CROSS JOIN LATERAL jsonb_array_elements(
        CASE WHEN jsonb_typeof(e.extra_data -> 'products') = 'array' THEN e.extra_data -> 'products' END
    ) AS item
    WHERE e.event_type = 'purchase' AND jsonb_typeof(item -> 'product_id') = 'string'
),
sales AS (
    SELECT product_id,
           count(DISTINCT line_no)                  AS purchase_count,
           coalesce(sum(quantity * unit_price), 0)  AS revenue,
           coalesce(sum(quantity), 0)               AS units_sold,
           count(DISTINCT user_id)                  AS unique_buyers
    FROM items
    GROUP BY product_id
)
SELECT product_id,
       (SELECT day FROM events LIMIT 1)  AS activity_date,
       coalesce(click_count, 0)         AS click_count,
       coalesce(cart_add_count, 0)      AS cart_add_count,
       coalesce(purchase_count, 0)      AS purchase_count,
       coalesce(revenue, 0)             AS revenue,
       coalesce(units_sold, 0)          AS units_sold,
       coalesce(unique_viewers, 0)      AS unique_viewers,
       coalesce(unique_buyers, 0)       AS unique_buyers,
       round(100.0 * coalesce(unique_buyers, 0) / nullif(unique_viewers, 0), 2) AS conversion_rate
FROM interest
FULL JOIN sales USING (product_id)
