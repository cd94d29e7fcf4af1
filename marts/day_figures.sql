-- shared: day_figures
-- grain: one row
-- reads: visits, mart_user_daily, mart_orders
-- idempotent: only reads

SELECT (SELECT count(*) FROM mart_user_daily)                                             AS unique_users,
       (SELECT count(DISTINCT session_id) FROM visits)                                    AS sessions,
       (SELECT coalesce(sum(events), 0)::bigint FROM visits WHERE event_type = 'purchase') AS purchases,
       (SELECT trim_scale(coalesce(sum(total_amount), 0))::text FROM mart_orders)         AS revenue
