-- How a failed run failed decides when the service tries the day again.

ALTER TABLE daygate.pipeline_run_log
    -- transient: the same may succeed when repeated; permanent: it cannot; interrupted: told to stop;
    -- died: killed, out of memory, too slow
    ADD COLUMN failure text,
    ADD CONSTRAINT pipeline_run_log_failure CHECK (
        failure IS NULL OR (status = 'failed' AND failure IN ('transient', 'permanent', 'interrupted', 'died'))
    );
