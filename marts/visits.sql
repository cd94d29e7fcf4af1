-- shared: visits
-- grain: user_id, session_id, platform
-- reads: events
-- idempotent: built anew by each run in its own schema
--
-- One pass over the day that the user and funnel marts and the day's figures are derived from: a third of the rows
-- that one row an event type would be, which is what fits into memory on a day of five million events.

SELECT user_id,
       session_id,
       platform,
       count(*) FILTER (WHERE event_type = 'page_view')          AS page_views,
       count(*) FILTER (WHERE event_type = 'click')              AS clicks,
       count(*) FILTER (WHERE event_type = 'add_to_cart')        AS cart_adds,
       count(*) FILTER (WHERE event_type = 'purchase')           AS purchases,
       count(*) FILTER (WHERE event_type = 'search')             AS searches,
       sum(total_amount) FILTER (WHERE event_type = 'purchase')  AS amount,
       min("timestamp")                                          AS first_at,
       max("timestamp")                                          AS last_at
FROM events
GROUP BY user_id, session_id, platform
