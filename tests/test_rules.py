"""The seven checks: one truth table per rule, through the real parser and the real evaluation."""

from __future__ import annotations

import json
import re
from pathlib import Path

import polars as pl
import pytest

from expectations_custom import checks, outcomes, reasons, rules
from expectations_custom.one_line import judge_line
from expectations_custom.outcomes import evaluate
from pipeline import parse, parse_slow, simulate
from pipeline.parse import parse_range
from pipeline.simulate import FAULTS


@pytest.fixture
def failing(contract, day, lines, tmp_path):
    """The set of (line, check, rule) that fail in a delivery of these events."""

    def judge(*events):
        frame = parse_range(lines(*events), first_line=1, first_offset=0, contract=contract, day=day).frame
        path = tmp_path / "failing.parquet"
        evaluate(frame, rules.table(contract), sample_lines=3, failing=path)
        return {(row[0], f"{row[1]}/{row[2]}") for row in pl.read_parquet(path).iter_rows()}

    return judge


def test_a_good_visit_fails_nothing(session, failing):
    """The five event types as the contract wants them."""
    assert failing(*session().visit().events) == set()


VIEW, SEARCH, CLICK, CART, PURCHASE = range(5)

#: (what is wrong, which event of the visit, the change, the one rule that must say so)
ONE_DEFECT = [
    ("event_id missing", SEARCH, {"event_id": ...}, "required_fields/event_id"),
    ("event_id null", SEARCH, {"event_id": None}, "required_fields/event_id"),
    ("user_id empty", SEARCH, {"user_id": ""}, "required_fields/user_id"),
    ("timestamp empty", SEARCH, {"timestamp": ""}, "required_fields/timestamp"),
    ("platform missing", SEARCH, {"platform": ...}, "required_fields/platform"),
    ("page_type of a view missing", VIEW, {"page_type": ...}, "required_fields/page_view.page_type"),
    ("page_url of a click null", CLICK, {"page_url": None}, "required_fields/click.page_url"),
    ("product_id of a cart empty", CART, {"product_id": ""}, "required_fields/add_to_cart.product_id"),
    ("quantity of a cart missing", CART, {"quantity": ...}, "required_fields/add_to_cart.quantity"),
    ("order_id missing", PURCHASE, {"order_id": ...}, "required_fields/purchase.order_id"),
    ("extra_data missing", PURCHASE, {"extra_data": ...}, "required_fields/purchase.extra_data"),
    ("search_query empty", SEARCH, {"search_query": ""}, "required_fields/search.search_query"),
    ("event_id not a uuid", SEARCH, {"event_id": "abc"}, "value_ranges/event_id"),
    ("event_id upper case", SEARCH, {"event_id": "00000001-0000-4000-8000-00000000ABCD"}, "value_ranges/event_id"),
    ("user_id with a newline", SEARCH, {"user_id": "U000001\n"}, "value_ranges/user_id"),
    ("user_id with full-width digits", SEARCH, {"user_id": "U００００００"}, "value_ranges/user_id"),
    ("unknown event type", SEARCH, {"event_type": "PURCHASE"}, "value_ranges/event_type"),
    ("unknown browser", SEARCH, {"browser": "Lynx"}, "value_ranges/browser"),
    ("unknown platform", SEARCH, {"platform": "tv"}, "value_ranges/platform"),
    ("unknown device", SEARCH, {"device_type": "watch"}, "value_ranges/device_type"),
    ("optional product_id empty on a click", CLICK, {"product_id": ""}, "value_ranges/product_id"),
    ("optional product_id malformed on a click", CLICK, {"product_id": "X1"}, "value_ranges/product_id"),
    ("quantity 0", CART, {"quantity": 0}, "value_ranges/quantity"),
    ("quantity 100", CART, {"quantity": 100}, "value_ranges/quantity"),
    ("quantity as text", CART, {"quantity": "3"}, "value_ranges/quantity"),
    ("quantity true", CART, {"quantity": True}, "value_ranges/quantity"),
    ("quantity 1.0", CART, {"quantity": 1.0}, "value_ranges/quantity"),
    ("quantity beyond 64 bits", CART, {"quantity": 2**70}, "value_ranges/quantity"),
    ("unit_price 0", CART, {"unit_price": 0}, "value_ranges/unit_price"),
    ("unit_price above the range", CART, {"unit_price": 10_000_001}, "value_ranges/unit_price"),
    ("total_amount negative", PURCHASE, {"total_amount": -5}, "value_ranges/total_amount"),
    ("order_id with 12 digits", PURCHASE, {"order_id": "ORD000000000000"}, "value_ranges/order_id"),
    ("extra_data of a click that is no JSON", CLICK, {"extra_data": "{oops"}, "value_ranges/extra_data"),
    ("extra_data as an object", PURCHASE, {"extra_data": {"products": []}}, "value_ranges/extra_data"),
    ("query of 201 characters", SEARCH, {"search_query": "가" * 201}, "value_ranges/search_query"),
    ("timestamp as a number", SEARCH, {"timestamp": 1768440000}, "value_ranges/timestamp"),
    ("30 February", SEARCH, {"timestamp": "2026-02-30T10:00:00+09:00"}, "timestamp_validity/instant"),
    ("a word for a time", SEARCH, {"timestamp": "now"}, "timestamp_validity/instant"),
    ("the day before", SEARCH, {"timestamp": "2026-01-14T23:59:59.999999+09:00"}, "timestamp_validity/day"),
    ("the day after", SEARCH, {"timestamp": "2026-01-16T00:00:00+09:00"}, "timestamp_validity/day"),
    ("the right day in UTC only", SEARCH, {"timestamp": "2026-01-15T15:00:00Z"}, "timestamp_validity/day"),
    ("total off by two", PURCHASE, {"total_amount": 4902}, "order_total/total_amount"),
    ("total off by one and a bit", PURCHASE, {"total_amount": 4901.01}, "order_total/total_amount"),
    ("extra_data not JSON", PURCHASE, {"extra_data": "{oops"}, "order_total/extra_data"),
    ("extra_data null inside", PURCHASE, {"extra_data": "null"}, "order_total/extra_data"),
    ("extra_data without products", PURCHASE, {"extra_data": "{}"}, "order_total/extra_data"),
    ("item quantity as text", PURCHASE, {"extra_data": json.dumps({"products": [{"quantity": "2", "unit_price": 1}]})},
     "order_total/extra_data"),
    ("platform changed within the session", SEARCH, {"platform": "ios", "os": "iOS"}, "platform_device/session"),
]  # fmt: skip


