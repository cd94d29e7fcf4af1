"""The simulator: a believable, clean and reproducible day."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import jsonschema
import oracle
import pytest

from pipeline import contract as contracts
from pipeline import simulate
from pipeline.errors import ContractError, SettingsError, StepFailed

SCHEMAS = Path(__file__).parents[1] / "schemas"
THURSDAY = date(2026, 1, 15)
#: Of 2,000 events, 300 customers, seed 11 on THURSDAY; another value means that old days cannot be made again.
GOLDEN = "71fe711e5a60ca69d7189e9c93bbcca5dee2519600a2c9a8a5272650faf79b32"


@pytest.fixture(scope="module")
def contract():
    """The shipped contract."""
    return contracts.load()


@pytest.fixture(scope="module")
def validator():
    """The schema as any JSON Schema library reads it."""
    return jsonschema.Draft7Validator(json.loads((SCHEMAS / "event_schema.json").read_text(encoding="utf-8")))


@pytest.fixture
def generate(contract, tmp_path):
    """Generates into a file of the test's own folder."""

    def generate(day=THURSDAY, *, name="events.jsonl", users=2000, seed=7, **more):
        return simulate.generate(day, contract=contract, output=tmp_path / name, users=users, seed=seed, **more)

    return generate


@pytest.fixture(scope="module")
def thursday(contract, tmp_path_factory):
    """A file of a default day."""
    path = tmp_path_factory.mktemp("simulated") / "events.jsonl"
    return simulate.generate(THURSDAY, contract=contract, output=path, users=2000, seed=7)


@pytest.fixture(scope="module")
def events(thursday):
    """The events of a default day."""
    return read(thursday.path)


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def of_type(events, event_type):
    return [event for event in events if event["event_type"] == event_type]


def hour(event):
    return int(event["timestamp"][11:13])


# --- a clean day -----------------------------------------------------------------------------------


def test_a_clean_day_passes_all_seven_checks(thursday):
    """No line of a generated day fails any check."""
    found = oracle.judge(thursday.path, THURSDAY)

    assert found.failed_checks() == set()
    assert found.lines == thursday.lines


def test_events_are_valid_against_the_schema(events, validator):
    """Any JSON Schema library accepts the generated events."""
    for event in events[:3000]:
        validator.validate(event)


def test_the_file_is_what_is_reported(thursday):
    """The lines of the result are those of the file, which ends with a newline."""
    data = thursday.path.read_bytes()

    assert data.count(b"\n") == thursday.lines
    assert data.endswith(b"}\n")


def test_lines_are_in_order_of_time_within_the_day(events):
    """Timestamps are RFC 3339 with milliseconds and +09:00, ascending, on the business day."""
    stamps = [event["timestamp"] for event in events]

    assert all(re.fullmatch(r"2026-01-15T\d\d:\d\d:\d\d\.\d{3}\+09:00", stamp) for stamp in stamps)
    assert stamps == sorted(stamps)


def test_ids_are_version_4_uuids_and_unique(events):
    """Event ids, session ids and order numbers never collide."""
    uuid4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
    orders = [event["order_id"] for event in of_type(events, "purchase")]

    assert all(uuid4.fullmatch(event["event_id"]) and uuid4.fullmatch(event["session_id"]) for event in events)
    assert len({event["event_id"] for event in events}) == len(events)
    assert len(set(orders)) == len(orders)


# --- the same again --------------------------------------------------------------------------------


def test_equal_arguments_give_equal_bytes(generate):
    """Generating twice gives the same file."""
    assert generate(name="a").path.read_bytes() == generate(name="b").path.read_bytes()


@pytest.mark.parametrize("change", [{"seed": 8}, {"day": date(2026, 1, 16)}, {"users": 1999}, {"events": 9000}])
def test_any_other_argument_gives_another_day(generate, thursday, change):
    """Seed, date, customers and size all matter."""
    assert generate(**change).path.read_bytes() != thursday.path.read_bytes()


def test_a_known_day_stays_what_it_was(generate):
    """The bytes of a day are a promise over releases and machines."""
    assert sha256(generate(users=300, seed=11, events=2000).path) == GOLDEN


