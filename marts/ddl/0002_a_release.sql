-- A person may publish the good lines of a day that failed; who and why stay in the ledger, in the run's row.

ALTER TABLE daygate.pipeline_run_log
    ADD COLUMN released_by    text,
    ADD COLUMN release_reason text,
    -- the blocked run that was overridden
    ADD COLUMN released_run   text REFERENCES daygate.pipeline_run_log,
    ADD CONSTRAINT pipeline_run_log_released CHECK (
        (released_run IS NULL AND released_by IS NULL AND release_reason IS NULL)
        OR (status = 'published' AND verdict = 'FAIL' AND released_run IS NOT NULL
            AND released_by ~ '\S' AND release_reason ~ '\S') IS TRUE
    ),
    -- what 0001 called pipeline_run_log_check: only PASS is current
    DROP CONSTRAINT pipeline_run_log_check,
    ADD CONSTRAINT pipeline_run_log_current_is_good CHECK (
        NOT is_current
        OR (status = 'published' AND (verdict = 'PASS' OR (verdict = 'FAIL' AND released_run IS NOT NULL))) IS TRUE
    );

-- A blocked run is released once.
CREATE UNIQUE INDEX pipeline_run_log_released_run ON daygate.pipeline_run_log (released_run);
