from __future__ import annotations

import io
import json
import logging
import sys
import unicodedata
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import jsonschema
import narwhals as nw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expectations_custom.checks import CHECKS
from expectations_custom.rule import Rule
from pipeline.records import (
    OUTSIDE,
    Change,
    CheckReport,
    CheckResult,
    Commonality,
    DaySummary,
    Findings,
    RuleResult,
    Sample,
    Verdict,
)
from pipeline.wording import percent, visible
from scheduler import output, output_json, output_junit, report_text, screen, tables
from scheduler.boundary import worst
from scheduler.doctor import Finding
from scheduler.output import Look

DAY = date(2026, 1, 15)
SCHEMA = json.loads((Path(__file__).parent.parent / "schemas" / "check_output.schema.json").read_text("utf-8"))
HOSTILE = "\x1b[2J\x1b]8;;http://x\x07\u202eevil\u200b\r\nFAIL\x9b"


def result(check: str, verdict: str, evaluated: int, failed: int, **more: object) -> CheckResult:
    """One check's result with the figures that matter to the test."""
    return CheckResult(
        id=check,
        type=more.pop("type", "null_check"),
        verdict=Verdict(verdict),
        severity=more.pop("severity", "critical"),
        evaluated_rows=evaluated,
        failed_rows=failed,
        pass_rate=1 - failed / evaluated if evaluated else None,
        threshold=0.99,
        **more,
    )


def rule(name: str, evaluated: int, failed: int) -> RuleResult:
    """One rule's counts."""
    return RuleResult(id=name, field=name, evaluated_rows=evaluated, failed_rows=failed)


def sample(line: int, name: str, reason: str = "quantity is outside the range 1 to 99") -> Sample:
    """One failing line."""
    return Sample(line=line, event_id=HOSTILE, rule=name, field=name, reason=reason)


def report(verdict: str, *checks: CheckResult, lines: int = 48211, failing: int = 0, **more: object) -> CheckReport:
    """A report over the given checks."""
    return CheckReport(
        verdict=Verdict(verdict), checks=checks, lines=lines, failing_lines=failing, failing=Path("f"), **more
    )


DIRTY = report(
    "FAIL",
    result("required_fields", "PASS", 48211, 3, rules=(rule("purchase.order_id", 219, 3),)),
    result(
        "unique_event_id",
        "FAIL",
        48211,
        1290,
        rules=(rule("event_id", 48211, 1290), rule("order_id", 219, 0)),
        samples=tuple(sample(37 * n, "event_id", "an earlier line has the same event_id") for n in range(1, 8)),
    ),
    result("value_ranges", "FAIL", 48211, 18, rules=(rule("quantity", 100, 18),), samples=(sample(9, "quantity"),)),
    result("funnel_order", "PASS", 0, 0),
    result("platform_device", "FAIL", 48211, 5000, severity="warning"),
    failing=1311,
)


def text_of(judged: CheckReport, **more: object) -> str:
    """What `check` prints of it."""
    given = {
        "file": "events_20260115.jsonl",
        "day": DAY,
        "engine": "pandas",
        "took": 2.31,
        "page": None,
        "failed_rows": None,
        "samples": 2,
        "look": Look(),
    }
    return report_text.checked(judged, **{**given, **more})


def test_a_dirty_file_is_told_check_by_check_and_ends_with_the_verdict():
    """Seven-check overview, each failing check in detail, how to see all, and the verdict last."""
    expected = """\
events_20260115.jsonl · 2026-01-15 · pandas

  ✓ required_fields  PASS            99.99 %      3/48,211  purchase.order_id
  ✗ unique_event_id  FAIL            97.32 %  1,290/48,211  event_id
  ✗ value_ranges     FAIL            99.96 %     18/48,211  quantity
  \N{EN DASH} funnel_order     not applicable
  ! platform_device  FAIL (warning)  89.62 %  5,000/48,211

✗ unique_event_id: 97.32 % of 48,211 lines are good, 99 % are needed
    event_id  1,290/48,211 failing  97.32 % good
      an earlier line has the same event_id
      line 37, 74
      … and 1,288 more

✗ value_ranges: 99.96 % of 48,211 lines are good, but one rule fails too often
    quantity  18/100 failing  82.00 % good
      quantity is outside the range 1 to 99
      line 9
      … and 17 more

! platform_device: 89.62 % of 48,211 lines are good, 99 % are needed

  all failing lines: daygate check events_20260115.jsonl --failed-rows failing.jsonl
  one of them in full: daygate check events_20260115.jsonl --explain 9

FAIL: 48,211 lines, 46,900 good, 1,311 failing, 2.3 s"""

    assert expected == text_of(DIRTY)


