-- Group roles without login: grant one of them to the login of a person or a service.
--   daygate_owner   owns everything but the events; migrates
--   daygate_loader  runs days: writes the tables; owns event_versions, because attaching a partition needs that
--   daygate_reader  reads
-- Where the migrating login may not create roles, everything simply belongs to it.

REVOKE ALL ON SCHEMA daygate FROM PUBLIC;

DO $roles$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['daygate_owner', 'daygate_loader', 'daygate_reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', name);
        END IF;
    END LOOP;
EXCEPTION
    WHEN insufficient_privilege THEN RAISE NOTICE 'roles are not created: not permitted';
    WHEN duplicate_object OR unique_violation THEN RAISE NOTICE 'roles were created by another migration meanwhile';
END
$roles$;

DO $rights$
DECLARE
    relation regclass;
BEGIN
    IF (SELECT count(*) FROM pg_roles WHERE rolname IN ('daygate_owner', 'daygate_loader', 'daygate_reader')) < 3 THEN
        RETURN;
    END IF;
    GRANT USAGE ON SCHEMA daygate TO daygate_owner, daygate_loader, daygate_reader;
    GRANT CREATE ON SCHEMA daygate TO daygate_owner, daygate_loader;
    -- A run builds in a schema of its own.
    EXECUTE format('GRANT CREATE ON DATABASE %I TO daygate_owner, daygate_loader', current_database());
    GRANT SELECT ON ALL TABLES IN SCHEMA daygate TO daygate_reader;
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA daygate TO daygate_loader;
    REVOKE INSERT, UPDATE, DELETE ON daygate.alembic_version FROM daygate_loader;
    GRANT USAGE ON ALL SEQUENCES IN SCHEMA daygate TO daygate_loader;
    FOR relation IN
        SELECT c.oid FROM pg_class AS c
        WHERE c.relnamespace = 'daygate'::regnamespace AND c.relkind IN ('r', 'v', 'p')
    LOOP
        EXECUTE format('ALTER TABLE %s OWNER TO daygate_owner', relation);
    END LOOP;
    ALTER SEQUENCE daygate.run_fence OWNER TO daygate_owner;
    ALTER TABLE daygate.event_versions OWNER TO daygate_loader;
    ALTER SCHEMA daygate OWNER TO daygate_owner;
    GRANT SELECT ON daygate.event_versions TO daygate_owner, daygate_reader;
EXCEPTION
    WHEN insufficient_privilege THEN RAISE NOTICE 'rights are not granted: not permitted';
END
$rights$;
