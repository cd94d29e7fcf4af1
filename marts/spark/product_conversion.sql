-- aggregate: product_conversion
-- grain: event_date, product_id
-- reads: events
-- idempotent: replaces the day in the output
--
-- As mart_product_daily: interest in and sales of each product. Sales come from the products listed in the orders'
-- details, of which unreadable parts count for nothing; amounts are exact to six decimals. conversion_rate is buyers
-- per viewer in per cent with two decimals, NULL without viewers.

WITH seen AS (
    SELECT event_date,
           product_id,
           user_id,
           count(*) FILTER (WHERE event_type = 'click')           AS clicks,
           count(*) FILTER (WHERE event_type = 'add_to_cart')     AS carts,
           bool_or(event_type IN ('page_view', 'click')) IS TRUE  AS viewed
    FROM events
    WHERE product_id IS NOT NULL
    GROUP BY event_date, product_id, user_id
),
interest AS (
    SELECT event_date,
           product_id,
           sum(clicks)                          AS clicks,
           sum(carts)                           AS carts,
           count(user_id) FILTER (WHERE viewed) AS unique_viewers
    FROM seen
    GROUP BY event_date, product_id
),
orders AS (
    SELECT event_date, line_no, user_id, try_variant_get(try_parse_json(extra_data), '$.products', 'variant') AS products
    FROM events
    WHERE event_type = 'purchase'
),
listed AS (
    SELECT event_date, line_no, user_id, item.value AS item
    FROM orders, LATERAL variant_explode(CASE WHEN startswith(schema_of_variant(products), 'ARRAY') THEN products END) AS item
),
items AS (
    SELECT event_date,
           line_no,
           user_id,
           CASE WHEN schema_of_variant(try_variant_get(item, '$.product_id', 'variant')) = 'STRING'
                THEN try_variant_get(item, '$.product_id', 'string') END AS product_id,
           CASE WHEN schema_of_variant(try_variant_get(item, '$.quantity', 'variant')) <> 'STRING'
                THEN try_variant_get(item, '$.quantity', 'decimal(17, 6)') END AS quantity,
           CASE WHEN schema_of_variant(try_variant_get(item, '$.unit_price', 'variant')) <> 'STRING'
                THEN try_variant_get(item, '$.unit_price', 'decimal(20, 6)') END AS unit_price
    FROM listed
),
sales AS (
    SELECT event_date,
           product_id,
           count(DISTINCT line_no)                 AS purchases,
           coalesce(sum(quantity * unit_price), 0) AS revenue,
           count(DISTINCT user_id)                 AS unique_buyers
    FROM items
    WHERE product_id IS NOT NULL
    GROUP BY event_date, product_id
)
SELECT event_date,
       product_id,
       coalesce(clicks, 0)                          AS clicks,
       coalesce(carts, 0)                           AS carts,
       coalesce(purchases, 0)                       AS purchases,
       CAST(coalesce(revenue, 0) AS DECIMAL(38, 6)) AS revenue,
       coalesce(unique_viewers, 0)                  AS unique_viewers,
       coalesce(unique_buyers, 0)                   AS unique_buyers,
       CAST(round(100.0 * coalesce(unique_buyers, 0) / nullif(unique_viewers, 0), 2) AS DECIMAL(20, 2)) AS conversion_rate
FROM interest
FULL JOIN sales USING (event_date, product_id)