def test_a_failing_check_says_what_its_lines_have_in_common():
    """The two most telling values with both shares, on one line; that a value is a wrong one the rule says."""
    shared = tuple(
        Commonality(dimension=name, value=value, failing_share=1.0, overall_share=share, failing_lines=18)
        for name, value, share in (("os", OUTSIDE, 0.01), ("payment_method", "toss", 0.0312), ("hour", "3", 0.24))
    )
    change = Change(
        check_id="value_ranges", first_bad_day=DAY, last_good_day=None, usual_pass_rate=None, pass_rate=0.9,
        commonalities=shared,
    )  # fmt: skip
    lines = text_of(replace(DIRTY, findings=Findings(changes=(change,)))).splitlines()

    head = "✗ value_ranges: 99.96 % of 48,211 lines are good, but one rule fails too often"

    assert lines[lines.index(head) + 1 :][:3] == [
        "    in common: payment method toss (100 % of them, 3.1 % of all lines), hour 3",
        "      (100 % of them, 24 % of all lines)",
        "    quantity  18/100 failing  82.00 % good",
    ]


def test_a_clean_file_is_told_in_a_few_lines():
    """Nothing but the overview and the verdict."""
    clean = report("PASS", result("required_fields", "PASS", 10, 0), lines=10)

    assert text_of(clean).splitlines() == [
        "events_20260115.jsonl · 2026-01-15 · pandas",
        "",
        "  ✓ required_fields  PASS  100.00 %  0/10",
        "",
        "PASS: 10 lines, 10 good, 0 failing, 2.3 s",
    ]


def test_what_could_not_be_judged_says_why():
    """An INCONCLUSIVE report names its problems and the check that broke."""
    broken = report(
        "INCONCLUSIVE",
        result("required_fields", "INCONCLUSIVE", 0, 0, error="raised ValueError"),
        problems=("required_fields was not evaluated",),
    )
    text = text_of(broken)

    assert "Could not be judged:\n  required_fields was not evaluated" in text
    assert "! required_fields: raised ValueError" in text
    assert text.splitlines()[-1].startswith("INCONCLUSIVE: ")


@pytest.mark.parametrize("look", [Look(), Look(unicode=False), Look(colour=True)])
def test_every_line_but_a_command_fits_in_80_columns(look):
    """Long rule names and reasons are cut or moved to their own line."""
    long = "a_rule_with_a_very_long_name." * 3
    wordy = report(
        "FAIL",
        result(
            "required_fields",
            "FAIL",
            1_000_000,
            999_999,
            rules=(rule("x" * 30, 1_000_000, 999_999),),
            samples=(sample(1_000_000, "x" * 30, long * 3),),
        ),
        result("a_check", "PASS", 1_000_000, 1, rules=(rule(long, 1_000_000, 1),)),
    )
    lines = text_of(wordy, look=Look(unicode=look.unicode), failed_rows=Path("f.jsonl")).splitlines()

    assert max(map(output.wide, lines)) <= 80


def test_without_colour_no_escape_and_without_unicode_only_ascii():
    """Colour and shapes are additions; the words carry the meaning."""
    plain = text_of(DIRTY, look=Look(unicode=False))

    assert plain.isascii()
    assert "\x1b" not in plain
    assert "\x1b[31mFAIL\x1b[0m: 48,211 lines" in text_of(DIRTY, look=Look(colour=True))


def test_hostile_names_stay_inert():
    """Neither a file's name nor a rule of a foreign contract can act on the terminal."""
    text = text_of(
        report("FAIL", result("x", "FAIL", 9, 9, rules=(rule(HOSTILE, 9, 9),), error=HOSTILE)),
        file=HOSTILE,
        page=Path(HOSTILE),
        failed_rows=Path(HOSTILE),
    )

    assert not {"\x1b", "\x07", "\u202e", "\u200b", "\r", "\x9b"} & set(text)
    assert text.splitlines()[-1].startswith("FAIL: ")


def test_the_command_for_all_failing_lines_can_be_typed():
    """A name with spaces is quoted, a name that cannot be shown is left to the reader."""
    assert "daygate check 'a b.jsonl' --date 2026-01-15 --failed-rows" in text_of(DIRTY, file="a b.jsonl")
    assert "daygate check FILE --date" in text_of(DIRTY, file=HOSTILE)


