-- shared: visits
-- grain: user_id, session_id, platform, event_type
-- reads: events
-- idempotent: built anew by each run in its own schema
--
-- One pass over the day that the user and funnel marts and the day's figures are derived from.

SELECT day,
       user_id,
       session_id,
       platform,
       event_type,
       count(*)          AS events,
       sum(total_amount) AS amount,
       min("timestamp")  AS first_at,
       max("timestamp")  AS last_at
FROM events
GROUP BY day, user_id, session_id, platform, event_type
