"""The parser's laws: the fast path means what the exact path means, however the bytes are damaged or cut."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from staging_fixtures import CONTRACT, DAY, DETAILS, VIEW, line, row_between_good_lines, rows_of, with_raw

from pipeline import contract as contracts
from pipeline import order_details, parse, timestamps
from pipeline.parse_scan import KeyTable, scan
from pipeline.parse_slow import deeper_than
from pipeline.zone import ZONE

ORDER = line(
    event_type="purchase",
    order_id="ORD2026011500001",
    total_amount=2500,
    extra_data=DETAILS,
    page_url=None,
    search_query='"os":1 a : b \\',
)
FRAGMENTS = (
    *(b'"', b"\\", b"\\\\", b":", b'":', b'" :', b"{", b"}", b"[", b"]", b",", b"null", b"true", b"1.0", b"1e400"),
    *(b"-0", b"9223372036854775808", rb"\u0000", rb"\ud800", rb"\ud83d\ude00", b"\x00", b"\t", b"\r", b"\xff"),
    *(b"\xed\xa0\x80", b"\xea\xb0\x80", b"\xef\xbb\xbf", b"NaN", b'"x":1,', rb'"x\\":1,', rb'"x\"os":1,'),
    *(b'"event_id":null,', b'"event_id": "q",', b'"os" :null,', b'"quantity":1.5,', b'"unit_price":12.5,'),
    *(b'"unit_price":"3",', b'"total_amount":12345678901234567890,', b'"":1,', rb'"o\u0073":"u",', b'"xos":1,'),
    *(b'"x":{"os":1},', b'"x":[1,[2]],', b'"x":1e400,', rb'"x":"\ud800",', rb'"extra_data":"{}",', b'"x":-1e-400,'),
)
NAMES = [*CONTRACT.names, "x", "", "os ", 'x"os', "x\\"]

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["1", "", "2026-01-15T00:00:00Z"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=4,
)
json_lines = st.builds(
    lambda pairs, ascii_only, colon: (
        "{" + ", ".join(json.dumps(k) + colon + json.dumps(v, ensure_ascii=ascii_only) for k, v in pairs) + "}"
    ).encode(errors="surrogatepass"),
    st.lists(st.tuples(st.sampled_from(NAMES), json_values), max_size=8),
    st.booleans(),
    st.sampled_from([":", ": ", " : ", "\t:", "  :"]),
)


@st.composite
def damaged_lines(draw):
    """A good line with pieces cut out, overwritten or put in."""
    data = draw(st.sampled_from([line(), ORDER, line(referrer=None, quantity=3)]))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        cut = draw(st.sampled_from([0, 0, 0, 1, 2, 7]))
        put = draw(st.sampled_from(FRAGMENTS) | st.binary(max_size=2))
        before_a_key = data.find(b'"', at)
        if draw(st.booleans()) and before_a_key >= 0:
            at = before_a_key
        data = data[:at] + put + data[at + cut :]
    return data.replace(b"\n", b" ")


def parsed(data, *, exact=False, first_offset=0):
    return parse.parse_range(data, first_line=1, first_offset=first_offset, contract=CONTRACT, day=DAY, exact=exact)


@pytest.mark.long
@settings(max_examples=400)
@given(st.lists(damaged_lines() | json_lines, min_size=1, max_size=4), st.sampled_from([b"", b"\n", b"\r\n"]))
@example([b'{"event_id":null,"event_id":"x"}'], b"")
@example([rb'{"x\"os":{"os":1}}'], b"")
@example([rb'{"x\\":1,"x\\":2}'], b"")
def test_the_fast_path_means_what_the_exact_path_means(lines, end):
    """Columns, problems and counts are identical for good, odd and broken lines alike."""
    data = b"\n".join(lines) + end

    fast, exact = parsed(data), parsed(data, exact=True)

    assert fast.frame.to_dicts() == exact.frame.to_dicts()
    assert (fast.blank_lines, fast.lines_with_unknown_keys) == (exact.blank_lines, exact.lines_with_unknown_keys)


@given(st.lists(damaged_lines() | st.just(b"") | st.just(b" \t"), max_size=5))
def test_every_line_is_exactly_one_row_or_blank(lines):
    """Nothing is lost and nothing is split: places and numbers cover the bytes."""
    data = b"".join(piece + b"\n" for piece in lines)

    result = parsed(data, first_offset=1000)
    places = result.frame.select("line_no", "byte_offset", "byte_length").rows()

    assert result.frame.height + result.blank_lines == len(lines)
    for number, offset, length in places:
        assert data[offset - 1000 :][:length] == lines[number - 1]


@given(damaged_lines())
def test_a_line_without_problems_holds_what_json_says(data):
    """An independent reader agrees with every value of a line that has no problem."""
    row = row_between_good_lines(data) if data.strip(b" \t\r") and not data.startswith(b"\xef\xbb\xbf") else {}
    if row.get("problems", "") is not None:
        return
    found = json.loads(data)

    for field in CONTRACT.fields:
        if field.kind != "timestamp":
            assert row[field.name] == found.get(field.name)


def test_the_staged_schema_is_the_schema_of_every_frame():
    """Also of nothing at all, of blank lines and of a line nobody read."""
    schema = parse.staged_schema(CONTRACT)
    unread = parse.too_long_line(line_no=1, byte_offset=0, byte_length=9, contract=CONTRACT)

    for frame in (parsed(b"").frame, parsed(b"\n\n").frame, parsed(line()).frame, parsed(b"{").frame, unread.frame):
        assert dict(frame.schema) == schema


def test_good_lines_are_no_suspects():
    """What real files hold, explicit nulls and JSON inside texts included, stays on the fast path."""
    lines = (line(), line(extra_data=DETAILS), line(referrer=None), line(page_url="a : b"))
    spaced = [data.replace(b'": ', b'" : ') for data in lines]
    found = scan(b"\n".join((*lines, *spaced)), KeyTable.of(CONTRACT))
    keys = found.identified(np.arange(len(lines) + len(spaced)))

    assert not found.suspect.any()
    assert not keys.undeclared.any()
    assert not keys.repeated.any()


def test_a_plain_undeclared_key_is_counted_and_changes_nothing_else():
    """A shop may send more than the contract knows."""
    result = parsed(line(campaign="spring", score=1.5) + b"\n" + line() + b"\n" + line(nested={"a": [1]}))

    assert result.lines_with_unknown_keys == 2
    assert result.frame["problems"].null_count() == 3
    assert result.frame["event_id"].to_list() == [VIEW["event_id"]] * 3


def test_problems_of_several_fields_are_all_named():
    """One line can have several problems; each is named once, in the order of the contract."""
    data = with_raw("quantity", b'"3", "unit_price": 1e40, "search_query": "\\u0000", "timestamp_": 1')
    data = data.replace(str(VIEW["timestamp"]).encode(), b"soon")

    assert (
        row_between_good_lines(data)["problems"]
        == "|quantity:type|unit_price:range|search_query:nul|timestamp:unreadable|"
    )


def test_problems_never_hold_a_value():
    """The vocabulary is closed: field names and kinds only."""
    canary = "CANARY"
    data = b"\n".join(
        (
            line(timestamp=canary, extra_data=canary, quantity=canary),
            with_raw(canary, b"[" * 100),
            line(**{canary * 1000: 1}),
            canary.encode(),
        )
    )

    texts = [row["problems"] for row in rows_of(data)]

    assert all(re.fullmatch(r"\|([a-z_]+:[a-z_0-9]+\|)+", str(text)) for text in texts)


def test_the_order_key_orders_by_time_then_line():
    """Defined only for instants of the day, where it cannot overflow."""
    times = ["2026-01-15T00:00:00", "2026-01-15T23:59:59.999999", "2026-01-14T23:59:59.999999", "2026-01-16T00:00:00"]
    rows = rows_of(b"\n".join(line(timestamp=text) for text in times))

    assert [row["day_us"] for row in rows] == [0, 86_399_999_999, -1, 86_400_000_000]
    assert [row["order_key"] for row in rows] == [1, 86_399_999_999 * 2**26 + 2, None, None]


@pytest.mark.parametrize(
    "text", ["2026-01-15T00:00:00", "2026-01-15T00:00:00+09:00", "2026-01-14T15:00:00Z", "2026-01-14T10:00:00-05:00"]
)
def test_the_same_instant_in_every_notation(text):
    """A text without an offset is business time."""
    row = row_between_good_lines(line(timestamp=text))

    assert row["timestamp"] == datetime(2026, 1, 14, 15, tzinfo=UTC)
    assert row["day_us"] == 0


SHAPE = re.compile(
    r"\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)?", re.ASCII
)


def expected_instant(text: str) -> int | None:
    """What Python's own reader says of the texts that have the accepted shape."""
    match = SHAPE.fullmatch(text)
    if match is None:
        return None
    fraction = match[1] or ""
    try:
        moment = datetime.fromisoformat(text.replace(fraction, fraction[:7]) if fraction else text)
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=ZONE)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


