"""The bad-input matrix: what becomes of every hostile line and file, by the row of the matrix.

A row that is rejected keeps its line number, its bytes and a problem, and touches no neighbour.

Long because it is the matrix, row after row.
"""

from __future__ import annotations

import gzip
import json
import os
import socket
from decimal import Decimal
from pathlib import Path

import pytest
from staging_fixtures import (
    CONTRACT,
    DETAILS,
    VIEW,
    frame_of,
    line,
    problems_of,
    row_between_good_lines,
    rows_of,
    staged_file,
    with_raw,
)

from pipeline import delivery, stage
from pipeline.errors import RefusedFile
from pipeline.parse_slow import LINE_CAP


@pytest.fixture
def refusal(tmp_path):
    """Write bytes to a file and return why it is refused."""

    def refuse(data: bytes, name: str = "events_20260115.jsonl") -> RefusedFile:
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(RefusedFile) as caught, delivery.take(path, folder=None):
            pass
        assert "\n" not in caught.value.message
        assert caught.value.hint
        return caught.value

    return refuse


def test_row_1_an_empty_file_is_refused(refusal):
    """No bytes is no day; it must never pass."""
    assert refusal(b"").reason == "empty"


@pytest.mark.parametrize("data", [b"\n", b"\n\n  \n\t\r\n", b"   ", b"\xef\xbb\xbf\n", b"\n" * 300_000])
def test_row_2_only_blank_lines_are_refused(refusal, data):
    """A file of blank lines is as empty as no file."""
    assert refusal(data).reason == "empty"


def test_row_3_blank_lines_between_rows_are_counted_and_keep_the_numbering():
    """A blank line is no row but has a number."""
    rows = rows_of(line() + b"\n\n \t\r\n" + line() + b"\n")

    assert [row["line_no"] for row in rows] == [1, 4]
    assert all(row["problems"] is None for row in rows)


def test_row_4_the_last_newline_may_be_missing():
    """The last line counts without its newline."""
    assert [row["problems"] for row in rows_of(line() + b"\n" + line())] == [None, None]


def test_row_5_a_truncated_last_line_is_a_rejected_row():
    """Half an object is no JSON; the lines before it stay."""
    rows = rows_of(line() + b"\n" + line()[:100])

    assert [row["problems"] for row in rows] == [None, "|line:json|"]


def test_row_6_crlf_is_accepted():
    """A carriage return before the newline is white space."""
    rows = rows_of(line() + b"\r\n" + line() + b"\r\n")

    assert [row["problems"] for row in rows] == [None, None]
    assert rows[0]["page_type"] == VIEW["page_type"]


def test_row_7_cr_only_newlines_are_refused(refusal):
    """Lines that only a carriage return ends would be one line here and many elsewhere."""
    assert refusal(line() + b"\r" + line() + b"\r").reason == "line_endings"


@pytest.mark.parametrize("char", ["\u2028", "\u2029", "\u0085", "\x7f"])
def test_row_8_unicode_line_separators_do_not_break_a_row(char):
    """Only a newline ends a line."""
    row = row_between_good_lines(json.dumps({**VIEW, "search_query": char}, ensure_ascii=False).encode())

    assert row["search_query"] == char


def test_row_9_a_bom_at_the_start_is_stripped(tmp_path):
    """The byte order mark is no part of the first line."""
    path = tmp_path / "bom.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + line() + b"\n")

    frame = frame_of(staged_file(path, tmp_path / "out"))

    assert frame["problems"].to_list() == [None]
    assert frame["byte_offset"].to_list() == [3]


def test_row_10_a_bom_elsewhere_rejects_its_line():
    """Files glued together keep their marks; such a line is no JSON."""
    assert problems_of(b"\xef\xbb\xbf" + line()) == "|line:json|"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
def test_row_11_utf_16_and_32_are_refused(refusal, encoding):
    """Other encodings are named, with or without a mark."""
    assert refusal((line().decode() + "\n").encode(encoding)).reason == "encoding"


@pytest.mark.parametrize("place", ["page_url", "not_declared"])
def test_row_12_an_invalid_utf8_byte_rejects_its_line(place):
    """Bytes that are no UTF-8 reject the line wherever they stand, and stay addressable."""
    assert problems_of(with_raw(place, b'"\xff"')) == "|line:utf8|"


