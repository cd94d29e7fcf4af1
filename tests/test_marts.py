"""The marts say what the events say, computed a second time in plain Python; their headers are true."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from staged_days import CONTRACT, DAY, ask, event, purchase, run_day, stage_day, uuid

from pipeline import marts
from pipeline.database import MARTS_FOLDER

SQL_FILES = sorted(MARTS_FOLDER.glob("*.sql")) + sorted((MARTS_FOLDER / "checks").glob("*.sql"))
#: Words of SQL itself and names of settings, not of the shop.
SQL_WORDS = {"array", "number", "string", "null", "daygate.day"}

KINDS = ("page_view", "click", "add_to_cart", "search", "purchase")
ITEMS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(1, 5), st.sampled_from(["1", "999.99", "15000"])), min_size=1, max_size=3
)


@st.composite
def days(draw):
    """A few users, sessions, products and platforms, so that everything meets everything."""
    events = []
    for number in range(draw(st.integers(1, 25))):
        more = {
            "user": draw(st.integers(1, 3)),
            "session": draw(st.integers(1, 4)),
            "second": draw(st.integers(0, 86_399)),
            "platform": draw(st.sampled_from(["web", "ios"])),
        }
        kind = draw(st.sampled_from(KINDS))
        if kind == "purchase":
            money = st.none() | st.integers(0, 900)
            coupon = draw(st.sampled_from([None, "WELCOME"]))
            more |= {"discount": draw(money), "shipping": draw(money), "coupon": coupon}
            events.append(purchase(number, *draw(ITEMS), **more))
        else:
            product = draw(st.none() | st.integers(0, 3))
            events.append(event(number, kind, product_id=None if product is None else f"P{product:04d}", **more))
    return events


def rate(part: int, whole: int) -> Decimal | None:
    """Per cent with two decimals, halves away from zero."""
    return None if whole == 0 else (Decimal(100) * part / whole).quantize(Decimal("0.01"), ROUND_HALF_UP)


def instant(one: dict) -> datetime:
    return datetime.fromisoformat(one["timestamp"])


def user_daily(events):
    """mart_user_daily a second time."""
    rows = set()
    for user in {one["user_id"] for one in events}:
        mine = [one for one in events if one["user_id"] == user]
        sessions = defaultdict(list)
        for one in mine:
            sessions[one["session_id"]].append(instant(one))
        counts = [sum(one["event_type"] == kind for one in mine) for kind in KINDS]
        views, clicks, carts, searches, purchases = counts
        amount = sum((Decimal(one["total_amount"]) for one in mine if one["event_type"] == "purchase"), Decimal(0))
        length = sum((max(at) - min(at) for at in sessions.values()), timedelta())
        everything = [instant(one) for one in mine]
        rows.add(
            (user, DAY, len(sessions), views, clicks, carts, purchases, searches, amount, min(everything),
             max(everything), length)
        )  # fmt: skip
    return rows


def funnel_daily(events):
    """mart_funnel_daily a second time."""
    rows = set()
    for platform in {one["platform"] for one in events}:
        steps = [
            len({one["user_id"] for one in events if one["platform"] == platform and one["event_type"] == kind})
            for kind in ("page_view", "click", "add_to_cart", "purchase")
        ]
        viewers, clickers, adders, buyers = steps
        rates = (rate(clickers, viewers), rate(adders, clickers), rate(buyers, adders), rate(buyers, viewers))
        rows.add((DAY, platform, *steps, *rates))
    return rows


def product_daily(events):
    """mart_product_daily a second time."""
    rows = set()
    sold = [
        (number, one["user_id"], item)
        for number, one in enumerate(events)
        if one["event_type"] == "purchase"
        for item in json.loads(one["extra_data"], parse_float=Decimal)["products"]
    ]
    touched = {one["product_id"] for one in events if one.get("product_id")}
    for product in touched | {item["product_id"] for *_, item in sold}:
        mine = [one for one in events if one.get("product_id") == product]
        kinds = [one["event_type"] for one in mine]
        sales = [(number, user, item) for number, user, item in sold if item["product_id"] == product]
        viewers = {one["user_id"] for one in mine if one["event_type"] in ("page_view", "click")}
        buyers = {user for _, user, _ in sales}
        revenue = sum((item["quantity"] * Decimal(item["unit_price"]) for *_, item in sales), Decimal(0))
        rows.add(
            (product, DAY, kinds.count("click"), kinds.count("add_to_cart"), len({number for number, *_ in sales}),
             revenue, Decimal(sum(item["quantity"] for *_, item in sales)), len(viewers), len(buyers),
             rate(len(buyers), len(viewers)))
        )  # fmt: skip
    return rows


def orders(events):
    """mart_orders a second time."""
    rows = set()
    for one in events:
        if one["event_type"] == "purchase":
            details = json.loads(one["extra_data"])
            rows.add(
                (one["order_id"], DAY, one["user_id"], instant(one), Decimal(one["total_amount"]),
                 one["payment_method"], one["platform"], Decimal(details.get("discount_amount", 0)),
                 Decimal(details.get("shipping_fee", 0)), details.get("coupon_code"), len(details["products"]))
            )  # fmt: skip
    return rows


MODELS = {
    "mart_user_daily": user_daily,
    "mart_funnel_daily": funnel_daily,
    "mart_product_daily": product_daily,
    "mart_orders": orders,
}


@given(events=days())
@hypothesis_settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_marts_equal_an_independent_computation(database_url, tmp_path, events):
    """Each example replaces the day before it, so that nothing of it may stay either."""
    told = run_day(database_url, tmp_path, stage_day(tmp_path, events))

    for name, model in MODELS.items():
        assert set(ask(database_url, f"SELECT * FROM {name}")) == model(events)
    assert (told.unique_users, told.sessions) == (
        len({one["user_id"] for one in events}),
        len({one["session_id"] for one in events}),
    )
    assert Decimal(told.revenue) == sum((row[4] for row in orders(events)), Decimal(0))


ODD_DETAILS = [
    "null", "3", '"text"', "[]", "{}", '{"products": null}', '{"products": {"product_id": "P0001"}}',
    '{"products": [null, 1, "x", [], {}]}', '{"products": [{"product_id": 5, "quantity": 1, "unit_price": 1}]}',
    '{"products": [{"product_id": "P0001", "quantity": "3", "unit_price": true}]}', '{"discount_amount": "abc"}',
    '{"products": [], "shipping_fee": [1], "coupon_code": 7}',
]  # fmt: skip


def test_odd_order_details_never_stop_a_mart(database_url, tmp_path):
    """Where the order check only warns, what cannot be read counts for nothing."""
    lines = [purchase(n, (1, 1, "5")) | {"extra_data": text} for n, text in enumerate(ODD_DETAILS)]
    lines.append(purchase(99, (1, 1, "5")) | {"extra_data": None})
    reasons = {n: [("order_total", "readable", "extra_data", "unreadable")] for n in range(1, len(lines) + 1)}
    run_day(database_url, tmp_path, stage_day(tmp_path, lines, reasons=reasons, warnings=("order_total",)))

    assert ask(database_url, "SELECT count(*) FROM mart_orders") == [(len(lines),)]
    assert ask(database_url, "SELECT product_id, purchase_count, revenue FROM mart_product_daily") == [("P0001", 1, 0)]


def test_lines_without_user_session_or_platform_are_left_out_where_these_are_the_grain(database_url, tmp_path):
    """Where required_fields only warns, such lines are loaded and belong to nobody."""
    lines = [
        event(1, user_id=None), event(2, platform=None), event(3, session_id=None, second=50),
        event(4, event_type=None), purchase(5, (1, 1, "5")) | {"order_id": None},
    ]  # fmt: skip
    run_day(database_url, tmp_path, stage_day(tmp_path, lines))

    assert ask(database_url, "SELECT user_id, session_count, page_view_count FROM mart_user_daily") == [
        ("U000001", 1, 2)
    ]
    assert ask(database_url, "SELECT platform FROM mart_funnel_daily") == [("web",)]
    assert ask(database_url, "SELECT * FROM mart_orders") == []


def test_a_session_shared_by_two_users_counts_for_both_and_once_for_the_day(database_url, tmp_path):
    """The day's figure counts visits, not pairs."""
    told = run_day(database_url, tmp_path, stage_day(tmp_path, [event(1, user=1), event(2, user=2)]))

    assert (told.sessions, told.unique_users) == (1, 2)
    assert uuid(1) in {row[0] for row in ask(database_url, "SELECT session_id FROM raw_events")}


