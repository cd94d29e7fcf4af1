-- audit: lines_are_accounted_for
-- Every line of the delivery is loaded or quarantined, and the ledger's counts are those of the tables.
-- Set daygate.day to the day in question; every row returned is an error.

SELECT r.run_id
FROM daygate.pipeline_run_log AS r
WHERE r.is_current
  AND r.day = (SELECT current_setting('daygate.day')::date)
  AND (r.loaded + r.quarantined <> r.lines
       OR r.loaded <> (SELECT count(*) FROM daygate.raw_events AS e WHERE e.day = (SELECT current_setting('daygate.day')::date))
       OR r.quarantined <> (SELECT count(*) FROM daygate.quarantine_events AS q WHERE q.run_id = r.run_id))
