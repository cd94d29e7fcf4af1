"""What the staging tests share: one good event as JSON, and short ways from bytes to staged rows."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import polars as pl

from pipeline import contract as contracts
from pipeline import delivery, parse, stage
from pipeline.contract import Contract
from pipeline.records import Staged

DAY = date(2026, 1, 15)
CONTRACT: Contract = contracts.load()
VIEW: dict[str, object] = {
    "event_id": "c0da7e95-9d2b-49b7-8436-eb035734317e",
    "event_type": "page_view",
    "user_id": "U000937",
    "session_id": "db6c139c-3e04-4e59-add9-76dbe009f55a",
    "timestamp": "2026-01-15T00:11:15+09:00",
    "platform": "web",
    "device_type": "desktop",
    "os": "Windows",
    "browser": "Chrome",
    "page_url": "https://shop.example.com/",
    "page_type": "home",
}
DETAILS = '{"products": [{"product_id": "P0001", "quantity": 2, "unit_price": 1500}], "discount_amount": 500}'


def line(**changes: object) -> bytes:
    """A good page view with some fields changed or added."""
    return json.dumps({**VIEW, **changes}).encode()


def with_raw(name: str, value: bytes) -> bytes:
    """A good page view with one more field whose value is written as it is."""
    return line()[:-1] + b', "' + name.encode() + b'": ' + value + b"}"


def rows_of(data: bytes, *, exact: bool = False) -> list[dict[str, object]]:
    """The staged rows of some bytes."""
    parsed = parse.parse_range(data, first_line=1, first_offset=0, contract=CONTRACT, day=DAY, exact=exact)
    return parsed.frame.to_dicts()


def row_between_good_lines(data: bytes) -> dict[str, object]:
    """The row of a line that stands between two good ones, which must stay untouched."""
    before, row, after = rows_of(b"\n".join((line(), data, line())) + b"\n")
    for number, good in ((1, before), (3, after)):
        assert good["line_no"] == number
        assert good["problems"] is None
        assert good["event_id"] == VIEW["event_id"]
    assert row["line_no"] == 2
    assert row["byte_length"] == len(data)
    return row


def problems_of(data: bytes) -> str | None:
    """The problems of a line between two good ones; a refused line has no field at all."""
    row = row_between_good_lines(data)
    problems = row["problems"]
    assert problems is None or isinstance(problems, str)
    if problems is not None and problems.startswith("|line:"):
        assert all(row[name] is None for name in CONTRACT.names)
    return problems


def staged_file(path: Path, folder: Path, *, workers: int = 0, range_bytes: int = stage.RANGE) -> Staged:
    """Take and stage a file."""
    with delivery.take(path, folder=None) as taken:
        return stage.stage(
            taken, day=DAY, contract=CONTRACT, folder=folder, workers=stage.Workers(workers), range_bytes=range_bytes
        )


def frame_of(staged: Staged) -> pl.DataFrame:
    """All parts as one frame."""
    return pl.concat([pl.read_parquet(part) for part in staged.parts])
