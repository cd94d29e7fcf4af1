"""Alerts: wording within Slack's limits, delivery that never raises, and the action inside the checkpoint."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import replace
from datetime import date, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from docs_fixtures import checked, event, good_day
from pydantic import SecretStr
from slack_sdk.models.blocks import Block
from slack_server import CANARY, SlackServer

from gx.slack import DaygateAlert, read_alerts
from pipeline import lateness
from pipeline.alert_text import MAX_BLOCKS, MAX_HEADER, MAX_SECTION, MAX_TEXT, SlackMessage, compose, summary
from pipeline.alerts import (
    day_completed,
    day_released,
    gate_failed,
    mask,
    recovered,
    step_failed,
    still_bad,
    with_findings,
)
from pipeline.errors import StepFailed
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
from pipeline.slack import Channel, send
from pipeline.words import Words

pytest_plugins = ["slack_fixtures"]

DAY = date(2026, 1, 15)
HOSTILE = (
    "<!channel> <@U123> <https://evil.example|bank> & @here #general",
    "```\n*bold* _italic_ ~gone~ `code`",
    "\u202eevil\u2066 \x1b[2J\x07\x00\x9b\u200b \ud800",
    "https://evil.example http://x",
    "{0.__class__} {name} %s %n $x ${x} {{7*7}}",
    "2026-01-15 CRITICAL fake\r\nline",
    "&" * 5000,
    "ａ" * 5000,
)


def check(name: str = "value_ranges", *, failed: int = 31, **changes: Any) -> CheckResult:
    """A check that found `failed` of 1,000 lines failing."""
    usual: dict[str, Any] = {
        "id": name, "type": "range_check", "verdict": Verdict.FAIL if failed else Verdict.PASS, "severity": "critical",
        "evaluated_rows": 1000, "failed_rows": failed, "pass_rate": 1 - failed / 1000, "threshold": 0.99,
        "rules": (RuleResult(id="page_type", field="page_type", evaluated_rows=900, failed_rows=failed),),
        "samples": tuple(Sample(line=n, event_id="x", rule="page_type", field=None, reason="r") for n in (7, 12, 30)),
    }  # fmt: skip
    return CheckResult(**(usual | changes))


def closed_gate(*checks: CheckResult, **changes: Any) -> Alert:
    """The alert of a day that failed."""
    usual: dict[str, Any] = {"day": DAY, "run_id": "20260115-1", "verdict": Verdict.FAIL, "lines": 1000}
    return gate_failed(**(usual | {"checks": checks or (check(), check("order_total", failed=0))} | changes))


def texts(message: SlackMessage) -> str:
    """Everything Slack would show."""
    return message.text + json.dumps(message.blocks, ensure_ascii=False)


def completed(report: CheckReport, *, run_id: str = "20260115-1", revenue: str = "12345678") -> Alert:
    """The alert of a day that is published."""
    run = Run(run_id=run_id, day=DAY, attempt=1, trigger="cli", fence=1, folder=Path("x"))
    totals = MartTables(rows={}, unique_users=800, sessions=1200, purchases=95, revenue=revenue)
    return day_completed(run=run, report=report, rows=9990, totals=totals)


def released(report: CheckReport, *, text: str | None = None, reason: str = "why") -> Alert:
    """The alert of a failed day whose good lines a person published; `text` wherever it can hold some."""
    run = Run(run_id=text or "20260115-1", day=DAY, attempt=2, trigger="release", fence=2, folder=Path("x"))
    totals = MartTables(rows={}, unique_users=800, sessions=1200, purchases=95, revenue=text or "12345678")
    decision = Release(run_id=text or "20260115-0", by=text or "Kim (root)", reason=text or reason)
    return day_released(run=run, report=report, rows=9990, totals=totals, release=decision)


def found(text: str = "Edge") -> Findings:
    """What changed in `value_ranges`, and an unusual figure each of two kinds."""
    common = tuple(
        Commonality(dimension=name, value=text, failing_share=0.975, overall_share=0.024, failing_lines=30)
        for name in ("browser", text)
    )
    change = Change(
        check_id="value_ranges" if text == "Edge" else text, first_bad_day=date(2026, 1, 12),
        last_good_day=date(2026, 1, 11), usual_pass_rate=0.99987, pass_rate=0.969, commonalities=common,
    )  # fmt: skip
    volume = tuple(
        VolumeFinding(metric=metric, value=1200.5, low=8457.5, median=9950.0, high=11442.4, days=8)
        for metric in ("events", "users", "orders", "revenue", "arrived")
    )
    return Findings(changes=(change,), volume=volume)


def every_kind(text: str = "plain") -> list[Alert]:
    """One alert of each kind with `text` wherever it can hold some."""
    checks = (check(text, rules=(RuleResult(id=text, field=text, evaluated_rows=9, failed_rows=9),)),)
    report = CheckReport(verdict=Verdict.PASS, checks=checks, lines=1000, failing_lines=3, failing=Path("x"))
    closed = closed_gate(*checks, check(text, verdict=Verdict.INCONCLUSIVE, error=text), problems=(text,), run_id=text)
    published = completed(replace(report, findings=found(text)), run_id=text, revenue=text)
    return [
        with_findings(closed, found(text)),
        step_failed(day=DAY, run_id=text, step=text, attempt=2, error=text),
        still_bad(day=DAY, run_id=text, since=DAY, today=DAY),
        published,
        recovered(published, since=DAY),
        released(report, text=text),
    ]


def test_a_release_says_who_why_what_is_published_and_which_checks_failed() -> None:
    """Whoever reads it knows that the gate was overridden and can ask the person who did it."""
    report = CheckReport(verdict=Verdict.FAIL, checks=(check(),), lines=1000, failing_lines=31, failing=Path("x"))
    message = compose(released(report, reason="The till of U123456 was down"))

    assert message.level == logging.WARNING
    assert message.text == (
        "daygate 2026-01-15: released by hand\n"
        "*Released* by Kim (root), only the good lines: The till of U…6 was down\n"
        "9,990 events, 800 users, 95 purchases, 12,345,678 won; 31 lines in quarantine.\n"
        "The gate had blocked this day (run 20260115-0):\n"
        "*value_ranges* 96.90 % good, 99 % needed: 31 of 1,000 lines fail. "
        "Worst rule: page_type (31). For example line 7, 12.\n"
        "Run 20260115-1"
    )


def test_a_closed_gate_tells_name_rate_worst_rule_count_and_two_lines() -> None:
    """Someone who reads the message knows what failed, how bad, and where to look."""
    message = compose(closed_gate(failing_lines=31))

    assert message.text == (
        "daygate 2026-01-15: FAIL\n"
        "1 of 2 checks did not pass over 1,000 lines. Nothing of this day is published. 31 lines are in quarantine.\n"
        "*value_ranges* 96.90 % good, 99 % needed: 31 of 1,000 lines fail. "
        "Worst rule: page_type (31). For example line 7, 12.\n"
        "See them: daygate quarantine show 2026-01-15. Then run a corrected file, or publish the good lines: "
        "daygate release 2026-01-15 --reason …\n"
        "Run 20260115-1"
    )


def test_a_day_that_its_volume_blocks_says_so_and_counts_no_check() -> None:
    """Seven checks passed and the day is closed all the same: nobody must look for the failing check."""
    said = compose(with_findings(closed_gate(check("order_total", failed=0)), found())).text

    assert "No check blocks this day, its volume does (1,000 lines). Nothing of this day is published." in said
    assert "checks did not pass" not in said


def test_a_failing_check_without_a_worst_rule_or_samples_leaves_them_out() -> None:
    """An expectation of a shop's own has neither."""
    said = compose(closed_gate(check("value_ranges", rules=(), samples=()))).text

    assert "fail" in said
    assert "Worst rule" not in said
    assert "For example" not in said


