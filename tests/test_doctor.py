"""`daygate doctor` names what keeps a day from running, and the command that mends it; it never fails itself."""

from __future__ import annotations

import importlib.util
import sys
from importlib import metadata

import pytest

from gx import suite
from pipeline import database
from pipeline.settings import Settings
from scheduler import doctor


def finding(name, settings):
    """What the doctor says of one thing."""
    return next(found for found in doctor.examine(settings) if found.name == name)


def test_a_machine_where_all_is_well_has_no_hint_to_follow(here):
    """The embedded database is not started for the doctor's sake."""
    found = {one.name: one for one in doctor.examine(Settings(home=here / "data"))}

    assert [name for name, one in found.items() if not one.ok] == []
    assert found["database"].detail == "embedded, not created yet; the next run starts it"
    assert found["suite"].detail == "7 checks"
    assert list(here.iterdir()) == []


def test_a_contract_that_cannot_be_read_is_a_finding(here):
    """What could not be looked at is told like everything else, with what the contract's reader says."""
    (here / "schema.json").write_text("[]")
    found = finding("contract", Settings(home=here, contract=here / "schema.json"))

    assert not found.ok
    assert "schema.json" in found.detail


def test_a_bug_in_a_look_is_a_finding_by_its_kind(here, monkeypatch):
    """Its text may hold anything, so only its type is told."""
    monkeypatch.setattr(suite, "build", lambda *_: 1 / 0)
    found = finding("suite", Settings(home=here))

    assert (found.ok, found.detail, found.hint) == (False, "could not be looked at (ZeroDivisionError)", "make setup")


def test_packages_that_are_missing_or_of_another_version_are_named(here, monkeypatch):
    """Those of extras and of other systems are nobody's fault."""
    wanted = [
        "no-such-thing>=1",
        "polars<0.1",
        "numpy",
        "nowhere; sys_platform == 'none'",
        "pyspark<1; extra == 'spark'",
    ]
    monkeypatch.setattr(metadata, "requires", lambda _: wanted)
    found = finding("packages", Settings(home=here))

    assert (found.ok, found.detail) == (False, "missing or of another version: no-such-thing, polars")


def test_a_checkout_that_was_not_installed_is_told_what_to_do(here, monkeypatch):
    """Its metadata is not there, nor is its bytecode, nor what it imports."""

    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", missing)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    packages, bytecode = (finding(name, Settings(home=here)) for name in ("packages", "bytecode"))

    assert (packages.ok, packages.detail, packages.hint) == (False, "daygate itself is not installed", "make setup")
    assert (bytecode.ok, bytecode.detail) == (False, "Great Expectations is not installed")


def test_spark_is_no_duty(here, monkeypatch):
    """Who has no big days does without it."""
    monkeypatch.setitem(sys.modules, "pyspark", None)
    found = finding("spark", Settings(home=here))

    assert (found.ok, found.detail) == (True, "not installed (optional: make setup-spark)")


@pytest.mark.parametrize("which", ["migrated", "empty"])
def test_a_database_of_another_version_is_told_to_be_upgraded(which, here, database_url, empty_database_url):
    """A server of one's own is asked for its version and left as it is."""
    url = database_url if which == "migrated" else empty_database_url
    found = finding("database", Settings(home=here, database_url=url))

    assert found.ok == (which == "migrated")
    assert found.detail.startswith("DAYGATE_DATABASE_URL, reachable, version ")
    assert found.detail.endswith(f" of {database.newest_version()}")
    assert found.hint == "daygate db upgrade"


def test_a_database_that_does_not_answer_is_told_without_its_password(here):
    """The finding is the same error that a run would end with."""
    found = finding("database", Settings(home=here, database_url="postgresql://x:SECRET@127.0.0.1:1/x"))

    assert not found.ok
    assert "SECRET" not in repr(found)


def test_a_home_that_cannot_be_written_is_told(here):
    """A file stands where the folder should be."""
    (here / "file").write_text("")
    found = finding("home", Settings(home=here / "file" / "data"))

    assert (found.ok, found.detail) == (False, f"{here / 'file'} cannot be written")