two = st.integers(0, 99).map("{:02}".format)
near_instants = st.builds(
    "{}-{}-{}{}{}:{}:{}{}{}".format,
    st.sampled_from(["2026", "2024", "2000", "1900", "0001", "9999", "0000"]),
    st.sampled_from(["01", "02", "12", "00", "13"]) | two,
    st.sampled_from(["01", "28", "29", "30", "31", "00"]) | two,
    st.sampled_from(["T"] * 9 + ["t", " "]),
    st.sampled_from(["00", "23", "24", "12"]),
    st.sampled_from(["00", "59", "60"]),
    st.sampled_from(["00", "59", "60"]),
    st.sampled_from(["", ".", ".1", ".123456", ".1234567", ".999999999", ".1234567890", ",5", ".12a"]),
    st.sampled_from(["", "Z", "z", "+09:00", "-09:30", "+23:59", "+24:00", "-00:00", "+09:60", "+0900", "+09", "Z "]),
)


@settings(max_examples=300)
@given(st.lists(near_instants | st.text(max_size=40) | st.none(), min_size=1, max_size=20))
def test_instants_agree_with_an_independent_reader(texts):
    """Whole columns are read as Python's standard library reads one text, within the accepted shape."""
    # Python's zone database knows Seoul's offsets before 1988; naive texts take the checked day's offset.
    texts = [
        None
        if text and text[:4] in ("1900", "0001", "0000") and SHAPE.fullmatch(text) and SHAPE.fullmatch(text)[2] is None
        else text
        for text in texts
    ]

    found = timestamps.instants(pl.Series(texts, dtype=pl.String), DAY).to_list()

    assert found == [None if text is None else expected_instant(text) for text in texts]


