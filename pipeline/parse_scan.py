"""Byte scanning: which lines of a block may hide what the fast readers do not see.

The fast path (msgspec judges types, polars reads columns) is blind to repeated keys and NUL escapes. This module
finds every line that could hold such a thing by looking at bytes only, for a whole block at once. Of a line that is
not `suspect` here and that msgspec's typed decoder accepts, all keys being declared, the number of keys is exact; as
many values as keys were read from it, unless a key is there twice or a value is null. Why:

* a key ends in `":` or `" :`; that, not preceded by a backslash, occurs nowhere else in valid JSON,
* more white space before a colon, or two backslashes before the quote, make the line a suspect.

Where the numbers differ, `Lines.identified` tells the keys apart:

* a key is identified by its closing quote, its exact bytes and its opening quote; the byte before the
  opening quote must not be a backslash (the quote would belong to a longer, undeclared key),
* a line with an unidentified key is `undeclared`; with a declared key identified twice it is `repeated`.
"""

# ruff: noqa: PLR2004  (the numbers are ASCII codes and word sizes)
from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from pipeline.contract import Contract

Flags = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

#: Fields that get a bit of a 64-bit set; keys beyond count as undeclared, which is slower, not wrong.
_MOST_FIELDS: Final = 64
_QUOTE, _COLON, _BACKSLASH, _NEWLINE, _RETURN = b'":\\\n\r'
_WHOLE_WORD: Final = np.uint64(2**64 - 1)
_NUL_ESCAPE: Final = b"\\u0000"


@dataclass(frozen=True, slots=True)
class Key:
    """A declared name as the 8-byte words that end just before its closing quote, last word first."""

    words: tuple[tuple[np.uint64, np.uint64], ...]
    #: Opening quote plus name.
    width: int


@dataclass(frozen=True, slots=True)
class KeyTable:
    """The declared names, ready for scanning."""

    keys: tuple[Key, ...]
    widths: Ints
    #: Bytes to put before a block so that every word can be read.
    margin: int

    @classmethod
    def of(cls, contract: Contract) -> KeyTable:
        """The table of a contract."""
        keys = []
        for name in contract.names[:_MOST_FIELDS]:
            token = b'"' + name.encode()
            words = []
            for end in range(len(token), 0, -8):
                part = token[max(0, end - 8) : end]
                mask = (b"\xff" * len(part)).rjust(8, b"\x00")
                words.append((_word(mask), _word(part.rjust(8, b"\x00"))))
            keys.append(Key(tuple(words), len(token)))
        widths = np.array([key.width for key in keys], dtype=np.int64)
        return cls(tuple(keys), widths, int(widths.max()) + 16)


