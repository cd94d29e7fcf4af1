-- audit: funnel_fits_users
-- No step of a platform's funnel holds more users than took that step on the day, and rates exist where they can.
-- Set daygate.day to the day in question; every row returned is an error.

WITH users AS (
    SELECT count(*) FILTER (WHERE page_view_count > 0)   AS viewers,
           count(*) FILTER (WHERE click_count > 0)       AS clickers,
           count(*) FILTER (WHERE add_to_cart_count > 0) AS cart_adders,
           count(*) FILTER (WHERE purchase_count > 0)    AS purchasers
    FROM daygate.mart_user_daily
    WHERE activity_date = (SELECT current_setting('daygate.day')::date)
)
SELECT f.platform
FROM daygate.mart_funnel_daily AS f
CROSS JOIN users AS u
WHERE f.funnel_date = (SELECT current_setting('daygate.day')::date)
  AND (f.step1_viewers > u.viewers
       OR f.step2_clickers > u.clickers
       OR f.step3_cart_adders > u.cart_adders
       OR f.step4_purchasers > u.purchasers
       OR (f.step1_viewers = 0) IS DISTINCT FROM (f.overall_conversion_rate IS NULL))