@pytest.mark.parametrize("mart", marts.all_marts(), ids=lambda mart: mart.name)
def test_the_grain_in_the_header_is_the_key_of_the_table(database_url, mart):
    """An unchecked header lies."""
    key = ask(
        database_url,
        "SELECT array_agg(a.attname::text) FROM pg_index AS i JOIN pg_attribute AS a ON a.attrelid = i.indrelid"
        " AND a.attnum = ANY (i.indkey) WHERE i.indrelid = %s::regclass AND i.indisprimary",
        mart.name,
    )

    assert sorted(key[0][0]) == sorted(mart.grain)


@pytest.mark.parametrize("file", sorted(MARTS_FOLDER.glob("*.sql")), ids=lambda file: file.name)
def test_a_file_reads_what_its_header_names(file):
    """The header is complete: every table after FROM or JOIN is named or made in the file."""
    mart = marts.read(file.stem)
    body = "\n".join(line for line in mart.sql.splitlines() if not line.startswith("--"))
    made = set(re.findall(r"(\w+) AS \(", body))
    read = set(re.findall(r"(?:FROM|JOIN) (\w+)", body)) - made - {"LATERAL"}

    assert mart.name == file.stem
    assert read == set(mart.reads)


@pytest.mark.parametrize("file", SQL_FILES, ids=lambda file: file.name)
def test_every_quoted_word_is_in_the_contract(file):
    """SQL may name a domain value, but only one that the contract knows."""
    total = CONTRACT.order_total
    known = {value for field in CONTRACT.fields for value in field.enum or ()} | set(CONTRACT.names)
    known |= {total.items, total.item_quantity, total.item_price, total.discount, total.shipping}
    known |= set(re.findall(r"\w+", CONTRACT.field(total.details).description))
    body = "\n".join(line for line in file.read_text().splitlines() if not line.startswith("--"))

    assert set(re.findall(r"'([^']*)'", body)) <= known | SQL_WORDS


def test_there_are_four_marts():
    """One file a mart, named like its table."""
    assert {mart.name for mart in marts.all_marts()} == set(MODELS)
