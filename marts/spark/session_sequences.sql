-- aggregate: session_sequences
-- grain: event_date, session_id
-- reads: events
-- idempotent: replaces the day in the output
--
-- The path of each session, its event types in order of time (lines at the same instant as they stand in the delivery).
-- User and platform are those it began with. Places are numbered by a window and the path is put together by a group:
-- in a window of whole sessions each line would carry its session's path.

WITH placed AS (
    SELECT event_date,
           session_id,
           user_id,
           platform,
           event_type,
           `timestamp`,
           row_number() OVER (PARTITION BY event_date, session_id ORDER BY `timestamp` NULLS LAST, line_no) AS place
    FROM events
    WHERE session_id IS NOT NULL
)
SELECT event_date,
       session_id,
       max(user_id) FILTER (WHERE place = 1)  AS user_id,
       max(platform) FILTER (WHERE place = 1) AS platform,
       array_join(transform(array_sort(collect_list(struct(place, event_type))), step -> step.event_type), '>') AS event_sequence,
       count(*)                               AS event_count,
       min(`timestamp`)                       AS session_start,
       max(`timestamp`)                       AS session_end,
       CAST((unix_micros(max(`timestamp`)) - unix_micros(min(`timestamp`))) / 1000000.0 AS DECIMAL(20, 6)) AS session_duration_seconds,
       bool_or(event_type = 'purchase') IS TRUE AS has_purchase
FROM placed
GROUP BY event_date, session_id
