-- aggregate: session_sequence_summary
-- grain: event_date, event_sequence
-- reads: session_sequences
-- idempotent: replaces the day in the output
--
-- How many sessions took each path, how long they lasted on average, and how many of them bought (in per cent).

SELECT event_date,
       event_sequence,
       count(*)                                                              AS session_count,
       CAST(round(avg(session_duration_seconds), 2) AS DECIMAL(20, 2))       AS avg_duration_sec,
       CAST(round(100.0 * count_if(has_purchase) / count(*), 2) AS DECIMAL(20, 2)) AS purchase_rate
FROM session_sequences
GROUP BY event_date, event_sequence