def test_what_could_not_be_judged_is_said_with_its_reason() -> None:
    """INCONCLUSIVE is not a failing rate; the message says what happened."""
    raised = check(verdict=Verdict.INCONCLUSIVE, error="could not be judged (KeyError)")
    message = compose(closed_gate(raised, verdict=Verdict.INCONCLUSIVE, problems=("value_ranges could not be judged",)))

    assert "daygate 2026-01-15: INCONCLUSIVE" in message.text
    assert "*value_ranges* could not be judged (KeyError)" in message.text


def test_a_failed_step_tells_step_day_attempt_and_error() -> None:
    """The message names what to look at."""
    message = compose(step_failed(day=DAY, run_id="r-1", step="load", attempt=3, error="The database went away."))

    assert "daygate 2026-01-15: step load failed" in message.text
    assert "Step load, attempt 3: The database went away." in message.text


def test_a_completed_day_tells_its_figures_and_every_pass_rate() -> None:
    """Events, users, revenue, pass rates and quarantine in one message; exact amounts stay exact."""
    checks = (check(failed=3, verdict=Verdict.PASS), check("order_total", failed=40, severity="warning"))
    report = CheckReport(verdict=Verdict.PASS, checks=checks, lines=10_000, failing_lines=10, failing=Path("x"))
    message = compose(completed(report, revenue="1234567.50"))

    assert "9,990 events, 800 users, 95 purchases, 1,234,567.50 won; 10 lines in quarantine." in message.text
    assert "value_ranges: 99.70 %\norder_total: 96.00 %" in message.text
    assert "With a warning: order_total" in message.text


