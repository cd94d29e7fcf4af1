-- What the three roles of 0001 may do, no more (docs/adr/0015): published tables are the owner's, the loader builds and
-- keeps its versions of events in a schema of its own, and a reader sees what was published and how it was judged.

CREATE SCHEMA daygate_versions;
COMMENT ON SCHEMA daygate_versions IS 'Partitions of daygate.event_versions, one per run. Read daygate.raw_events.';
REVOKE ALL ON SCHEMA daygate_versions FROM PUBLIC;

DO $rights$
BEGIN
    IF (SELECT count(*) FROM pg_roles WHERE rolname IN ('daygate_owner', 'daygate_loader', 'daygate_reader')) < 3 THEN
        RETURN;
    END IF;
    ALTER SCHEMA daygate_versions OWNER TO daygate_owner;
    GRANT USAGE, CREATE ON SCHEMA daygate_versions TO daygate_loader;
    -- Whoever may create in a schema can plant what others would call by accident.
    REVOKE CREATE ON SCHEMA daygate FROM daygate_loader;
    -- What was decided and what was kept out is added to and never taken away; of the ledger rows are ended.
    REVOKE DELETE ON daygate.pipeline_run_log, daygate.quality_check_log, daygate.quarantine_events FROM daygate_loader;
    REVOKE UPDATE ON daygate.quality_check_log, daygate.quarantine_events FROM daygate_loader;

    -- Neither quarantined lines, nor unpublished versions, nor samples of failing lines (in the ledger's report).
    REVOKE ALL ON ALL TABLES IN SCHEMA daygate FROM daygate_reader;
    GRANT SELECT ON daygate.raw_events, daygate.mart_user_daily, daygate.mart_funnel_daily, daygate.mart_product_daily,
        daygate.mart_orders, daygate.quality_check_log, daygate.alembic_version TO daygate_reader;
    GRANT SELECT (run_id, day, attempt, trigger, engine, fence, status, verdict, is_current, lease_until, heartbeat_at,
        started_at, finished_at, superseded_at, delivery_name, delivery_sha256, delivery_bytes, contract_sha256, lines,
        loaded, quarantined, unique_users, sessions, purchases, revenue, timings, error, failure, released_by,
        release_reason, released_run) ON daygate.pipeline_run_log TO daygate_reader;
EXCEPTION
    WHEN insufficient_privilege THEN RAISE NOTICE 'rights are not granted: not permitted';
END
$rights$;