@pytest.mark.parametrize("raw", [b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe2\x82"])
def test_rows_13_and_14_overlong_and_surrogate_bytes_are_no_utf8(raw):
    """What only lenient decoders read is refused."""
    assert problems_of(with_raw("search_query", b'"' + raw + b'"')) == "|line:utf8|"


@pytest.mark.parametrize("escape", [rb"\ud800", rb"\udc00\ud800", rb"x\ud83d\u0041", rb"\uDFFF"])
def test_row_15_a_lone_surrogate_escape_is_a_problem_of_its_field(escape):
    """A half character cannot be stored; the other fields of the line stay."""
    row = row_between_good_lines(with_raw("search_query", b'"' + escape + b'"'))

    assert row["problems"] == "|search_query:surrogate|"
    assert row["search_query"] is None
    assert row["event_id"] == VIEW["event_id"]


def test_row_15_a_pair_of_surrogate_escapes_is_a_character():
    """Two halves are one character."""
    assert row_between_good_lines(with_raw("search_query", rb'"\ud83d\ude00"'))["search_query"] == "😀"


def test_row_16_a_nul_escape_is_a_problem_of_its_field():
    """PostgreSQL cannot hold U+0000; one such value must not abort a load."""
    row = row_between_good_lines(with_raw("search_query", rb'"a\u0000b"'))

    assert row["problems"] == "|search_query:nul|"
    assert row["search_query"] is None


@pytest.mark.parametrize("char", [b"\x00", b"\x01", b"\x1f", b"\t", b"\x0b"])
def test_rows_17_and_18_raw_control_characters_are_no_json(char):
    """Control characters inside a text must be escaped."""
    assert problems_of(with_raw("search_query", b'"a' + char + b'b"')) == "|line:json|"


@pytest.mark.parametrize("word", [b"NaN", b"Infinity", b"-Infinity"])
@pytest.mark.parametrize("place", ["unit_price", "not_declared"])
def test_row_19_nan_and_infinity_reject_their_line(word, place):
    """JSON has no such numbers."""
    assert problems_of(with_raw(place, word)) == "|line:number|"


@pytest.mark.parametrize("number", [b"1e400", b"-1e400", b"1e999999999999999999999", b"1e-400"])
def test_row_20_a_number_beyond_our_decimals_is_out_of_range(number):
    """Nothing is rounded or made infinite."""
    assert problems_of(with_raw("unit_price", number)) == "|unit_price:range|"


@pytest.mark.parametrize("number", [2**53 + 1, 2**63 - 1, -(2**63)])
def test_row_21_big_integers_are_exact(number):
    """An integer keeps all its digits up to 64 bits."""
    row = row_between_good_lines(with_raw("position", str(number).encode()))

    assert row["position"] == number


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 2**64, 10**30])
def test_row_22_an_integer_beyond_64_bits_is_out_of_range(number):
    """It never becomes a float."""
    assert problems_of(with_raw("position", str(number).encode())) == "|position:range|"


@pytest.mark.parametrize("field", ["position", "unit_price"])
def test_row_23_a_5000_digit_integer_is_out_of_range(field):
    """Digits beyond every range are not even read."""
    assert problems_of(with_raw(field, b"9" * 5000)) == f"|{field}:range|"


@pytest.mark.parametrize("number", [b"1.0", b"1e2", b"1.5", b"-0.0", b"1E0"])
def test_row_24_a_float_is_no_integer(number):
    """1.0 is written by code that thinks in floats; it is not an integer here."""
    assert problems_of(with_raw("quantity", number)) == "|quantity:type|"


@pytest.mark.parametrize("text", ["12", " 12 ", "1_000", "0x10", "１２", "١٢"])
@pytest.mark.parametrize("field", ["quantity", "unit_price"])
def test_row_25_a_numeric_text_is_no_number(text, field):
    """Texts are never read as numbers."""
    assert problems_of(with_raw(field, json.dumps(text).encode())) == f"|{field}:type|"


@pytest.mark.parametrize("word", [b"true", b"false"])
@pytest.mark.parametrize("field", ["quantity", "unit_price", "user_id"])
def test_row_26_a_boolean_is_no_number_and_no_text(word, field):
    """Python's True equals 1; here it is of a wrong type."""
    data = line()[:-1].replace(b'"user_id": "U000937", ', b"") + b', "' + field.encode() + b'": ' + word + b"}"

    assert problems_of(data) == f"|{field}:type|"


def test_row_27_leading_zeros_in_texts_stay():
    """An id is text."""
    assert row_between_good_lines(with_raw("order_id", b'"007"'))["order_id"] == "007"