@given(st.text())
def test_visible_text_is_one_line_a_terminal_only_shows(text):
    """Whatever the text, nothing unprintable is left and the rest is untouched."""
    shown = visible(text, limit=10_000)

    assert not {"Cc", "Cf", "Cs", "Zl", "Zp"} & {unicodedata.category(c) for c in shown}


@given(st.integers(0, 10**7), st.integers(1, 10**7))
def test_a_rate_is_never_rounded_up(good, more):
    """What is shown times the lines never exceeds the good lines."""
    of = good + more
    shown = percent(good, of)

    assert int(shown.replace(".", "").removesuffix(" %")) * of <= good * 10_000
    assert shown != "100.00 %"


SUMMARY = DaySummary(
    run_id="r1",
    day=DAY,
    attempt=1,
    trigger="cli",
    engine="pandas",
    status="published",
    verdict=Verdict.PASS,
    delivery_sha256="a" * 64,
    lines=1000,
    loaded=998,
    quarantined=2,
    unique_users=50,
    sessions=80,
    purchases=9,
    revenue="1234567.000000000000000000",
    timings={"check": 1.2, "stage": 0.51},
    started_at=datetime(2026, 1, 16, tzinfo=UTC),
    finished_at=None,
    is_current=True,
)


def summary(**changes: object) -> DaySummary:
    """The usual summary with changes."""
    return DaySummary(**{**{name: getattr(SUMMARY, name) for name in DaySummary.__slots__}, **changes})


def ran(given: DaySummary, judged: CheckReport | None = None, *, unchanged: bool = False) -> list[str]:
    """What `run` prints of it, line by line."""
    timings = {"stage": 0.51, "check": 1.2}
    text = report_text.ran(
        given, judged, page=None, unchanged=unchanged, timings=timings, took=3.0, samples=5, look=Look()
    )
    return text.splitlines()


def test_a_published_day_tells_figures_and_steps():
    """Users, sessions, purchases, revenue, seconds per step, and the verdict last."""
    lines = ran(SUMMARY, report("PASS", result("required_fields", "PASS", 1000, 2)))

    assert lines[0] == "day 2026-01-15 · run r1 · pandas"
    assert "  published: 50 users · 80 sessions · 9 purchases · 1,234,567 won" in lines
    assert "  steps: stage 0.5 s · check 1.2 s" in lines
    assert lines[-1] == "PASS 2026-01-15: published, 1,000 lines, 998 loaded, 2 quarantined, 3.0 s"


def test_a_day_that_was_there_already_says_so():
    """An unchanged day is not mistaken for a fresh one."""
    assert "  Published before from the same delivery and contract; nothing was changed." in ran(
        SUMMARY, unchanged=True
    )


def test_a_failing_check_without_samples_offers_no_line_in_full():
    """`--limit 0`: what is told can be typed."""
    bare = report("FAIL", result("value_ranges", "FAIL", 48211, 18, rules=(rule("quantity", 100, 18),)), failing=18)
    text = text_of(bare)

    assert "--failed-rows" in text
    assert "--explain" not in text


def test_a_run_that_did_nothing_tells_neither_figures_nor_steps():
    """No empty lines where there is nothing to tell."""
    nothing = summary(status="failed", verdict=None, loaded=0, quarantined=0, lines=0)
    text = report_text.ran(nothing, None, page=None, unchanged=False, timings={}, took=3.0, samples=5, look=Look())
    title, empty, last = text.splitlines()

    assert (title.startswith("day 2026-01-15"), empty, "failed" in last) == (True, "", True)


def test_a_run_without_a_verdict_ends_with_its_status():
    """A failed step is named by the status word."""
    assert ran(summary(verdict=None, status="failed", loaded=0))[-1].startswith("FAILED 2026-01-15: failed, ")


def test_status_shows_missing_days_together_and_the_newest_attempt():
    """Newest first; a gap is one line; of two attempts the newer counts."""
    blocked = summary(day=date(2026, 1, 12), status="blocked", verdict=Verdict.FAIL, loaded=0, quarantined=1000)
    history = [SUMMARY, blocked, summary(day=DAY, attempt=2, run_id="r2")]
    lines = tables.status(history, last=DAY, days=5, look=Look()).splitlines()

    assert lines == [
        "day         outcome         lines  loaded  quarantined  run",
        "2026-01-15  PASS published  1,000     998            2  r2",
        "2026-01-14  2 days missing",
        "2026-01-12  FAIL blocked    1,000       0        1,000  r1",
        "2026-01-11  missing",
        "",
        "1 of 5 days published",
    ]


