"""Connections to PostgreSQL, the one place where its errors are translated, and the schema's version."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

import psycopg2
import psycopg2.extensions

from pipeline.errors import DatabaseError, SettingsError, TransientError

Connection: TypeAlias = psycopg2.extensions.connection

SCHEMA: Final = "daygate"
MARTS_FOLDER: Final = Path(__file__).parent.parent / "marts"
_VERSIONS: Final = Path(__file__).parent / "migrations" / "versions"
#: First half of every advisory lock of daygate; the second says what is locked.
LOCK_CLASS: Final = 0x6461_7967
_MIGRATION_LOCK: Final = -1
#: Repeating the same call may succeed: serialisation, deadlock, lock timeout, shutdown, resources, connection.
_TRANSIENT: Final = re.compile(r"40001|40P01|55P03|57P0[1-5]|53...|08...")
_NOT_PERMITTED: Final = "42501"
#: The server's words when repeating a login cannot help (libpq gives no code for them).
_LOGIN_REFUSED: Final = ("authentication failed", "does not exist", "pg_hba.conf", "not permitted to log in")


def connect(
    url: str,
    *,
    name: str,
    statement_seconds: int = 600,
    lock_seconds: int = 10,
    search_path: str = f"{SCHEMA},pg_temp",
) -> Connection:
    """Open a connection with every deadline set.

    Args:
        url: libpq or SQLAlchemy URL; never part of any message.
        name: shown in `pg_stat_activity`, after `daygate-`.
        statement_seconds: how long one statement may take.
        lock_seconds: how long one statement may wait for a lock.
        search_path: where names without a schema are looked for.

    Raises:
        TransientError: the server is not reachable now.
        SettingsError: the URL or the login is wrong.
    """
    settings = {
        "search_path": search_path,
        "TimeZone": "UTC",
        "DateStyle": "ISO",
        "statement_timeout": f"{statement_seconds}s",
        "lock_timeout": f"{lock_seconds}s",
        "idle_in_transaction_session_timeout": "120s",
    }
    try:
        return psycopg2.connect(
            re.sub(r"\Apostgres(ql)?(\+\w+)?://", "postgresql://", url),
            application_name=f"daygate-{name}",
            connect_timeout=10,
            tcp_user_timeout=10_000,
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=3,
            client_encoding="UTF8",
            options=" ".join(f"-c {key}={value}" for key, value in settings.items()),
        )
    except psycopg2.OperationalError as error:
        if any(words in str(error) for words in _LOGIN_REFUSED):
            raise SettingsError(
                "PostgreSQL refuses the login.", hint="Check user, password and database of DAYGATE_DATABASE_URL"
            ) from None
        raise TransientError("PostgreSQL is not reachable.", hint="Try again, or: daygate doctor") from None
    except psycopg2.Error:
        # libpq repeats parts of a malformed URL, password included.
        raise SettingsError("The database URL is malformed.", hint="Write postgresql://user@host/name") from None


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn psycopg2's errors into ours.

    Args:
        doing: what is being done, for the message: "loading the day".

    Raises:
        TransientError: repeating the same call may succeed.
        DatabaseError: it cannot; carries sqlstate and constraint, and nothing that came from data.
    """
    try:
        yield
    except psycopg2.Error as error:
        state, constraint = error.pgcode, getattr(error.diag, "constraint_name", None)
        lost = state is None and isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError)
        # The original holds values from events in its message and must not travel along.
        if lost:
            raise TransientError(f"The connection to PostgreSQL was lost while {doing}.") from None
        if state is not None and _TRANSIENT.fullmatch(state):
            raise TransientError(f"PostgreSQL could not go on while {doing} (SQLSTATE {state}).") from None
        place = f", constraint {constraint}" if constraint else ""
        raise DatabaseError(
            f"PostgreSQL refused while {doing} (SQLSTATE {state or type(error).__name__}{place}).",
            sqlstate=state,
            constraint=constraint,
        ) from None


@contextmanager
def session(url: str, *, name: str, doing: str) -> Iterator[Connection]:
    """A connection of its own whose errors are translated and which is always closed.

    Commit with `with connection:`; what is not committed is rolled back.
    """
    connection = connect(url, name=name)
    try:
        with translated(doing):
            yield connection
    finally:
        connection.close()


