"""The database is set up whole or not at all, once, and its columns follow the contract."""

from __future__ import annotations

import threading
from contextlib import closing

import psycopg2
import pytest
from staged_days import administer

from pipeline import contract, database
from pipeline.errors import DatabaseError, SettingsError, TransientError

TYPES = {"string": "text", "integer": "bigint", "number": "numeric", "timestamp": "timestamp with time zone"}


def ask(url, question, *parameters):
    """All rows of a question."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(question, parameters)
        return cursor.fetchall()


COLUMNS = (
    "SELECT column_name, data_type FROM information_schema.columns"
    " WHERE table_schema = 'daygate' AND table_name = %s ORDER BY ordinal_position"
)


def test_upgrading_an_empty_database_and_again(empty_database_url):
    """The second upgrade finds nothing to do."""
    assert database.upgrade(empty_database_url) == database.newest_version()
    assert database.upgrade(empty_database_url) == database.newest_version()


def test_upgrades_at_the_same_time_migrate_once(empty_database_url):
    """Several instances may start together."""
    outcomes = []
    threads = [threading.Thread(target=lambda: outcomes.append(database.upgrade(empty_database_url))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert outcomes == [database.newest_version()] * 4


def test_a_database_of_a_newer_daygate_is_refused(database_url):
    """An old program must not write into tables it does not know."""
    administer(database_url, "UPDATE daygate.alembic_version SET version_num = '9999'")

    with pytest.raises(SettingsError, match="9999"):
        database.upgrade(database_url)


def test_a_migration_that_fails_leaves_nothing(empty_database_url):
    """All of it is one transaction."""
    administer(empty_database_url, "CREATE SCHEMA daygate")
    administer(empty_database_url, "CREATE TABLE daygate.mart_orders (x int)")

    with pytest.raises(DatabaseError) as caught:
        database.upgrade(empty_database_url)

    assert caught.value.sqlstate == "42P07"
    assert ask(empty_database_url, "SELECT count(*) FROM pg_class WHERE relnamespace = 'daygate'::regnamespace") == [
        (1,)
    ]


def test_a_database_in_use_is_brought_to_this_version_with_its_days(empty_database_url):
    """What an earlier daygate published stays published."""
    administer(empty_database_url, "CREATE SCHEMA daygate")
    administer(empty_database_url, "CREATE TABLE daygate.alembic_version (version_num varchar(32) PRIMARY KEY)")
    for file in sorted((database.MARTS_FOLDER / "ddl").glob("0001_*.sql")):
        administer(empty_database_url, file.read_text(encoding="utf-8"))
    administer(empty_database_url, "INSERT INTO daygate.alembic_version VALUES ('0001')")
    administer(
        empty_database_url,
        "INSERT INTO daygate.pipeline_run_log (run_id, day, attempt, trigger, engine, fence, status, verdict,"
        " is_current, lease_until, finished_at) VALUES"
        " ('a', '2026-01-15', 1, 'cli', 'pandas', 1, 'blocked', 'FAIL', false, now(), now()),"
        " ('b', '2026-01-15', 2, 'cli', 'pandas', 2, 'published', 'PASS', true, now(), now())",
    )

    assert database.upgrade(empty_database_url) == database.newest_version() > "0001"
    assert ask(empty_database_url, "SELECT run_id, is_current FROM daygate.pipeline_run_log ORDER BY 1") == [
        ("a", False),
        ("b", True),
    ]


def test_event_columns_are_those_of_the_contract(database_url):
    """Names, order and types are derived from the schema; the order's details are jsonb."""
    rules = contract.load()
    expected = [(f.name, "jsonb" if f.name == rules.order_total.details else TYPES[f.kind]) for f in rules.fields]
    columns = ask(database_url, COLUMNS, "event_versions")

    assert [c for c in columns if c[0] not in ("day", "fence", "line_no", "flags")] == expected


def test_raw_events_shows_every_column_and_where_it_came_from(database_url):
    """The view adds the run to the contract's columns."""
    columns = [name for name, _ in ask(database_url, COLUMNS, "raw_events")]

    assert columns == ["day", *contract.load().names, "line_no", "flags", "run_id", "loaded_at"]


def test_no_column_is_a_timestamp_without_zone_or_binary_money(database_url):
    """Instants keep their zone and won are exact."""
    rows = ask(
        database_url,
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'daygate'"
        " AND (data_type = 'timestamp without time zone'"
        "      OR (data_type = 'double precision' AND column_name NOT IN ('pass_rate', 'threshold')))",
    )

    assert rows == []


def as_role(url, role, statement):
    """Run a statement with the rights of a role and nothing else."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(f"SET ROLE {role}")
        cursor.execute(statement)


def test_a_reader_reads_and_cannot_write(database_url):
    """Least privilege for dashboards."""
    as_role(database_url, "daygate_reader", "SELECT * FROM daygate.raw_events")

    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        as_role(database_url, "daygate_reader", "DELETE FROM daygate.mart_orders")


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE daygate.mart_orders",
        "UPDATE daygate.alembic_version SET version_num = '0'",
        "COPY daygate.mart_orders FROM PROGRAM 'id'",
        "SELECT * FROM pg_authid",
    ],
)
def test_a_loader_cannot_do_more_than_load(database_url, statement):
    """Least privilege for the daily run."""
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        as_role(database_url, "daygate_loader", statement)


def test_an_unreachable_server_is_transient_and_keeps_the_password_out():
    """The same call may succeed later."""
    with pytest.raises(TransientError) as caught:
        database.connect("postgresql://u:CANARY@127.0.0.1:1/x", name="test")

    assert "CANARY" not in repr(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("url", ["postgresql://u:CAN ARY@[::1/x", "host=CANARY =", "mysql://u:CANARY@h/x"])
def test_a_malformed_url_never_appears_in_the_message(url):
    """Libpq would repeat parts of it."""
    with pytest.raises(SettingsError) as caught:
        database.connect(url, name="test")

    assert "CAN" not in str(caught.value)


def test_a_wrong_login_is_not_tried_again(server_url):
    """A wrong password is a setting to correct, not a server that is away."""
    with pytest.raises(SettingsError, match="refuses the login"):
        database.connect(server_url.replace("daygate:", "daygate:x", 1), name="test")


def test_an_error_carries_state_and_constraint_but_no_value(database_url):
    """DETAIL repeats the row; it must not reach a log."""
    with (
        pytest.raises(DatabaseError) as caught,
        database.session(database_url, name="test", doing="testing") as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(
            "INSERT INTO mart_orders (order_id, order_date) SELECT 'CANARY', '2026-01-15' FROM generate_series(1, 2)"
        )

    assert caught.value.sqlstate == "23505"
    assert caught.value.constraint == "mart_orders_pkey"
    assert "CANARY" not in str(caught.value)


def test_a_lock_that_is_not_granted_in_time_is_transient(database_url):
    """Waiting has an end, and may be tried again."""
    with closing(psycopg2.connect(database_url)) as holder, holder.cursor() as cursor:
        cursor.execute("LOCK daygate.mart_orders")
        with (
            pytest.raises(TransientError, match="55P03"),
            closing(database.connect(database_url, name="test", lock_seconds=1)) as waiting,
            database.translated("testing"),
        ):
            waiting.cursor().execute("SELECT * FROM mart_orders")
