"""Parsing: a byte range of JSON Lines becomes typed columns, every line accounted for.

Two paths, one meaning. Every line goes through a typed decoder that only judges it; a line that
passes and that `parse_scan` does not suspect is read by polars as it stands. All others go through
the exact judge (`parse_slow`), which writes their good values as a plain line, so that one reader
builds all columns and rows stay in line order; so do lines of which fewer values were read than they
have keys, when a key is there twice. The meaning is the exact judge's; a property test holds the fast
path to it.
"""

from __future__ import annotations

import io
import math
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from pipeline import order_details, timestamps
from pipeline.contract import Contract, Kind
from pipeline.parse_scan import KeyTable, Lines, scan
from pipeline.parse_slow import INT64, LINE_CAP, MOST_LINES, SCALE, Judged, judge, refused

DAY_MICROSECONDS: Final = 86_400_000_000
MONEY: Final = pl.Decimal(38, SCALE)
INSTANT: Final = pl.Datetime("us", "UTC")
BOM: Final = b"\xef\xbb\xbf"

#: Bytes worked on at once; more is hardly faster and costs memory.
_BLOCK: Final = 4 << 20
#: Lines worked on at once: of lines of a few bytes a block would be a hundred times as big in columns.
_BLOCK_LINES: Final = 1 << 16
#: Lines with undeclared keys up to this length are looked at quickly (fewer keys than the cap fit in).
_SHORT: Final = 4096
_SPACE: Final = b" \t\r"
_COLUMN: Final[dict[Kind, pl.DataType]] = {
    "string": pl.String(),
    "integer": pl.Int64(),
    "number": MONEY,
    "timestamp": INSTANT,
}
_ORDER_AMOUNTS: Final = ("items_total", "order_discount", "order_shipping")
_Int64 = Annotated[int, msgspec.Meta(ge=INT64.start, le=INT64.stop - 1)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Parsed:
    """A byte range as typed columns."""

    #: The staged format, in line order; one row per line that is not blank.
    frame: pl.DataFrame
    blank_lines: int
    lines_with_unknown_keys: int


def staged_schema(contract: Contract) -> dict[str, pl.DataType]:
    """Columns of the staged format and their types, in order."""
    counts = dict.fromkeys(("line_no", "byte_offset", "byte_length"), pl.Int64())
    fields = {field.name: _COLUMN[field.kind] for field in contract.fields}
    keys = {"day_us": pl.Int64(), "order_key": pl.Int64()}
    return {**counts, **fields, **keys, **dict.fromkeys(_ORDER_AMOUNTS, MONEY), "problems": pl.String()}


def parse_range(
    data: bytes, *, first_line: int, first_offset: int, contract: Contract, day: date, exact: bool = False
) -> Parsed:
    """Parse whole lines.

    Args:
        data: bytes from a line start to a line end (the last newline of a file may be missing).
        first_line: number of the first line, 1-based.
        first_offset: place of `data` in the delivery.
        exact: judge every line exactly, for tests and comparisons.
    """
    reader = _reader(contract)
    if first_offset == 0 and data.startswith(BOM):
        data, first_offset = data[len(BOM) :], len(BOM)
    newlines = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n"))
    frames, blank, unknown, place = [], 0, 0, 0
    while place < len(data):
        end = _block_end(data, newlines, place)
        block = _Block(reader, data[place:end], first_line, first_offset + place, day)
        parsed = block.parse(exact=exact)
        frames.append(parsed.frame)
        blank += parsed.blank_lines
        unknown += parsed.lines_with_unknown_keys
        first_line += parsed.frame.height + parsed.blank_lines
        place = end
    frame = pl.concat(frames, rechunk=False) if frames else pl.DataFrame(schema=staged_schema(contract))
    return Parsed(frame=frame, blank_lines=blank, lines_with_unknown_keys=unknown)


def _block_end(data: bytes, newlines: npt.NDArray[np.int64], place: int) -> int:
    """Where the block of whole lines ends that begins at a place."""
    first, after = np.searchsorted(newlines, (place, place + _BLOCK)).tolist()
    if after - first >= _BLOCK_LINES:
        return int(newlines[first + _BLOCK_LINES - 1]) + 1
    if len(data) - place <= _BLOCK:
        return len(data)
    last = max(after - 1, first)  # the first only where a line is longer than a block
    return int(newlines[last]) + 1 if last < len(newlines) else len(data)


def too_long_line(*, line_no: int, byte_offset: int, byte_length: int, contract: Contract) -> Parsed:
    """A line beyond the cap, which nobody needs to hold in memory."""
    problems = _problem_text(refused("line_too_long").problems)
    row = {"line_no": line_no, "byte_offset": byte_offset, "byte_length": byte_length, "problems": problems}
    frame = pl.DataFrame([row], schema=staged_schema(contract))
    return Parsed(frame=frame, blank_lines=0, lines_with_unknown_keys=0)


@dataclass(frozen=True, slots=True)
class _Reader:
    """What a contract needs for parsing, made once."""

    contract: Contract
    names: frozenset[str]
    keys: KeyTable
    #: Typed decoders: they judge a line, their result is thrown away. The strict one takes declared keys only.
    strict: Any
    lenient: Any
    #: What polars reads; numbers come as texts and become exact decimals.
    columns: dict[str, pl.DataType]
    schema: dict[str, pl.DataType]
    #: Name of the field that holds the instant.
    instant: str


_READERS: Final[dict[str, _Reader]] = {}


def _reader(contract: Contract) -> _Reader:
    """The reader of a contract; equal contracts share one."""
    if contract.sha256 not in _READERS:
        _READERS[contract.sha256] = _new_reader(contract)
    return _READERS[contract.sha256]


def _new_reader(contract: Contract) -> _Reader:
    types = {"string": str, "timestamp": str, "integer": _Int64, "number": _Int64}
    fields = [(f.name, types[f.kind] | None, None) for f in contract.fields]

    def decoder(*, strict: bool) -> Any:
        event = msgspec.defstruct("Event", fields, gc=False, forbid_unknown_fields=strict, module=__name__)
        return msgspec.json.Decoder(event).decode

    return _Reader(
        contract=contract,
        names=frozenset(contract.names),
        keys=KeyTable.of(contract),
        strict=decoder(strict=True),
        lenient=decoder(strict=False),
        columns={f.name: pl.Int64() if f.kind == "integer" else pl.String() for f in contract.fields},
        schema=staged_schema(contract),
        instant=next(f.name for f in contract.fields if f.kind == "timestamp"),
    )


class _Block:
    """Some lines of a range on their way to columns."""

    def __init__(self, reader: _Reader, data: bytes, first_line: int, offset: int, day: date) -> None:
        self.reader = reader
        self.data = data
        self.day = day
        self.found: Lines = scan(data, reader.keys)
        self.line_no = np.arange(first_line, first_line + len(self.found.start))
        self.offset = self.found.start + offset
        self.lines = data.split(b"\n")
        if data.endswith(b"\n"):
            self.lines.pop()
        self.blank: list[int] = []
        #: What the exact judge said, by place in the block.
        self.judged: dict[int, Judged] = {}
        #: Lines with keys that are not declared (or are spelled otherwise) which polars reads: whether any is unknown.
        self.plain: dict[int, bool] = {}

    def parse(self, *, exact: bool) -> Parsed:
        suspects = set(range(len(self.lines))) if exact else self.suspects()
        self.blank = sorted(i for i in suspects if len(self.lines[i]) <= LINE_CAP and not self.lines[i].strip(_SPACE))
        suspects.difference_update(self.blank)
        for index in sorted(suspects):
            self.judge(index)
        frame = self.columns()
        if frame is None:
            for index in set(range(len(self.lines))).difference(self.blank, self.judged):
                self.judge(index)
            self.plain.clear()
            frame = self.columns()
        if frame is None:
            raise AssertionError("a line of good values was not readable")
        frame = self.without_repeated_keys(frame)
        unknown = sum(self.plain.values()) + sum(judged.unknown_keys for judged in self.judged.values())
        return Parsed(frame=self.finish(frame), blank_lines=len(self.blank), lines_with_unknown_keys=unknown)

    def judge(self, index: int) -> None:
        self.judged[index] = judge(self.lines[index], self.reader.contract)

    def suspects(self) -> set[int]:
        """Places of all lines the fast readers must not decide about (blank lines among them)."""
        suspect = self.found.suspect | (self.found.keys == 0) | (self.found.length > LINE_CAP)
        for index in self.not_accepted():
            suspect[index] = suspect[index] or not self.is_plain(index)
        return set(np.flatnonzero(suspect).tolist())

    def not_accepted(self) -> list[int]:
        """Places of lines that the strict decoder refuses.

        It sees every byte of the others that is no ASCII: such bytes stand in values only.
        """
        check, bad = self.reader.strict, []
        left = enumerate(self.lines)
        while True:
            try:
                for index, line in left:  # noqa: B007  # the index is needed where it stopped
                    check(line)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                bad.append(index)
            else:
                return bad

    def is_plain(self, index: int) -> bool:
        """Whether a line has undeclared keys, or keys spelled otherwise, and nothing else to doubt; keeps which."""
        try:
            self.reader.lenient(self.lines[index])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return False
        keys = self.plain_keys(index)
        if keys is None:
            return False
        self.plain[index] = not keys <= self.reader.names
        return True

    def without_repeated_keys(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The fields as they were read, but for lines with a key twice: those by the exact judge."""
        place = np.delete(np.arange(len(self.lines)), self.blank)
        values = frame.select(pl.sum_horizontal(pl.all().is_not_null())).to_series().to_numpy()
        sure = values == self.found.keys[place]
        sure[np.isin(place, [*self.judged, *self.plain])] = True
        rows = np.flatnonzero(~sure)
        keys = self.found.identified(place[rows])
        doubtful = [
            row
            for row, undeclared, repeated in zip(rows.tolist(), keys.undeclared, keys.repeated, strict=True)
            if repeated or (undeclared and not self.is_plain(int(place[row])))
        ]
        if not doubtful:
            return frame
        for row in doubtful:
            self.judge(int(place[row]))
        lines = b"\n".join(self.judged[int(place[row])].json for row in doubtful)
        exact = pl.read_ndjson(io.BytesIO(lines), schema=self.reader.columns)
        order = np.arange(frame.height)
        order[doubtful] = np.arange(frame.height, frame.height + len(doubtful))
        return pl.concat([frame, exact])[order]

    def plain_keys(self, index: int) -> AbstractSet[str] | None:
        """The keys of a line that is flat, has no key twice and only ordinary values; else None."""
        line = self.lines[index]
        if len(line) > _SHORT:
            return None
        try:
            found = msgspec.json.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        plain = len(found) == self.found.keys[index] and "" not in found and all(map(_is_ordinary, found.values()))
        return found.keys() if plain else None

    def columns(self) -> pl.DataFrame | None:
        """The declared fields as polars reads them; None when it cannot read every line as a row."""
        rows = len(self.lines) - len(self.blank)
        if not rows:
            return pl.DataFrame(schema=self.reader.columns)
        payload = self.data
        if self.blank or self.judged:
            lines = list(self.lines)
            for index, judged in self.judged.items():
                lines[index] = judged.json
            for index in reversed(self.blank):
                del lines[index]
            payload = b"\n".join(lines)
        try:
            frame = pl.read_ndjson(io.BytesIO(payload), schema=self.reader.columns)
        except pl.exceptions.PolarsError:
            return None
        return frame if frame.height == rows else None

    def finish(self, fields: pl.DataFrame) -> pl.DataFrame:
        """The staged format from the fields as they were read."""
        blank = np.array(self.blank, dtype=np.int64)
        line_no = pl.Series(np.delete(self.line_no, blank), dtype=pl.Int64)
        problems = {
            index - int(np.searchsorted(blank, index)): list(judged.problems)
            for index, judged in self.judged.items()
            if judged.problems
        }
        instant = self.reader.instant
        micros = timestamps.instants(fields[instant], self.day)
        unreadable = micros.is_null() & fields[instant].is_not_null() & (fields[instant] != "")
        for row in unreadable.arg_true().to_list():
            problems.setdefault(row, []).append(f"{instant}:unreadable")
        fields, amounts = self.order_amounts(fields, problems)
        texts: list[str | None] = [None] * fields.height
        for row, names in problems.items():
            texts[row] = _problem_text(names)
        day_us = micros - timestamps.day_start(self.day)
        made = fields.with_columns(
            line_no.alias("line_no"),
            pl.Series("byte_offset", np.delete(self.offset, blank), dtype=pl.Int64),
            pl.Series("byte_length", np.delete(self.found.length, blank), dtype=pl.Int64),
            micros.cast(INSTANT).alias(instant),
            day_us.alias("day_us"),
            pl.Series("problems", texts, dtype=pl.String),
            *amounts,
        ).with_columns(
            pl.when(pl.col("day_us").is_between(0, DAY_MICROSECONDS, closed="left"))
            .then(pl.col("day_us") * (MOST_LINES + 1) + pl.col("line_no"))
            .alias("order_key")
        )
        return made.select(pl.col(name).cast(kind) for name, kind in self.reader.schema.items())

    def order_amounts(
        self, fields: pl.DataFrame, problems: dict[int, list[str]]
    ) -> tuple[pl.DataFrame, list[pl.Series]]:
        """Read the order details where there are any; texts that jsonb cannot hold become null."""
        order = self.reader.contract.order_total
        if order is None:
            return fields, [pl.Series(name, [None] * fields.height, dtype=MONEY) for name in _ORDER_AMOUNTS]
        texts = fields[order.details]
        rows = (texts.is_not_null() & (texts != "")).arg_true()
        read = [order_details.read(text, order) for text in texts.gather(rows).to_list()]
        unstorable = []
        for row, details in zip(rows.to_list(), read, strict=True):
            if not details.readable:
                problems.setdefault(row, []).append(f"{order.details}:unreadable")
            if not details.storable:
                unstorable.append(row)
        if unstorable:
            fields = fields.with_columns(texts.scatter(unstorable, None))
        place = pl.Series([None], dtype=pl.UInt32).new_from_index(0, fields.height)
        place = place.scatter(rows, pl.Series(range(len(read)), dtype=pl.UInt32))
        amounts = zip(*((d.items_total, d.discount, d.shipping) for d in read), strict=True) if read else [[]] * 3
        return fields, [
            pl.Series(name, list(map(_money_text, values)), dtype=pl.String).cast(MONEY).gather(place)
            for name, values in zip(_ORDER_AMOUNTS, amounts, strict=True)
        ]


def _is_ordinary(value: object) -> bool:
    """A value of an undeclared key that every reader takes: no container, no extreme number."""
    if isinstance(value, int):
        return value in INT64
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, str)


def _money_text(value: Decimal | None) -> str | None:
    return None if value is None else format(value, f".{SCALE}f")


def _problem_text(names: list[str] | tuple[str, ...]) -> str:
    return f"|{'|'.join(names)}|"