@pytest.mark.parametrize(
    "number", ["0.1", "1.005", "12345678901234567.89", "0.000000000000000001", "1e5", "-0", "2.50"]
)
def test_row_28_money_is_exact(number):
    """A decimal keeps its value to the last digit."""
    row = row_between_good_lines(with_raw("unit_price", number.encode()))

    assert row["unit_price"] == Decimal(number)


def test_row_29_values_out_of_the_contracts_range_are_staged_for_the_rules():
    """Ranges are the checks' business: staging keeps the value."""
    row = row_between_good_lines(with_raw("quantity", b"-1"))

    assert (row["quantity"], row["problems"]) == (-1, None)


@pytest.mark.parametrize(
    "pair",
    [
        b'"event_id": "x", ',
        b'"event_id": null, ',
        b'"event_id" :"x", ',
        b'"event_id"\t: "x", ',
        rb'"event\u005fid": "x", ',
        b'"a": 1, "a": 1, ',
        b'"a": {"b": 1, "b": 2}, ',
        b'"referrer": null, "referrer": null, ',
        b'"referrer": null, "referrer": "x", ',
        b'"referrer": "x", "referrer": null, ',
        rb'"a\\":1, "a\\":1, ',
    ],
)
def test_row_30_a_repeated_key_rejects_its_line(pair):
    """Readers disagree which value wins, so nobody wins."""
    assert problems_of(line().replace(b"{", b"{" + pair, 1)) == "|line:dup_key|"


@pytest.mark.parametrize("key", ["Event_Id", "\u0435vent_id", "event_id ", "xevent_id", '"event_id', "event_id\\"])
def test_row_31_look_alike_keys_are_unknown_keys(key):
    """Names are compared exactly; the declared field keeps its own value."""
    row = row_between_good_lines(line(**{key: "other"}))

    assert (row["event_id"], row["problems"]) == (VIEW["event_id"], None)


@pytest.mark.parametrize("keys", [{"": 1}, {"k" * 100_000: 1}, {f"k{n}": n for n in range(10_000)}])
def test_row_32_absurd_keys_reject_their_line(keys):
    """An empty key, a huge key and ten thousand keys are no event."""
    assert problems_of(line(**keys)) == "|line:shape|"


@pytest.mark.parametrize(
    "key", ["__proto__", "constructor", "$ref", "_corrupt_record", "line_no", "problems", "day_us"]
)
def test_row_33_keys_with_a_meaning_elsewhere_are_just_unknown(key):
    """A key of the data never becomes a column of ours."""
    row = row_between_good_lines(line(**{key: "x"}))

    assert (row["line_no"], row["problems"]) == (2, None)


@pytest.mark.parametrize("depth", [65, 1000, 100_000])
@pytest.mark.parametrize("place", ["page_url", "not_declared"])
def test_rows_34_and_35_deep_nesting_rejects_its_line(depth, place):
    """Depth is counted before any recursive reader sees the line."""
    assert problems_of(with_raw(place, b"[" * depth + b"]" * depth)) == "|line:depth|"
    assert problems_of(with_raw(place, b'{"a":' * depth)) == "|line:depth|"


def test_row_34_nesting_up_to_the_cap_is_accepted():
    """The line's own object is the first level; brackets inside texts are text."""
    assert problems_of(with_raw("not_declared", b"[" * 63 + b"]" * 63)) is None
    assert problems_of(with_raw("search_query", b'"' + b"[" * 1000 + b'"')) is None


@pytest.mark.parametrize("value", [b"[]", b"[1]", b"[" + line() + b"]", b'"text"', b"1", b"true", b"null"])
def test_rows_36_to_38_a_line_that_is_no_object_is_rejected(value):
    """Arrays are not exploded, scalars make no column, null is no event."""
    assert problems_of(value) == "|line:not_object|"


def test_row_38_null_as_the_first_line_is_a_rejected_row(tmp_path):
    """The first line decides nothing about the others."""
    path = tmp_path / "null.jsonl"
    path.write_bytes(b"null\n" + line() + b"\n")

    assert frame_of(staged_file(path, tmp_path / "out"))["problems"].to_list() == ["|line:not_object|", None]


