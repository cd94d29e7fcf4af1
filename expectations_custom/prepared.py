"""Expressions translated once and evaluated over one frame after another.

narwhals translates an expression anew for every frame it meets. For the rule table, over a stretch of some hundred
thousand lines, that is as much work as the evaluation itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import narwhals as nw
import polars as pl
from polars.io.plugins import register_io_source


class Prepared:
    """A selection over frames of one schema; not for several threads at once."""

    def __init__(self, schema: pl.Schema, selection: Sequence[str | nw.Expr]) -> None:
        self._frame: pl.DataFrame | None = None
        source = register_io_source(self._read, schema=schema)
        self._plan: pl.LazyFrame = nw.from_native(source).select(*selection).to_native()

    def over(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The selection of this frame."""
        self._frame = frame
        try:
            return self._plan.collect()
        finally:
            self._frame = None

    def _read(
        self,
        columns: list[str] | None,
        predicate: pl.Expr | None,
        most_rows: int | None,
        _: int | None,
    ) -> Iterator[pl.DataFrame]:
        """What polars reads from when the plan is collected."""
        frame = self._frame
        if frame is None:
            raise RuntimeError("a prepared selection is evaluated by `over`")
        if columns is not None:
            frame = frame.select(columns)
        if most_rows is not None:
            frame = frame.head(most_rows)
        yield frame if predicate is None else frame.filter(predicate)