def test_status_without_any_run_names_the_next_command():
    """A fresh installation is told how to begin."""
    assert tables.status([], last=DAY, days=5, look=Look()) == (
        "No runs from 2026-01-11 to 2026-01-15.\n  try: daygate run"
    )


def test_findings_show_what_to_do_only_where_something_is_wrong():
    """A hint stands under a problem."""
    found = [
        Finding(name="python", ok=True, detail="3.11", hint="unused"),
        Finding(name="disk", ok=False, detail="1 MB free", hint="make room"),
    ]

    assert tables.findings(found, Look()).splitlines() == [
        "  ok       python  3.11",
        "  PROBLEM  disk    1 MB free",
        "    try: make room",
        "",
        "1 of 2 need attention.",
    ]


def document(judged: CheckReport, file: str = "events_20260115.jsonl") -> dict:
    """The JSON document of a report."""
    return output_json.check_document(
        judged, version="0.1.0", file=file, sha256="0" * 64, day=DAY, engine="pandas", seconds=2.34567
    )


def test_json_has_the_promised_keys_in_the_promised_order():
    """Scripts of other people rely on names and order."""
    made = document(DIRTY)

    assert list(made) == (
        [
            "daygate",
            "file",
            "sha256",
            "day",
            "engine",
            "verdict",
            "lines",
            "good_lines",
            "failing_lines",
            "seconds",
            "checks",
        ]
    )
    assert list(made["checks"][1]) == (
        [
            "id",
            "type",
            "verdict",
            "severity",
            "evaluated_rows",
            "failed_rows",
            "pass_rate",
            "threshold",
            "rules",
            "samples",
        ]
    )
    assert list(made["checks"][1]["rules"][0]) == ["id", "field", "evaluated_rows", "failed_rows"]
    assert list(made["checks"][1]["samples"][0]) == ["line", "event_id", "rule", "field", "reason"]
    assert made["seconds"] == 2.346


def test_json_fits_its_schema_alone_and_as_an_array():
    """The schema is valid Draft-07 and describes both forms."""
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    for several in (False, True):
        jsonschema.validate(json.loads(output_json.dumps([document(DIRTY)], several=several)), SCHEMA)


def test_an_added_expectation_that_fails_is_told_in_every_form():
    """Nobody reads FAIL beside seven checks that passed without being told why; what passed is not told."""
    added = (result("at least one line", "PASS", 0, 0), result("expect_x (os)", "FAIL", 0, 0))
    judged = report("FAIL", *(result(check.id, "PASS", 10, 0) for check in CHECKS), lines=10, added=added)
    made = document(judged)
    suite = output_junit.checked(
        judged, file="f", sha256="0" * 64, day=DAY, engine="pandas", began=datetime.now(UTC), seconds=1.0, samples=1
    )
    jsonschema.validate(made, SCHEMA)

    assert "  ✗ expect_x (os)       FAIL\n" in text_of(judged)
    assert "at least one line" not in text_of(judged)
    assert made["added"] == [{"id": "expect_x (os)", "severity": "critical", "verdict": "FAIL"}]
    assert suite.cases[0][1].message == "FAIL: expect_x (os)"


def test_json_is_ascii_and_comes_back_unchanged():
    """Hostile values act on no terminal and are still exact; bytes that are no UTF-8 become text."""
    text = output_json.dumps([document(DIRTY, output_json.file_name("\udcff\x7f한.jsonl"))], several=False)
    back = json.loads(text)

    assert text.isascii()
    assert "\x7f" not in text
    assert back["file"] == "\\udcff\x7f한.jsonl"
    assert back["checks"][1]["samples"][0]["event_id"] == HOSTILE


def test_the_look_follows_terminal_encoding_and_no_color():
    """A pipe is plain; NO_COLOR and a dumb terminal switch colour off; ASCII switches the shapes off."""

    class Terminal(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    terminal = Terminal(io.BytesIO(), encoding="utf-8")
    ascii_terminal = Terminal(io.BytesIO(), encoding="ascii")

    assert output.look_of(terminal, {"TERM": "xterm"}).colour
    assert not output.look_of(terminal, {"TERM": "xterm", "NO_COLOR": "1"}).colour
    assert not output.look_of(terminal, {"TERM": "dumb"}).colour
    assert not output.look_of(io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), {}).colour
    assert not output.look_of(ascii_terminal, {}).unicode