@pytest.mark.parametrize(
    ("document", "looks"),
    [
        (json.dumps([VIEW, VIEW]), "one JSON array"),
        (json.dumps([VIEW] * 500), "one JSON array"),
        (json.dumps([VIEW, VIEW], indent=2), "one JSON array"),
        ("[\n" + json.dumps(VIEW) + "\n]\n", "one JSON array"),
        ("[" + json.dumps(VIEW) + ",\n" + json.dumps(VIEW) + "]\n", "one JSON array"),
        (json.dumps(VIEW, indent=2), "pretty-printed JSON"),
        (json.dumps({"events": [VIEW] * 300}, indent=1), "pretty-printed JSON"),
    ],
)
def test_row_39_one_json_document_over_the_whole_file_is_refused(refusal, document, looks):
    """The message says what it looks like and how to convert it."""
    error = refusal(document.encode())

    assert (error.reason, looks in error.message) == ("not_jsonl", True)


@pytest.mark.parametrize("rest", [line(), b" x", b"}", b",", b"null"])
def test_rows_40_and_41_anything_after_the_object_rejects_the_line(rest):
    """Two objects on a line are not one row with one lost."""
    assert problems_of(line() + rest) == "|line:trailing|"


@pytest.mark.parametrize(
    "bad", [b"{'a': 1}", b'{"a": 1,}', b'{"a": 01}', b'{"a": +1}', b'{"a": .5}', b"{} // x", b"{a: 1}"]
)
def test_row_42_almost_json_is_no_json(bad):
    """Leniency of other readers is not ours."""
    assert problems_of(bad) in ("|line:json|", "|line:trailing|")


@pytest.mark.parametrize(
    ("data", "looks"),
    [
        (b"<!DOCTYPE html>\n<html><body>502 Bad Gateway</body></html>\n", "HTML"),
        (b'<?xml version="1.0"?>\n<events/>\n', "XML"),
        (b"event_id,event_type,user_id\n1,2,3\n4,5,6\n", "CSV"),
        (b"event_id\tevent_type\n1\t2\n", "CSV"),
        (b"Internal Server Error\n", "text"),
        (b"\x7fELF\x02\x01\x01" + bytes(200), "ELF"),
        (b"PAR1" + bytes(100) + b"PAR1", "Parquet"),
        (b"PK\x03\x04" + bytes(100), "zip"),
        (bytes(range(256)) * 20, "binary"),
        (gzip.compress(line() + b"\n"), "gzip"),
        (b"\x28\xb5\x2f\xfd" + bytes(50), "zstd"),
    ],
)
def test_row_43_a_file_of_another_kind_is_refused_by_its_look(refusal, data, looks):
    """The message names what the file seems to be."""
    error = refusal(data)

    assert (error.reason, looks in error.message) == ("not_jsonl", True)


@pytest.mark.parametrize("first", [b"garbage", b"<html>", b"a,b,c", b"[1,2]", b"{", b"["])
def test_row_43_one_garbage_line_at_the_top_is_a_rejected_row(tmp_path, first):
    """A good file is not refused for its first line."""
    path = tmp_path / "top.jsonl"
    path.write_bytes(first + b"\n" + (line() + b"\n") * 3)

    problems = frame_of(staged_file(path, tmp_path / "out"))["problems"].to_list()

    assert problems[0] is not None
    assert problems[1:] == [None] * 3


def test_row_46_a_line_beyond_the_cap_is_rejected_in_bounded_memory(tmp_path):
    """A line as big as several ranges is one row with its place; the lines after it go on."""
    path = tmp_path / "long.jsonl"
    long = with_raw("not_declared", b'"' + b"x" * 300_000 + b'"')
    just_over = with_raw("not_declared", b'"' + b"x" * LINE_CAP + b'"')
    path.write_bytes(b"\n".join((line(), long * 8, line(), just_over, line())) + b"\n")

    staged = staged_file(path, tmp_path / "out", range_bytes=500_000)
    frame = frame_of(staged)

    assert frame["line_no"].to_list() == [1, 2, 3, 4, 5]
    assert frame["problems"].to_list() == [None, "|line:line_too_long|", None, "|line:line_too_long|", None]
    spans = frame.select("byte_offset", "byte_length").rows()
    assert [*stage.raw_lines(staged.delivery, spans)] == [line(), long * 8, line(), just_over, line()]


def test_row_48_missing_null_and_empty_stay_apart_from_wrong_types():
    """An absent or null value is null, an empty text is empty; neither is a problem of parsing."""
    without = json.dumps({k: v for k, v in VIEW.items() if k != "user_id"}).encode()

    assert [row_between_good_lines(data)["user_id"] for data in (without, line(user_id=None), line(user_id=""))] == [
        None,
        None,
        "",
    ]
    assert problems_of(line(user_id=None)) is None
    assert problems_of(line(timestamp="")) is None


