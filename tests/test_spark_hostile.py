"""Days made to hurt: nothing about them is collected on the driver or meets in the memory of one task."""

from __future__ import annotations

import json

import pytest
from conftest import DAY, Session, as_lines

from pipeline.progress import Silent
from scheduler import app, checking, output_json

pytest_plugins = ["spark_fixtures", "database_fixtures", "day_fixtures"]
pytestmark = pytest.mark.spark

LINES = 30_000
#: Bytes that all tasks of a Spark job together may send to the driver.
MOST_RESULTS = 60_000


def day_of(folder, name, event):
    """A file of lines that `event` changes, each by its number."""
    visits = (Session(1 + number // 3, start=f"2026-01-15T{number % 24:02d}:00:00") for number in range(0, LINES, 3))
    events = [one for visit in visits for one in visit.add("page_view").add("click").add("search").events]
    path = folder / name
    path.write_bytes(as_lines(*(made | event(number) for number, made in enumerate(events))))
    return path


@pytest.fixture
def stingy(spark):
    """Spark whose driver takes few bytes from a job, and fails one that sends more."""
    conf = spark.sparkContext._jsc.sc().conf()
    conf.set("spark.driver.maxResultSize", str(MOST_RESULTS))
    yield spark
    conf.remove("spark.driver.maxResultSize")


def test_the_limit_is_real(stingy):
    """As many line numbers as the day has lines would be too much."""
    with pytest.raises(Exception, match="maxResultSize"):
        stingy.range(LINES, numPartitions=2).collect()


def test_of_a_day_that_fails_from_end_to_end_the_driver_sees_counts_and_samples(stingy, settings, query, tmp_path):
    """Every line breaks two rules and is quarantined; no job sends the driver even the lines' numbers."""
    file = day_of(tmp_path, "bad.jsonl", lambda number: {"platform": "tv", "browser": f"{number}" * 60})

    outcome = app.run_day(settings, DAY, file=file, engine="spark", force=False, progress=Silent())

    told = outcome.summary
    assert (told.engine, told.status, told.lines, told.quarantined) == ("spark", "blocked", LINES, LINES)
    assert query("SELECT count(*) FROM quarantine_events") == [(LINES,)]
    assert all(len(check.samples) <= settings.sample_lines for check in outcome.report.checks)


#: Stretches of a day in which all lines have the same session, the same event id, the same order, no ids at all.
SKEWED = (
    {"session_id": "00000001-1111-4000-8000-000000000000"},
    {"event_id": "00000001-0000-4000-8000-000000000000"},
    {"event_type": "purchase", "order_id": "ORD0000000000001"},
    {"session_id": None, "event_id": None, "order_id": None},
)


def test_what_thousands_of_lines_have_in_common_changes_no_answer(spark, settings, tmp_path):
    """The lines of one key meet in one task, which spills them; verdict, counts and samples are those without Spark."""
    file = day_of(tmp_path, "skewed.jsonl", lambda number: SKEWED[number * len(SKEWED) // LINES])

    assert answer(file, "spark", settings) == answer(file, "pandas", settings)


def answer(file, engine, settings):
    """The document of `daygate check`."""
    outcome = checking.check_file(
        settings, file, day=DAY, engine=engine, failed_rows=None, report_folder=None, progress=Silent()
    )
    assert (outcome.engine, outcome.report.lines) == (engine, LINES)
    document = output_json.check_document(
        outcome.report, version="", file="", sha256=outcome.delivery.sha256, day=DAY, engine="", seconds=0
    )
    return json.dumps(document)
