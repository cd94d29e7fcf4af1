"""Tables for marts that no migration made: a new mart is one SQL file whose header names its columns."""

from __future__ import annotations

from pipeline.database import Connection, translated
from pipeline.errors import SettingsError
from pipeline.marts import Mart, all_marts

#: As migration 0004 does for the first four; nothing where the roles do not exist.
_RIGHTS = """
DO $rights$
BEGIN
    IF (SELECT count(*) FROM pg_roles WHERE rolname IN ('daygate_owner', 'daygate_loader', 'daygate_reader')) = 3 THEN
        ALTER TABLE daygate.{name} OWNER TO daygate_owner;
        GRANT SELECT, INSERT, UPDATE, DELETE ON daygate.{name} TO daygate_loader;
        GRANT SELECT ON daygate.{name} TO daygate_reader;
    END IF;
END
$rights$
"""


def missing(connection: Connection) -> tuple[Mart, ...]:
    """Marts whose table is not there."""
    marts = {mart.name: mart for mart in all_marts()}
    with translated("looking for the marts' tables"), connection, connection.cursor() as cursor:
        cursor.execute("SELECT name FROM unnest(%s) AS name WHERE to_regclass('daygate.' || name) IS NULL", [[*marts]])
        return tuple(marts[name] for (name,) in cursor.fetchall())


def create(connection: Connection, marts: tuple[Mart, ...]) -> None:
    """Make their tables, all of them or none.

    Raises:
        SettingsError: a mart's file does not say what columns it has.
        TransientError, DatabaseError: as `database.translated`.
    """
    with translated("creating the marts' tables"), connection, connection.cursor() as cursor:
        for mart in marts:
            if not mart.columns:
                raise SettingsError(
                    f"{mart.name} has no table, and its file does not name its columns.",
                    hint=f"Add a line `-- column: NAME TYPE` for each to the header of marts/{mart.name}.sql",
                )
            key = ", ".join(mart.grain)
            cursor.execute(f"CREATE TABLE daygate.{mart.name} ({', '.join(mart.columns)}, PRIMARY KEY ({key}))")
            cursor.execute(_RIGHTS.format(name=mart.name))