def test_alerts_are_the_same_message_however_often_they_are_made() -> None:
    """A key names the message, so that a second copy can be told from a second event."""
    assert closed_gate().dedupe_key == closed_gate(failing_lines=5).dedupe_key
    assert len({alert.dedupe_key for alert in every_kind()}) == 6
    assert [json.loads(json.dumps(alert.facts)) for alert in every_kind()] == [a.facts for a in every_kind()]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text)[:20])
def test_no_value_mentions_links_formats_or_hides(text: str) -> None:
    """Whatever a fact holds, Slack shows it and does nothing else."""
    for alert in every_kind(text):
        shown = texts(compose(alert))
        assert not [mark for mark in ("<", ">", "@", "`", "~", "://", "_italic") if mark in shown]
        assert not [c for c in shown if c in "\u202e\u2066\x1b\x07\x00\x9b\u200b\ud800\r"]
        assert "*bold*" not in shown


@pytest.mark.parametrize("text", ["plain", *HOSTILE], ids=lambda text: ascii(text)[:20])
@pytest.mark.parametrize("language", ["en", "ko"])
def test_every_message_stays_within_what_slack_takes(text: str, language: Any) -> None:
    """Slack refuses a message that is too long, and the alert would be lost."""
    many = closed_gate(*[check(f"{text}{n}", failed=n + 1) for n in range(60)], problems=[text] * 60)
    for alert in [many, *every_kind(text)]:
        message = compose(alert, language=language)
        assert 0 < len(message.text) <= MAX_TEXT
        assert len(message.blocks) <= MAX_BLOCKS
        assert len(message.blocks[0]["text"]["text"]) <= MAX_HEADER
        assert all(0 < len(b["text"]["text"]) <= MAX_SECTION for b in message.blocks if b["type"] == "section")
        for block in message.blocks:
            Block.parse(block).validate_json()


def test_ids_of_people_visits_and_orders_are_masked() -> None:
    """Alerts travel further than the data; no id travels with them."""
    said = mask("user U123456 order ORD20260115000017 visit 0f8fad5b-d9cb-469f-a165-70867728950e line 1200345")

    assert said == "user U…6 order O…7 visit 0…e line 1200345"
    assert "U123456" not in texts(compose(step_failed(day=DAY, run_id="r", step="load", attempt=1, error="U123456")))


def address(server: SlackServer, mode: str) -> Channel:
    """A webhook whose path must never be seen."""
    return Channel(webhook=SecretStr(f"{server.address}/services/{CANARY}/{mode}"))


