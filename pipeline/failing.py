"""The list of failing lines as a gate leaves it: one Parquet file, or a folder that executors filled."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

import polars as pl
from pyarrow import parquet

from pipeline.kept_out import kept_out


def files(path: Path) -> list[Path]:
    """Its files in line order; all lines of one are before those of the next."""
    return sorted(path.glob("part-*.parquet")) if path.is_dir() else [path]


def scan(path: Path) -> pl.LazyFrame:
    """All failing (line_no, check, rule, field, reason), sorted by line; the texts as text."""
    return pl.scan_parquet(files(path)).with_columns(pl.col(pl.Categorical).cast(pl.String))


def count(file: Path, critical: Collection[str]) -> int:
    """Lines that one of its files keeps out of the tables, by the ids of the critical checks."""
    lines, last = 0, None
    with parquet.ParquetFile(file) as handle:
        for batch in handle.iter_batches(columns=["line_no", "check", "rule"]):
            found = pl.DataFrame(pl.from_arrow(batch)).filter(kept_out(critical))["line_no"]
            if len(found):
                lines += found.n_unique() - (found[0] == last)
                last = found[-1]
    return lines


def remove(path: Path) -> None:
    """Take away what an earlier attempt left."""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