@pytest.mark.parametrize("value", ["PURCHASE", "purchase ", "no-such-type", "\u200bclick"])
def test_rows_49_and_50_unknown_vocabulary_is_staged_for_the_rules(value):
    """Staging neither trims nor folds case: the rules see what came."""
    assert row_between_good_lines(line(event_type=value))["event_type"] == value


def test_row_51_copies_of_a_line_are_all_staged_in_order():
    """Which copy is the first is decided by line number, in the checks."""
    rows = rows_of((line() + b"\n") * 3)

    assert [(row["line_no"], row["event_id"]) for row in rows] == [(n, VIEW["event_id"]) for n in (1, 2, 3)]


@pytest.mark.parametrize(
    "text",
    [
        "2024-02-30T00:00:00",
        "2023-02-29T00:00:00Z",
        "2026-01-15T24:00:00",
        "2026-01-15T23:59:60",
        "2026-01-15T23:60:00",
        "2024-W01-1",
        "2024-W01-1T00:00:00",
        "20240101",
        "20240101T000000",
        "2026-01-15t00:00:00",
        "2026-01-15T00:00:00z",
        "2026-01-15 00:00:00",
        "2026-01-15",
        "2026-01-15T00:00",
        "2026-01-15T00:00:00.",
        "2026-01-15T00:00:00.1234567890",
        "2026-01-15T00:00:00+0900",
        "2026-01-15T00:00:00+09",
        "2026-01-15T00:00:00+24:00",
        "2026-01-15T00:00:00+09:60",
        "2026-01-15T00:00:00+09:00:30",
        "2026-01-15T00:00:00Z ",
        " 2026-01-15T00:00:00",
        "2026-01-15T00:00:00Z+09:00",
        "２０２６-01-15T00:00:00",
        "2026-13-01T00:00:00",
        "2026-00-01T00:00:00",
        "2026-01-00T00:00:00",
        "0000-01-01T00:00:00Z",
        "+2026-01-15T00:00:00",
        "-026-01-15T00:00:00",
    ],
)
def test_row_55_what_is_no_rfc_3339_instant_is_unreadable(text):
    """Lenient readers accept many of these, each another set."""
    row = row_between_good_lines(line(timestamp=text))

    assert row["problems"] == "|timestamp:unreadable|"
    assert row["timestamp"] is row["day_us"] is row["order_key"] is None


@pytest.mark.parametrize(
    "text", ["now", "infinity", "-infinity", "epoch", "yesterday", "today", "1768403475000", "\x00"]
)
def test_row_56_words_and_epoch_texts_are_unreadable(text):
    """PostgreSQL would understand the words."""
    assert problems_of(line(timestamp=text)) == "|timestamp:unreadable|"


@pytest.mark.parametrize("value", [1768403475000, 1768403475.5, True, ["2026-01-15T00:00:00Z"], {"$date": 1}])
def test_row_56_a_timestamp_that_is_no_text_is_of_a_wrong_type(value):
    """Epoch milliseconds are a number, not an instant."""
    assert problems_of(line(timestamp=value)) == "|timestamp:type|"


@pytest.mark.parametrize(
    "text", ["가\u1100\u1161", "e\u0301", "\u202e\u200b", "😀" * 200, "=cmd|' /C calc'!A0", "\x1b[2J"]
)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_rows_57_and_58_texts_stay_as_they_are(text, ascii_only):
    """Nothing is normalised, trimmed or cut in staging."""
    data = json.dumps({**VIEW, "search_query": text}, ensure_ascii=ascii_only).encode()

    assert row_between_good_lines(data)["search_query"] == text


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("hello", False),
        ("{", False),
        ("NaN", False),
        ('{"products": [{"quantity": 1, "unit_price": NaN}]}', False),
        ('{"products": [], "coupon_code": "\\u0000"}', False),
        ('{"products": [], "coupon_code": "\\ud800"}', False),
        ('{"products": [], "\\udfff": 1}', False),
        ('{"products": [], "x": 1e99999}', False),
        ('{"products": [], "x": ' + "[" * 10_000 + "]" * 10_000 + "}", False),
        ("[]", True),
        ('"{}"', True),
        ("null", True),
        ("{}", True),
        ('{"products": null}', True),
        ('{"products": {}}', True),
        ('{"products": [1]}', True),
        ('{"products": [{"quantity": "2", "unit_price": 1}]}', True),
        ('{"products": [{"quantity": true, "unit_price": 1}]}', True),
        ('{"products": [{"quantity": -1, "unit_price": 1}]}', True),
        ('{"products": [{"unit_price": 1}]}', True),
        ('{"products": [{"quantity": 1, "unit_price": 1e30}]}', True),
        ('{"products": [], "discount_amount": "abc"}', True),
        ('{"products": [], "shipping_fee": false}', True),
        ('{"products": [], "products": []}', True),
        ('{"products": [{"quantity": 1, "quantity": 2, "unit_price": 1}]}', True),
    ],
)
def test_row_59_unreadable_order_details_are_named_and_never_reach_jsonb(text, kept):
    """The text stays where PostgreSQL could store it as jsonb, and is null where it could not."""
    row = row_between_good_lines(line(extra_data=text))

    assert row["problems"] == "|extra_data:unreadable|"
    assert row["extra_data"] == (text if kept else None)
    assert row["items_total"] is row["order_discount"] is row["order_shipping"] is None


