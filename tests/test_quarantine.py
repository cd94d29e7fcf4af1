"""Every failing line is kept with all its reasons and its bytes exactly as they came."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from staged_days import DAY, ask, claim, event, run_day, stage_day

from pipeline import database, publish, quarantine
from pipeline.errors import StepFailed
from pipeline.records import Verdict

NOT_JSON = ("required_fields", "line", None, "the line is not JSON")
WRONG_OS = ("value_ranges", "os", "os", "not in the contract's list")
ODD = ("platform_device", "os", "os", "odd")


def test_bytes_and_reasons_survive_the_database(database_url, tmp_path):
    """Bytes that are no text come back as they were, with every reason in order."""
    lines = [event(1), b'\xff\x00\\x41",\r {"a":', event(3), b""]
    reasons = {2: [NOT_JSON], 3: [WRONG_OS, ODD], 4: [NOT_JSON]}
    run_day(database_url, tmp_path, stage_day(tmp_path, lines, reasons=reasons))
    rows = ask(database_url, "SELECT line_no, event_id, raw, reasons FROM quarantine_events ORDER BY line_no")

    assert [(row[0], row[1], bytes(row[2])) for row in rows] == [
        (2, None, lines[1]),
        (3, event(3)["event_id"], json.dumps(event(3)).encode()),
        (4, None, b""),
    ]
    assert rows[1][3] == [
        {"check": "platform_device", "rule": "os", "field": "os", "reason": "odd"},
        {"check": "value_ranges", "rule": "os", "field": "os", "reason": "not in the contract's list"},
    ]


def test_a_line_that_only_warns_is_not_quarantined(database_url, tmp_path):
    """It is loaded and flagged; a line with both kinds of reason keeps both."""
    made = stage_day(
        tmp_path, [event(1), event(2)], reasons={1: [ODD], 2: [ODD, WRONG_OS]}, warnings=("platform_device",)
    )
    run_day(database_url, tmp_path, made)

    assert ask(database_url, "SELECT line_no, jsonb_array_length(reasons) FROM quarantine_events") == [(2, 2)]


def test_a_blocked_day_keeps_all_its_failing_lines(database_url, tmp_path):
    """Nothing is lost because nothing was loaded."""
    made = stage_day(
        tmp_path, [event(n) for n in range(50)], reasons={n: [WRONG_OS] for n in range(1, 31)}, verdict=Verdict.FAIL
    )
    publish.block(database_url, claim(database_url, tmp_path), made.staged, made.report, ())
    with closing(database.connect(database_url, name="test")) as connection:
        counts = quarantine.summary(connection, DAY)

    assert counts == [quarantine.QuarantineCount(check="value_ranges", rule="os", lines=30)]


def test_a_line_beyond_the_limit_is_kept_by_its_place(tmp_path, monkeypatch):
    """PostgreSQL could not take its bytes; the archived delivery has them."""
    monkeypatch.setattr(quarantine, "RAW_LIMIT", 10)
    made = stage_day(tmp_path, [b"x" * 11, b"y" * 10], reasons={1: [NOT_JSON], 2: [NOT_JSON]})
    frames = list(quarantine.batches(made.staged, made.report))

    assert [row for frame in frames for row in frame.select("byte_offset", "byte_length", "raw").rows()] == [
        (0, 11, None),
        (12, 10, b"y" * 10),
    ]


def test_a_delivery_that_became_shorter_is_noticed(tmp_path):
    """Bytes that are gone are not replaced by nothing."""
    made = stage_day(tmp_path, [event(1), event(2)], reasons={2: [WRONG_OS]})
    made.staged.delivery.path.write_bytes(b"{}\n")

    with pytest.raises(StepFailed, match="shorter"):
        list(quarantine.batches(made.staged, made.report))


def test_a_report_without_a_list_has_no_quarantine(tmp_path):
    """A day that could not be judged may have no failing lines to show."""
    made = stage_day(tmp_path, [event(1)])

    assert list(quarantine.batches(made.staged, replace(made.report, failing=tmp_path / "none"))) == []


@given(
    lines=st.lists(st.binary(max_size=40).map(lambda raw: raw.replace(b"\n", b"")), min_size=1, max_size=30),
    data=st.data(),
)
@hypothesis_settings(max_examples=40)
def test_any_failing_lines_come_back_in_order(tmp_path_factory, lines, data):
    """Whatever the bytes, the batches hold each failing line once, in line order, with its bytes."""
    failing = sorted(data.draw(st.sets(st.integers(1, len(lines)))))
    made = stage_day(tmp_path_factory.mktemp("day"), lines, reasons={n: [NOT_JSON, WRONG_OS] for n in failing}, parts=3)
    rows = [row for frame in quarantine.batches(made.staged, made.report) for row in frame.iter_rows(named=True)]

    assert [(row["line_no"], row["raw"], len(json.loads(row["reasons"]))) for row in rows] == [
        (number, lines[number - 1], 2) for number in failing
    ]
