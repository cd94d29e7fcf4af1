-- audit: users_match_events
-- Every user of the day is in mart_user_daily once, with as many events of each counted kind as were loaded.
-- Set daygate.day to the day in question; every row returned is an error.

WITH events AS (
    SELECT user_id,
           count(*) FILTER (WHERE event_type IN ('page_view', 'click', 'add_to_cart', 'search')) AS browsing,
           count(*) FILTER (WHERE event_type = 'purchase')                                       AS purchases,
           coalesce(sum(total_amount) FILTER (WHERE event_type = 'purchase'), 0)                 AS amount
    FROM daygate.raw_events
    WHERE day = (SELECT current_setting('daygate.day')::date) AND user_id IS NOT NULL
    GROUP BY user_id
),
users AS (
    SELECT user_id,
           page_view_count + click_count + add_to_cart_count + search_count AS browsing,
           purchase_count                                                   AS purchases,
           total_purchase_amount                                            AS amount
    FROM daygate.mart_user_daily
    WHERE activity_date = (SELECT current_setting('daygate.day')::date)
)
SELECT coalesce(e.user_id, u.user_id) AS user_id
FROM events AS e
FULL JOIN users AS u USING (user_id)
WHERE (e.browsing, e.purchases, e.amount) IS DISTINCT FROM (u.browsing, u.purchases, u.amount)
