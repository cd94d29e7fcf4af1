"""Columns of texts and numbers for Arrow, straight from memory: by its own way in (`pa.array`) it imports pandas."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def column(texts: Iterable[str]) -> pa.StringArray:
    """A column of texts."""
    encoded = [text.encode() for text in texts]
    return cut(np.cumsum([0, *map(len, encoded)]), b"".join(encoded))


def one(text: str) -> pa.StringScalar:
    """A text that stands for a column of it."""
    return column([text])[0]


def cut(edges: npt.NDArray[Any], content: Any) -> pa.StringArray:
    """UTF-8 that is cut into texts at `edges`, of which the first is 0 and the last where the last text ends."""
    places = pa.py_buffer(edges.astype(np.int32))
    return pa.StringArray.from_buffers(len(edges) - 1, places, pa.py_buffer(content))


def numbers(values: npt.NDArray[Any]) -> pa.Array:
    """A column of numbers."""
    values = np.ascontiguousarray(values)
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])