def _word(part: bytes) -> np.uint64:
    return np.frombuffer(part, dtype="<u8")[0]  # type: ignore[no-any-return]  # a uint64 by its dtype


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of a block: where they are and what their bytes give away. One entry per line."""

    start: Ints
    #: Without the newline.
    length: Ints
    suspect: Flags
    #: Keys at any depth; exact for lines that are no suspects.
    keys: Ints
    _table: KeyTable
    _padded: npt.NDArray[np.uint8]
    #: Where keys end (their closing quotes), in order, by places of `_padded`.
    _quotes: Ints

    def identified(self, lines: Ints) -> Identified:
        """What the keys of some lines are, given by ascending place."""
        chosen = np.zeros(len(self.start), dtype=bool)
        chosen[lines] = True
        found = _identify(self._padded, self._quotes[np.repeat(chosen, self.keys)], self._table)
        count = self.keys[lines]
        first = np.cumsum(count) - count
        undeclared = np.zeros(len(lines), dtype=bool)
        filled = np.flatnonzero(count)
        if len(filled):
            undeclared[filled] = np.bitwise_or.reduceat(found < 0, first[filled])
        return Identified(undeclared, _repeated(found, first, count))


@dataclass(frozen=True, slots=True)
class Identified:
    """What the keys of lines are, one entry per line."""

    #: It has a key the contract does not declare (or one that was not identified).
    undeclared: Flags
    #: It has a declared key twice.
    repeated: Flags


def scan(block: bytes, table: KeyTable) -> Lines:
    """Scan a block that starts at a line start; the last line may lack its newline."""
    margin = table.margin
    padded = np.frombuffer(b"\n" * margin + block, dtype=np.uint8)
    buf = padded[margin:]
    newlines = np.flatnonzero(buf == _NEWLINE)
    ends = newlines if block.endswith(b"\n") else np.append(newlines, len(block))
    start = np.concatenate(([0], ends[:-1] + 1))
    suspect = np.zeros(len(start), dtype=bool)
    _control_bytes(block, buf, start, len(newlines), suspect)
    _nul_escapes(padded, margin, start, suspect)

    colons = np.flatnonzero(buf == _COLON) + margin
    quotes = _before(padded, colons, start, margin, suspect)
    escaped = padded[quotes - 1] == _BACKSLASH
    doubtful = quotes[escaped & (padded[quotes - 2] == _BACKSLASH)]
    suspect[_lines_of(doubtful - margin, start)] = True
    quotes = quotes[~escaped]
    keys = np.diff(np.searchsorted(quotes, np.append(start + margin, len(padded))))
    return Lines(start, ends - start, suspect, keys, table, padded, quotes)


def _before(padded: npt.NDArray[np.uint8], colons: Ints, start: Ints, margin: int, suspect: Flags) -> Ints:
    """Quotes that stand before a colon, directly or with one white space between; more of it makes a suspect."""
    near = padded[colons - 1]
    quotes: Ints = colons[near == _QUOTE] - 1
    spaced = colons[_is_space(near)]
    if len(spaced):
        far = padded[spaced - 2]
        suspect[_lines_of(spaced[_is_space(far)] - margin, start)] = True
        quotes = np.sort(np.concatenate((quotes, spaced[far == _QUOTE] - 2)))
    return quotes


def _is_space(char: npt.NDArray[np.uint8]) -> Flags:
    space: Flags = (char == 32) | (char == 9) | (char == _RETURN)
    return space


def _lines_of(positions: Ints, start: Ints) -> Ints:
    return np.searchsorted(start, positions, side="right") - 1


def _control_bytes(block: bytes, buf: npt.NDArray[np.uint8], start: Ints, newlines: int, suspect: Flags) -> None:
    if np.count_nonzero(buf < 32) == newlines:
        return
    places = np.flatnonzero((buf < 32) & (buf != _NEWLINE))
    line_end = (buf[places] == _RETURN) & (buf[np.minimum(places + 1, len(block) - 1)] == _NEWLINE)
    suspect[_lines_of(places[~line_end], start)] = True


def _nul_escapes(padded: npt.NDArray[np.uint8], margin: int, start: Ints, suspect: Flags) -> None:
    escapes = np.flatnonzero(padded == _BACKSLASH)
    escapes = escapes[escapes < len(padded) - len(_NUL_ESCAPE) + 1]
    for place, char in enumerate(_NUL_ESCAPE[1:], start=1):
        escapes = escapes[padded[escapes + place] == char]
    suspect[_lines_of(escapes - margin, start)] = True


def _identify(padded: npt.NDArray[np.uint8], quotes: Ints, table: KeyTable) -> npt.NDArray[np.int8]:
    """Index of the declared field each key is, -1 for none."""
    view: Words = np.ndarray((len(padded) - 7,), dtype="<u8", buffer=padded, strides=(1,))
    depth = max(len(key.words) for key in table.keys)
    words = [view[quotes - 8 * (place + 1)] for place in range(depth)]
    found = np.full(len(quotes), -1, dtype=np.int8)
    for index, key in enumerate(table.keys):
        mask, want = key.words[0]
        last = words[0] if mask == _WHOLE_WORD else words[0] & mask
        hits = np.flatnonzero(last == want)
        for place in range(1, len(key.words)):
            mask, want = key.words[place]
            hits = hits[(words[place][hits] & mask) == want]
        found[hits] = index
    inside_a_longer_key = padded[quotes - table.widths[found] - 1] == _BACKSLASH
    found[inside_a_longer_key] = -1
    return found


def _repeated(found: npt.NDArray[np.int8], first: Ints, count: Ints) -> Flags:
    """Lines in which a declared key was identified twice."""
    bits = np.where(found >= 0, np.uint64(1) << np.maximum(found, 0).astype(np.uint64), np.uint64(0))
    repeated = np.zeros(len(first), dtype=bool)
    filled = np.flatnonzero(count)
    if len(filled):
        known = np.add.reduceat((found >= 0).astype(np.int64), first[filled])
        seen = np.bitwise_or.reduceat(bits, first[filled])
        repeated[filled] = np.bitwise_count(seen) != known
    return repeated
