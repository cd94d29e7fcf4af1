-- mart: mart_funnel_daily
-- grain: funnel_date, platform
-- reads: visits, events
-- idempotent: delete+insert of the day in the publish transaction; running twice changes nothing
--
-- Distinct users who reached each step on a platform; rates in per cent, NULL where nobody could have converted.

WITH users AS (
    SELECT platform,
           user_id,
           bool_or(page_views > 0) AS viewed,
           bool_or(clicks > 0)     AS clicked,
           bool_or(cart_adds > 0)  AS added,
           bool_or(purchases > 0)  AS purchased
    FROM visits
    WHERE platform IS NOT NULL
    GROUP BY platform, user_id
),
steps AS (
    SELECT (SELECT day FROM events LIMIT 1)           AS funnel_date,
           platform,
           count(user_id) FILTER (WHERE viewed)       AS step1_viewers,
           count(user_id) FILTER (WHERE clicked)      AS step2_clickers,
           count(user_id) FILTER (WHERE added)        AS step3_cart_adders,
           count(user_id) FILTER (WHERE purchased)    AS step4_purchasers
    FROM users
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
