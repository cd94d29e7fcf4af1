"""One meaning on every engine: the same verdict, counts, failing lines, quarantine and tables from the same bytes.

Thousands of cases are packed into one delivery: a session has its own ids, so that cases do not disturb each other
more than the generator wants them to. `make conformance` runs more of them.
"""

from __future__ import annotations

import json
import os
import re
from datetime import date
from pathlib import Path

import dirty_days
import duckdb
import narwhals as nw
import oracle
import polars as pl
import pytest
from conftest import as_lines
from rule_cases import Cases

from expectations_custom import outcomes_spark, rules
from expectations_custom.outcomes import evaluate
from pipeline import contract as contracts
from pipeline.delivery import take
from pipeline.parse import parse_range
from pipeline.progress import Silent
from pipeline.settings import Settings
from pipeline.spark import stage
from pipeline.spark.frames import staged_frame
from scheduler import app, checking, output_json

pytest_plugins = ["spark_fixtures"]

DAY = date(2026, 1, 15)
#: Visits with planted defects beside the written cases; `make conformance` asks for more, with another seed.
VISITS = int(os.environ.get("CONFORMANCE_VISITS", "3000"))
SEED = int(os.environ.get("CONFORMANCE_SEED", "7"))


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """Every written case of every rule and thousands of generated ones, as one delivery."""
    path = tmp_path_factory.mktemp("cases") / "events_20260115.jsonl"
    written = b"".join(as_lines(*case.events) for case in Cases(contracts.load()).every())
    # Written cases number their sessions from 1; generated ones would meet them.
    made = b"\n".join(dirty_days.lines(SEED, VISITS)).replace(b"-1111-4000-8000-", b"-2222-4000-8000-")
    path.write_bytes(written + made.replace(b"-0000-4000-8000-", b"-3333-4000-8000-"))
    return path


def answer(file: Path, engine: str, home: Path) -> tuple[dict, list[dict]]:
    """The document of `daygate check` and the rows of --failed-rows."""
    outcome = checking.check_file(
        Settings(home=home, sample_lines=100), file, day=DAY, engine=engine, failed_rows=home / f"{engine}.jsonl",
        report_folder=None, progress=Silent(),
    )  # fmt: skip
    assert outcome.engine == engine
    document = output_json.check_document(
        outcome.report, version="", file=str(file), sha256=outcome.delivery.sha256, day=DAY, engine="", seconds=0
    )
    return document, (home / f"{engine}.jsonl").read_bytes().splitlines()


@pytest.mark.spark
def test_spark_answers_what_pandas_and_the_reference_answer(spark, cases, tmp_path):
    """Verdict, every count, every sample and every failing line with its reasons; and the oracle's lines besides."""
    on_pandas, failing = answer(cases, "pandas", tmp_path)
    on_spark, failing_on_spark = answer(cases, "spark", tmp_path)

    assert on_spark == on_pandas
    assert failing_on_spark == failing
    expected = oracle.judge(cases, DAY)
    assert {check["id"]: check["evaluated_rows"] for check in on_spark["checks"]} == expected.evaluated
    found = {check: set() for check in oracle.CHECKS}
    for row in map(json.loads, failing_on_spark):
        for reason in row["reasons"]:
            found[reason["check"]].add(row["line"])
    assert found == expected.failing
    assert len(failing) > VISITS


def test_duckdb_reads_the_rule_table_alike(cases, contract):
    """The expressions know no engine: a fourth one finds the same lines for every rule."""
    frame = parse_range(cases.read_bytes(), first_line=1, first_offset=0, contract=contract, day=DAY).frame
    table = rules.table(contract)
    staged = frame.with_columns(pl.col("timestamp").to_physical()).to_arrow(compat_level=pl.CompatLevel.oldest())
    lazy = nw.from_native(duckdb.from_arrow(staged))
    for windows in table.windows:
        for step in windows.steps:
            lazy = lazy.with_columns(*step)
    found = (
        lazy.select("line_no", *(_breaks(rule).alias(f"x{i}") for i, rule in enumerate(table.rules))).to_native().pl()
    )

    listed = cases.with_suffix(".parquet")
    evaluate(frame, table, sample_lines=0, failing=listed)
    told = pl.read_parquet(listed)
    for i, rule in enumerate(table.rules):
        mine = told.filter((pl.col("check") == rule.check) & (pl.col("rule") == rule.id))
        assert sorted(found.filter(pl.col(f"x{i}"))["line_no"]) == mine["line_no"].to_list(), (rule.check, rule.id)