@pytest.mark.parametrize(("_", "place", "change", "rule"), ONE_DEFECT, ids=[name for name, *_ in ONE_DEFECT])
def test_one_defect_is_caught_by_one_rule(session, failing, _, place, change, rule):
    """Each planted defect fails exactly the rule meant for it."""
    events = session().visit().events
    events[place] = {name: value for name, value in {**events[place], **change}.items() if value is not ...}

    assert failing(*events) == {(place + 1, rule)}


#: (what is right, which event, the change)
GOOD = [
    ("total off by one won", PURCHASE, {"total_amount": 4901}),
    ("extra_data of a click that is no order", CLICK, {"extra_data": '{"colour": "blue"}'}),
    ("total off by exactly one, in fractions", PURCHASE, {"total_amount": 4900.5}),
    ("query of 200 characters", SEARCH, {"search_query": "가" * 200}),
    ("the first instant of the day", VIEW, {"timestamp": "2026-01-15T00:00:00+09:00"}),
    ("the first instant of the day in UTC", VIEW, {"timestamp": "2026-01-14T15:00:00Z"}),
    ("the last instant of the day", PURCHASE, {"timestamp": "2026-01-15T23:59:59.999999"}),
    ("a naive timestamp is Seoul time", SEARCH, {"timestamp": "2026-01-15T10:01:00"}),
    ("an optional field null", CLICK, {"product_id": None}),
    ("an unknown key", SEARCH, {"colour": "blue"}),
    ("a null product on a search", SEARCH, {"page_url": None}),
]


@pytest.mark.parametrize(("_", "place", "change"), GOOD, ids=[name for name, *_ in GOOD])
def test_what_is_good_stays_good(session, failing, _, place, change):
    """The edges that must not fail."""
    events = session().visit().events
    events[place] = {**events[place], **change}

    assert failing(*events) == set()


