"""The checkpoint: seven checks over one metric, translated into a report that fails closed."""

from __future__ import annotations

import json
from dataclasses import replace

import polars as pl
import pytest

from expectations_custom.checks import CHECKS
from expectations_custom.renderers import raised_type
from gx import gate
from gx.answers import answers_of, check_id
from pipeline.check_ids import CHECK_IDS
from pipeline.delivery import take
from pipeline.errors import SettingsError
from pipeline.records import Verdict
from pipeline.settings import Settings
from pipeline.stage import Workers, stage


@pytest.fixture
def staged_of(contract, day, lines, tmp_path):
    """Stages events through the real parser."""

    def build(*events):
        file = tmp_path / "events_20260115.jsonl"
        file.write_bytes(lines(*events))
        with take(file, folder=None) as delivery:
            return stage(delivery, day=day, contract=contract, folder=tmp_path / "staged", workers=Workers(1))

    return build


@pytest.fixture
def checked(contract, staged_of, tmp_path):
    """Runs the checkpoint over events."""

    def run(*events, **settings):
        return gate.check(staged_of(*events), settings=Settings(**settings), contract=contract, folder=tmp_path)

    return run


def by_id(report):
    return {check.id: check for check in report.checks}


def test_a_good_day_passes_all_seven(session, checked):
    """Seven checks, in their order, all PASS."""
    report = checked(*session().visit().events).report

    assert report.verdict is Verdict.PASS
    assert tuple(check.id for check in report.checks) == CHECK_IDS
    assert {check.verdict for check in report.checks} == {Verdict.PASS}
    assert (report.lines, report.good_lines, report.failing_lines) == (5, 5, 0)


@pytest.mark.parametrize(
    ("times", "why"), [(0, "could not be judged (0 results)"), (2, "could not be judged (2 results)")]
)
def test_a_check_that_came_back_never_or_twice_could_not_be_judged(session, checked, times, why):
    """Neither answer is taken for the check's."""
    check, answers = CHECKS[0], checked(*session().visit().events).report.checks[:1] * times
    found = gate._found(check, list(answers), Settings(), None)

    assert (found.verdict, found.error) == (Verdict.INCONCLUSIVE, why)


def test_counts_are_of_lines_not_of_rules(session, checked):
    """A line that breaks two rules of a check is one failing line."""
    events = session().visit().events
    events[3].update(quantity=0, unit_price=0)

    found = by_id(checked(*events).report)["value_ranges"]

    assert (found.evaluated_rows, found.failed_rows, found.pass_rate) == (5, 1, 0.8)
    assert {rule.id for rule in found.rules if rule.failed_rows} == {"quantity", "unit_price"}


def test_the_threshold_is_met_exactly(session, checked):
    """99 of 100 passes at 0.99, 98 of 100 does not: exact counts, no rounding."""
    views = session()
    for _ in range(5):
        views.add("page_view")
    copies = [dict(event) for event in views.events * 20]
    for number, event in enumerate(copies):
        event["event_id"] = f"{number:08x}-0000-4000-8000-000000000000"
    copies[10]["browser"] = "Lynx"

    assert by_id(checked(*copies).report)["value_ranges"].verdict is Verdict.PASS

    copies[20]["browser"] = "Lynx"

    assert by_id(checked(*copies).report)["value_ranges"].verdict is Verdict.FAIL


def many_views_one_purchase_field_lost(session, purchases: int):
    events = [event for number in range(1, purchases + 1) for event in session(number).visit().events]
    for event in events:
        if event["event_type"] == "purchase":
            del event["payment_method"]
    views = session(999)
    for _ in range(50):
        views.add("page_view")
    padding = [
        {**event, "event_id": f"ffffffff-0000-4000-8000-{copy:06x}{number:06x}"}
        for copy in range(40)
        for number, event in enumerate(views.events)
    ]
    return events + padding


def test_a_field_lost_on_every_purchase_does_not_drown_in_page_views(session, checked):
    """The rule floor: 5 failing lines of one rule below 90 % fail the check whatever its rate."""
    found = by_id(checked(*many_views_one_purchase_field_lost(session, 5)).report)["required_fields"]

    assert found.pass_rate > 0.99
    assert found.verdict is Verdict.FAIL


def test_four_lines_are_too_few_for_the_rule_floor(session, checked):
    """Below five failing lines only the check's own rate counts."""
    found = by_id(checked(*many_views_one_purchase_field_lost(session, 4)).report)["required_fields"]

    assert found.verdict is Verdict.PASS


def test_a_check_that_looks_at_nothing_passes_and_says_so(session, checked):
    """No orders: order_total is not applicable."""
    result = checked(*session().add("page_view").events)

    found = by_id(result.report)["order_total"]
    assert (found.verdict, found.evaluated_rows, found.pass_rate) == (Verdict.PASS, 0, None)
    shown = {r.expectation_config.meta.get("check"): r.result.get("observed_value") for r in answers_of(result.result)}
    assert shown["order_total"] == "not applicable"