def test_a_delivered_message_carries_text_and_blocks(slack: SlackServer) -> None:
    """What was composed is what arrives, without previews of links."""
    message = compose(closed_gate())
    delivered = send(message, address(slack, "200"))

    assert (delivered.ok, delivered.detail) == (True, "HTTP 200")
    assert len(slack.got) == 1
    assert slack.got[0][1] == {
        "text": message.text, "blocks": list(message.blocks), "unfurl_links": False, "unfurl_media": False
    }  # fmt: skip


@pytest.mark.parametrize(
    ("mode", "limits", "detail"),
    [
        ("500", {}, "HTTP 500"),
        ("429", {}, "HTTP 429"),
        ("404", {}, "HTTP 404"),
        ("302", {}, "HTTP 302"),
        ("cut", {}, "RemoteDisconnected"),
        # Only the limit that is tried is short: a busy machine must not meet the other one first.
        ("hang", {"timeout": 1, "deadline": 60}, "TimeoutError"),
        ("drip", {"timeout": 60, "deadline": 2}, "no answer within 2 s"),
    ],
)
def test_a_dead_slack_is_told_and_the_alert_is_in_the_log(
    slack: SlackServer, caplog: pytest.LogCaptureFixture, mode: str, limits: dict[str, float], detail: str
) -> None:
    """Sending never raises, never repeats, never follows a redirect and never shows the address."""
    with caplog.at_level(logging.DEBUG):
        delivered = send(compose(closed_gate()), address(slack, mode), **limits)

    assert (False, detail) == (delivered.ok, delivered.detail)
    assert len(slack.got) == 1
    assert "value_ranges" in caplog.text
    assert CANARY not in caplog.text + repr(delivered)


@pytest.mark.parametrize(
    "webhook",
    [f"http://127.0.0.1:1/{CANARY}", f"ftp://{CANARY}", CANARY, f"http://[{CANARY}", f"https://{CANARY}.invalid/x"],
)
def test_an_address_that_is_nowhere_is_told_without_being_shown(caplog: pytest.LogCaptureFixture, webhook: str) -> None:
    """Refused connections and malformed addresses are details, not exceptions."""
    with caplog.at_level(logging.DEBUG):
        delivered = send(compose(closed_gate()), Channel(webhook=SecretStr(webhook)), timeout=1, deadline=2)

    assert not delivered.ok
    assert CANARY not in caplog.text + repr(delivered)


def test_without_a_webhook_the_log_says_the_same(caplog: pytest.LogCaptureFixture) -> None:
    """The text goes to the log, bad news as errors, a completed day as information."""
    with caplog.at_level(logging.INFO):
        for alert in every_kind("a & b"):
            assert send(compose(alert), None).ok

    assert [record.levelname for record in caplog.records] == [
        "ERROR", "ERROR", "ERROR", "INFO", "WARNING", "WARNING",
    ]  # fmt: skip
    assert "a & b" in caplog.text


@pytest.fixture(scope="module")
def bad_rows() -> list[dict[str, Any]]:
    """A day on which 40 of 400 lines have a page type outside the contract."""
    return [event(n, page_type="nowhere") for n in range(1, 41)] + good_day(400)[40:]


def test_the_action_writes_one_alert_when_the_gate_stays_closed(bad_rows: Any, tmp_path: Path) -> None:
    """The alert of the run holds the figures of the checks, ready for the outbox."""
    outbox = tmp_path / "work" / "alerts.json"
    action = DaygateAlert(outbox=str(outbox), day="2026-01-15")
    result = checked(bad_rows, actions=[action], run_name="20260115-1")
    (alert,) = read_alerts(outbox)

    assert not result.success
    assert (alert.kind, alert.day, alert.dedupe_key) == ("gate_failed", DAY, "gate_failed:2026-01-15:20260115-1")
    assert "1 of 7 checks did not pass over 400 lines." in compose(alert).text
    assert (
        "*value_ranges* 90.00 % good, 99 % needed: 40 of 400 lines fail. Worst rule: page_type (40)."
        in compose(alert).text
    )