@given(st.text('{}[]"\\a', max_size=40), st.integers(0, 5))
def test_depth_is_counted_outside_texts(text, cap):
    """The depth scan agrees with a plain walk over the characters."""
    depth = deepest = 0
    inside = escaped = False
    for char in text:
        if inside:
            inside, escaped = (char != '"' or escaped), (char == "\\" and not escaped)
        elif char == '"':
            inside, escaped = True, False
        else:
            depth += (char in "{[") - (char in "}]")
            deepest = max(deepest, depth)

    assert deeper_than(text, cap) == (deepest > cap)


def test_the_day_starts_at_midnight_in_the_business_zone():
    """Fifteen o'clock UTC of the day before."""
    start = timestamps.day_start(date(2026, 1, 15))

    assert start == datetime(2026, 1, 14, 15, tzinfo=UTC).timestamp() * 1_000_000


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":"' + rb"\"" * 300_000 + b"[" * 70,
        b'{"a":' + b'"{' * 300_000,
        b'{"a":"' + rb"\u0000" * 100_000 + b'"}',
        b'{"":' * 200_000,
        b":" * 1_000_000,
        b'" :' * 300_000,
        b"\\" * 1_000_000,
        b'{"a":' + b"9" * 1_000_000 + b"}",
        b'{"a":0.' + b"9" * 1_000_000 + b"}",
        b'{"unit_price":1e' + b"9" * 1_000_000 + b"}",
        line(extra_data='{"products":' + '"\\' * 200_000 + "[" * 70),
    ],
    ids=range(11),
)
def test_no_line_takes_long(data):
    """A megabyte of anything is judged in linear time."""
    started = time.process_time()

    row_between_good_lines(data)

    assert time.process_time() - started < 3


def test_another_contract_is_parsed_as_strictly(tmp_path):
    """More fields than fit one set of bits, names longer than two words and names that end alike."""
    document = json.loads(contracts.default_path().read_text())
    names = [f"f{n}" for n in range(60)] + ["a_name_much_longer_than_two_words_of_eight", "type", "t", "x_event_id"]
    document["properties"].update({name: {"type": "string"} for name in names})
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(document))
    contract = contracts.load(path)
    lines = [
        line(**dict.fromkeys(names, "v")),
        line(**{names[-4]: "v", "b" + names[-4][1:]: "w"}),
        line(t="1", type="2"),
    ]
    lines += [data[:-1] + f', "{name}": "v"}}'.encode() for data in lines for name in ("f59", "t", "x_event_id")]
    data = b"\n".join(lines)

    fast, exact = (
        parse.parse_range(data, first_line=1, first_offset=0, contract=contract, day=DAY, exact=exact)
        for exact in (False, True)
    )

    assert fast.frame.to_dicts() == exact.frame.to_dicts()
    assert fast.lines_with_unknown_keys == exact.lines_with_unknown_keys == 4
    assert fast.frame["problems"].drop_nulls().len() == 4
    assert fast.frame["type"].to_list()[:3] == ["v", None, "2"]


