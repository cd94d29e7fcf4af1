"""Failing lines in files: all of them, exact bytes, whatever the form and however long the line."""

from __future__ import annotations

import base64
import csv
import io
import json

import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from staged_days import event, stage_day

from pipeline import failed_rows, quarantine
from pipeline.errors import SettingsError
from pipeline.failed_rows import write_failed_rows

NOT_JSON = ("required_fields", "line", None, "the line is not JSON")
WRONG_OS = ("value_ranges", "os", "os", "not in the contract's list")
FORMS = (".jsonl", ".csv", ".parquet")


def read(path):
    """Line -> bytes, from any form."""
    if path.suffix == ".parquet":
        return {row["line"]: row["raw"] for row in pq.read_table(path).to_pylist()}
    if path.suffix == ".jsonl":
        rows = [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]
    else:
        csv.field_size_limit(1 << 24)
        rows = list(csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8"), newline="")))
    return {int(row["line"]): decoded(row, guarded=path.suffix == ".csv") for row in rows}


def decoded(row, *, guarded):
    """The bytes of a row; CSV guards some cells with an apostrophe."""
    raw = row["raw"].removeprefix("'") if guarded else row["raw"]
    return base64.b64decode(raw) if row.get("raw_encoding") else raw.encode()


@given(
    lines=st.lists(
        st.one_of(st.binary(max_size=60), st.text(max_size=60).map(lambda t: t.encode("utf-8", "surrogatepass"))),
        min_size=1,
        max_size=8,
    ),
    limit=st.integers(0, 60),
)
@example(
    lines=[b'="1"&CMD', b"'", b"'=1", b"   \xe3\x80\x80   =1", b'"quoted", and \r', "한글 \u2028 \U0001f600".encode()],
    limit=0,
)
@example(lines=[b"\xff\xfe\x00", b"", b'plain "text"', "가".encode() * 20], limit=4)
@hypothesis_settings(max_examples=40)
def test_the_bytes_come_back_and_files_do_not_depend_on_what_counts_as_long(tmp_path_factory, lines, limit):
    """A line read from the delivery in small pieces is written as one that was held whole."""
    folder = tmp_path_factory.mktemp("day")
    lines = [line.replace(b"\n", b"") for line in lines]
    made = stage_day(folder, lines, reasons={n: [NOT_JSON] for n in range(1, len(lines) + 1)})
    with pytest.MonkeyPatch.context() as patch:
        for suffix in FORMS:
            patch.setattr(quarantine, "RAW_LIMIT", 1000)
            write_failed_rows(made.staged, made.report.failing, folder / f"whole{suffix}")
            patch.setattr(quarantine, "RAW_LIMIT", limit)
            patch.setattr(failed_rows, "_PIECE", 3)
            write_failed_rows(made.staged, made.report.failing, folder / f"pieces{suffix}")

    for suffix in FORMS:
        whole, pieces = folder / f"whole{suffix}", folder / f"pieces{suffix}"
        assert read(whole) == read(pieces) == dict(enumerate(lines, 1))
        if suffix != ".parquet":
            assert whole.read_bytes() == pieces.read_bytes()
    assert not list(folder.glob(".*.tmp"))


def test_a_row_tells_the_line_its_event_and_every_reason(tmp_path):
    """The fields of the documented form, reasons in a fixed order."""
    made = stage_day(tmp_path, [event(1), event(2)], reasons={2: [WRONG_OS, NOT_JSON]})
    write_failed_rows(made.staged, made.report.failing, tmp_path / "failing.jsonl")

    assert json.loads((tmp_path / "failing.jsonl").read_text("utf-8")) == {
        "line": 2,
        "event_id": event(2)["event_id"],
        "reasons": [
            {"check": "required_fields", "rule": "line", "field": None, "reason": "the line is not JSON"},
            {"check": "value_ranges", "rule": "os", "field": "os", "reason": "not in the contract's list"},
        ],
        "raw": json.dumps(event(2)),
    }


def test_a_line_that_parquet_cannot_hold_is_an_error_and_no_file(tmp_path, monkeypatch):
    """The other forms can, and the message says so."""
    monkeypatch.setattr(quarantine, "RAW_LIMIT", 10)
    monkeypatch.setattr(failed_rows, "_MOST_IN_PARQUET", 20)
    made = stage_day(tmp_path, [b"x" * 21], reasons={1: [NOT_JSON]})

    with pytest.raises(SettingsError, match="line 1 with its 21 bytes") as caught:
        write_failed_rows(made.staged, made.report.failing, tmp_path / "out.parquet")
    assert caught.value.hint.endswith(".jsonl")
    assert not list(tmp_path.glob("*out.parquet*"))


@pytest.mark.parametrize("name", ["failing.xlsx", "failing", "failing.JSONL"])
def test_another_suffix_is_refused(tmp_path, name):
    """The form is chosen by the suffix and never guessed."""
    made = stage_day(tmp_path, [b"x"], reasons={1: [NOT_JSON]})

    with pytest.raises(SettingsError, match=r"\.jsonl, \.csv or \.parquet"):
        write_failed_rows(made.staged, made.report.failing, tmp_path / name)
