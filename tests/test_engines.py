"""Which engine takes a delivery, and what a person hears who asks for one that is not there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pipeline import engines
from pipeline.errors import ExitCode
from pipeline.records import Delivery
from pipeline.settings import Settings
from scheduler.boundary import call

NAME = "events_20260115.jsonl"


def of(size: int) -> Delivery:
    return Delivery(path=Path("x"), name="x", sha256="0" * 64, size=size)


@pytest.fixture
def without_spark(monkeypatch):
    """An installation without the extra."""
    monkeypatch.setitem(sys.modules, "pyspark", None)


def test_auto_goes_by_the_size_of_the_plain_delivery():
    """From the setting's size on it is Spark's."""
    settings = Settings(spark_from_bytes=1000)

    assert engines.choose("auto", settings, of(999)) == "pandas"
    assert engines.choose("auto", settings, of(1000)) == "spark"


@pytest.mark.parametrize("asked", ["pandas", "spark"])
def test_a_named_engine_is_taken_whatever_the_size(asked):
    """Nobody knows better than who asks."""
    settings = Settings(spark_from_bytes=1000)

    assert {engines.choose(asked, settings, of(size)) for size in (1, 10**12)} == {asked}


def test_auto_is_settled_where_all_files_are_seen_to_be_small(tmp_path):
    """A packed file, standard input, one that is not there, and a big one leave it open; a named engine stays."""
    settings = Settings(spark_from_bytes=1000)
    small, big, packed = (tmp_path / name for name in ("a.jsonl", "b.jsonl", "c.jsonl.gz"))
    small.write_bytes(bytes(999))
    big.write_bytes(bytes(1000))
    packed.write_bytes(bytes(9))

    assert engines.settled("auto", settings, [small, small]) == "pandas"
    for other in (big, packed, "-", tmp_path / "none.jsonl"):
        assert engines.settled("auto", settings, [small, other]) == "auto"
    assert engines.settled("spark", settings, [small]) == "spark"
    assert engines.settled("pandas", settings, [big]) == "pandas"


def test_auto_does_without_spark_where_it_is_not_installed(without_spark):
    """A big day takes longer then; it does not fail."""
    engines.require("auto")

    assert engines.choose("auto", Settings(spark_from_bytes=0), of(1)) == "pandas"


@pytest.mark.parametrize(
    "command", [["check", NAME], ["run", "--date", "2026-01-15"], ["backfill", "--start", "2026-01-15"]]
)
def test_spark_that_is_asked_for_and_not_installed_is_said_at_once(
    command, without_spark, tmp_path, monkeypatch, capsys
):
    """Exit code 2, what is missing and how to get it, before a file is read or a database started."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAYGATE_HOME", str(tmp_path / "data"))
    (tmp_path / NAME).write_text("{}\n")

    assert call([*command, "--engine", "spark"]) == ExitCode.USAGE
    told = capsys.readouterr().err
    assert "Spark is not installed." in told
    assert "make setup-spark" in told
    assert "daygate[spark]" in told
    assert not (tmp_path / "data" / "postgres").exists()


def test_the_setting_stands_in_for_the_flag(without_spark, tmp_path, monkeypatch, capsys):
    """The service has no flags; what daygate.toml says holds for it and for commands without --engine."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "daygate.toml").write_text('engine = "spark"\n')
    (tmp_path / NAME).write_text("{}\n")

    assert call(["check", NAME]) == ExitCode.USAGE
    assert "Spark is not installed." in capsys.readouterr().err


def test_work_for_a_cluster_lies_in_the_home_that_its_machines_share(tmp_path):
    """Local Spark and pandas use the machine's own temporary folder; either goes away."""
    near = Settings(home=tmp_path, spark_master="local[2]")
    far = Settings(home=tmp_path, spark_master="spark://127.0.0.1:7077")

    with engines.work_folder(near, "spark") as (here, shared), engines.work_folder(far, "pandas") as (there, alone):
        assert not shared
        assert not alone
        assert tmp_path not in {*here.parents, *there.parents}
    with engines.work_folder(far, "auto") as (folder, shared):
        assert shared
        assert tmp_path in folder.parents
    assert not folder.exists()
