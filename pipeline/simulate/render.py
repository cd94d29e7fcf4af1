"""A plan as JSON Lines: a line is nine texts, and one `take` of the texts of all lines is the file.

What a line has for itself (its ids, customer and time) stands in a row of fixed width, which the event type cuts in
two; everything else are texts that many lines share.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.simulate.dice import Words
from pipeline.simulate.pieces import Pieces, member
from pipeline.simulate.plan import Plan, Role
from pipeline.simulate.population import Population
from pipeline.simulate.shop import Shop
from pipeline.simulate.texts import column, cut, numbers

#: Rows of equal width with named places; a structured array.
Rows = npt.NDArray[Any]

#: Lines rendered at a time.
CHUNK: Final = 1 << 13
#: Texts of a line: half a row, role, the other half, profile, four pieces, its end.
_TEXTS: Final = 9
_PAIRS = np.frombuffer(b"".join(b"%02x" % byte for byte in range(256)), np.uint16)
#: Two bytes, as they lie in memory -> their four hex digits.
_QUADS = _PAIRS[np.arange(1 << 16, dtype=np.uint16).view(np.uint8)].view(np.uint32)
_NO_UUID: Final = b"00000000-0000-0000-0000-000000000000"
#: The groups of a UUID, one after the other, and as they stand in its text.
_DIGITS = np.dtype([("a", "V8"), ("b", "V4"), ("c", "V4"), ("d", "V4"), ("e", "V12")])
_GROUPS = np.dtype(
    [
        ("a", "V8"),
        ("1", "V1"),
        ("b", "V4"),
        ("2", "V1"),
        ("c", "V4"),
        ("3", "V1"),
        ("d", "V4"),
        ("4", "V1"),
        ("e", "V12"),
    ]
)
#: A time of day is one of each: `HH:MM:`, `SS.` and milliseconds.
_MINUTES = np.array([b"%02d:%02d:" % divmod(minute, 60) for minute in range(24 * 60)]).view("V6")
_SECONDS = np.array([b"%02d." % second for second in range(60)]).view("V3")
_MILLISECONDS = np.array([b"%03d" % number for number in range(1000)]).view("V3")


@dataclass(frozen=True, slots=True)
class Lines:
    """Consecutive lines with their newlines."""

    data: memoryview
    #: Where each line begins, and where the last one ends.
    starts: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.starts) - 1


class Renderer:
    """Writes the lines of one plan."""

    def __init__(self, plan: Plan, shop: Shop, pieces: Pieces, population: Population) -> None:
        self.plan = plan
        events = shop.events
        roles = [events.view, events.tap, events.basket, events.order, events.lookup]
        profiles = [
            member("platform", p.platform)
            + member("device_type", p.device_type)
            + member("os", p.os)
            + member("browser", p.browser)
            for p in shop.profiles
        ]
        #: What lines share but for the orders, which come after it in a plan's numbers.
        self.texts = column([*pieces.texts, *roles, *profiles, "}\n"])
        self.first_order = len(pieces.texts)
        #: Text of each role, and of the profile of each visit.
        self.roles = len(pieces.texts) + np.arange(len(roles))
        self.profiles = len(pieces.texts) + len(roles) + population.profile[plan.session_user]
        self.visits = _visits(plan, shop.model["user_digits"])
        front = _row(("", b'{"event_id":"'), ("event", _NO_UUID), ("", b'","event_type":"'))
        back = _row(
            ("", f'","user_id":"{shop.model["user_prefix"]}'.encode()),
            ("visit", self.visits[0].tobytes()),
            ("", f'","timestamp":"{plan.day.isoformat()}T'.encode()),
            ("minute", b"HH:MM:"),
            ("second", b"SS."),
            ("millisecond", b"mmm"),
            ("", b'+09:00"'),
        )
        self.row = _row(("front", front), ("back", back))

    def chunks(self) -> Iterator[tuple[int, Lines]]:
        """(number of the first event, lines), in file order."""
        for begin in range(0, len(self.plan), CHUNK):
            yield begin, self.lines(begin, min(begin + CHUNK, len(self.plan)))

    def lines(self, begin: int, end: int) -> Lines:
        """The lines of events begin..end-1."""
        plan, count = self.plan, end - begin
        role, session, pieces = plan.role[begin:end], plan.session[begin:end], plan.pieces[begin:end]
        orders = np.flatnonzero(role == Role.ORDER)
        ordered = plan.order_texts.take(numbers(pieces[orders, 0] - self.first_order))
        first_half = len(self.texts) + 2 * np.arange(count)
        texts = np.empty((count, _TEXTS), np.int32)
        texts[:, 0] = first_half
        texts[:, 1] = self.roles[role]
        texts[:, 2] = first_half + 1
        texts[:, 3] = self.profiles[session]
        texts[:, 4:8] = pieces
        texts[orders, 4] = len(self.texts) + 2 * count + np.arange(len(orders))
        texts[:, 8] = len(self.texts) - 1
        lines = pa.concat_arrays([self.texts, self.halves(begin, end), ordered]).take(numbers(texts.ravel()))
        _, edges, data = lines.buffers()
        starts = np.frombuffer(edges, np.int32)[: len(lines) + 1 : _TEXTS]
        return Lines(memoryview(data)[: starts[-1]], starts)

    def halves(self, begin: int, end: int) -> pa.StringArray:
        """What each line has for itself, two texts a line."""
        plan = self.plan
        rows = np.repeat(self.row, end - begin)
        front, back = rows["front"], rows["back"]
        _write_uuids(front["event"], plan.ids[begin:end])
        back["visit"] = self.visits[plan.session[begin:end]]
        seconds, milliseconds = np.divmod(plan.time[begin:end], 1000)
        minutes, seconds = np.divmod(seconds, 60)
        back["minute"] = _MINUTES[minutes]
        back["second"] = _SECONDS[seconds]
        back["millisecond"] = _MILLISECONDS[milliseconds]
        edges = np.add.outer(np.arange(len(rows) + 1) * rows.itemsize, [0, front.itemsize])
        return cut(edges.ravel()[:-1], rows)


def _visits(plan: Plan, digits: int) -> Rows:
    """What all lines of a visit share: from the number of the customer to the visit's id."""
    row = _row(("user", b"0" * digits), ("", b'","session_id":"'), ("visit", _NO_UUID))
    rows = np.repeat(row, len(plan.session_user))
    figures = plan.session_user[:, None] // 10 ** np.arange(digits)[::-1] % 10
    rows["user"] = (ord("0") + figures).astype(np.uint8).view(f"V{digits}")[:, 0]
    _write_uuids(rows["visit"], plan.session_words)
    return rows.view(f"V{rows.itemsize}")


def _row(*places: tuple[str, bytes | Rows]) -> Rows:
    """One row of these contents, bytes or rows; a place with a name can be written to."""
    kinds = [(name, getattr(content, "dtype", f"V{len(content)}")) for name, content in places]
    return np.frombuffer(b"".join(bytes(content) for _, content in places), np.dtype(kinds))


def _write_uuids(places: Rows, words: Words) -> None:
    """Writes random 128-bit numbers, shape (n, 2), as lower-case version 4 UUIDs."""
    octets = words.astype(">u8").view(np.uint8).reshape(-1, 16)
    octets[:, 6] = octets[:, 6] & 0x0F | 0x40
    octets[:, 8] = octets[:, 8] & 0x3F | 0x80
    digits, groups = _QUADS.take(octets.view(np.uint16)).view(_DIGITS)[:, 0], places.view(_GROUPS)
    for group in _DIGITS.names or ():
        groups[group] = digits[group]
