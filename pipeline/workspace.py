"""The schema a run builds its tables in, `build_<fence>`, and the sweeping of what nobody needs any more.

Loading and marts write there, unseen by readers; publishing moves the result into the open in one short
transaction. What a killed run leaves behind is recognised by the fence in the name.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from pipeline.database import Connection, one, translated
from pipeline.errors import DaygateError
from pipeline.records import Run

log = logging.getLogger(__name__)

_PREFIX: Final = "build_"
#: Schema of the partitions; the published one is closed to who loads.
_VERSIONS: Final = "daygate_versions"
#: A replaced version is dropped at once when no other session is inside a transaction, and after this anyway.
_KEPT_FOR_READERS: Final = "1 hour"


def schema_of(run: Run) -> str:
    """Name of the run's schema; safe to put into SQL."""
    return f"{_PREFIX}{run.fence:d}"


def partition_of(run: Run) -> str:
    """Name of the run's partition of `event_versions` once it is published."""
    return f"events_{run.day:%Y%m%d}_{run.fence:d}"


def create(cursor: Any, run: Run) -> str:
    """Make the run's schema empty, put it first on the transaction's search path, and return its name."""
    schema = schema_of(run)
    cursor.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
    cursor.execute(f"CREATE SCHEMA {schema}")
    enter(cursor, run)
    return schema


def enter(cursor: Any, run: Run) -> None:
    """Put the run's schema first on the search path until the transaction ends."""
    cursor.execute(f"SET LOCAL search_path = {schema_of(run)}, daygate, pg_temp")


def attach(cursor: Any, run: Run) -> None:
    """Make the run's events a partition of `event_versions`; nobody sees them before the run is the current one.

    A transaction of its own, before the one that publishes: a session learns of a new partition a moment after it
    could see the commit that brought it, and must not see the ledger's flip in between.
    """
    schema, partition = schema_of(run), partition_of(run)
    cursor.execute("SELECT to_regclass(%s) IS NULL", (f"{schema}.events",))
    (done,) = one(cursor)
    if done:
        return
    cursor.execute(f"DROP TABLE IF EXISTS {_VERSIONS}.{partition}")
    cursor.execute(f"ALTER TABLE {schema}.events RENAME TO {partition}")
    cursor.execute(f"ALTER TABLE {schema}.{partition} SET SCHEMA {_VERSIONS}")
    cursor.execute(
        f"ALTER TABLE daygate.event_versions ATTACH PARTITION {_VERSIONS}.{partition}"
        " FOR VALUES FROM (%(day)s, %(fence)s) TO (%(day)s, %(next)s)",
        {"day": run.day, "fence": run.fence, "next": run.fence + 1},
    )


def sweep(connection: Connection) -> None:
    """Drop the schemas of runs that no longer run, and replaced versions no reader can still see.

    Housekeeping: what cannot be dropped now is left for the next time, with a line in the log.
    """
    try:
        for statement in _leftovers(connection):
            _drop(connection, statement)
    except DaygateError as error:
        log.info("Nothing swept: %s", error)


def _drop(connection: Connection, statement: str) -> None:
    try:
        with translated("sweeping"), connection, connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '1s'")
            cursor.execute(statement)
    except DaygateError as error:
        log.info("Left for the next sweep: %s", error)


def _leftovers(connection: Connection) -> list[str]:
    with translated("looking for leftovers"), connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT format('DROP SCHEMA IF EXISTS %%I CASCADE', nspname) FROM pg_namespace AS n"
            " WHERE nspname ~ ('^' || %s || '[0-9]+$') AND NOT EXISTS (SELECT FROM pipeline_run_log AS r"
            "  WHERE r.status = 'running' AND %s || r.fence = n.nspname)",
            (_PREFIX, _PREFIX),
        )
        statements = [row[0] for row in cursor.fetchall()]
        # Versions of runs that ended without publishing were never visible. A replaced one is still shown by
        # snapshots taken before, so it stays while anybody is inside a transaction.
        cursor.execute(
            "SELECT format('DROP TABLE IF EXISTS %%s', c.oid::regclass)"
            " FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid LEFT JOIN pipeline_run_log AS r"
            "  ON c.relname = 'events_' || to_char(r.day, 'YYYYMMDD') || '_' || r.fence"
            " WHERE i.inhparent = 'event_versions'::regclass AND (r.run_id IS NULL OR r.status IN ('failed', 'blocked')"
            "  OR r.superseded_at < now() - %s::interval OR (r.superseded_at IS NOT NULL AND NOT EXISTS ("
            "   SELECT FROM pg_stat_activity AS a WHERE a.datname = current_database()"
            "   AND a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()"
            "   AND (a.state IS NULL OR a.xact_start IS NOT NULL))))",
            (_KEPT_FOR_READERS,),
        )
        return statements + [row[0] for row in cursor.fetchall()]
