"""Alerts about days that are not where they should be: what they say, and when they are the same message."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

import pytest

from pipeline import due, lateness
from pipeline.alert_text import MAX_SECTION, compose
from pipeline.zone import ZONE

DAY = date(2026, 1, 15)
LONG_AGO = [DAY + timedelta(days=n) for n in range(400)]
ALERTS = {
    "missing": lateness.missing([DAY], by=time(9)),
    "unpublished": lateness.unpublished([DAY], by=time(10, 30)),
    "cut": lateness.cut(LONG_AGO, limit=31),
}


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("reason", ALERTS)
def test_every_reason_is_worded_in_every_language(reason, language):
    """Header, day and nothing left to fill in; a year of days is a range."""
    message = compose(ALERTS[reason], language=language)

    assert "2026-01-15" in message.text
    assert "{" not in message.text
    assert all(len(block["text"]["text"]) <= MAX_SECTION for block in message.blocks if block["type"] == "section")


def test_a_late_day_says_since_when_and_what_to_do():
    """The time is that of the settings; the command can be copied."""
    assert "Not published by 10:30: 2026-01-15." in compose(ALERTS["unpublished"]).text
    assert "daygate backfill --start 2026-01-15 --end 2027-02-18" in compose(ALERTS["cut"]).text


def test_a_message_is_known_by_its_newest_day_and_a_cut_by_its_oldest():
    """One more late day is a new message; a cut that moves on with the calendar is not."""
    two_days = [DAY, DAY + timedelta(days=1)]

    assert lateness.missing(two_days, by=time(9)).dedupe_key != ALERTS["missing"].dedupe_key
    assert lateness.cut(LONG_AGO[:5], limit=31).dedupe_key == ALERTS["cut"].dedupe_key


@pytest.mark.parametrize(("at", "is_late"), [("2026-01-16T09:59:59+09:00", False), ("2026-01-16T01:00:00+00:00", True)])
def test_a_deadline_is_on_the_day_after_in_seoul(at, is_late):
    """Whatever the zone of the clock."""
    assert due.reached(datetime.fromisoformat(at), DAY, time(10)) is is_late
    assert due.reached(datetime.combine(DAY, time(23), ZONE), DAY, time(10)) is False
