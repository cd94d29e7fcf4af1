"""The benchmarks compare like with like: contenders count what we count, and the report says what was measured."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from benchmarks import cases, report
from benchmarks.__main__ import difference
from benchmarks.measure import Failed, run
from expectations_custom import rules
from expectations_custom.outcomes import evaluate
from pipeline import contract, simulate
from pipeline.delivery import take
from pipeline.stage import Workers, stage

pytest_plugins = ["spark_fixtures"]

DAY = date(2026, 1, 15)
#: Casts and nulls of wrong types are what the contenders are told to leave out.
WRONG_TYPES = {"value_ranges/quantity", "value_ranges/result_count"}
#: What is null is missing, too.
NULLED = {"required_fields/add_to_cart.quantity", "required_fields/search.result_count"}


@pytest.fixture(scope="module")
def dirty(tmp_path_factory):
    """A small day with every fault, and what our rule table counts on it."""
    import polars as pl  # noqa: PLC0415  # as the tests of the rules have it

    folder = tmp_path_factory.mktemp("bench")
    agreed = contract.load()
    faults = dict.fromkeys(simulate.FAULTS, 0.02)
    file = folder / cases.FILE
    simulate.generate(DAY, contract=agreed, output=file, users=100, events=20_000, seed=7, faults=faults)
    with take(file, folder=None) as delivery:
        staged = stage(delivery, day=DAY, contract=agreed, folder=folder / "staged", workers=Workers(0))
    frame = pl.scan_parquet(list(staged.parts)).select(*rules.columns(agreed))
    found = evaluate(frame, rules.table(agreed), sample_lines=0, failing=None)
    return file, {f"{check}/{rule}": counts.failed_rows for (check, rule), counts in found.rules.items()}


@pytest.mark.long  # each is a process of its own
@pytest.mark.parametrize("script", ["pure_python.py", "duckdb_sql.py"])
def test_contenders_count_what_we_count(dirty, script):
    """Rule by rule the same failing lines, but for the wrong types a contender says it does not see."""
    file, ours = dirty
    done = run([sys.executable, cases.CONTENDERS / script, file, cases.DAY], cwd=file.parent)
    answer = json.loads(done.out)
    found = difference(ours, answer["rules"])

    assert found["compared"] == 61
    assert set(found["rules"]) <= (set() if script == "pure_python.py" else WRONG_TYPES)
    assert answer["lines"] > 20_000


@pytest.mark.spark
def test_the_spark_job_by_hand_counts_what_we_count(dirty, spark, monkeypatch):
    """Likewise; what its reader makes null is missing to it."""
    monkeypatch.syspath_prepend(cases.CONTENDERS)
    from pyspark_by_hand import counted  # noqa: PLC0415  # a script beside its own modules, not a package

    file, ours = dirty
    lines, rules = counted(spark, str(file), cases.DAY)
    found = difference(ours, rules)

    assert found["compared"] == 61
    assert set(found["rules"]) <= WRONG_TYPES | NULLED
    assert lines > 20_000


def test_a_process_is_measured_with_its_children(tmp_path):
    """Processor time of children counts; a failure is told with what the command complained of."""
    spin = "import time\nwhile time.process_time() < 0.3: pass"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {spin!r}])"
    measured = run([sys.executable, "-c", code], cwd=tmp_path)

    assert measured.cpu > 0.3
    assert measured.wall > 0.3
    assert measured.largest > 5
    with pytest.raises(Failed, match="no such thing"):
        run([sys.executable, "-c", "raise SystemExit('no such thing')"], cwd=tmp_path)


def test_the_report_says_which_bars_hold():
    """A ratio above its bar is marked, with what was measured."""
    row = {"events": 1_000_000, "kind": "dirty", "rounds": 5, "cpu": 1.0, "peak": 800.0, "largest": 700.0}
    imported = {"wall": 1.0}
    checks = [
        {**row, "contender": cases.OURS, "wall": 3.0, "import": imported},
        {**row, "contender": "polars by hand", "wall": 2.0, "import": imported},
        {**row, "contender": "DuckDB SQL", "wall": 3.0, "import": imported},
    ]
    said = {what: (value, holds) for what, _, value, holds in report.measured_bars({"checks": checks})}

    assert said["check of 1M against polars by hand"] == ("2.00 ×", False)
    assert said["check of 1M against DuckDB SQL"] == ("1.00 ×", True)
    assert said["memory of check, 1M"] == ("800 MB", False)


def test_every_contender_is_there():
    """Each named script exists, and tells in a sentence what it leaves out."""
    scripts = [one.script for one in cases.CHECKERS if one.script is not None]

    assert len(scripts) == 8
    for script in scripts:
        assert "Leaves out" in (cases.CONTENDERS / script).read_text(encoding="utf-8")


def test_the_loop_makes_events_of_the_contract(tmp_path):
    """The simulator's opponent makes what the gate would take, so that the two do the same work."""
    file = Path(tmp_path / cases.FILE)
    subprocess.run([sys.executable, cases.CONTENDERS / "event_loop.py", file, "300"], check=True)
    agreed = contract.load()
    with take(file, folder=None) as delivery:
        staged = stage(delivery, day=DAY, contract=agreed, folder=tmp_path / "staged", workers=Workers(0))

    assert (staged.lines, staged.lines_with_unknown_keys) == (300, 0)
