"""Volume and freshness: what is said of a day that is larger, smaller or later than the same weekday usually is."""

from __future__ import annotations

import json
import os
from contextlib import closing
from dataclasses import replace
from datetime import date, datetime, time, timedelta

import pytest
from staged_days import CONTRACT, event, purchase, stage_day

from pipeline import database, volume
from pipeline.records import Verdict
from pipeline.zone import ZONE
from scheduler import report_text
from scheduler.output import Look

DAY = date(2026, 1, 15)
USUAL = [{"events": float(n), "orders": float(n // 10), "revenue": n * 1000.0} for n in (9800, 9900, 10000, 10200)]


def test_a_figure_within_its_band_is_no_finding():
    """A few per cent more or less are an ordinary day."""
    assert volume.unusual({"events": 9000, "orders": 950, "revenue": 1.1e7}, USUAL) == ()


@pytest.mark.parametrize(("events", "found"), [(8500, []), (8100, ["events"]), (11400, []), (11800, ["events"])])
def test_a_figure_outside_of_its_band_is_found(events, found):
    """Below and above, with the band it left."""
    unusual = volume.unusual({"events": events}, USUAL)

    assert [one.metric for one in unusual] == found
    for one in unusual:
        assert (one.value, one.median, one.days) == (events, 9950, 4)
        assert one.low < 9950 < one.high
        assert not one.low <= events <= one.high


def test_it_is_quiet_until_there_are_four_days():
    """Three days are no habit."""
    assert volume.unusual({"events": 0}, USUAL[:3]) == ()
    assert volume.unusual({"events": 0}, USUAL)[0].days == 4


def test_days_that_differ_much_have_a_wide_band():
    """Usual days of 5,000 to 15,000 events leave nothing to say about 3,000."""
    wild = [{"events": n} for n in (5000.0, 15000.0, 9000.0, 12000.0, 7000.0)]

    assert volume.unusual({"events": 3000}, wild) == ()


def test_one_extreme_day_does_not_move_the_band():
    """Median and median distance: seven days outweigh one."""
    usual = [{"events": 10_000.0 + n} for n in range(7)] + [{"events": 1e9}]

    assert [one.metric for one in volume.unusual({"events": 20_000}, usual)] == ["events"]


@pytest.mark.parametrize(("orders", "found"), [(3, []), (15, []), (0, []), (40, ["orders"])])
def test_few_orders_vary_by_counting_alone(orders, found):
    """Nine orders a day may be three or fifteen."""
    assert [one.metric for one in volume.unusual({"orders": orders}, [{"orders": 9.0}] * 8)] == found


def test_no_orders_at_all_is_an_ordinary_day_only_where_it_is_usual():
    """A band around nothing holds nothing only."""
    assert volume.unusual({"orders": 0}, [{"orders": 0.0}] * 4) == ()
    assert [one.metric for one in volume.unusual({"orders": 5}, [{"orders": 0.0}] * 4)] == ["orders"]


@pytest.mark.parametrize(("hours", "found"), [(0.1, []), (3.9, []), (4.5, ["arrived"])])
def test_late_is_told_and_early_is_not(hours, found):
    """Usually three hours after midnight, give or take."""
    usual = [{"arrived": n} for n in (2.9, 3.0, 3.0, 3.1)]

    assert [one.metric for one in volume.unusual({"arrived": hours}, usual)] == found


def test_the_arrival_counts_from_the_end_of_the_day_in_seoul(tmp_path):
    """A file written at 03:00 came three hours after the day."""
    file = tmp_path / "x"
    file.touch()
    end = datetime.combine(DAY + timedelta(days=1), time(), ZONE)

    # The clock of the file system notes when it was touched, which is later than the day.
    assert volume.arrival(file, DAY) == pytest.approx((file.stat().st_ctime - end.timestamp()) / 3600)
    os.utime(file, (end.timestamp() + 1e9, end.timestamp() + 1e9))
    assert volume.arrival(file, DAY) == pytest.approx(1e9 / 3600)
    assert volume.arrival(tmp_path / "none", DAY) is None


def test_figures_are_those_of_the_delivery_as_it_came(tmp_path):
    """Bad lines and lines that are no events count among the events."""
    events = [event(1, user=1), event(2, user=1), event(3, user=2), b"x"]
    orders = [purchase(9, (1, 1, "500"), user=2), {**purchase(10, (1, 2, "9"), user=3), "total_amount": None}]
    made = stage_day(tmp_path, [*events, *orders])

    assert volume.measured(made.staged, CONTRACT) == {"events": 6, "users": 3, "orders": 2, "revenue": 500}


def test_a_shop_without_orders_has_neither_orders_nor_revenue(tmp_path):
    """Its contract knows no totals; events and users are counted all the same."""
    made = stage_day(tmp_path, [event(1, user=1), event(2, user=2)])

    assert volume.measured(made.staged, replace(CONTRACT, order_total=None)) == {"events": 2, "users": 2}


@pytest.fixture
def passed(database_url):
    """Writes a day of so many weeks before, by default one that passed."""

    def write(weeks, events, *, verdict="PASS", released=False, days=0):
        at = DAY - timedelta(weeks=weeks, days=days)
        report = {"findings": {"measured": {"events": events}}}
        with closing(database.connect(database_url, name="test")) as connection, connection, connection.cursor() as c:
            c.execute(
                "INSERT INTO pipeline_run_log (run_id, day, attempt, trigger, engine, fence, status, verdict,"
                " is_current, lease_until, finished_at, lines, report, released_by, release_reason, released_run)"
                " SELECT 'r-' || n, %s, 1, 'cli', 'pandas', n, %s, %s, %s, now(), now(), 7, %s, %s, %s, %s"
                " FROM nextval('run_fence') AS n RETURNING run_id",
                (
                    at, "published" if verdict == "PASS" or released else "blocked", verdict,
                    verdict == "PASS" or bool(released), json.dumps(report) if events else None,
                    *(("Kim", "why", released) if released else (None, None, None)),
                ),
            )  # fmt: skip
            return c.fetchone()[0]

    return write


def test_usual_are_the_last_eight_passed_days_of_the_weekday(database_url, passed):
    """Other weekdays, blocked, released and later days are left out; older runs are told by their ledger row."""
    for weeks in range(1, 12):
        passed(weeks, 1000 + weeks if weeks != 2 else None)
    passed(-1, 5000)
    passed(1, 6000, days=1)
    blocked = passed(3, 7000, verdict="FAIL")
    passed(0, 8000, verdict="FAIL", released=blocked)
    with closing(database.connect(database_url, name="test")) as connection:
        found = volume.usual_days(connection, DAY)

    assert [day["events"] for day in found] == [1001, 7, 1003, 1004, 1005, 1006, 1007, 1008]


def test_an_unusual_day_is_published_and_the_finding_is_told(run_day, passed, query):
    """Reported, not blocking: the verdict stays PASS; log, ledger and alert say it."""
    for weeks in range(1, 6):
        passed(weeks, 1_000_000)
    outcome = run_day()

    assert (outcome.summary.status, outcome.summary.verdict) == ("published", Verdict.PASS)
    assert [one.metric for one in outcome.report.findings.volume] == ["events"]
    assert query("SELECT report #>> '{findings,volume,0,metric}' FROM pipeline_run_log WHERE day = %s", DAY) == [
        ("events",)
    ]


def test_an_unusual_day_is_blocked_where_the_settings_say_so(run_day, passed, query, digest, settings):
    """Severity critical: FAIL, nothing visible, an alert in the commit and words that tell why; a usual day passes."""
    nothing = digest()
    for weeks in range(1, 6):
        passed(weeks, 1_000_000)
    outcome = run_day(volume_severity="critical")

    assert (outcome.summary.status, outcome.summary.verdict) == ("blocked", Verdict.FAIL)
    assert digest() == nothing
    assert query("SELECT kind FROM alert_outbox") == [("gate_failed",)]
    told = report_text.body(outcome.report, samples=1, look=Look())
    assert told[8].startswith("Unusual: 1,344 events; usually 1,000,000 (850,000 to 1,150,000, ")
    assert "the day’s volume, failed." in (settings.site_folder / "index.html").read_text()
    assert run_day(DAY + timedelta(days=1), volume_severity="critical").summary.status == "published"
