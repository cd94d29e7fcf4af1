"""What C's allocator (glibc) is told by work that makes one block of megabytes after another.

By itself it asks the system for every large array and returns it at once: a tenth of parsing and a quarter of
simulating was the system clearing pages. Elsewhere than with glibc nothing here does anything.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

#: glibc's numbers of the two settings (malloc.h), and the value both begin with.
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_DEFAULT: Final = 128 << 10
#: More than any array of one block.
_KEPT: Final = 64 << 20
_LIBC: Final = ctypes.CDLL(None)


def keep_blocks(most: int = _KEPT) -> None:
    """Use freed memory of up to so many bytes again, for as long as this process lives."""
    if hasattr(_LIBC, "mallopt"):
        _LIBC.mallopt(_MMAP_THRESHOLD, most)
        _LIBC.mallopt(_TRIM_THRESHOLD, most)


@contextmanager
def kept_blocks() -> Iterator[None]:
    """The same within the block; at its end the memory goes back to the system."""
    keep_blocks()
    try:
        yield
    finally:
        keep_blocks(_DEFAULT)
        if hasattr(_LIBC, "malloc_trim"):
            _LIBC.malloc_trim(0)
