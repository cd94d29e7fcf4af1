"""`--failed-rows`: all failing lines, all reasons and the exact bytes, in three forms."""

from __future__ import annotations

import base64
import csv
import json
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import settings
from pipeline.failed_rows import spreadsheet_safe
from scheduler.boundary import call

NAME = "events_20260115.jsonl"
#: What spreadsheets take for a formula, and what a file of lines trips over; none holds a newline.
RAW = (
    b"=cmd|' /C calc'!A0",
    b'=HYPERLINK("https://evil.example","x")',
    b"+1+1",
    b"-2+3+cmd|' /C calc'!A0",
    b"@SUM(1+1)",
    b"\t=1+1",
    b"  =1+1",
    "＝1+1".encode(),
    "\u3000＠SUM(1)".encode(),
    b"'=1+1",
    b"'",
    b'a "quoted" line, with; separators\tand\rreturns',
    b'"',
    "텀블러 \u2028 \u202e".encode(),
    b"\xff\xfe not UTF-8",
    b"\x00\x1b[2J",
    b"[]",
    b"{" + b"x" * 70_000,
)
STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


@pytest.fixture(scope="module")
def written(tmp_path_factory, lines):
    """A folder with the failing lines of one delivery in the three forms."""
    folder = tmp_path_factory.mktemp("failed")
    good = {"event_id": "=1+1", "quantity": "3", "os": None}
    (folder / NAME).write_bytes(b"\n".join([*RAW, lines(good)]))
    before = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(settings.PREFIX)}
    for suffix in ("jsonl", "csv", "parquet"):
        assert call(["check", str(folder / NAME), "--failed-rows", str(folder / f"failed.{suffix}")]) == 1
    os.environ.update(before)
    return folder


@pytest.fixture
def json_rows(written):
    """The JSON Lines, parsed."""
    return [json.loads(line) for line in (written / "failed.jsonl").read_bytes().split(b"\n")[:-1]]


def raw_of(text: str, encoding: str | None) -> bytes:
    """The bytes a row stands for."""
    return base64.b64decode(text) if encoding == "base64" else text.encode()


def test_json_lines_give_every_line_back_byte_by_byte(json_rows):
    """Text where the line is text, base64 where it is none."""
    assert [raw_of(row["raw"], row.get("raw_encoding")) for row in json_rows[:-1]] == list(RAW)
    assert [row["line"] for row in json_rows] == list(range(1, len(RAW) + 2))
    assert [row["line"] for row in json_rows if "raw_encoding" in row] == [RAW.index(b"\xff\xfe not UTF-8") + 1]


def test_every_reason_of_a_line_is_there(json_rows):
    """Check, rule, field and words, for all rules it breaks."""
    reasons = json_rows[-1]["reasons"]

    assert json_rows[-1]["event_id"] == "=1+1"
    assert {"check", "rule", "field", "reason"} == set(reasons[0])
    assert {f"{reason['check']}/{reason['rule']}" for reason in reasons} >= {
        "required_fields/os",
        "value_ranges/event_id",
        "value_ranges/quantity",
    }
    assert "quantity is of a wrong type, a whole number is needed" in {reason["reason"] for reason in reasons}


def test_csv_has_no_cell_that_is_a_formula_and_gives_the_bytes_back(written, json_rows):
    """A leading apostrophe is always ours; taking it away gives the line exactly."""
    with (written / "failed.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    cells = [cell for row in rows for cell in row.values()]

    assert not [cell for cell in cells if cell.lstrip(" \u3000").startswith(STARTS)]
    assert [raw_of(row["raw"].removeprefix("'"), row["raw_encoding"]) for row in rows[:-1]] == list(RAW)
    assert [int(row["line"]) for row in rows] == [row["line"] for row in json_rows]
    assert rows[-1]["event_id"] == "'=1+1"
    assert rows[-1]["checks"].split() == sorted({reason["check"] for reason in json_rows[-1]["reasons"]})


def test_parquet_holds_bytes_and_the_same_reasons(written, json_rows):
    """For programs: the raw column is binary, nothing needs decoding."""
    rows = pq.read_table(written / "failed.parquet").to_pylist()

    assert [row["raw"] for row in rows[:-1]] == list(RAW)
    assert [json.loads(row["reasons"]) for row in rows] == [row["reasons"] for row in json_rows]
    assert [row["event_id"] for row in rows] == [row["event_id"] for row in json_rows]


@given(st.text(alphabet=st.sampled_from("=+-@\t\r\n '\u3000＝＋－＠ax")))
def test_a_cell_is_never_a_formula_and_never_ambiguous(text):
    """Whatever a text begins with, the cell is inert and leads back to the text."""
    cell = spreadsheet_safe(text)

    assert not cell.lstrip(" \u3000").startswith(STARTS)
    assert cell.removeprefix("'") == text


def test_a_suffix_that_names_no_form_is_refused_before_any_work(tmp_path, capsys):
    """Nobody waits for a check whose result cannot be written."""
    assert call(["check", str(tmp_path / NAME), "--failed-rows", "failing.txt"]) == 2
    assert capsys.readouterr().err == (
        "daygate: --failed-rows writes .jsonl, .csv or .parquet.\n  try: --failed-rows failing.jsonl\n"
    )


def test_a_path_that_cannot_be_written_leaves_nothing(tmp_path, lines, capsys, session):
    """A folder that is not there is told of; no half file stays."""
    (tmp_path / NAME).write_bytes(lines(*session().visit().events))
    target = tmp_path / "nowhere" / "failed.jsonl"

    assert call(["check", str(tmp_path / NAME), "--failed-rows", str(target)]) == 2
    assert "No such file or directory" in capsys.readouterr().err
    assert [path.name for path in Path(tmp_path).iterdir()] == [NAME]
