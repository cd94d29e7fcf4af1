"""A plan as JSON Lines: heads and pieces gathered and joined column by column."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from pipeline.simulate.dice import Words
from pipeline.simulate.pieces import Pieces, member
from pipeline.simulate.plan import Plan
from pipeline.simulate.population import Population
from pipeline.simulate.shop import Shop

#: Lines rendered at a time.
CHUNK = 1 << 16
_HEX_PAIRS = np.frombuffer(b"".join(b"%02x" % byte for byte in range(256)), dtype=np.uint16)
#: Where the 16 hex pairs and the hyphens of a UUID stand.
_PAIR_PLACES = np.array([0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34])


class Renderer:
    """Writes the lines of one plan."""

    def __init__(self, plan: Plan, shop: Shop, pieces: Pieces, population: Population) -> None:
        self.plan = plan
        self.texts = pl.concat([pl.Series(pieces.texts), plan.order_texts])
        events = shop.events
        self.roles = pl.Series([events.view, events.tap, events.basket, events.order, events.lookup])
        prefix, digits = shop.model["user_prefix"], shop.model["user_digits"]
        self.users = pl.Series(np.arange(population.size)).cast(pl.String).str.zfill(digits)
        self.user_prefix = prefix
        self.profile_of_user = population.profile
        self.profiles = pl.Series(
            member("platform", p.platform)
            + member("device_type", p.device_type)
            + member("os", p.os)
            + member("browser", p.browser)
            for p in shop.profiles
        )

    def chunks(self) -> Iterator[tuple[int, pl.Series]]:
        """(number of the first event, lines with their newline), in file order."""
        for begin in range(0, len(self.plan), CHUNK):
            yield begin, self.lines(begin, min(begin + CHUNK, len(self.plan)))

    def lines(self, begin: int, end: int) -> pl.Series:
        """The lines of events begin..end-1."""
        plan = self.plan
        session = plan.session[begin:end]
        user = plan.session_user[session]
        pieces = plan.pieces[begin:end]
        frame = pl.DataFrame(
            {
                "event": _uuids(plan.ids[begin:end]),
                "role": self.roles.gather(plan.role[begin:end]),
                "user": self.users.gather(user),
                "session": _uuids(plan.session_words[session]),
                "time": _clock(plan.time[begin:end]),
                "profile": self.profiles.gather(self.profile_of_user[user]),
                **{f"piece{column}": self.texts.gather(pieces[:, column]) for column in range(4)},
            }
        )
        return frame.select(
            pl.concat_str(
                pl.lit('{"event_id":"'),
                "event",
                pl.lit('","event_type":"'),
                "role",
                pl.lit(f'","user_id":"{self.user_prefix}'),
                "user",
                pl.lit('","session_id":"'),
                "session",
                pl.lit(f'","timestamp":"{plan.day.isoformat()}T'),
                "time",
                pl.lit('+09:00"'),
                "profile",
                "piece0",
                "piece1",
                "piece2",
                "piece3",
                pl.lit("}\n"),
            ).alias("line")
        )["line"]


def data(lines: pl.Series) -> memoryview:
    """The bytes of consecutive lines, without a copy where Arrow has them in one piece."""
    array = lines.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    first, last = array.offset, array.offset + len(array)
    offsets = np.frombuffer(array.buffers()[1], dtype=np.int64)
    return memoryview(array.buffers()[2])[int(offsets[first]) : int(offsets[last])]


def _uuids(words: Words) -> pl.Series:
    """Random 128-bit numbers, shape (n, 2), as lower-case version 4 UUIDs."""
    octets = words.astype(">u8").view(np.uint8).reshape(-1, 16)
    octets[:, 6] = octets[:, 6] & 0x0F | 0x40
    octets[:, 8] = octets[:, 8] & 0x3F | 0x80
    text = np.full((len(octets), 36), ord("-"), np.uint8)
    pairs = _HEX_PAIRS[octets].view(np.uint8).reshape(-1, 16, 2)
    text[:, _PAIR_PLACES] = pairs[:, :, 0]
    text[:, _PAIR_PLACES + 1] = pairs[:, :, 1]
    return _fixed_width(text)


def _clock(milliseconds: npt.NDArray[np.int32]) -> pl.Series:
    """`HH:MM:SS.mmm` of milliseconds since midnight."""
    text = np.empty((len(milliseconds), 12), np.uint8)
    text[:, [2, 5]], text[:, 8] = ord(":"), ord(".")
    rest = milliseconds
    for place, base in ((11, 10), (10, 10), (9, 10), (7, 10), (6, 6), (4, 10), (3, 6)):
        rest, digit = np.divmod(rest, base)
        text[:, place] = ord("0") + digit
    text[:, 0], text[:, 1] = ord("0") + rest // 10, ord("0") + rest % 10
    return _fixed_width(text)


def _fixed_width(text: npt.NDArray[np.uint8]) -> pl.Series:
    """ASCII rows of equal width as a text column."""
    count, width = text.shape
    offsets = np.arange(count + 1, dtype=np.int64) * width
    array = pa.LargeStringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(text))
    return pl.Series(array)