@contextmanager
def transaction(url: str, *, name: str, doing: str) -> Iterator[psycopg2.extensions.cursor]:
    """A cursor in a transaction on a connection of its own, committed when the block ends well; errors as `session`."""
    with session(url, name=name, doing=doing) as connection, connection, connection.cursor() as cursor:
        yield cursor


def one(cursor: psycopg2.extensions.cursor) -> tuple[Any, ...]:
    """The row of a query that always has one."""
    row = cursor.fetchone()
    if row is None:
        raise DatabaseError("PostgreSQL answered with no row where one was certain.")
    return row


def json_text(value: object) -> str:
    """A JSON document that PostgreSQL's jsonb can store, whatever texts it holds.

    U+0000 and lone surrogates, which jsonb refuses, become U+FFFD.
    """
    return json.dumps(_storable(value), ensure_ascii=False, allow_nan=False)


def storable(text: str) -> str:
    """The text with U+0000 and lone surrogates replaced by U+FFFD."""
    return re.sub("[\x00\ud800-\udfff]", "\ufffd", text)


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return {storable(str(key)): _storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(item) for item in value]
    return value


# -- the schema's version ------------------------------------------------------------------------


def newest_version() -> str:
    """The version this daygate brings: four digits, counted up."""
    return max(file.name[:4] for file in _VERSIONS.glob("[0-9]*.py"))


def version(connection: Connection) -> str | None:
    """The version of the database; None when daygate was never set up in it."""
    with translated("reading the database's version"), connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('daygate.alembic_version') IS NOT NULL")
        (known,) = cursor.fetchone() or (False,)
        if not known:
            return None
        cursor.execute("SELECT version_num FROM daygate.alembic_version")
        row = cursor.fetchone()
        return row[0] if row else None


def upgrade(url: str) -> str:
    """Bring the database to the newest version; the version it has then.

    One process at a time migrates; the migration is one transaction, so it is done whole or not at all.

    Raises:
        SettingsError: the database was set up by a newer daygate.
        TransientError, DatabaseError: as `translated`; also Transient: the migration is another login's to do.
    """
    # It reads the marts' files, which need a connection to be built.
    from pipeline import mart_tables  # noqa: PLC0415

    with session(url, name="upgrade", doing="migrating the database") as connection:
        newest = newest_version()
        if _check(version(connection), newest) and not mart_tables.missing(connection):
            return newest
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s, %s)", (LOCK_CLASS, _MIGRATION_LOCK))
            connection.commit()
        if not _check(version(connection), newest):
            _migrate(url)
        try:
            mart_tables.create(connection, mart_tables.missing(connection))
        except DatabaseError as error:
            raise _for_its_owner() if error.sqlstate == _NOT_PERMITTED else error from None
        return newest


def _for_its_owner() -> TransientError:
    """What a login hears that may not change tables: their owner will, so it may try again."""
    return TransientError(
        "The database is not at this version, and this login may not bring it there.",
        hint="daygate db upgrade, with the login of its owner",
    )


def _check(current: str | None, newest: str) -> bool:
    """Whether nothing is to be done."""
    if current is not None and current > newest:
        raise SettingsError(
            f"The database has version {current}; this daygate knows versions up to {newest}.",
            hint="Install the newer daygate",
        )
    return current == newest


def _migrate(url: str) -> None:
    # Alembic and SQLAlchemy take a third of a second to import; most starts have nothing to migrate.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from sqlalchemy import create_engine, exc, pool  # noqa: PLC0415

    engine = create_engine(
        "postgresql+psycopg2://",
        # The owner's rights must not run what somebody with fewer put into a schema.
        creator=lambda: connect(url, name="migrate", search_path="pg_catalog,pg_temp"),
        poolclass=pool.NullPool,
    )
    config = Config()
    config.set_main_option("script_location", str(_VERSIONS.parent).replace("%", "%%"))
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except exc.DBAPIError as error:
        # SQLAlchemy wraps what the driver raised and adds the statement to it.
        if getattr(error.orig, "pgcode", None) == _NOT_PERMITTED:
            raise _for_its_owner() from None
        with translated("migrating the database"):
            raise error.orig or error from None
