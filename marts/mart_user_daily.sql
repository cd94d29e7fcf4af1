-- mart: mart_user_daily
-- grain: user_id, activity_date
-- reads: visits
-- idempotent: delete+insert of the day in the publish transaction; running twice changes nothing
--
-- What each user did on the day. session_duration_total is the sum over the user's sessions of last minus first event.

WITH sessions AS (
    SELECT user_id,
           session_id,
           max(day) AS day,
           sum(events) FILTER (WHERE event_type = 'page_view')   AS page_views,
           sum(events) FILTER (WHERE event_type = 'click')       AS clicks,
           sum(events) FILTER (WHERE event_type = 'add_to_cart') AS cart_adds,
           sum(events) FILTER (WHERE event_type = 'purchase')    AS purchases,
           sum(events) FILTER (WHERE event_type = 'search')      AS searches,
           sum(amount) FILTER (WHERE event_type = 'purchase')    AS amount,
           min(first_at) AS first_at,
           max(last_at)  AS last_at
    FROM visits
    WHERE user_id IS NOT NULL
    GROUP BY user_id, session_id
)
SELECT user_id,
       max(day)                              AS activity_date,
       count(session_id)                     AS session_count,
       coalesce(sum(page_views), 0)::bigint  AS page_view_count,
       coalesce(sum(clicks), 0)::bigint      AS click_count,
       coalesce(sum(cart_adds), 0)::bigint   AS add_to_cart_count,
       coalesce(sum(purchases), 0)::bigint   AS purchase_count,
       coalesce(sum(searches), 0)::bigint    AS search_count,
       coalesce(sum(amount), 0)              AS total_purchase_amount,
       min(first_at)                         AS first_event_at,
       max(last_at)                          AS last_event_at,
       sum(last_at - first_at) FILTER (WHERE session_id IS NOT NULL) AS session_duration_total
FROM sessions
GROUP BY user_id