@pytest.mark.parametrize("line", ["", "not json", "[]", "3", "null", '{"a":1}{"a":2}', '{"a":1,"a":2}', '{"a":NaN}'])
def test_a_line_that_is_no_object_fails_required_fields_only(session, failing, line):
    """What cannot be read belongs to one check; a blank line is no line."""
    events = [*session().visit().events, line]

    assert failing(*events) == ({(6, "required_fields/line")} if line else set())


FUNNEL = [
    ("cart after a view", ["page_view", "add_to_cart"], set()),
    ("cart after a click", ["click", "add_to_cart"], set()),
    ("cart after a search only", ["search", "add_to_cart"], {2}),
    ("cart before the view", ["add_to_cart", "page_view"], {1}),
    ("purchase after a cart", ["page_view", "add_to_cart", "purchase"], set()),
    ("purchase without a cart", ["page_view", "purchase"], {2}),
    ("purchase before the cart", ["page_view", "purchase", "add_to_cart"], {2}),
    ("a second purchase after one cart", ["page_view", "add_to_cart", "purchase", "purchase"], set()),
]


@pytest.mark.parametrize(("_", "steps", "bad"), FUNNEL, ids=[name for name, *_ in FUNNEL])
def test_funnel_order(session, failing, _, steps, bad):
    """Order inside a session."""
    visit = session()
    for step in steps:
        visit.add(step)

    assert {line for line, rule in failing(*visit.events) if rule.startswith("funnel_order")} == bad


def test_equal_timestamps_are_ordered_by_line(session, failing):
    """The line number breaks ties."""
    moment = "2026-01-15T23:59:59+09:00"
    visit = session().add("page_view", timestamp=moment).add("add_to_cart", timestamp=moment)

    assert failing(*visit.events) == set()
    assert {rule for _, rule in failing(*reversed(visit.events))} == {"funnel_order/add_to_cart"}


def test_the_order_of_lines_does_not_matter_when_timestamps_differ(session, failing):
    """The funnel is ordered by time, not by place in the file."""
    assert failing(*reversed(session().visit().events)) == set()


def test_the_funnel_of_one_session_does_not_serve_another(session, failing):
    """Evidence counts inside its session."""
    other = session(2).add("purchase")

    assert failing(*session(1).visit().events, *other.events) == {(6, "funnel_order/purchase")}


@pytest.mark.parametrize("timestamp", ["2026-02-30T10:00:00", "2026-01-16T10:00:00"])
def test_a_line_without_a_usable_time_is_evidence_wherever_it_stands(session, failing, timestamp):
    """One defect belongs to one check: the cart is not blamed for the view's timestamp."""
    visit = session().add("page_view", timestamp=timestamp).add("add_to_cart")

    assert {rule.split("/")[0] for _, rule in failing(*visit.events)} == {"timestamp_validity"}


def test_a_line_without_a_usable_time_is_not_judged_by_the_funnel(session, failing):
    """A purchase that cannot be placed is left to timestamp_validity."""
    visit = session().add("page_view").add("purchase", timestamp="yesterday")

    assert failing(*visit.events) == {(2, "timestamp_validity/instant")}


@pytest.mark.parametrize("session_id", [..., None, ""])
def test_a_line_without_a_session_is_left_out_of_the_session_rules(session, failing, session_id):
    """A missing session is one defect, not three."""
    visit = session().add("page_view").add("purchase", session_id=session_id)
    lone = session(2, platform="ios").add("page_view").add("page_view", session_id=session_id)

    found = failing(*visit.events, *lone.events)

    assert found == {(2, "required_fields/session_id"), (4, "required_fields/session_id")}


def test_the_first_copy_of_a_duplicate_stays_good(session, failing):
    """Only later copies fail, however many there are."""
    events = session().visit().events

    assert failing(*events, events[1], events[1]) == {(6, "unique_event_id/event_id"), (7, "unique_event_id/event_id")}


def test_helper_columns_are_the_same_in_however_many_parts(session, lines, contract, day):
    """What lines have in common is found where it is dealt out; a line alone with its id takes none of the memory."""
    visits = [session(number).visit().events for number in range(1, 6)]
    data = lines(*(event for visit in visits for event in visit), visits[3][0])
    frame = parse_range(data, first_line=1, first_offset=0, contract=contract, day=day).frame.lazy()

    for windows in rules.table(contract).windows:
        whole = outcomes._helpers(frame, windows, parts=1)
        assert (whole.height > 0) == (not windows.shared or windows.scope == "event_id")
        assert outcomes._helpers(frame, windows, parts=3).equals(whole)
        if windows.scope == "event_id":
            assert whole.rows() == [(16, 16), (frame.collect().height, 16)]


