-- mart: mart_orders
-- grain: order_date, order_id
-- reads: events
-- idempotent: delete+insert of the day in the publish transaction; running twice changes nothing
--
-- One row an order, from its first purchase event. Discount and shipping are 0 when the details do not name them and
-- NULL when they are unreadable; item_count is the number of products listed.

SELECT DISTINCT ON (order_id)
       order_id,
       day         AS order_date,
       user_id,
       "timestamp" AS order_timestamp,
       total_amount,
       payment_method,
       platform,
       CASE coalesce(jsonb_typeof(extra_data -> 'discount_amount'), 'null')
           WHEN 'number' THEN (extra_data ->> 'discount_amount')::numeric
           WHEN 'null' THEN 0
       END         AS discount_amount,
       CASE coalesce(jsonb_typeof(extra_data -> 'shipping_fee'), 'null')
           WHEN 'number' THEN (extra_data ->> 'shipping_fee')::numeric
           WHEN 'null' THEN 0
       END         AS shipping_fee,
       CASE WHEN jsonb_typeof(extra_data -> 'coupon_code') = 'string' THEN extra_data ->> 'coupon_code' END AS coupon_code,
       CASE WHEN jsonb_typeof(extra_data -> 'products') = 'array'
            THEN jsonb_array_length(extra_data -> 'products')::bigint END AS item_count
FROM events
WHERE event_type = 'purchase' AND order_id IS NOT NULL
ORDER BY order_id, line_no