@pytest.mark.parametrize(
    ("text", "cells", "shown"),
    [
        ("value_ranges", 12, "value_ranges"),
        ("value_ranges", 9, "value_ra…"),
        ("가나다라마바사", 9, "가나다라…"),
        ("value_ranges", 7, ""),
    ],
)
def test_what_does_not_fit_is_cut_or_left_out(text, cells, shown):
    """Never wider than asked; too little to mean anything is nothing."""
    assert Look().fit(text, cells) == shown


@pytest.mark.parametrize(
    ("took", "said"), [(0.04, "0.0 s"), (59.7, "59.7 s"), (124.6, "2 min 05 s"), (3600, "60 min 00 s")]
)
def test_seconds_become_minutes_where_a_person_would_count_them(took, said):
    """Tenths of a second matter in a short step and not in a long one."""
    assert output.seconds(took) == said


def test_a_program_without_streams_says_nothing(monkeypatch):
    """A service without a terminal has none, and must not fail for it."""
    monkeypatch.setattr(sys, "stdout", None)
    output.write("nobody hears")

    assert output.look_of(None) == Look()


def test_columns_stand_under_each_other_with_wide_letters():
    """Korean letters take two cells."""
    assert output.columns([("가", "1"), ("abc", "22")], ("<", ">")) == ["  가    1", "  abc  22"]


@pytest.mark.parametrize(
    ("codes", "expected"), [((), 0), ((0, 0), 0), ((0, 1), 1), ((1, 5), 5), ((5, 3), 3), ((3, 4, 1), 4)]
)
def test_the_worst_outcome_counts(codes, expected):
    """Refused before not judged, before busy, before FAIL."""
    assert expected == worst(codes)


def test_rules_show_threshold_sentence_and_source_in_80_columns():
    """Each rule stands beside what it says and where the contract says so."""
    checks = [replace(CHECKS[2], says="A line fails when it is bad. " * 4)]
    always = nw.lit(value=True)
    members = [
        Rule(
            id=name,
            check="value_ranges",
            field=name,
            says=f"{name} is outside the range of the contract, or is of a wrong type",
            source=f"/properties/{name}",
            applies=always,
            fails=always,
        )
        for name in ("quantity", HOSTILE[:9])
    ]
    text = tables.rules(
        [(checks[0], members)],
        source="schema.json",
        thresholds={"value_ranges": 0.995},
        severities={"value_ranges": "warning"},
        floor=0.9,
        floor_lines=5,
        look=Look(),
    )

    assert "value_ranges (range_check, warning): 99.5 % of lines must be good." in text
    assert "[/properties/quantity]" in text
    assert "Every single rule also needs 90 % once 5 lines fail it." in text
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80


def logged(name: str, message: str, *, level: int = logging.WARNING, error: Exception | None = None) -> str:
    """A record as it is written."""
    info = (type(error), error, None) if error else None
    return screen.Plain().format(logging.LogRecord(name, level, "f", 1, message, None, info))


def test_a_log_record_is_one_line_without_values_of_exceptions():
    """Nothing in a message can begin a line of its own or act on a terminal."""
    text = logged("pipeline.x", f"a\nCRITICAL fake {HOSTILE}", error=ValueError("U000123"))

    assert "\n" not in text
    assert "\x1b" not in text
    assert text.endswith("(ValueError)")
    assert "U000123" not in text


def test_an_alert_in_the_log_keeps_its_lines_indented():
    """What Slack would have shown stays readable."""
    assert logged(screen.ALERTS, "Gate failed\n2 checks") == "WARNING daygate.alerts: Gate failed\n    2 checks"


def test_beside_a_printed_report_an_alert_is_one_line():
    """The terminal does not tell the same twenty lines twice."""
    record = logging.LogRecord(screen.ALERTS, logging.ERROR, "f", 1, "daygate: FAIL\n2 checks\nRun 1", None, None)

    assert screen.Plain(short_alerts=True).format(record) == "ERROR daygate.alerts: daygate: FAIL"


@pytest.mark.parametrize(("level", "shown"), [("ERROR", 1), ("WARNING", 1), ("INFO", 2)])
def test_the_log_level_holds_for_alerts_too(level, shown, capsys, monkeypatch):
    """A completed day is no news at the usual level; a closed gate is at every level."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    monkeypatch.setattr(logging.getLogger(), "level", logging.WARNING)
    screen.configure_logging(level)
    logging.getLogger(screen.ALERTS).error("gate failed")
    logging.getLogger(screen.ALERTS).info("day completed")
    logging.captureWarnings(capture=False)

    assert len(capsys.readouterr().err.splitlines()) == shown