@pytest.mark.long
def test_the_environment_has_no_influence(tmp_path):
    """Hash seed, threads, time zone and locale of the process change nothing."""
    script = (
        "import random, sys; from datetime import date; from pathlib import Path;"
        "from pipeline import contract, simulate;"
        "random.seed(1); simulate.generate(date(2026, 1, 15), contract=contract.load(),"
        " output=Path(sys.argv[1]), users=300, seed=11, events=2000)"
    )
    strange = {"PYTHONHASHSEED": "99", "OMP_NUM_THREADS": "1", "TZ": "America/New_York", "LC_ALL": "C"}
    subprocess.run(
        [sys.executable, "-c", script, tmp_path / "events.jsonl"],
        env=os.environ | strange,
        cwd=SCHEMAS.parent,
        check=True,
    )

    assert sha256(tmp_path / "events.jsonl") == GOLDEN


# --- how much --------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 777, 9_001])
def test_a_day_of_exactly_so_many_events(generate, count):
    """`events` is met to the line, and the day stays clean when a visit is cut short."""
    made = generate(events=count)
    with made.path.open("rb") as file:
        lines = sum(1 for _ in file)

    assert made.lines == lines == count
    assert oracle.judge(made.path, THURSDAY).failed_checks() == set()


def test_weekends_have_about_30_percent_more_traffic(generate):
    """Saturday and Sunday against the working days of two weeks."""
    lines = defaultdict(list)
    for offset in range(14):
        day = date(2026, 1, 5) + timedelta(days=offset)
        lines[day.weekday() >= 5].append(generate(day).lines)
    ratio = (sum(lines[True]) / len(lines[True])) / (sum(lines[False]) / len(lines[False]))

    assert 1.2 < ratio < 1.4


def test_hours_have_their_peaks(generate):
    """Commute, lunch and evening stand out, and the night is quiet."""
    count = Counter(hour(event) for event in read(generate(events=40_000).path))
    commute, lunch, evening = (sum(count[h] for h in hours) / len(hours) for hours in ((8, 9), (12, 13), (19, 20, 21)))

    assert commute > 1.2 * (count[10] + count[11]) / 2
    assert lunch > 1.2 * (count[14] + count[15]) / 2
    assert evening > 1.2 * lunch
    assert max(count[h] for h in (1, 2, 3, 4, 5)) < commute / 4


def test_progress_reaches_the_end(generate):
    """The callback sees growing counts up to all events."""
    seen = []
    generate(events=150_000, on_progress=lambda done, total: seen.append((done, total)))

    assert len(seen) > 1
    assert seen == sorted(seen)
    assert seen[-1] == (150_000, 150_000)


# --- customers and visits --------------------------------------------------------------------------


def test_a_customer_keeps_device_and_browser_over_days(generate, events):
    """Profiles depend on the seed alone."""
    used = defaultdict(set)
    for event in events + read(generate(date(2026, 3, 7)).path):
        used[event["user_id"]].add(tuple(event[name] for name in ("platform", "device_type", "os", "browser")))

    assert len(used) > 1000
    assert all(len(profiles) == 1 for profiles in used.values())


def test_another_seed_is_another_population(generate, events):
    """The same customer number is another person under another seed."""
    first = {event["user_id"]: (event["platform"], event["browser"]) for event in events}
    second = {event["user_id"]: (event["platform"], event["browser"]) for event in read(generate(seed=8).path)}

    assert any(first[user] != second[user] for user in first.keys() & second.keys())


def test_all_platforms_come(events):
    """A day shows every platform, device and payment method the shop knows."""
    assert {event["platform"] for event in events} == {"web", "ios", "android"}
    assert {event["device_type"] for event in events} == {"desktop", "mobile", "tablet"}
    assert len({event["payment_method"] for event in of_type(events, "purchase")}) == 5


