"""What changed: since when a check fails, how it usually is, and what its failing lines have in common."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta

import polars as pl
import pytest
from staged_days import CONTRACT, DAY, event, purchase, stage_day

from pipeline import changes, database, findings, site_figures
from pipeline.records import OUTSIDE, Change, Commonality, Findings, Verdict, VolumeFinding

#: Three systems, two browsers, four pages, six hours, spread evenly over each other.
SYSTEMS, BROWSERS, PAGES = ("Windows", "macOS", "Linux"), ("Chrome", "Edge"), ("home", "cart", "product", "mypage")
WRONG = ("value_ranges", "page_type", "page_type", "not allowed")
CHECK = "value_ranges"


def views(count=720, **more):
    """Page views whose fields say nothing about each other."""
    return [
        event(
            n, second=3600 * (n // 24 % 6), os=SYSTEMS[n % 3], browser=BROWSERS[n // 3 % 2],
            page_type=PAGES[n // 6 % 4], **more,
        )
        for n in range(count)
    ]  # fmt: skip


def common(folder, events, failing, *, evaluated=None):
    """What the failing lines (numbers from 1) have in common, as (dimension, value) pairs."""
    made = stage_day(folder, events, reasons={line: [WRONG] for line in failing}, parts=3)
    looked_at = {CHECK: len(events) if evaluated is None else evaluated}
    return changes.commonalities(made.staged, made.report.failing, looked_at, CONTRACT)[CHECK]


def pairs(found):
    """Dimension and value of each."""
    return [(one.dimension, one.value) for one in found]


def test_the_value_that_stands_out_is_named_with_both_shares(tmp_path):
    """All failing lines are of one browser that half of all lines have."""
    events = views()
    failing = [n for n, one in enumerate(events, 1) if one["browser"] == "Edge"]
    found = common(tmp_path, events, failing)

    assert found[0] == Commonality(
        dimension="browser", value="Edge", failing_share=1.0, overall_share=0.5, failing_lines=len(failing)
    )
    assert pairs(found) == [("browser", "Edge")]


def test_an_hour_of_seoul_can_stand_out(tmp_path):
    """Lines of one hour fail; the hour is that of the business zone."""
    events = views()
    failing = [n for n, one in enumerate(events, 1) if "T03:" in one["timestamp"]]

    assert pairs(common(tmp_path, events, failing)) == [("hour", "3")]


def test_values_are_ranked_by_how_far_they_exceed_their_usual_share(tmp_path):
    """A rare value comes before a frequent one; one value a dimension."""
    events = views()
    failing = [n for n, one in enumerate(events, 1) if one["os"] == "Linux" and one["browser"] == "Edge"]

    assert pairs(common(tmp_path, events, failing)) == [("os", "Linux"), ("browser", "Edge")]


@pytest.mark.parametrize("failing", [[1, 7, 13, 19], [1, 5, 9], range(1, 721, 7), []])
def test_chance_is_no_pattern(tmp_path, failing):
    """A handful of lines that happen to be alike, and lines spread as all are, have nothing in common."""
    assert common(tmp_path, views(), failing) == ()


def test_a_value_outside_the_contract_is_never_shown_and_never_first(tmp_path):
    """Hostile text stands for nothing but being outside; what else they have in common is told first."""
    hostile = "<script>U123456\u202e"
    events = [{**one, "page_type": hostile} if one["os"] == "Linux" else one for one in views()]
    failing = [n for n, one in enumerate(events, 1) if one["page_type"] == hostile]
    found = common(tmp_path, events, failing)

    assert pairs(found) == [("os", "Linux"), ("page_type", OUTSIDE)]
    assert hostile not in repr(found)


def test_products_are_told_and_people_are_not(tmp_path):
    """All failing lines are of one product and one customer; only the product is named."""
    events = [event(n, "add_to_cart", user=n % 7, product_id=f"P{n % 7:04d}", quantity=1) for n in range(700)]
    failing = [n for n, one in enumerate(events, 1) if one["product_id"] == "P0003"]
    found = common(tmp_path, events, failing)

    assert pairs(found) == [("product_id", "P0003")]


def test_a_field_that_few_failing_lines_have_says_nothing(tmp_path):
    """A tenth of the failing lines are orders, all paid alike: that is no cause of the other nine tenths."""
    orders = [purchase(9000 + n, (1, 1, "100"), payment_method="toss_pay", user=n) for n in range(10)]
    others = [purchase(9100 + n, (1, 1, "100"), user=n) for n in range(90)]
    events = [*views(), *orders, *others]
    failing = [*range(1, 91), *range(721, 731)]

    assert "payment_method" not in [name for name, _ in pairs(common(tmp_path, events, failing))]


def test_the_kind_of_event_is_no_news_to_a_check_that_looks_at_nothing_else(tmp_path):
    """Orders among all lines stand out; among orders they do not."""
    events = [*views(), *(purchase(9000 + n, (1, 1, "100"), user=n, second=3600 * (n % 6)) for n in range(60))]
    failing = range(721, 781)
    everywhere = common(tmp_path, events, failing)

    assert ("event_type", "purchase") in pairs(everywhere)
    assert "event_type" not in [name for name, _ in pairs(common(tmp_path, events, failing, evaluated=60))]


def test_lines_that_are_no_events_are_counted_and_have_nothing_in_common(tmp_path):
    """Rows without any value, in a delivery whose parts may be empty."""
    made = stage_day(tmp_path, [b"x"] * 30, reasons={n: [WRONG] for n in range(1, 31)}, parts=40)

    assert changes.commonalities(made.staged, made.report.failing, {CHECK: 30}, CONTRACT) == {CHECK: ()}


def test_one_line_with_many_reasons_counts_once(tmp_path):
    """Shares are of lines, not of reasons."""
    events = views()
    failing = [n for n, one in enumerate(events, 1) if one["browser"] == "Edge"]
    twice = {line: [WRONG, ("value_ranges", "os", "os", "x"), ("order_total", "x", "x", "x")] for line in failing}
    made = stage_day(tmp_path, events, reasons=twice)
    found = changes.commonalities(made.staged, made.report.failing, {CHECK: 720}, CONTRACT)[CHECK]

    assert [one.failing_lines for one in found] == [len(failing)]


# -- since when ----------------------------------------------------------------------------------


@pytest.fixture
def past(database_url):
    """Writes a judged day before, so many days ago."""

    def write(ago, rate, *, verdict="PASS", day_verdict=None, current=True, day=DAY):
        decided = day_verdict or verdict
        at = day - timedelta(days=ago)
        with closing(database.connect(database_url, name="test")) as connection, connection, connection.cursor() as c:
            c.execute(
                "INSERT INTO pipeline_run_log (run_id, day, attempt, trigger, engine, fence, status, verdict,"
                " is_current, lease_until, finished_at)"
                " SELECT 'r-' || n, %s, 1, 'cli', 'pandas', n, %s, %s, %s, now(), now()"
                " FROM nextval('run_fence') AS n RETURNING run_id",
                (at, "published" if decided == "PASS" else "blocked", decided, current and decided == "PASS"),
            )
            (run,) = c.fetchone()
            c.execute(
                "INSERT INTO quality_check_log VALUES (%s, %s, %s, 'x', %s, 'critical', 100, 0, %s, 0.99, NULL, '{}')",
                (run, CHECK, at, verdict, rate),
            )

    return write


@pytest.fixture
def change(database_url, tmp_path):
    """What is said of a check that fails on the day."""

    def find(*, failed=(1, 2)):
        made = stage_day(tmp_path, views(24), reasons={n: [WRONG] for n in failed})
        checks = [replace(one, verdict=Verdict.FAIL) if one.id == CHECK else one for one in made.report.checks]
        report = replace(made.report, checks=tuple(checks), verdict=Verdict.FAIL)
        with closing(database.connect(database_url, name="test")) as connection:
            return changes.find(connection, made.staged, report, contract=CONTRACT, day=DAY)

    return find


def ago(days) -> date:
    """So many days before the day."""
    return DAY - timedelta(days=days)


def test_the_first_failure_ever_has_no_history(change):
    """The row of bad days begins with the day itself."""
    (found,) = change()

    assert (found.check_id, found.first_bad_day, found.last_good_day) == (CHECK, DAY, None)
    assert (found.usual_pass_rate, found.pass_rate) == (None, 1 - 2 / 24)


def test_a_row_of_bad_days_is_followed_back_to_the_last_good_one(past, change):
    """Days without an answer and days that could not be judged neither end nor break the row."""
    past(9, 0.5, verdict="FAIL")
    past(8, 0.998)
    past(6, 0.4, verdict="FAIL")
    past(4, None, verdict="INCONCLUSIVE")
    past(1, 0.3, verdict="FAIL")
    (found,) = change()

    assert (found.first_bad_day, found.last_good_day) == (ago(6), ago(8))


def test_what_is_usual_is_the_median_of_passed_days(past, change):
    """Blocked days are left out, however bad; so is what lies more than 28 passed days back."""
    for n in range(1, 29):
        past(n, 0.99 + n / 10_000)
    past(29, 0.1)
    past(30, 0.1, verdict="FAIL")
    (found,) = change()

    assert found.usual_pass_rate == pytest.approx(0.99 + 14.5 / 10_000)


def test_a_corrected_day_counts_as_it_stands_now(past, change):
    """A day that failed first and was published later is a good day, and a bad redelivery does not unpublish it."""
    past(2, 0.5, verdict="FAIL")
    past(2, 0.997)
    past(1, 0.996)
    past(1, 0.2, verdict="FAIL")
    (found,) = change()

    assert (found.first_bad_day, found.last_good_day) == (DAY, ago(1))


def test_the_future_is_no_history(past, change):
    """A backfill of an old day does not look at the days after it."""
    past(-1, 0.5)
    past(0, 0.5)

    assert change()[0].usual_pass_rate is None


def test_findings_are_kept_with_the_run_and_read_back_equal(database_url, run_day, delivery, settings):
    """In the ledger and in report.json; the whole way of a bad day, hostile values and all."""
    outcome = run_day(file=delivery(browser_unknown=0.2))
    with closing(database.connect(database_url, name="test")) as connection:
        kept = site_figures.day(connection, outcome.summary.day).findings
    story = (settings.runs_folder / outcome.summary.run_id / "report.json").read_text("utf-8")

    assert kept == outcome.report.findings
    assert [one.check_id for one in kept.changes] == ["value_ranges"]
    assert ("browser", OUTSIDE) in pairs(kept.changes[0].commonalities)
    assert kept.measured["events"] == outcome.summary.lines
    assert '"first_bad_day": "2026-01-15"' in story


def test_findings_survive_json():
    """Every record comes back as it was; runs of before have none."""
    one = Commonality(dimension="os", value="Linux", failing_share=1.0, overall_share=0.1, failing_lines=9)
    change = Change(
        check_id="x", first_bad_day=DAY, last_good_day=None, usual_pass_rate=None, pass_rate=0.5, commonalities=(one,)
    )
    found = VolumeFinding(metric="events", value=1.0, low=2.0, median=3.0, high=4.0, days=5)
    whole = Findings(changes=(change, replace(change, last_good_day=ago(1))), volume=(found,), measured={"events": 1.0})

    assert findings.from_facts(findings.facts(whole)) == whole
    assert findings.from_facts(None) == Findings()


def test_parts_of_another_engine_are_read_alike(tmp_path):
    """Plain strings instead of categories, as Spark writes them."""
    events = views()
    failing = {n: [WRONG] for n, one in enumerate(events, 1) if one["browser"] == "Edge"}
    made = stage_day(tmp_path, events, reasons=failing)
    before = changes.commonalities(made.staged, made.report.failing, {CHECK: 720}, CONTRACT)
    for part in made.staged.parts:
        pl.read_parquet(part).with_columns(pl.col(pl.Categorical).cast(pl.String)).write_parquet(part)

    assert changes.commonalities(made.staged, made.report.failing, {CHECK: 720}, CONTRACT) == before != {CHECK: ()}
