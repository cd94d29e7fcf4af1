"""Timestamps: what counts as an instant, and its microseconds, for whole columns at once.

Accepted is `YYYY-MM-DDTHH:MM:SS[.f{1,9}][Z|±HH:MM]`, upper case, real calendar dates, hours 00-23,
minutes and seconds 00-59. A text without an offset is local time of the business zone. Digits beyond
microseconds are cut off. Everything else (leap seconds, 24:00, week dates, words) is no instant.
"""

# ruff: noqa: PLR2004  (the numbers are positions in, and limits of, ISO 8601)
from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from pipeline.zone import ZONE

_SHORTEST: Final = len("YYYY-MM-DDTHH:MM:SS")
_LONGEST: Final = len("YYYY-MM-DDTHH:MM:SS.fffffffff+HH:MM")
_SECOND: Final = 1_000_000
_MICROSECOND: Final = timedelta(microseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: First microsecond of year 1 and of year 10000 (UTC): what Python can hold, and so everyone can read back.
_FIRST: Final = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LAST: Final = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_DAYS: Final = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], dtype=np.int64)

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]


def day_start(day: date) -> int:
    """Microseconds from the epoch to the first instant of the business day."""
    return (datetime.combine(day, time(), ZONE) - _EPOCH) // _MICROSECOND


def _naive_offset(day: date) -> int:
    """Microseconds that local time is ahead of UTC on that day.

    The offset of the checked day serves all its naive timestamps: the business zone has had one
    offset since 1988, and times of other days are refused by the day rule anyway.
    """
    return (datetime.combine(day, time(), UTC) - datetime.combine(day, time(), ZONE)) // _MICROSECOND


def instants(texts: pl.Series, day: date) -> pl.Series:
    """Microseconds since the epoch (UTC), one per text; null where the text is null or is no instant."""
    widths = texts.str.len_bytes()
    micros = np.zeros(len(texts), dtype=np.int64)
    valid = np.zeros(len(texts), dtype=bool)
    naive_offset = _naive_offset(day)
    for width in widths.unique().drop_nulls().to_list():
        if _SHORTEST <= width <= _LONGEST:
            rows = (widths == width).fill_null(value=False)
            if rows.all():  # the rule: one program wrote them all
                micros, valid = _read(_columns(texts, width), naive_offset)
                break
            mine = rows.to_numpy()
            micros[mine], valid[mine] = _read(_columns(texts.filter(rows), width), naive_offset)
    values = pl.Series(texts.name, micros, dtype=pl.Int64)
    return pl.select(pl.when(pl.Series(valid)).then(values)).to_series().rename(texts.name)


def _columns(texts: pl.Series, width: int) -> Bytes:
    """The bytes of texts of that width: one row a place in the text, one column a text."""
    array = texts.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offsets, data = array.buffers()
    begin = int(np.frombuffer(offsets, dtype=np.int64)[array.offset])
    matrix = np.frombuffer(data, dtype=np.uint8, count=len(texts) * width, offset=begin)
    return np.ascontiguousarray(matrix.reshape(len(texts), width).T)


def _read(text: Bytes, naive_offset: int) -> tuple[Ints, Flags]:
    """Microseconds and validity of texts of one width (columns of a byte matrix)."""
    width = len(text)
    zulu = text[-1] == ord("Z")
    shifted = np.zeros(text.shape[1], dtype=bool)
    if width >= 25:
        shifted = ((text[-6] == ord("+")) | (text[-6] == ord("-"))) & (text[-3] == ord(":")) & ~zulu
    micros = np.zeros(text.shape[1], dtype=np.int64)
    valid = np.zeros(text.shape[1], dtype=bool)
    for rows, end in ((zulu, width - 1), (shifted, width - 6), (~zulu & ~shifted, width)):
        if rows.all():
            return _read_to(text, end, naive_offset)
        if rows.any():
            micros[rows], valid[rows] = _read_to(text[:, rows], end, naive_offset)
    return micros, valid


def _read_to(text: Bytes, end: int, naive_offset: int) -> tuple[Ints, Flags]:
    """Texts of one width whose offset from UTC begins at `end`: nothing, `Z`, or `±HH:MM`."""
    digit = text - np.uint8(48)  # what is no digit wraps beyond 9
    is_digit = digit <= 9
    micros, valid = _clock(text, digit, is_digit)
    if end > _SHORTEST:
        fraction, fraction_valid = _fraction(text, digit, is_digit, end)
        micros += fraction
        valid &= fraction_valid
    if end == len(text):
        micros -= naive_offset
    elif end == len(text) - 6:
        hours, minutes = _two(digit, end + 1), _two(digit, end + 4)
        valid &= is_digit[[end + 1, end + 2, end + 4, end + 5]].all(axis=0) & (hours <= 23) & (minutes <= 59)
        ahead = (hours * 60 + minutes) * (60 * _SECOND)
        micros -= np.where(text[end] == ord("-"), -ahead, ahead)
    return micros, valid & (micros >= _FIRST) & (micros <= _LAST)


def _two(digit: Bytes, place: int) -> Ints:
    """The number of two digits at that place."""
    number: Ints = digit[place].astype(np.int64) * 10 + digit[place + 1]
    return number


def _clock(text: Bytes, digit: Bytes, is_digit: Flags) -> tuple[Ints, Flags]:
    """The first 19 characters as microseconds since the epoch, as if UTC."""
    valid = is_digit[[0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18]].all(axis=0)
    for place, char in zip((4, 7, 10, 13, 16), b"--T::", strict=True):
        valid &= text[place] == char
    year = _two(digit, 0) * 100 + _two(digit, 2)
    month, dom, hour, minute, second = (_two(digit, place) for place in (5, 8, 11, 14, 17))
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    longest = _DAYS[np.clip(month, 0, 12)] + (leap & (month == 2))
    valid &= (year >= 1) & (month >= 1) & (month <= 12) & (dom >= 1) & (dom <= longest)
    valid &= (hour <= 23) & (minute <= 59) & (second <= 59)
    # Days from the civil date (proleptic Gregorian), counting years from March.
    shifted_year = year - (month <= 2)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + dom - 1
    days = shifted_year * 365 + shifted_year // 4 - shifted_year // 100 + shifted_year // 400 + day_of_year - 719_468
    return (((days * 24 + hour) * 60 + minute) * 60 + second) * _SECOND, valid


def _fraction(text: Bytes, digit: Bytes, is_digit: Flags, end: int) -> tuple[Ints, Flags]:
    """`.f{1,9}` between column 19 and `end` as microseconds."""
    micros = np.zeros(text.shape[1], dtype=np.int64)
    if not 21 <= end <= 29:
        return micros, np.zeros(text.shape[1], dtype=bool)
    for place, weight in zip(range(20, end), (100_000, 10_000, 1000, 100, 10, 1), strict=False):
        micros += digit[place].astype(np.int64) * weight
    return micros, (text[19] == ord(".")) & is_digit[20:end].all(axis=0)