def test_some_customers_come_more_often(events):
    """Activity differs: the busiest tenth makes far more than a tenth of the visits."""
    visits = Counter(user for user, _ in {(event["user_id"], event["session_id"]) for event in events})
    busiest = sorted(visits.values(), reverse=True)[: len(visits) // 10]

    assert sum(busiest) > 0.18 * sum(visits.values())


def test_a_visit_belongs_to_one_customer_and_begins_with_a_page(events):
    """Sessions have one user and start with a page_view."""
    users, first = defaultdict(set), {}
    for event in events:
        users[event["session_id"]].add(event["user_id"])
        first.setdefault(event["session_id"], event["event_type"])

    assert all(len(found) == 1 for found in users.values())
    assert set(first.values()) == {"page_view"}


def test_the_funnel_narrows(events):
    """Fewer sessions at every step from view to purchase, in plausible shares."""
    sessions = {kind: {e["session_id"] for e in of_type(events, kind)} for kind in {e["event_type"] for e in events}}
    view, click, cart, purchase = (len(sessions[kind]) for kind in ("page_view", "click", "add_to_cart", "purchase"))

    assert view > click > cart > purchase
    assert 0.1 < cart / view < 0.5
    assert 0.02 < purchase / view < 0.2


def test_a_page_refers_to_the_page_before(events):
    """Inside a visit the referrer is the page seen last; the first comes from outside."""
    views = defaultdict(list)
    for event in of_type(events, "page_view"):
        views[event["session_id"]].append(event)

    assert all(
        later["referrer"] == earlier["page_url"] for pages in views.values() for earlier, later in pairwise(pages)
    )
    assert not any("shop.example.com" in (pages[0]["referrer"] or "") for pages in views.values())


def test_searches_are_korean_and_english(events):
    """Search terms are stored as text, not escaped, and their result page carries the encoded term."""
    terms = {event["search_query"] for event in of_type(events, "search")}

    assert any(re.search("[가-힣]", term) for term in terms)
    assert any(re.fullmatch("[a-z ]+", term) for term in terms)
    assert any("%EC" in event["page_url"] for event in of_type(events, "page_view"))


# --- orders ----------------------------------------------------------------------------------------


def test_orders_add_up_and_hold_what_was_in_the_basket(events):
    """Total = items - discount + shipping exactly, and the items are the visit's add_to_cart events."""
    basket = defaultdict(list)
    for event in of_type(events, "add_to_cart"):
        basket[event["session_id"]].append((event["product_id"], event["quantity"], event["unit_price"]))
    for order in of_type(events, "purchase"):
        details = json.loads(order["extra_data"])
        items = [(item["product_id"], item["quantity"], item["unit_price"]) for item in details["products"]]
        total = sum(quantity * price for _, quantity, price in items)

        assert order["total_amount"] == total - details["discount_amount"] + details["shipping_fee"]
        assert items == basket[order["session_id"]]


def test_orders_vary(events):
    """Several items, coupons with a discount, paid and free shipping all occur."""
    details = [json.loads(order["extra_data"]) for order in of_type(events, "purchase")]

    assert any(len(order["products"]) > 1 for order in details)
    assert {bool(order["shipping_fee"]) for order in details} == {True, False}
    assert {(order["coupon_code"] is not None, order["discount_amount"] > 0) for order in details} == {
        (True, True),
        (False, False),
    }


def test_the_price_of_a_product_is_the_same_everywhere(events):
    """One catalogue: a product has one category and one price."""
    prices = {(e["product_id"], e["category_id"], e["unit_price"]) for e in of_type(events, "add_to_cart")}

    assert len({product for product, _, _ in prices}) == len(prices)


# --- refusals and resources ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"users": 0}, "users"),
        ({"users": 1_000_000}, "users"),
        ({"seed": -1}, "seed"),
        ({"events": 0}, "events"),
        ({"events": 2**26}, "events"),
        ({"day": date(2031, 1, 1)}, "years"),
        ({"day": date(2019, 12, 31)}, "years"),
    ],
)
def test_arguments_out_of_range_are_refused(generate, tmp_path, change, says):
    """Nothing is written for arguments that make no sense."""
    with pytest.raises(SettingsError, match=says):
        generate(**change)

    assert list(tmp_path.iterdir()) == []


def test_a_contract_without_the_shops_words_is_refused(tmp_path):
    """A value of shop.toml that the contract does not know is named, with the place."""
    schema = json.loads((SCHEMAS / "event_schema.json").read_text(encoding="utf-8"))
    schema["properties"]["payment_method"]["enum"].remove("kakao_pay")
    path = tmp_path / "other.json"
    path.write_text(json.dumps(schema), encoding="utf-8")

    with pytest.raises(ContractError, match=r"'kakao_pay' of payment_method, which other\.json") as raised:
        simulate.generate(THURSDAY, contract=contracts.load(path), output=tmp_path / "e.jsonl", users=10, seed=1)
    assert "landing" in raised.value.hint


def other_contract(tmp_path, change):
    """The shipped contract with a change of its document."""
    schema = json.loads((SCHEMAS / "event_schema.json").read_text(encoding="utf-8"))
    change(schema)
    path = tmp_path / "other.json"
    path.write_text(json.dumps(schema), encoding="utf-8")
    return contracts.load(path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda schema: schema.pop("x-order-total"), "the extensions x-order-total, x-funnel-sequence"),
        (lambda schema: schema["x-platform-device-rules"]["allowed"]["web"]["os"].remove("macOS"), "os 'macOS' on"),
    ],
)
def test_a_contract_of_another_shop_is_refused_with_what_is_foreign(tmp_path, change, says):
    """The simulator makes the shipped shop's events only; other shops land theirs."""
    with pytest.raises(ContractError, match=says):
        simulate.generate(
            THURSDAY, contract=other_contract(tmp_path, change), output=tmp_path / "e.jsonl", users=10, seed=1
        )