def test_an_order_id_is_used_once(session, failing):
    """A second purchase with an order id of before fails; other events may carry it."""
    visit = session().visit()
    visit.add("purchase", order_id=visit.events[PURCHASE]["order_id"])

    assert failing(*visit.events) == {(6, "unique_event_id/order_id")}


DEVICES = [
    ("ios on a desktop", "ios", {"device_type": "desktop"}, "platform_device/device_type"),
    ("ios on Windows", "ios", {"os": "Windows"}, "platform_device/os"),
    ("android on iOS", "android", {"os": "iOS"}, "platform_device/os"),
    ("android on a tablet", "android", {"device_type": "tablet"}, None),
    ("web on a tablet", "web", {"device_type": "tablet"}, None),
    ("web on Android", "web", {"os": "Android"}, None),
]


@pytest.mark.parametrize(("_", "platform", "change", "rule"), DEVICES, ids=[name for name, *_ in DEVICES])
def test_device_and_system_go_with_the_platform(session, failing, _, platform, change, rule):
    """The contract's table of platforms."""
    visit = session(platform=platform).add("page_view").add("page_view", **change)

    assert failing(*visit.events) == ({(2, rule)} if rule else set())


def test_the_platform_of_a_session_is_that_of_its_first_event(session, failing):
    """Later lines that differ fail, the first does not."""
    visit = session().add("page_view").add("page_view").add("page_view")
    visit.events[0].update(platform="ios", os="iOS")

    assert failing(*visit.events) == {(2, "platform_device/session"), (3, "platform_device/session")}


def test_every_rule_of_the_table_has_an_id_of_its_own(contract):
    """(check, rule) identifies a rule in counts, quarantine and quality rows."""
    found = [(rule.check, rule.id) for rule in rules.table(contract).rules]

    assert len(found) == len(set(found))
    assert {check for check, _ in found} == {check.id for check in checks.CHECKS}


def test_an_empty_frame_fails_nothing_and_looks_at_nothing(contract, day):
    """Emptiness is the guard's business, not a division by zero."""
    frame = parse_range(b"", first_line=1, first_offset=0, contract=contract, day=day).frame

    outcomes = evaluate(frame, rules.table(contract), sample_lines=3, failing=None)

    assert outcomes.lines == 0
    assert {(c.evaluated_rows, c.failed_rows) for c in outcomes.checks.values()} == {(0, 0)}


#: (what is wrong, which event of the visit, the change, the reason a person reads)
REASONS = [
    ("missing", SEARCH, {"user_id": ...}, "user_id is missing or null"),
    ("null", CART, {"quantity": None}, "quantity is missing or null"),
    ("empty", SEARCH, {"user_id": ""}, "user_id is empty"),
    ("no timestamp", SEARCH, {"timestamp": ""}, "timestamp is missing, null or empty"),
    ("whole number as text", CART, {"quantity": "3"}, "quantity is of a wrong type, a whole number is needed"),
    ("number as text", CART, {"unit_price": "3"}, "unit_price is of a wrong type, a number is needed"),
    ("text as number", SEARCH, {"browser": 3}, "browser is of a wrong type, a text is needed"),
    ("beyond 64 bits", CART, {"quantity": 2**70}, "quantity has more digits than can be kept"),
    ("NUL", SEARCH, {"search_query": "a\x00"}, "search_query contains a NUL character"),
    ("below", CART, {"quantity": 0}, "quantity is below 1"),
    ("above", CART, {"unit_price": 10_000_001}, "unit_price is above 10,000,000"),
    ("not in the list", SEARCH, {"os": "BeOS"}, "os is not one of the 5 values of the contract"),
    ("another form", SEARCH, {"user_id": "u1"}, "user_id does not have the form the contract asks for"),
    ("too long", SEARCH, {"search_query": "가" * 201}, "search_query is longer than 200 characters"),
    ("the day before", SEARCH, {"timestamp": "2026-01-14T10:00:00"},
     "the timestamp is before the day being checked (Asia/Seoul)"),
    ("the day after", SEARCH, {"timestamp": "2026-01-16T10:00:00"},
     "the timestamp is after the day being checked (Asia/Seoul)"),
]  # fmt: skip


