"""A home of one's own on the test server, and the digest of everything readers can see."""

from __future__ import annotations

import hashlib
from contextlib import closing
from datetime import date

import psycopg2
import pytest
from pydantic import SecretStr

from pipeline import contract, simulate
from pipeline.progress import Silent
from pipeline.settings import Settings
from scheduler import app

DAY = date(2026, 1, 15)
#: What may differ between two runs of the same day.
VOLATILE = ("run_id", "fence", "loaded_at")
TABLES = ("raw_events", "mart_user_daily", "mart_funnel_daily", "mart_product_daily", "mart_orders")


@pytest.fixture
def settings(database_url, tmp_path):
    """Settings on the test's own database, with few customers."""
    return Settings(home=tmp_path / "data", database_url=SecretStr(database_url), users=150)


@pytest.fixture
def run_day(settings):
    """Runs a day in this process through the composition root."""

    def run(day=DAY, *, file=None, force=False, **changes):
        chosen = settings.model_copy(update=changes)
        return app.run_day(chosen, day, file=file, engine="auto", force=force, progress=Silent())

    return run


@pytest.fixture
def delivery(tmp_path):
    """Writes a simulated delivery, with faults if any."""

    def write(day=DAY, *, name="delivery.jsonl", users=150, **faults):
        file = tmp_path / name
        simulate.generate(day, contract=contract.load(), output=file, users=users, seed=7, faults=faults)
        return file

    return write


@pytest.fixture
def query(database_url):
    """Reads as anyone may."""

    def read(sql, *parameters):
        with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
            cursor.execute("SET search_path TO daygate")
            cursor.execute(sql, parameters)
            return cursor.fetchall()

    return read


@pytest.fixture
def digest(query):
    """A table -> (rows, hash) of what readers see, without run ids and times."""

    def digest():
        found = {}
        for table in TABLES:
            columns = [
                name
                for (name,) in query(
                    "SELECT column_name FROM information_schema.columns"
                    " WHERE table_schema = 'daygate' AND table_name = %s ORDER BY column_name",
                    table,
                )
                if name not in VOLATILE
            ]
            rows = sorted(map(repr, query(f"SELECT {', '.join(columns)} FROM {table}")))
            found[table] = (len(rows), hashlib.sha256("\n".join(rows).encode()).hexdigest())
        return found

    return digest


@pytest.fixture
def process(settings, tmp_path, daygate_process):
    """Runs `daygate` in a process of its own on the same home and database."""

    def run(*words, **variables):
        own = {
            "DAYGATE_HOME": str(settings.home),
            "DAYGATE_DATABASE_URL": settings.database_url.get_secret_value(),
            "DAYGATE_USERS": str(settings.users),
        }
        done = daygate_process(tmp_path, *words, **own, **variables)
        done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
        return done

    return run
