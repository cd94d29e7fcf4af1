"""Cutting a delivery for executors, without any: the rows of the local staging, wherever pieces end."""

from __future__ import annotations

from pathlib import Path

import pytest
from staging_fixtures import CONTRACT, DAY, frame_of, line, staged_file

from pipeline import delivery, stage
from pipeline.spark.stage import count, cut, parse
from pipeline.stage_worker import Work

ODD = (line(), b"", b"nonsense", line(referrer=None), b" \t", line(campaign="x" * 900), b'{"a"', line(quantity="3"))


def cut_and_parsed(path: Path, folder: Path, piece: int):
    """What executors make of a file, one task after the other; ranges come along."""
    stage.empty(folder)
    with delivery.take(path, folder=None) as taken:
        pieces = [count(taken, piece, offset) for offset in range(0, taken.size, piece)]
        ranges = list(cut(taken, pieces, piece))
        work = Work(path=str(taken.path), folder=str(folder), day=DAY, contract=CONTRACT)
        parts = [parse(work, made) for made in ranges]
        for made, part in zip(ranges, parts, strict=True):
            stage.require_all_lines(taken, made, part)
        return ranges, stage.manifest(taken, DAY, parts, engine="spark")


@pytest.mark.parametrize("piece", [1300, 2000, 5000, 10**6])
@pytest.mark.parametrize("end", [b"\n", b""])
def test_rows_places_and_numbers_do_not_depend_on_the_pieces(tmp_path, piece, end):
    """Every range begins at a line, knows its number, and none of them is lost between two pieces."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join(ODD * 30) + end)

    ranges, staged = cut_and_parsed(path, tmp_path / "cut", piece)

    whole = staged_file(path, tmp_path / "whole")
    assert frame_of(staged).equals(frame_of(whole))
    assert (staged.lines, staged.blank_lines) == (whole.lines, whole.blank_lines)
    assert [made.offset for made in ranges[1:]] == [made.offset + made.length for made in ranges[:-1]]


@pytest.mark.parametrize("end", [b"{}\n", b"{}", b""])
def test_tiny_lines_are_cut_by_their_number(tmp_path, end):
    """A piece of many lines is several ranges, by either staging; no line is lost between them."""
    path = tmp_path / "a.jsonl"
    lines = 2 * stage.RANGE_LINES + 5
    path.write_bytes(b"{}\n" * lines + end)

    with delivery.take(path, folder=None) as taken:
        here = list(stage._ranges(taken, stage.RANGE))
        pieces = [count(taken, 10**6, offset) for offset in range(0, taken.size, 10**6)]
        executors = list(cut(taken, pieces, 10**6))

    for ranges in (here, executors):
        assert max(made.lines for made in ranges) <= stage.RANGE_LINES
        assert sum(made.lines for made in ranges) == lines + bool(end)
        assert sum(made.length for made in ranges) == taken.size
        assert [made.first_line for made in ranges] == [1 + made.offset // 3 for made in ranges]


@pytest.mark.parametrize("end", [b"\n", b""])
def test_a_line_longer_than_a_piece_is_a_range_of_its_own(tmp_path, end):
    """It is not read into memory; the lines around it are as good as ever."""
    path, huge = tmp_path / "a.jsonl", b'{"a": "' + b"x" * 9000 + b'"}'
    path.write_bytes(b"\n".join([line(), huge, line(), line(), huge, line()]) + end)

    ranges, staged = cut_and_parsed(path, tmp_path / "cut", 1000)

    rows = frame_of(staged)
    assert [made.first_line for made in ranges if made.oversized] == [2, 5]
    assert rows["line_no"].to_list() == [1, 2, 3, 4, 5, 6]
    assert rows["problems"].to_list() == [None, "|line:line_too_long|", None, None, "|line:line_too_long|", None]
    assert rows.filter(rows["problems"].is_not_null())["byte_length"].to_list() == [len(huge), len(huge)]
