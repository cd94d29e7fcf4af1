"""The contract: `schemas/event_schema.json` read once into frozen records.

JSON Schema (Draft-07) plus three executable extensions is the only place where a domain value is
typed. What daygate cannot execute is refused here, with the JSON pointer of the place, so that no
keyword is ever silently ignored.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pipeline.errors import ContractError

Kind = Literal["string", "integer", "number", "timestamp"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """One declared property of an event."""

    name: str
    kind: Kind
    #: JSON pointer of the declaration inside the schema file.
    pointer: str
    description: str = ""
    enum: tuple[str, ...] | None = None
    #: The schema's pattern, `^…$`.
    pattern: str | None = None
    min_length: int | None = None
    max_length: int | None = None
    minimum: int | float | None = None
    maximum: int | float | None = None
    #: First instant that is allowed and first that no longer is (timestamps only).
    not_before: datetime | None = None
    before: datetime | None = None

    @property
    def engine_pattern(self) -> str | None:
        """The pattern anchored to the whole text in a way every engine reads alike."""
        return None if self.pattern is None else rf"\A(?:{self.pattern[1:-1]})\z"


@dataclass(frozen=True, kw_only=True, slots=True)
class PlatformRules:
    """`x-platform-device-rules`: which values go with a platform, and where it must not change."""

    field: str
    #: The field that identifies the visit within which the platform stays the same.
    scope: str
    #: platform value -> field -> allowed values.
    allowed: dict[str, dict[str, tuple[str, ...]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class FunnelStep:
    """An event that needs an earlier one of `after_any` in its scope."""

    event: str
    after_any: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Funnel:
    """`x-funnel-sequence`: the order of steps inside a session, or of a user within the day."""

    scope: str
    steps: tuple[FunnelStep, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderTotal:
    """`x-order-total`: total = Σ price·quantity − discount + shipping, within a tolerance."""

    event: str
    order_id: str
    total: str
    #: The field that holds the order's JSON document as text.
    details: str
    items: str
    item_quantity: str
    item_price: str
    discount: str
    shipping: str
    tolerance: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Contract:
    """The whole contract; equal `sha256` means equal rules."""

    title: str
    #: The file it was read from, for messages.
    source: str
    sha256: str
    fields: tuple[Field, ...]
    required: tuple[str, ...]
    #: event type -> fields required for it beside `required`.
    required_by_type: dict[str, tuple[str, ...]]
    #: event type -> JSON pointer of that list.
    required_pointers: dict[str, str]
    platform: PlatformRules | None
    funnel: Funnel | None
    order_total: OrderTotal | None

    def field(self, name: str) -> Field:
        """The declared field of that name; KeyError when there is none."""
        return next(f for f in self.fields if f.name == name)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all declared fields, in the order of the schema."""
        return tuple(f.name for f in self.fields)

    @property
    def event_types(self) -> tuple[str, ...]:
        """The vocabulary of `event_type`."""
        return self.field("event_type").enum or ()


def default_path() -> Path:
    """The contract shipped with daygate."""
    return Path(str(files("schemas") / "event_schema.json"))


def load(path: Path | None = None) -> Contract:
    """Read a contract.

    Args:
        path: a JSON Schema file; the shipped one when None.

    Raises:
        ContractError: the file is not there, is no JSON, or says something that cannot be executed.
    """
    source = path or default_path()
    try:
        raw = source.read_bytes()
    except OSError as error:
        raise ContractError(f"{source}: cannot be read ({error.strerror}).") from error
    return _read(source, raw)


@lru_cache(maxsize=16)
def _read(source: Path, raw: bytes) -> Contract:
    """Kept by content: an edited file counts at once, an unedited one is read once."""
    from pipeline.contract_reader import Reader  # noqa: PLC0415  # the reader makes this module's records

    try:
        document = json.loads(raw, object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ContractError(f"{source}: is not JSON ({error}).") from error
    return Reader(source.name, document).contract(hashlib.sha256(raw).hexdigest())


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A repeated key would silently take the place of the first."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} stands twice in one object")
        found[key] = value
    return found


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number")
