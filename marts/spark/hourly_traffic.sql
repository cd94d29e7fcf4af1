-- aggregate: hourly_traffic
-- grain: event_date, event_hour, platform
-- reads: events
-- idempotent: replaces the day in the output
--
-- What happens in each hour of the business day on each platform. hourly_traffic_by_type has the same by event type.

SELECT event_date,
       hour(`timestamp`)          AS event_hour,
       platform,
       count(*)                   AS event_count,
       count(DISTINCT user_id)    AS unique_users,
       count(DISTINCT session_id) AS unique_sessions
FROM events
WHERE `timestamp` IS NOT NULL AND platform IS NOT NULL
GROUP BY event_date, hour(`timestamp`), platform
