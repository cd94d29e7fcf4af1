-- Three logins, each with the rights of its role (docs/adr/0015), and nothing for anyone else. Read by psql as
-- superuser: by the container at its first start, and by hand whenever a password changed. Safe to run again.

\set ON_ERROR_STOP on
\if :{?secrets} \else \set secrets /run/secrets \endif
\set owner `cat :'secrets'/owner_password`
\set loader `cat :'secrets'/loader_password`
\set reader `cat :'secrets'/reader_password`

SELECT format('CREATE ROLE %I', wanted)
FROM unnest(ARRAY['daygate_owner', 'daygate_loader', 'daygate_reader']) AS wanted
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) \gexec

ALTER ROLE daygate_owner LOGIN PASSWORD :'owner';
ALTER ROLE daygate_loader LOGIN PASSWORD :'loader';
ALTER ROLE daygate_reader LOGIN PASSWORD :'reader';
-- The owner hands tables to the loader.
GRANT daygate_loader TO daygate_owner;
-- A reader that forgets its transaction would keep replaced days on the disk.
ALTER ROLE daygate_reader SET default_transaction_read_only = on;
ALTER ROLE daygate_reader SET idle_in_transaction_session_timeout = '5min';
ALTER ROLE daygate_reader SET statement_timeout = '5min';

ALTER DATABASE :"DBNAME" OWNER TO daygate_owner;
REVOKE ALL ON DATABASE :"DBNAME" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"DBNAME" TO daygate_loader, daygate_reader;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
