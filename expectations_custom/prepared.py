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

    def __init__(
        self,
        schema: pl.Schema,
        selection: Sequence[str | nw.Expr],
        *,
        where: str | None = None,
        then: Sequence[pl.Expr] = (),
    ) -> None:
        """Translate the selection, and what is added to its columns.

        Args:
            where: a Boolean column; only rows with it are selected from.
        """
        self._frames: tuple[pl.DataFrame, ...] = ()
        source = register_io_source(self._read, schema=schema)
        if where is not None:
            source = source.filter(where)
        selected: pl.LazyFrame = nw.from_native(source).select(*selection).to_native()
        self._plan = selected.with_columns(*then)

    def over(self, *frames: pl.DataFrame) -> pl.DataFrame:
        """The selection of these frames, in one; its columns are worked out on all cores."""
        self._frames = frames
        try:
            return self._plan.collect(engine="in-memory")
        finally:
            self._frames = ()

    def _read(
        self,
        columns: list[str] | None,
        predicate: pl.Expr | None,
        most_rows: int | None,
        _: int | None,
    ) -> Iterator[pl.DataFrame]:
        """What polars reads from when the plan is collected."""
        if not self._frames:
            raise RuntimeError("a prepared selection is evaluated by `over`")
        for frame in self._frames:
            wanted = frame if columns is None else frame.select(columns)
            if most_rows is not None:
                wanted = wanted.head(most_rows)
                most_rows -= wanted.height
            yield wanted if predicate is None else wanted.filter(predicate)
