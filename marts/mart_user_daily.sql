-- mart: mart_user_daily
-- grain: user_id, activity_date
-- reads: visits, events
-- idempotent: delete+insert of the day in the publish transaction; running twice changes nothing
--
-- What each user did on the day. session_duration_total is the sum over the user's sessions of last minus first event.

WITH sessions AS (
    SELECT user_id,
           session_id,
           sum(page_views) AS page_views,
           sum(clicks)     AS clicks,
           sum(cart_adds)  AS cart_adds,
           sum(purchases)  AS purchases,
           sum(searches)   AS searches,
           sum(amount)     AS amount,
           min(first_at)   AS first_at,
           max(last_at)    AS last_at
    FROM visits
    WHERE user_id IS NOT NULL
    GROUP BY user_id, session_id
)
SELECT user_id,
       (SELECT day FROM events LIMIT 1)      AS activity_date,
       count(session_id)                     AS session_count,
       sum(page_views)::bigint               AS page_view_count,
       sum(clicks)::bigint                   AS click_count,
       sum(cart_adds)::bigint                AS add_to_cart_count,
       sum(purchases)::bigint                AS purchase_count,
       sum(searches)::bigint                 AS search_count,
       coalesce(sum(amount), 0)              AS total_purchase_amount,
       min(first_at)                         AS first_event_at,
       max(last_at)                          AS last_event_at,
       sum(last_at - first_at) FILTER (WHERE session_id IS NOT NULL) AS session_duration_total
FROM sessions
GROUP BY user_id
