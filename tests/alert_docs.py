"""What `docs/alerts.md` shows: an example of each kind of alert, and what the sender does about each fault."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, time, timedelta
from pathlib import Path

from pipeline import alerts, lateness
from pipeline.alert_text import compose, summary
from pipeline.marts import MartTables
from pipeline.records import (
    OUTSIDE,
    Alert,
    Change,
    CheckReport,
    CheckResult,
    Commonality,
    Findings,
    Release,
    RuleResult,
    Run,
    Sample,
    Verdict,
    VolumeFinding,
)
from pipeline.slack import plain
from pipeline.words import Language

DAY = date(2026, 1, 15)
RUN_ID = "20260115-1-4f2a9c01"

#: What Slack or the way to it does, what the sender does about it, and the test that shows it.
FAULTS = (
    ("200", "settled, the next alert follows", "test_alerts_are_sent_in_the_order_they_were_raised"),
    (
        "429 with `Retry-After`",
        "all alerts wait as long as asked (an hour at most)",
        "test_fault_32_retry_after_is_honoured_and_holds_up_the_others",
    ),
    (
        "500, 503 and other statuses",
        "tried again after 5 s, doubled up to 15 min, ± 25 %",
        "test_fault_33_a_slack_that_is_down_is_tried_again_with_growing_waits",
    ),
    ("a redirect", "not followed; tried again", "test_fault_34_a_passing_trouble_puts_the_alert_off"),
    ("the connection is cut", "tried again", "test_fault_34_a_passing_trouble_puts_the_alert_off"),
    ("no answer for 5 s", "tried again", "test_fault_34_a_passing_trouble_puts_the_alert_off"),
    (
        "an answer byte by byte",
        "left after 10 s in all, tried again",
        "test_fault_34_a_passing_trouble_puts_the_alert_off",
    ),
    (
        "refused, unknown name, no TLS",
        "tried again; the address is in no message",
        "test_an_address_that_does_not_answer_is_tried_again",
    ),
    (
        "400, 413, `invalid_blocks`",
        "sent once more as text alone, at once",
        "test_a_form_that_slack_refuses_is_sent_as_text",
    ),
    (
        "400 also for the text; 401, 403, 404, 410; `invalid_auth`, `channel_not_found`, …",
        "given up: text to the log, `/readyz` red, next alert tried",
        "test_what_no_repeating_cures_gives_the_alert_up_and_the_next_one_is_tried",
    ),
    (
        "trouble for 24 h or 120 tries",
        "given up, likewise",
        "test_a_trouble_without_end_gives_the_alert_up",
    ),
    (
        "the sender dies before Slack has it",
        "the next sender sends it",
        "test_a_sender_that_dies_leaves_the_alert_to_the_next",
    ),
    (
        "the sender dies after Slack has it",
        "sent a second time, word for word",
        "test_a_sender_that_dies_leaves_the_alert_to_the_next",
    ),
    ("several instances", "one sends at a time, each alert once", "test_several_instances_send_each_alert_once"),
    ("a hundred bad days at once", "ten messages, the last one a summary", "test_a_flood_is_told_in_ten_messages"),
    ("a dead Slack while a day runs", "neither verdict nor tables change", "test_a_day_is_decided_whatever_slack_does"),
    (
        "no Slack in the settings",
        "the text goes to the log",
        "test_without_slack_the_log_says_it_in_the_language_of_the_settings",
    ),
)


def fault_table() -> str:
    """The faults as Markdown."""
    rows = ["| Slack, or the way to it | what happens | test in `tests/test_outbox_sender.py` |", "|---|---|---|"]
    return "\n".join([*rows, *(f"| {fault} | {then} | `{test}` |" for fault, then, test in FAULTS)])


def examples() -> list[tuple[str, Alert, bool]]:
    """Title, alert, and whether the day was told to be bad before."""
    closed = alerts.gate_failed(
        day=DAY, run_id=RUN_ID, verdict=Verdict.FAIL, checks=_checks(), lines=40_213, failing_lines=2_107
    )
    run = Run(run_id=RUN_ID, day=DAY, attempt=2, trigger="tick", fence=2, folder=Path())
    tables = MartTables(rows={}, unique_users=2_011, sessions=5_120, purchases=412, revenue="58120300")
    report = CheckReport(
        verdict=Verdict.PASS, checks=_checks(failed=31), lines=40_213, failing_lines=31, failing=Path(),
        findings=Findings(volume=_found().volume),
    )  # fmt: skip
    done = alerts.day_completed(run=run, report=report, rows=40_182, totals=tables)
    release = Release(run_id=RUN_ID, by="Kim (ops)", reason="The app of one partner, fixed tomorrow")
    decided = replace(report, verdict=Verdict.FAIL, checks=_checks())
    tomorrow = DAY + timedelta(days=1)
    return [
        ("The gate stayed shut", alerts.with_findings(closed, _found()), False),
        ("The corrected file of the same day fails as well", closed, True),
        ("A step failed", alerts.step_failed(day=DAY, run_id=RUN_ID, step="load", attempt=3,
                                             error="The connection to PostgreSQL was lost while loading."), False),
        ("Once a day, for a week", alerts.still_bad(day=DAY, run_id=RUN_ID, since=tomorrow, today=DAY), False),
        ("The day is good after all", alerts.recovered(done, since=tomorrow), False),
        ("A day is published", done, False),
        ("A person published the good lines", alerts.day_released(run=run, report=decided, rows=38_106, totals=tables,
                                                                  release=release), False),
        ("No file came", lateness.missing([DAY], by=time(9)), False),
        ("Not published by the time promised", lateness.unpublished([DAY], by=time(10)), False),
    ]  # fmt: skip


def worded(language: Language) -> str:
    """All examples as Markdown, as the log would tell them."""
    parts = [
        f"**{title}**\n\n```text\n{plain(compose(alert, language=language, again=again))}\n```"
        for title, alert, again in examples()
    ]
    many = [replace(alert, day=DAY + timedelta(days=n)) for n in range(31) for _, alert, _ in examples()[:1]]
    many += [replace(examples()[5][1], day=DAY + timedelta(days=40 + n)) for n in range(3)]
    return "\n\n".join([*parts, f"**A flood**\n\n```text\n{plain(summary(many, language=language))}\n```"])


def _checks(failed: int = 2_107) -> tuple[CheckResult, ...]:
    good, lines = "order_total", 40_213
    rule = RuleResult(id="browser", field="browser", evaluated_rows=lines, failed_rows=failed)
    samples = tuple(Sample(line=n, event_id=None, rule="browser", field="browser", reason="x") for n in (17, 52))
    verdict = Verdict.PASS if failed < lines // 100 else Verdict.FAIL
    return (
        CheckResult(
            id="value_ranges", type="range_check", verdict=verdict, severity="critical", evaluated_rows=lines,
            failed_rows=failed, pass_rate=1 - failed / lines, threshold=0.99, rules=(rule,), samples=samples,
        ),
        CheckResult(
            id=good, type="integrity_check", verdict=Verdict.PASS, severity="critical", evaluated_rows=412,
            failed_rows=0, pass_rate=1.0, threshold=0.99,
        ),
    )  # fmt: skip


def _found() -> Findings:
    common = (
        Commonality(dimension="os", value="iOS", failing_share=1.0, overall_share=0.241, failing_lines=2_107),
        Commonality(dimension="browser", value=OUTSIDE, failing_share=1.0, overall_share=0.052, failing_lines=2_107),
    )
    change = Change(
        check_id="value_ranges", first_bad_day=DAY - timedelta(days=1), last_good_day=DAY - timedelta(days=2),
        usual_pass_rate=0.99921, pass_rate=1 - 2_107 / 40_213, commonalities=common,
    )  # fmt: skip
    volume = VolumeFinding(metric="orders", value=412, low=702, median=890, high=1_078, days=8)
    return Findings(changes=(change,), volume=(volume,))