def test_a_contract_without_order_totals_leaves_the_amounts_empty(tmp_path):
    """The extension is optional; the columns are not."""
    document = json.loads(contracts.default_path().read_text())
    del document["x-order-total"]
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(document))

    frame = parse.parse_range(
        line(extra_data="hello"), first_line=1, first_offset=0, contract=contracts.load(path), day=DAY
    ).frame

    assert frame.row(0, named=True)["extra_data"] == "hello"
    assert frame["items_total"].to_list() == frame["problems"].to_list() == [None]


def test_a_line_that_only_one_reader_takes_costs_its_neighbours_nothing():
    """Where polars refuses what JSON allows, the exact path reads the whole block."""
    data = b"\n".join((line(), with_raw("not_declared", b"0.0e-99999999999999999999"), line(campaign="x"), b"{"))

    fast, exact = parsed(data), parsed(data, exact=True)

    assert fast.frame["problems"].to_list() == [None, None, None, "|line:json|"]
    assert fast.frame.to_dicts() == exact.frame.to_dicts()
    assert fast.lines_with_unknown_keys == exact.lines_with_unknown_keys == 2


details_numbers = st.integers(-3, 10**9) | st.sampled_from([1.5, 10**25, -0.0, 1e300, True, None, "3", [], {}])
details_items = st.lists(
    st.dictionaries(st.sampled_from(["product_id", "quantity", "unit_price", "x"]), details_numbers, max_size=4)
    | details_numbers,
    max_size=3,
)
details_texts = st.builds(
    lambda pairs, separators: (
        "{" + separators[0].join(json.dumps(key) + separators[1] + json.dumps(value) for key, value in pairs) + "}"
    ),
    st.lists(
        st.tuples(st.just("products"), details_items | details_numbers)
        | st.tuples(st.sampled_from(["discount_amount", "shipping_fee", "coupon_code", "é"]), details_numbers),
        max_size=5,
    ),
    st.sampled_from([(",", ":"), (", ", ": "), (" ,", " : ")]),
)


@settings(max_examples=300)
@given(details_texts | st.text(max_size=20))
@example('{"products":[],"products":[]}')
@example('{"products" : [{"product_id": 0}] ,"products" : []}')
@example('{"products":{}}')
@example('{"products":""}')
@example('{"products":[{"quantity":1,"quantity":2,"unit_price":3}]}')
@example('{"products":[{"quantity":2,"unit_price":3}],"coupon_code":1e-2000}')
@example('{"products":[],"coupon_code":' + "9" * 1001 + "}")
@example('{"products":[],"coupon_code":' + "[" * 65 + "]" * 65 + "}")
def test_plain_order_details_mean_what_exact_ones_mean(text):
    """The quick reading of orders never says anything else than the exact one."""
    order = CONTRACT.order_total

    assert order_details.read(text, order) == order_details.read_exactly(text, order)


def test_ordinary_order_details_are_read_quickly(monkeypatch):
    """What shops write is not left to the exact reading."""
    monkeypatch.setattr(order_details, "read_exactly", None)
    text = (
        '{"products":[{"product_id":"P0001","quantity":2,"unit_price":1000}],"discount_amount":null,"coupon_code":"X"}'
    )

    assert order_details.read(text, CONTRACT.order_total).items_total == 2000


def test_lines_of_a_few_bytes_are_parsed_a_bounded_number_at_a_time():
    """A block is cut between lines, by bytes or by their number; every line keeps its number and its place."""
    lines = 2 * parse._BLOCK_LINES + 7
    parsed = parse.parse_range(b"{}\n" * lines, first_line=5, first_offset=100, contract=CONTRACT, day=DAY)

    assert parsed.frame["line_no"].equals(pl.Series("line_no", range(5, 5 + lines), dtype=pl.Int64))
    assert parsed.frame["byte_offset"].equals(pl.Series("byte_offset", range(100, 100 + 3 * lines, 3), dtype=pl.Int64))
