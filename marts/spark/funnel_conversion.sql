-- aggregate: funnel_conversion
-- grain: event_date, platform
-- reads: events
-- idempotent: replaces the day in the output
--
-- As mart_funnel_daily: distinct users who reached each step on a platform; rates in per cent with two decimals, NULL
-- where nobody could have converted.

WITH visitors AS (
    SELECT DISTINCT event_date, platform, event_type, user_id
    FROM events
    WHERE platform IS NOT NULL
),
steps AS (
    SELECT event_date,
           platform,
           count(user_id) FILTER (WHERE event_type = 'page_view')   AS step1_viewers,
           count(user_id) FILTER (WHERE event_type = 'click')       AS step2_clickers,
           count(user_id) FILTER (WHERE event_type = 'add_to_cart') AS step3_cart_adders,
           count(user_id) FILTER (WHERE event_type = 'purchase')    AS step4_purchasers
    FROM visitors
    GROUP BY event_date, platform
)
SELECT event_date,
       platform,
       step1_viewers,
       step2_clickers,
       step3_cart_adders,
       step4_purchasers,
       CAST(round(100.0 * step2_clickers / nullif(step1_viewers, 0), 2) AS DECIMAL(20, 2))       AS view_to_click_rate,
       CAST(round(100.0 * step3_cart_adders / nullif(step2_clickers, 0), 2) AS DECIMAL(20, 2))   AS click_to_cart_rate,
       CAST(round(100.0 * step4_purchasers / nullif(step3_cart_adders, 0), 2) AS DECIMAL(20, 2)) AS cart_to_purchase_rate,
       CAST(round(100.0 * step4_purchasers / nullif(step1_viewers, 0), 2) AS DECIMAL(20, 2))     AS overall_conversion_rate
FROM steps
