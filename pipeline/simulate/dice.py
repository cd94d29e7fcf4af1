"""Random draws that give the same numbers on every machine and every NumPy.

Only the raw 64-bit words of PCG64 and `SeedSequence` are used: NumPy guarantees both. Everything else
is integer arithmetic, because logarithms and fused multiplications differ in the last bit between
processors, and one bit is another file.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import EllipsisType

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Words = npt.NDArray[np.uint64]

#: Which of the draws are wanted; all when `...`.
Only = Ints | EllipsisType
#: Draws are taken in units of 2^-32.
UNIT = 1 << 32


class Dice:
    """One stream of draws; equal keys give equal streams, different keys independent ones.

    Args:
        key: non-negative integers, e.g. (seed, day, purpose).
    """

    def __init__(self, *key: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(key))

    def words(self, count: int) -> Words:
        """`count` random 64-bit words."""
        return np.asarray(self._bits.random_raw(count), dtype=np.uint64)

    def units(self, count: int, only: Only = ...) -> Ints:
        """Uniform integers in [0, 2^32): `count` are drawn, those at `only` are worked out."""
        return (self.words(count)[only] >> np.uint64(32)).astype(np.int64)

    def below(self, limit: int | Ints, count: int, only: Only = ...) -> Ints:
        """Uniform integers in [0, limit), `limit` at most 2^31 (one number, or one per result)."""
        return (self.units(count, only) * limit) >> 32

    def hits(self, chance: float | npt.NDArray[np.float64], count: int) -> Flags:
        """True with the given probability (one number, or one per draw)."""
        return self.units(count) < np.asarray(chance * UNIT).astype(np.int64)

    def choose(self, weights: Sequence[float] | npt.NDArray[np.float64], count: int, only: Only = ...) -> Ints:
        """Indices drawn in proportion to `weights`."""
        if len(weights) == 1:
            self._bits.advance(count)  # as if they had been drawn
            return np.zeros(count, np.int64)[only]
        cumulated = np.cumsum(np.asarray(weights, dtype=np.float64))
        edges = (cumulated / cumulated[-1] * UNIT).astype(np.int64)
        return np.searchsorted(edges, self.units(count, only), side="right").astype(np.int64)

    def from_knots(self, knots: Sequence[int], count: int) -> Ints:
        """Integers from a quantile function given by equally spaced knots, linear in between."""
        table = np.asarray(knots, dtype=np.int64)
        place = self.units(count) * (len(knots) - 1)
        index, rest = place >> 32, (place & (UNIT - 1)) >> 12
        drawn: Ints = table[index] + ((np.diff(table)[index] * rest) >> 20)
        return drawn