def test_the_action_writes_nothing_when_the_gate_opens(tmp_path: Path) -> None:
    """Neither a PASS nor a mere warning is an alarm."""
    warned = {"severities": {"value_ranges": "warning"}}
    checked(good_day(400), actions=[DaygateAlert(outbox=str(tmp_path / "alerts.json"))])
    checked([event(1, page_type="nowhere")] * 9 + good_day(99), actions=[DaygateAlert(outbox=str(tmp_path / "a"))])
    rows = [event(n, page_type="nowhere") for n in range(1, 41)] + good_day(400)[40:]
    checked(rows, actions=[DaygateAlert(outbox=str(tmp_path / "warned.json"))], **warned)

    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]
    assert read_alerts(tmp_path / "alerts.json") == []


def test_an_action_that_cannot_write_does_not_lose_the_result(
    bad_rows: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Great Expectations drops the whole result when an action raises; this one reports the type instead."""
    (tmp_path / "file").write_text("")
    action = DaygateAlert(outbox=str(tmp_path / "file" / "alerts.json"))
    result = checked(bad_rows, actions=[action])

    assert not result.success
    assert action.run(result) == {"error": "NotADirectoryError"} or action.run(result) == {"error": "FileExistsError"}
    assert "could not be written" in caplog.text


def test_a_damaged_alert_file_is_a_clear_error(tmp_path: Path) -> None:
    """What cannot be read is told, never skipped."""
    (tmp_path / "alerts.json").write_text('{"alerts": [{"kind"')

    with pytest.raises(StepFailed, match="is no file of alerts"):
        read_alerts(tmp_path / "alerts.json")


# -- what changed, in both languages -------------------------------------------------------------

ENGLISH = """\
daygate 2026-01-15: FAIL (still bad)
1 of 2 checks did not pass over 1,000 lines. Nothing of this day is published. 31 lines are in quarantine.
*value_ranges* 96.90 % good, 99 % needed: 31 of 1,000 lines fail. Worst rule: page_type (31). For example line 7, 12. \
Bad since 2026-01-12, last good 2026-01-11. Usually 99.98 %. \
What they have in common: browser Edge (98 % of them, 2.4 % of all lines); Edge Edge (98 % of them, 2.4 % of all lines).
Unusual: 1,200 events; usually 9,950 (8,458 to 11,442, 8 such weekdays).
Unusual: 1,200 users; usually 9,950 (8,458 to 11,442, 8 such weekdays).
Unusual: 1,200 orders; usually 9,950 (8,458 to 11,442, 8 such weekdays).
Unusual: 1,200 ₩ of revenue; usually 9,950 ₩ (8,458 ₩ to 11,442 ₩, 8 such weekdays).
Late file: 1,200.5 h after the end of the day; usually 9,950.0 h (8 such weekdays).
See them: daygate quarantine show 2026-01-15. Then run a corrected file, or publish the good lines: \
daygate release 2026-01-15 --reason …
Run 20260115-1-0a1b2c3d"""

KOREAN = """\
daygate 2026-01-15: 실패 (계속 비정상)
1,000줄을 검사하여 2개 검사 중 1개가 통과하지 못했습니다. 이 날짜의 데이터는 공개되지 않습니다. 31줄이 격리되었습니다.
*value_ranges* 정상 96.90 %, 기준 99 %: 1,000줄 중 31줄 실패. 가장 많이 어긴 규칙: page_type (31줄). 예: 7, 12번째 줄. \
2026-01-12부터 비정상이며, 마지막 정상일은 2026-01-11입니다. 평소 99.98 %. \
공통점: 브라우저 Edge (실패한 줄의 98 %, 전체의 2.4 %); Edge Edge (실패한 줄의 98 %, 전체의 2.4 %).
평소와 다름: 이벤트 1,200, 평소 9,950 (8,458~11,442, 같은 요일 8일 기준).
평소와 다름: 사용자 1,200, 평소 9,950 (8,458~11,442, 같은 요일 8일 기준).
평소와 다름: 주문 1,200, 평소 9,950 (8,458~11,442, 같은 요일 8일 기준).
평소와 다름: 매출 1,200 ₩, 평소 9,950 ₩ (8,458 ₩~11,442 ₩, 같은 요일 8일 기준).
파일 지연: 하루가 끝나고 1,200.5시간 뒤 도착, 평소 9,950.0시간 (같은 요일 8일 기준).
확인: daygate quarantine show 2026-01-15. 수정한 파일을 다시 실행하거나, 정상 줄만 공개하려면 \
daygate release 2026-01-15 --reason …
실행 20260115-1-0a1b2c3d"""


@pytest.mark.parametrize(("language", "expected"), [("en", ENGLISH), ("ko", KOREAN)])
def test_a_closed_gate_tells_since_when_what_is_usual_and_what_is_common(language: Any, expected: str) -> None:
    """One message answers what, how bad, since when, why and what to do."""
    alert = with_findings(closed_gate(failing_lines=31, run_id="20260115-1-0a1b2c3d"), found())

    assert compose(alert, language=language, again=True).text == expected


@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_value_outside_the_contract_is_named_as_such(language: Any) -> None:
    """In words of ours."""
    said = compose(with_findings(closed_gate(), found(OUTSIDE)), language=language).text
    named = with_findings(closed_gate(check(OUTSIDE)), found(OUTSIDE))

    assert OUTSIDE not in said
    assert Words(language)("alert.outside") in compose(named, language=language).text


def test_a_first_failure_without_history_says_nothing_of_before() -> None:
    """Neither since when nor what is usual, when nobody can know."""
    new = replace(found().changes[0], last_good_day=None, usual_pass_rate=None, commonalities=())
    said = compose(with_findings(closed_gate(), Findings(changes=(new,)))).text

    assert not [words for words in ("since", "Usually", "common") if words in said]


def test_the_only_link_leads_to_the_page_of_the_day() -> None:
    """On the site of the settings, for days that were judged, whatever text a fact holds; the log has no link."""
    site = "https://gate.example.com/daygate/"
    for text in ("20260115-1-0a1b2c3d", *HOSTILE):
        linked = compose(closed_gate(run_id=text), site=site)
        assert re.findall("<[^>]*>", texts(linked)) == [
            "<https://gate.example.com/daygate/days/2026-01-15/index.html|open the page>"
        ]
        assert "<" not in linked.text
    assert "<" not in texts(compose(step_failed(day=DAY, run_id="r", step="load", attempt=1, error="x"), site=site))


@pytest.mark.parametrize("language", ["en", "ko"])
def test_many_alerts_are_one_message_within_slacks_limits(language: Any) -> None:
    """How many of each kind and which days, the bad ones first."""
    many = [replace(alert, day=DAY + timedelta(days=n)) for n in range(100) for alert in every_kind("*x*")]
    message, say = summary(many, language=language), Words(language)

    assert message.level == logging.ERROR
    assert len(message.text) <= MAX_TEXT
    assert "2026-01-15 – 2026-04-24" in message.text
    assert f"*{say('kind.gate_failed')}* (100" in message.text
    assert message.text.index(say("kind.gate_failed")) < message.text.index(say("kind.recovered"))
    for block in message.blocks:
        Block.parse(block).validate_json()


@pytest.mark.parametrize("language", ["en", "ko"])
def test_recovered_and_still_bad_say_since_when(language: Any) -> None:
    """The day's story in its thread."""
    by_kind = {alert.kind: compose(alert, language=language).text for alert in every_kind()}
    say = Words(language)

    assert by_kind["recovered"].count("2026-01-15") >= 2
    assert say("alert.recovered_header", day=DAY) in by_kind["recovered"]
    assert say("alert.still_said", day=DAY, since=DAY) in by_kind["still_bad"]


@pytest.mark.parametrize("site", [None, "https://gate.example.com"])
def test_what_belongs_to_no_run_names_none(site: str | None) -> None:
    """A day without a file has no run, so neither text nor blocks hold an empty line about one."""
    message = compose(lateness.missing([DAY], by=time(9)), site=site)

    assert "Run" not in message.text
    assert [block["type"] for block in message.blocks] == ["header", "section"]