def test_a_warning_reports_without_blocking_and_its_lines_stay_good(session, checked):
    """Severity `warning`: FAIL for the check, PASS for the day, nothing quarantined."""
    events = session().add("purchase").events

    report = checked(*events, severities={"funnel_order": "warning"}).report

    assert by_id(report)["funnel_order"].verdict is Verdict.FAIL
    assert report.verdict is Verdict.PASS
    assert report.failing_lines == 0
    assert pl.read_parquet(report.failing).height == 1


def test_every_failing_line_is_written_with_every_reason(session, checked):
    """No cap, sorted by line, one row per broken rule."""
    visits = [event for number in range(1, 41) for event in session(number).visit().events]
    for event in visits:
        event["browser"] = "Lynx"
        event["user_id"] = "nobody"

    report = checked(*visits).report
    failing = pl.read_parquet(report.failing)

    assert failing.columns == ["line_no", "check", "rule", "field", "reason"]
    assert failing["line_no"].to_list() == [line for line in range(1, 201) for _ in range(2)]
    assert report.failing_lines == 200
    assert len(by_id(report)["value_ranges"].samples) == 20


def test_success_in_great_expectations_equals_our_verdict(session, checked):
    """Data Docs never disagrees with the gate."""
    events = session().visit().events
    events[1]["browser"] = "Lynx"
    result = checked(*events)

    ours = {check.id: check.verdict is Verdict.PASS for check in result.report.checks}
    theirs = {r.expectation_config.meta["check"]: r.success for r in answers_of(result.result) if check_id(r)}

    assert ours == theirs
    assert result.result.success is False


def test_a_missing_column_is_inconclusive(session, staged_of, contract):
    """What cannot be judged blocks, and says which checks."""
    staged = staged_of(*session().visit().events)

    frame = gate.frame(staged, contract).drop(columns="problems")
    result, error = gate._run(gate.suites.build(Settings(), contract), frame, [], "check")
    answers = answers_of(result)
    raised = {check_id(a) for a in answers if raised_type(a.exception_info)}

    assert error is None
    assert raised == set(CHECK_IDS)


def test_lines_lost_between_staging_and_the_checkpoint_are_inconclusive(session, staged_of, contract, tmp_path):
    """The checks must have looked at every staged line."""
    staged = replace(staged_of(*session().visit().events), lines=6)

    report = gate.check(staged, settings=Settings(), contract=contract, folder=tmp_path).report

    assert report.verdict is Verdict.INCONCLUSIVE
    assert "required_fields looked at 5 of 6 lines" in report.problems


@pytest.mark.parametrize(("severity", "verdict"), [("critical", Verdict.FAIL), ("warning", Verdict.PASS)])
def test_expectations_that_a_user_adds_count_by_their_severity(session, checked, tmp_path, severity, verdict):
    """A suite of one's own beside the seven."""
    mine = {
        "name": "mine",
        "expectations": [
            {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 1000}, "severity": severity}
        ],
    }
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(mine), encoding="utf-8")

    report = checked(*session().visit().events, expectations=file).report

    assert report.verdict is verdict
    assert [(one.id, one.severity) for one in report.broken] == [("expect_table_row_count_to_be_between", severity)]
    assert report.told == (*report.checks, *report.broken)
    assert len(report.checks) == 7


def test_an_expectation_nobody_knows_is_an_error_not_a_silent_loss(session, checked, tmp_path):
    """Great Expectations drops unknown expectations with a log line only."""
    file = tmp_path / "mine.json"
    unknown = {"type": "expect_nothing_anyone_wrote", "kwargs": {}}
    file.write_text(json.dumps({"name": "mine", "expectations": [unknown]}), encoding="utf-8")

    with pytest.raises(SettingsError):
        checked(*session().visit().events, expectations=file)


def test_the_same_delivery_gives_the_same_answer_twice(session, checked):
    """Deterministic to the sample lines."""
    visits = [event for number in range(1, 41) for event in session(number).visit().events]
    for event in visits[::7]:
        event["browser"] = "Lynx"

    assert checked(*visits).report == checked(*visits).report


def test_a_rule_may_have_a_floor_of_its_own(session, checked):
    """What a shop usually lacks on half of its orders does not shut the gate; the other rules keep their floor."""
    events = many_views_one_purchase_field_lost(session, 10)
    kept = [{**event, "payment_method": "credit_card"} if number % 10 < 5 else event
            for number, event in enumerate(events) if event["event_type"] == "purchase"]  # fmt: skip
    others = [event for event in events if event["event_type"] != "purchase"]
    mine = {"required_fields/purchase.payment_method": 0.5}

    assert by_id(checked(*others, *kept).report)["required_fields"].verdict is Verdict.FAIL
    assert by_id(checked(*others, *kept, rule_floors=mine).report)["required_fields"].verdict is Verdict.PASS
    assert by_id(checked(*events, rule_floors=mine).report)["required_fields"].verdict is Verdict.FAIL


def test_a_floor_for_no_rule_is_an_error(session, checked):
    """A misspelt rule must not silently keep the common floor."""
    with pytest.raises(SettingsError, match=r"is no rule of event_schema\.json"):
        checked(*session().visit().events, rule_floors={"required_fields/purchase.nonsense": 0.5})