def _breaks(rule) -> nw.Expr:
    applies, fails = rule.conditions()
    return applies & fails


@pytest.mark.spark
def test_a_days_lines_are_shuffled_once_for_each_scope(spark, contract, tmp_path):
    """By session and by event id; of those without an order id, nothing is shuffled by it."""
    empty = parse_range(b"", first_line=1, first_offset=0, contract=contract, day=DAY).frame
    empty.write_parquet(tmp_path / "part-00000.parquet")
    frame = spark.read.parquet(str(tmp_path / "part-00000.parquet"))
    plan = outcomes_spark.judged(frame, outcomes_spark.groups_of(rules.table(contract)))

    told = plan._jdf.queryExecution().executedPlan().toString()
    shuffles = re.findall(r"Exchange hashpartitioning\((\w+)#", told)
    assert sorted(shuffles) == ["event_id", "order_id", "session_id"]
    assert "isnotnull(order_id" in told


@pytest.mark.spark
def test_the_number_of_jobs_does_not_depend_on_the_lines(spark, cases, contract, tmp_path):
    """A checkpoint is the same few jobs for a hundred lines and for thousands."""
    few = tmp_path / "few.jsonl"
    few.write_bytes(b"".join(line + b"\n" for line in dirty_days.lines(SEED, 40)))

    assert jobs_of(spark, few, tmp_path / "few", contract) == jobs_of(spark, cases, tmp_path / "many", contract) <= 30


def jobs_of(spark, file: Path, folder: Path, contract) -> int:
    """How many jobs the evaluation of a file takes; staging is not counted."""
    with take(file, folder=None) as delivery:
        staged = stage.stage(spark, delivery, day=DAY, contract=contract, folder=folder)
    context = spark.sparkContext
    context.setJobGroup(str(folder), "counted")
    try:
        frame = staged_frame(spark, staged).select(*rules.columns(contract))
        outcomes_spark.evaluate(frame, rules.table(contract), sample_lines=20, failing=folder / "failing.parquet")
    finally:
        context.setLocalProperty("spark.jobGroup.id", None)
    return len(context.statusTracker().getJobIdsForGroup(str(folder)))


@pytest.fixture
def both(settings, digest, query, spark):
    """Takes a file through a whole day on each engine; what readers and the quarantine hold after each."""

    def run(file: Path):
        found = []
        for engine in ("pandas", "spark"):
            outcome = app.run_day(settings, DAY, file=file, engine=engine, force=True, progress=Silent())
            assert outcome.summary.engine == engine
            kept = query(
                "SELECT line_no, event_id, byte_offset, byte_length, raw, reasons FROM quarantine_events"
                " WHERE run_id = %s ORDER BY line_no",
                outcome.summary.run_id,
            )
            told = outcome.summary
            figures = (told.status, told.verdict, told.lines, told.loaded, told.quarantined, told.revenue)
            found.append((figures, digest(), [(*row[:4], bytes(row[4]), row[5]) for row in kept]))
        return found

    return run


@pytest.mark.spark
def test_a_day_on_spark_publishes_what_a_day_on_pandas_publishes(both, delivery):
    """Every table byte for byte, and the few lines that were kept out."""
    on_pandas, on_spark = both(delivery(browser_unknown=0.005, line_repeated=0.004))

    assert on_spark == on_pandas
    assert on_spark[0][0] == "published"
    assert on_spark[2]


@pytest.mark.spark
def test_a_day_that_fails_on_spark_is_quarantined_alike(both, cases):
    """Nothing is published; every failing line is kept with its bytes and reasons."""
    on_pandas, on_spark = both(cases)

    assert on_spark == on_pandas
    assert on_spark[0][0] == "blocked"
    assert len(on_spark[2]) > VISITS
