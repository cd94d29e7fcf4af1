"""Expressions are translated once and hold for every frame of the schema."""

from __future__ import annotations

import narwhals as nw
import polars as pl
import pytest

from expectations_custom.prepared import Prepared

FIRST = pl.DataFrame({"line_no": [1, 2, 3], "text": ["a", None, "b"]})
SECOND = pl.DataFrame({"line_no": [4, 5], "text": ["b", "b"]})


def test_a_selection_is_of_the_frame_it_is_asked_about():
    """Nothing of one frame is left when the next is evaluated."""
    prepared = Prepared(FIRST.schema, ["line_no", (nw.col("text") == "b").fill_null(False).alias("is_b")])

    assert prepared.over(FIRST).rows() == [(1, False), (2, False), (3, True)]
    assert prepared.over(SECOND).rows() == [(4, True), (5, True)]
    assert prepared.over(FIRST[:0]).rows() == []
    assert prepared.over(FIRST, SECOND)["is_b"].to_list() == [False, False, True, True, True]


def test_a_selection_may_be_of_some_rows_only():
    """Those with a Boolean column; the next frame has its own."""
    prepared = Prepared(FIRST.with_columns(chosen=True).schema, ["line_no"], where="chosen")

    assert prepared.over(FIRST.with_columns(chosen=pl.col("text").is_null())).rows() == [(2,)]
    assert prepared.over(SECOND.with_columns(chosen=False)).rows() == []


def test_a_selection_without_a_frame_is_refused():
    """A plan that escaped reads no frame that is gone."""
    prepared = Prepared(FIRST.schema, ["line_no"])

    with pytest.raises(RuntimeError, match="evaluated by `over`"):
        prepared._plan.collect()


def test_what_is_added_sees_what_was_selected():
    """The second step is in polars' own words."""
    prepared = Prepared(FIRST.schema, ["line_no"], then=[(pl.col("line_no") * 2).alias("twice")])

    assert prepared.over(FIRST, SECOND)["twice"].to_list() == [2, 4, 6, 8, 10]


@pytest.mark.parametrize(
    ("narrowed", "rows"),
    [
        (lambda plan: plan.filter(pl.col("line_no") > 1), [(2,), (3,)]),
        (lambda plan: plan.head(1), [(1,)]),
        (lambda plan: plan.filter(pl.col("line_no") > 1).head(1), [(2,)]),
    ],
)
def test_what_polars_pushes_down_to_the_source_holds(narrowed, rows):
    """Columns, conditions and limits reach the source, which applies each."""
    prepared = Prepared(FIRST.schema, ["line_no"])
    prepared._plan = narrowed(prepared._plan)

    assert prepared.over(FIRST).rows() == rows


def test_the_source_gives_what_polars_asks_of_it():
    """Some columns, the first lines, or the lines of a condition; polars asks in threads of its own."""
    prepared = Prepared(FIRST.schema, ["line_no"])
    prepared._frames = (FIRST,)
    asked = [(None, None, None), (["text"], None, 2), (None, pl.col("line_no") > 1, None)]
    (everything,), (some,), (later,) = (list(prepared._read(*words, None)) for words in asked)

    assert everything.equals(FIRST)
    assert some.rows() == [("a",), (None,)]
    assert later.rows() == [(2, None), (3, "b")]


def test_a_selection_of_nothing_is_a_mistake():
    """A plan that is collected by anything but `over` would silently be about the frame before."""
    with pytest.raises(RuntimeError, match="is evaluated by `over`"):
        next(Prepared(FIRST.schema, ["line_no"])._read(None, None, None, None))