@pytest.mark.parametrize(
    ("fault", "field", "bound", "says"),
    [
        ("quantity_too_large", "quantity", "maximum", "gives quantity no maximum"),
        ("query_too_long", "search_query", "maxLength", "gives search_query no maxLength"),
    ],
)
def test_a_fault_that_the_contract_cannot_have_is_refused(tmp_path, fault, field, bound, says):
    """Without a bound nothing is beyond it."""
    contract = other_contract(tmp_path, lambda schema: schema["properties"][field].pop(bound))
    with pytest.raises(ContractError, match=says):
        simulate.generate(
            THURSDAY, contract=contract, output=tmp_path / "e.jsonl", users=100, seed=1, faults={fault: 0.5}
        )


def test_an_existing_file_is_replaced_and_nothing_else_is_left(generate, tmp_path):
    """The file appears by rename; no draft stays beside it."""
    (tmp_path / "events.jsonl").write_text("old")
    generate(events=10)

    assert [path.name for path in tmp_path.iterdir()] == ["events.jsonl"]
    assert len(read(tmp_path / "events.jsonl")) == 10


def test_a_place_that_cannot_be_written_fails_clearly(generate, tmp_path):
    """A folder where the file should be: the step fails and leaves no draft."""
    (tmp_path / "events.jsonl").mkdir()
    with pytest.raises(StepFailed, match=r"events\.jsonl: cannot be written") as raised:
        generate(events=10)

    assert raised.value.step == "generate"
    assert [path.name for path in tmp_path.iterdir()] == ["events.jsonl"]


def test_an_interrupted_generation_leaves_the_old_file(generate, tmp_path):
    """Whatever stops the writing, the file at its name is whole."""
    (tmp_path / "events.jsonl").write_text("old")

    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(events=10, on_progress=interrupt)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


@pytest.mark.long
def test_memory_stays_bounded(tmp_path):
    """Half a million events (200 MB of text) never take as much memory as their text."""
    script = (
        "import resource, sys; from datetime import date; from pathlib import Path;"
        "from pipeline import contract, simulate;"
        "make = lambda n: simulate.generate(date(2026, 1, 15), contract=contract.load(), output=Path(sys.argv[1]),"
        " users=2000, seed=7, events=n).path.stat().st_size;"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024;"
        "make(100); before = peak(); size = make(500_000) >> 20; print(size, peak() - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "events.jsonl"],
        cwd=SCHEMAS.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    megabytes, grown = map(int, done.stdout.split())

    assert megabytes > 150
    assert grown < 300


def test_a_day_is_made_without_a_library_for_data_frames(tmp_path):
    """Neither pandas nor polars is imported: either takes as long as a hundred thousand events."""
    script = (
        "import sys; from datetime import date; from pathlib import Path; from pipeline import contract, simulate;"
        "simulate.generate(date(2026, 1, 15), contract=contract.load(), output=Path(sys.argv[1]), users=300, seed=11,"
        " events=2000, faults={'order_id_repeated': 0.3}); print({'pandas', 'polars'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "e.jsonl"], capture_output=True, text=True, check=True
    )

    assert done.stdout == "set()\n"


def test_the_fault_list_is_light_to_import():
    """`daygate generate --help` can list the faults without NumPy and Arrow."""
    script = "import sys, pipeline.simulate; print({'numpy', 'polars', 'pyarrow', 'pydantic'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=SCHEMAS.parent, capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "set()"


# --- example events --------------------------------------------------------------------------------

EXAMPLES = sorted((SCHEMAS / "examples").glob("*/*.jsonl"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_example_events_are_what_their_folder_says(path, validator):
    """Every line in schemas/examples/valid is accepted by the schema, every line in invalid is refused."""
    accepted = {validator.is_valid(event) for event in read(path)}

    assert accepted == {path.parent.name == "valid"}


def test_valid_examples_pass_the_checks():
    """The example visit goes through all seven checks."""
    found = oracle.judge(SCHEMAS / "examples" / "valid" / "visit.jsonl", THURSDAY)

    assert found.lines == 5
    assert found.failed_checks() == set()
