-- mart: mart_funnel_daily
-- grain: funnel_date, platform
-- reads: visits
-- idempotent: delete+insert of the day in the publish transaction; running twice changes nothing
--
-- Distinct users who reached each step on a platform; rates in per cent, NULL where nobody could have converted.

WITH steps AS (
    SELECT max(day) AS funnel_date,
           platform,
           count(DISTINCT user_id) FILTER (WHERE event_type = 'page_view')   AS step1_viewers,
           count(DISTINCT user_id) FILTER (WHERE event_type = 'click')       AS step2_clickers,
           count(DISTINCT user_id) FILTER (WHERE event_type = 'add_to_cart') AS step3_cart_adders,
           count(DISTINCT user_id) FILTER (WHERE event_type = 'purchase')    AS step4_purchasers
    FROM visits
    WHERE platform IS NOT NULL
    GROUP BY platform
)
SELECT funnel_date,
       platform,
       step1_viewers,
       step2_clickers,
       step3_cart_adders,
       step4_purchasers,
       round(100.0 * step2_clickers / nullif(step1_viewers, 0), 2)      AS view_to_click_rate,
       round(100.0 * step3_cart_adders / nullif(step2_clickers, 0), 2)  AS click_to_cart_rate,
       round(100.0 * step4_purchasers / nullif(step3_cart_adders, 0), 2) AS cart_to_purchase_rate,
       round(100.0 * step4_purchasers / nullif(step1_viewers, 0), 2)    AS overall_conversion_rate
FROM steps
