-- aggregate: hourly_traffic_by_type
-- grain: event_date, event_hour, event_type
-- reads: events
-- idempotent: replaces the day in the output
--
-- What happens in each hour of the business day, by event type.

SELECT event_date,
       hour(`timestamp`)          AS event_hour,
       event_type,
       count(*)                   AS event_count,
       count(DISTINCT user_id)    AS unique_users,
       count(DISTINCT session_id) AS unique_sessions
FROM events
WHERE `timestamp` IS NOT NULL AND event_type IS NOT NULL
GROUP BY event_date, hour(`timestamp`), event_type
