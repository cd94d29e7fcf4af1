"""Columns of a DataFrame that stay in the staged Parquet parts until somebody looks at them.

Great Expectations' pandas engine wants a DataFrame, but the seven checks read the parts themselves, a
stretch at a time: held in memory, five million lines with all their columns would take gigabytes. An
expectation that a user adds finds an ordinary Arrow-backed column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray
from pandas.arrays import ArrowExtensionArray
from pyarrow import parquet


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """Parquet parts of one delivery, in line order."""

    paths: tuple[Path, ...]
    #: Rows over all parts.
    rows: int
    #: Hexadecimal digest of what the parts were made of.
    digest: str


class StagedColumn(ArrowExtensionArray):
    """One column of the parts, read whenever it is used and not kept.

    What pandas makes of it (a selection, a comparison) is of this class too, but holds its values.
    """

    _parts: tuple[Parts, str] | None = None
    _values: Any = None
    _dtype: pd.ArrowDtype

    @classmethod
    def of(cls, parts: Parts, field: pa.Field) -> Self:
        """The column of that name and type."""
        column: Any = cls.__new__(cls)  # typed as pandas publishes it, without its internals
        column._parts = (parts, field.name)  # noqa: SLF001  # of this class
        column._dtype = pd.ArrowDtype(field.type)  # noqa: SLF001
        column._cache = {}  # noqa: SLF001
        return cast("Self", column)

    @property
    def _pa_array(self) -> pa.ChunkedArray:  # where pandas looks for the values
        if self._values is not None or self._parts is None:
            return self._values
        parts, name = self._parts
        return parquet.ParquetDataset([str(path) for path in parts.paths]).read(columns=[name]).column(0)

    @_pa_array.setter
    def _pa_array(self, values: pa.ChunkedArray) -> None:
        self._parts, self._values = None, values

    def __len__(self) -> int:
        return len(self._values) if self._parts is None else self._parts[0].rows

    @property
    def nbytes(self) -> int:
        """Bytes held in memory."""
        return 0 if self._parts is not None else int(super().nbytes)

    def copy(self) -> Self:
        """Another array of the same values; parts never change."""
        return cast("Self", self.view())

    def view(self, dtype: Any = None) -> Any:
        """Another array of the same values, without reading them."""
        if dtype is not None or self._parts is None:
            return super().view(dtype)
        return self.of(self._parts[0], pa.field(self._parts[1], self._dtype.pyarrow_dtype))

    def _hash_pandas_object(self, *, encoding: str, hash_key: str, categorize: bool) -> NDArray[np.uint64]:
        """Great Expectations' fingerprint of a batch: from the delivery's digest, not from millions of values."""
        if self._parts is None:
            found = super()._hash_pandas_object(  # type: ignore[misc]  # internal
                encoding=encoding, hash_key=hash_key, categorize=categorize
            )
            return cast("NDArray[np.uint64]", found)
        parts, _ = self._parts
        return np.full(parts.rows, int(parts.digest[:16], 16), dtype=np.uint64)


def frame_of(parts: Parts, names: Sequence[str]) -> pd.DataFrame:
    """A DataFrame of those columns, one row a line."""
    schema = parquet.read_schema(parts.paths[0])
    return pd.DataFrame({name: StagedColumn.of(parts, schema.field(name)) for name in names}, copy=False)


def scan(frame: pd.DataFrame, names: Sequence[str]) -> pl.LazyFrame:
    """Those columns for polars: from the parts when none of them was touched, else from the frame.

    Raises:
        KeyError: a column is missing.
    """
    chosen = frame[list(names)]
    origins = [getattr(chosen[name].array, "_parts", None) for name in names]
    parts = origins[0][0] if origins[0] else None
    if parts is None or origins != [(parts, name) for name in names]:
        return pl.from_pandas(chosen).lazy()
    return pl.scan_parquet(list(parts.paths)).select(*names)