@pytest.fixture
def reasons_of(contract, day, lines, tmp_path):
    """The reasons in a delivery of these events, as {(line, reason)}."""

    def judge(*events):
        frame = parse_range(lines(*events), first_line=1, first_offset=0, contract=contract, day=day).frame
        path = tmp_path / "failing.parquet"
        evaluate(frame, rules.table(contract), sample_lines=3, failing=path)
        return set(pl.read_parquet(path).select("line_no", "reason").iter_rows())

    return judge


@pytest.mark.parametrize(("_", "place", "change", "reason"), REASONS, ids=[name for name, *_ in REASONS])
def test_the_reason_names_the_very_way_a_line_fails(session, reasons_of, _, place, change, reason):
    """Not the rule's whole list of possibilities, and never the value."""
    events = session().visit().events
    events[place] = {name: value for name, value in {**events[place], **change}.items() if value is not ...}

    assert reasons_of(*events) == {(place + 1, reason)}


def test_years_outside_the_contract_are_told_apart(session, reasons_of):
    """Too early and too late are different mistakes of a clock."""
    visit = session().add("page_view", timestamp="1970-01-01T00:00:00Z")
    visit.add("page_view", timestamp="2038-01-19T03:14:07Z")

    assert {
        (1, "the timestamp is before 2020-01-01, the contract's first day"),
        (2, "the timestamp is not before 2031-01-01, where the contract ends"),
    } <= reasons_of(*visit.events)


UNREADABLE = [
    ("{", "the line is not valid JSON"),
    ("[]", "the line is JSON, but no object"),
    ('{"a":1}{"a":2}', "something follows the JSON object on the same line"),
    ('{"a":1,"a":2}', "a key occurs twice in the same object"),
    ('{"a":NaN}', "NaN and Infinity are no JSON numbers"),
    ('{"a":' + "[" * 70 + "]" * 70 + "}", "the line is nested too deeply"),
    ('{"":1}', "the line has too many keys, an empty key or an absurdly long one"),
    ('{"a":"' + "x" * 2**20 + '"}', "the line is too long"),
]


@pytest.mark.parametrize(("line", "reason"), UNREADABLE, ids=[reason for _, reason in UNREADABLE])
def test_a_line_that_is_no_object_says_why(reasons_of, line, reason):
    """A person can repair it without guessing."""
    assert reasons_of(line) == {(1, reason)}


def test_every_problem_of_a_line_has_words():
    """A kind that the parser learns needs a reason people can read."""
    parser = Path(parse_slow.__file__).read_text("utf-8") + Path(parse.__file__).read_text("utf-8")

    assert set(re.findall(r'(?:_Refused|\brefused)\("([a-z_0-9]+)"\)', parser)) == set(reasons.LINES)


@pytest.mark.long
def test_a_line_judged_alone_fails_as_it_does_among_all(contract, day, tmp_path):
    """Session, duplicates and reasons are those of the whole day, for failing and for good lines."""
    faults = ("event_id_repeated", "purchase_without_cart", "platform_changed", "day_wrong", "quantity_as_text")
    faults += ("order_id_repeated", "total_mismatch", "cart_without_view", "line_truncated", "os_not_allowed")
    path, failing = tmp_path / "events.jsonl", tmp_path / "failing.parquet"
    simulate.generate(
        day, contract=contract, output=path, users=80, seed=5, faults={name: FAULTS[name].rate for name in faults}
    )
    frame = parse.parse_range(path.read_bytes(), first_line=1, first_offset=0, contract=contract, day=day).frame
    table = rules.table(contract)
    evaluate(frame, table, sample_lines=0, failing=failing)
    found = pl.read_parquet(failing).select("line_no", "check", "rule", "reason")
    # Of each rule its first two failing lines, and some lines of any kind.
    looked_at = {*found.group_by("check", "rule").head(2)["line_no"], *range(1, frame.height, frame.height // 10)}

    assert found["check"].n_unique() >= 6
    for line_no in sorted(looked_at):
        alone = judge_line(frame.select(rules.columns(contract)).lazy(), table, line_no)
        among_all = found.filter(pl.col("line_no") == line_no).select("check", "rule", "reason").rows()
        assert {(j.check, j.rule, j.reason) for j in alone if j.reason is not None} == set(among_all)
