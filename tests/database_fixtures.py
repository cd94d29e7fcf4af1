"""One embedded PostgreSQL per test session, one fresh migrated database per test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from staged_days import administer, discard

from pipeline import database, postgres

_NUMBERS = itertools.count(1)


def with_database(url: str, name: str) -> str:
    """The same server, another database."""
    head, _, query = url.partition("?")
    return f"{head.rpartition('/')[0]}/{name}?{query}"


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a running embedded server with a migrated template database, stopped when the session ends."""
    home: Path = tmp_path_factory.mktemp("server")
    url = postgres.ensure_running(home)
    try:
        administer(url, "CREATE DATABASE migrated")
        database.upgrade(with_database(url, "migrated"))
        yield url
    finally:
        discard(home)


@pytest.fixture
def empty_database_url(server_url: str) -> Iterator[str]:
    """URL of a database of this test's own with nothing in it."""
    yield from _database(server_url, "template1")


@pytest.fixture
def database_url(server_url: str) -> Iterator[str]:
    """URL of a migrated database of this test's own."""
    yield from _database(server_url, "migrated")


def _database(server_url: str, template: str) -> Iterator[str]:
    name = f"test_{next(_NUMBERS)}"
    administer(server_url, f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield with_database(server_url, name)
    finally:
        administer(server_url, f"DROP DATABASE {name} WITH (FORCE)")