def test_row_60_order_amounts_are_exact():
    """Sum of price times quantity, discount and shipping; what is absent or null is zero."""
    row = row_between_good_lines(line(extra_data=DETAILS))
    amounts = (row["items_total"], row["order_discount"], row["order_shipping"])

    assert amounts == (3000, 500, 0)
    cents = '{"products": [{"quantity": 3, "unit_price": 0.1}], "discount_amount": null, "shipping_fee": 2.5e3}'
    assert row_between_good_lines(line(extra_data=cents))["items_total"] == Decimal("0.3")


@pytest.mark.parametrize("kind", ["folder", "pipe", "socket", "link", "dangling link", "/dev/zero", "/proc/self/mem"])
def test_row_62_only_regular_files_are_opened(tmp_path, kind):
    """Nothing hangs, nothing is followed."""
    path = tmp_path / "thing.jsonl"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        short = os.open(tmp_path, os.O_RDONLY)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(f"/proc/self/fd/{short}/thing.jsonl")
        os.close(short)
    elif kind in ("link", "dangling link"):
        target = tmp_path / "target"
        if kind == "link":
            target.write_bytes(line() + b"\n")
        path.symlink_to(target)
    else:
        path = Path(kind)

    with pytest.raises(RefusedFile) as caught, delivery.take(path, folder=None):
        pass

    # A process's memory calls itself a regular file; reading it fails at once.
    assert caught.value.reason == ("unreadable" if kind == "/proc/self/mem" else "not_regular_file")


@pytest.mark.parametrize("name", ["new\nline.jsonl", "-rf", "[1].jsonl", "a:b.jsonl", "_x.jsonl", ".x", "\udcff.jsonl"])
def test_row_62_odd_names_are_just_names(tmp_path, name):
    """A file name is no option, pattern or address, and its text can always be printed."""
    path = tmp_path / name
    path.write_bytes(line() + b"\n")

    staged = staged_file(path, tmp_path / "out")

    assert staged.lines == 1
    assert staged.delivery.name.encode()
    assert "\n" not in staged.delivery.name


@pytest.mark.parametrize("path", ["x" * 5000, "a/" * 3000 + "b", "no\x00name"])
def test_row_62_impossible_paths_are_refused(path):
    """Too long and unwritable paths are told apart from bugs."""
    with pytest.raises(RefusedFile) as caught, delivery.take(Path(path), folder=None):
        pass

    assert caught.value.reason == "unreadable"


@pytest.mark.parametrize(
    "url", ["http://h/x.jsonl", "https://h/x", "s3://bucket/x", "hdfs://h/x", "file:///etc/passwd"]
)
def test_row_63_addresses_are_never_fetched(url):
    """Only local files are read."""
    with pytest.raises(RefusedFile) as caught, delivery.take(Path(url), folder=None):
        pass

    assert caught.value.reason == "url"


def test_row_65_a_file_that_is_not_there_is_refused_clearly(tmp_path):
    """The message holds the system's reason."""
    with pytest.raises(RefusedFile, match="No such file") as caught, delivery.take(tmp_path / "no.jsonl", folder=None):
        pass

    assert caught.value.reason == "unreadable"


def test_row_66_a_file_of_rejected_rows_is_staged_whole(tmp_path):
    """Every line is there with its problem, for the checks to fail on."""
    path = tmp_path / "bad.jsonl"
    path.write_bytes(b'{"a": tru}\n' * 50)

    frame = frame_of(staged_file(path, tmp_path / "out"))

    assert frame["problems"].to_list() == ["|line:json|"] * 50
    assert frame.select(CONTRACT.names).null_count().row(0) == (50,) * len(CONTRACT.names)
