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

from pipeline.settings import ZONE

_WIDTH: Final = 35  # YYYY-MM-DDTHH:MM:SS.fffffffff+HH:MM
_SECOND: Final = 1_000_000
_MICROSECOND: Final = timedelta(microseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: First microsecond of year 1 and of year 10000 (UTC): what Python can hold, and so everyone can read back.
_FIRST: Final = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LAST: Final = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_DAYS: Final = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], dtype=np.int64)

Ints = npt.NDArray[np.int64]
Digits = npt.NDArray[np.int16]
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
    width = texts.str.len_bytes().fill_null(0)
    # A byte matrix needs equal widths; too long and non-ASCII texts (padded by characters) become blanks.
    padded = texts.str.pad_end(_WIDTH, " ").fill_null("")
    padded = pl.select(
        pl.when(padded.str.len_bytes() == _WIDTH).then(padded).otherwise(pl.lit(" " * _WIDTH))
    ).to_series()
    joined = "".join(padded.to_list()).encode()
    matrix = np.frombuffer(joined, dtype=np.uint8).reshape(len(texts), _WIDTH)
    micros, valid = _read(matrix, np.minimum(width.to_numpy().astype(np.int64), _WIDTH), _naive_offset(day))
    values = pl.Series(texts.name, micros, dtype=pl.Int64)
    return pl.select(pl.when(pl.Series(valid)).then(values)).to_series().rename(texts.name)


def _read(text: npt.NDArray[np.uint8], width: Ints, naive_offset: int) -> tuple[Ints, Flags]:
    """Microseconds and validity of right-padded texts (rows of a byte matrix)."""
    digit = text.astype(np.int16) - 48
    is_digit = (digit >= 0) & (digit <= 9)
    clock, valid = _clock(text, digit, is_digit)
    rows = np.arange(len(text))

    def at(index: Ints) -> Ints:
        return np.clip(index, 0, _WIDTH - 1)

    zulu = text[rows, at(width - 1)] == ord("Z")
    sign = text[rows, at(width - 6)]
    shifted = (width >= 25) & ((sign == ord("+")) | (sign == ord("-"))) & (text[rows, at(width - 3)] == ord(":"))
    end = np.where(zulu, width - 1, np.where(shifted, width - 6, width))
    minutes = np.zeros(len(text), dtype=np.int64)
    for place, unit in ((5, 600), (4, 60), (2, 10), (1, 1)):
        index = at(width - place)
        valid &= ~shifted | is_digit[rows, index]
        minutes += digit[rows, index].astype(np.int64) * unit
    hours_digit = digit[rows, at(width - 5)] * 10 + digit[rows, at(width - 4)]
    valid &= ~shifted | ((hours_digit <= 23) & (digit[rows, at(width - 2)] <= 5))
    offset = np.where(
        shifted, np.where(sign == ord("-"), -minutes, minutes) * 60 * _SECOND, np.where(zulu, 0, naive_offset)
    )
    fraction, fraction_valid = _fraction(text, digit, is_digit, end)
    micros = clock + fraction - offset
    return micros, valid & fraction_valid & (width >= 19) & (micros >= _FIRST) & (micros <= _LAST)


def _clock(text: npt.NDArray[np.uint8], digit: Digits, is_digit: Flags) -> tuple[Ints, Flags]:
    """The first 19 characters as microseconds since the epoch, as if UTC."""
    valid = is_digit[:, [0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18]].all(axis=1)
    valid &= (text[:, [4, 7, 10, 13, 16]] == np.frombuffer(b"--T::", dtype=np.uint8)).all(axis=1)
    place = digit[:, :19].T.astype(np.int64)
    year = place[0] * 1000 + place[1] * 100 + place[2] * 10 + place[3]
    month, dom, hour, minute, second = (place[i] * 10 + place[i + 1] for i in (5, 8, 11, 14, 17))
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    longest = _DAYS[np.clip(month, 0, 12)] + (leap & (month == 2))
    valid &= (year >= 1) & (month >= 1) & (month <= 12) & (dom >= 1) & (dom <= longest)
    valid &= (hour <= 23) & (minute <= 59) & (second <= 59)
    # Days from the civil date (proleptic Gregorian), counting years from March.
    shifted_year = year - (month <= 2)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + dom - 1
    days = shifted_year * 365 + shifted_year // 4 - shifted_year // 100 + shifted_year // 400 + day_of_year - 719_468
    return (((days * 24 + hour) * 60 + minute) * 60 + second) * _SECOND, valid


def _fraction(text: npt.NDArray[np.uint8], digit: Digits, is_digit: Flags, end: Ints) -> tuple[Ints, Flags]:
    """`.f{1,9}` between column 19 and `end` as microseconds; no fraction is zero."""
    columns = np.arange(20, _WIDTH)
    inside = columns < end[:, None]
    valid = (end == 19) | ((text[:, 19] == ord(".")) & (end >= 21) & (end <= 29))
    valid &= (is_digit[:, 20:] | ~inside).all(axis=1)
    weights = np.array([100_000, 10_000, 1000, 100, 10, 1], dtype=np.int64)
    return (digit[:, 20:26] * inside[:, :6]).astype(np.int64) @ weights, valid
