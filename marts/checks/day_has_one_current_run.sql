-- audit: day_has_one_current_run
-- A published day has exactly one current run.
-- Set daygate.day to the day in question; every row returned is an error.

SELECT count(*) AS current_runs
FROM daygate.pipeline_run_log
WHERE is_current AND day = (SELECT current_setting('daygate.day')::date)
HAVING count(*) <> 1
