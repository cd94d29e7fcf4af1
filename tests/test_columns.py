"""Columns that stay in their parts: ordinary to whoever looks, free for whoever does not."""

from __future__ import annotations

import json

import pandas as pd
import polars as pl
import pytest

from expectations_custom import columns, rules
from expectations_custom.outcomes import evaluate
from gx import gate
from gx.gate import frame
from pipeline.delivery import take
from pipeline.records import Verdict
from pipeline.settings import Settings
from pipeline.stage import Workers, stage


@pytest.fixture
def staged(contract, day, session, lines, tmp_path):
    """Forty visits in several parts."""
    file = tmp_path / "events_20260115.jsonl"
    file.write_bytes(lines(*(event for number in range(1, 41) for event in session(number).visit().events)))
    with take(file, folder=None) as delivery:
        return stage(
            delivery, day=day, contract=contract, folder=tmp_path / "staged", workers=Workers(0), range_bytes=20_000
        )


def test_the_frame_has_every_line_and_holds_none(staged, contract):
    """Rows and columns are known without reading a value."""
    found = frame(staged, contract)

    assert len(staged.parts) > 2
    assert found.shape == (200, len(rules.columns(contract)))
    assert sum(found[name].array.nbytes for name in found) == 0


def test_a_column_that_is_looked_at_is_an_ordinary_arrow_column(staged, contract):
    """Selections, comparisons and texts work as on any column."""
    found = frame(staged, contract)
    whole = pl.concat([pl.read_parquet(part) for part in staged.parts])

    assert found["user_id"].tolist() == whole["user_id"].cast(pl.String).to_list()
    assert found["user_id"].str.match("U[0-9]{6}").all()
    assert found["line_no"].max() == 200
    assert found.loc[found["event_type"] == "purchase", "total_amount"].notna().all()
    assert isinstance(found["user_id"].dtype, pd.ArrowDtype)
    assert len(found.iloc[5:10]) == 5


def test_the_checks_read_the_parts_and_a_changed_frame_is_read_itself(staged, contract):
    """A frame somebody selected from or wrote to no longer stands for the parts."""
    names = rules.columns(contract)
    found = frame(staged, contract)
    lost = found.assign(user_id="nobody")

    def failing(data):
        outcome = evaluate(columns.scan(data, names), rules.table(contract), sample_lines=0, failing=None)
        return outcome.lines, outcome.rules["value_ranges", "user_id"].failed_rows

    assert failing(found) == (200, 0)
    assert failing(lost) == (200, 200)
    assert failing(found.iloc[:7]) == (7, 0)


def test_equal_deliveries_have_equal_fingerprints(staged, contract):
    """Great Expectations' fingerprint of a batch follows the delivery's digest."""
    again = frame(staged, contract)
    parts = columns.Parts(paths=staged.parts, rows=200, digest="0" * 64)
    other = columns.frame_of(parts, list(again.columns))

    def prints(data):
        return pd.util.hash_pandas_object(data, index=True).tolist()

    assert prints(frame(staged, contract)) == prints(again)
    assert prints(other) != prints(again)


@pytest.mark.parametrize(("pattern", "verdict"), [("^U", Verdict.PASS), ("^X", Verdict.FAIL)])
def test_a_users_own_expectation_finds_the_values(staged, contract, tmp_path, pattern, verdict):
    """What is not one of the seven reads the column it names."""
    mine = [
        {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "user_id"}, "severity": "critical"},
        {"type": "expect_column_values_to_match_regex", "kwargs": {"column": "user_id", "regex": pattern},
         "severity": "critical"},
    ]  # fmt: skip
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"name": "mine", "expectations": mine}), encoding="utf-8")

    report = gate.check(staged, settings=Settings(expectations=file), contract=contract, folder=tmp_path).report

    assert report.verdict is verdict
