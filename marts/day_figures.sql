-- shared: day_figures
-- grain: one row
-- reads: visits, mart_user_daily, mart_orders
-- idempotent: only reads

SELECT (SELECT count(*) FROM mart_user_daily)                                AS unique_users,
       (SELECT count(*)
        FROM (SELECT FROM visits WHERE session_id IS NOT NULL GROUP BY session_id) AS sessions) AS sessions,
       (SELECT coalesce(sum(purchases), 0)::bigint FROM visits)              AS purchases,
       (SELECT trim_scale(coalesce(sum(total_amount), 0))::text FROM mart_orders) AS revenue
