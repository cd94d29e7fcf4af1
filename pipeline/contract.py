"""The contract: `schemas/event_schema.json` read once into frozen records.

JSON Schema (Draft-07) plus three executable extensions is the only place where a domain value is
typed. What daygate cannot execute is refused here, with the JSON pointer of the place, so that no
keyword is ever silently ignored.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal

from pipeline.errors import ContractError

Kind = Literal["string", "integer", "number", "timestamp"]

#: Fields the gate itself is built on; every contract declares them.
STRUCTURAL: Final = ("event_id", "event_type", "user_id", "session_id", "timestamp", "platform")

_FIELD_KEYWORDS: Final = frozenset(
    {"type", "description", "enum", "pattern", "minLength", "maxLength", "minimum", "maximum", "format"}
    | {"formatMinimum", "formatExclusiveMaximum"}
)
_TOP_KEYWORDS: Final = frozenset(
    {"$schema", "$id", "title", "description", "type", "required", "properties", "allOf"}
    | {"x-platform-device-rules", "x-funnel-sequence", "x-order-total"}
)
#: What means the same on every engine (Rust, Java, RE2, Python): no look-around, no \d, \w or \s.
_NOT_PORTABLE: Final = re.compile(r"\(\?(?!:)|\[\[|&&|--|~~")
_PORTABLE_PATTERN: Final = re.compile(r"\^(?:[\x20-\x7e](?<![\\^$])|\\[.\-/+*?()\[\]{}|\\])*\$")


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


@cache
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
        document = json.loads(raw)
    except OSError as error:
        raise ContractError(f"{source}: cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise ContractError(f"{source}: is not JSON ({error}).") from error
    return _Reader(source.name, document).contract(hashlib.sha256(raw).hexdigest())


class _Reader:
    """Walks the schema document and refuses what has no meaning here."""

    def __init__(self, source: str, document: Any) -> None:
        self.source = source
        self.document = document

    def refuse(self, pointer: str, why: str) -> ContractError:
        return ContractError(f"{self.source}#{pointer}: {why}", hint="Edit the schema, then: daygate rules")

    def contract(self, sha256: str) -> Contract:
        document = self.document
        if not isinstance(document, dict):
            raise self.refuse("", "the schema must be a JSON object.")
        for key in document.keys() - _TOP_KEYWORDS:
            raise self.refuse(f"/{key}", "this keyword is not executed by daygate.")
        fields = tuple(self.read_field(n, p) for n, p in document.get("properties", {}).items())
        names = [f.name for f in fields]
        for name in STRUCTURAL:
            if name not in names:
                raise self.refuse("/properties", f"the field {name} must be declared.")
        required = tuple(document.get("required", ()))
        self.known(required, names, "/required")
        types = next(f for f in fields if f.name == "event_type").enum
        if not types:
            raise self.refuse("/properties/event_type", "needs an enum: the event types.")
        return Contract(
            title=str(document.get("title", "")),
            source=self.source,
            sha256=sha256,
            fields=fields,
            required=required,
            required_by_type=self.branches(names, types),
            platform=self.platform(fields),
            funnel=self.funnel(types),
            order_total=self.order_total(names, types),
        )

    def known(self, values: Any, vocabulary: Any, pointer: str) -> None:
        for index, value in enumerate(values):
            if value not in vocabulary:
                raise self.refuse(f"{pointer}/{index}", f"{value!r} is not declared (known: {', '.join(vocabulary)}).")

    def read_field(self, name: str, declared: dict[str, Any]) -> Field:
        pointer = f"/properties/{name}"
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", name):
            raise self.refuse(pointer, "field names are lower-case letters, digits and _ (at most 63).")
        for key in declared.keys() - _FIELD_KEYWORDS:
            raise self.refuse(f"{pointer}/{key}", "this keyword is not executed by daygate.")
        kind = self.kind(declared, pointer)
        self.keywords_fit(kind, declared, pointer)
        enum = declared.get("enum")
        if enum is not None and not (enum and all(isinstance(v, str) for v in enum)):
            raise self.refuse(f"{pointer}/enum", "must list at least one text.")
        pattern = declared.get("pattern")
        if pattern is not None and (not _PORTABLE_PATTERN.fullmatch(pattern) or _NOT_PORTABLE.search(pattern)):
            raise self.refuse(
                f"{pointer}/pattern",
                "must be ASCII, start with ^ and end with $, without look-around and without \\d, \\w or \\s "
                "(their meaning differs between engines; write [0-9]).",
            )
        return Field(
            name=name,
            kind=kind,
            pointer=pointer,
            description=declared.get("description", ""),
            enum=tuple(enum) if enum else None,
            pattern=pattern,
            min_length=declared.get("minLength"),
            max_length=declared.get("maxLength"),
            minimum=declared.get("minimum"),
            maximum=declared.get("maximum"),
            not_before=self.instant(declared, pointer, "formatMinimum"),
            before=self.instant(declared, pointer, "formatExclusiveMaximum"),
        )

    def kind(self, declared: dict[str, Any], pointer: str) -> Kind:
        types = declared.get("type")
        types = [types] if isinstance(types, str) else types
        if not isinstance(types, list) or len(real := [t for t in types if t != "null"]) != 1:
            raise self.refuse(f"{pointer}/type", "must be one of string, integer, number (and null).")
        kind = real[0]
        if kind not in ("string", "integer", "number"):
            raise self.refuse(f"{pointer}/type", f"{kind!r} cannot be staged; use string, integer or number.")
        if "format" in declared:
            if kind != "string" or declared["format"] != "date-time" or pointer != "/properties/timestamp":
                raise self.refuse(f"{pointer}/format", "only the timestamp has a format, date-time.")
            return "timestamp"
        if pointer == "/properties/timestamp":
            raise self.refuse(pointer, 'needs "format": "date-time".')
        if kind != "string" and pointer.rsplit("/", 1)[-1] in STRUCTURAL:
            raise self.refuse(f"{pointer}/type", "must be string.")
        return kind  # type: ignore[no-any-return]  # one of the three literals, tested above

    def keywords_fit(self, kind: Kind, declared: dict[str, Any], pointer: str) -> None:
        texts = {"enum", "pattern", "minLength", "maxLength"}
        numbers = {"minimum", "maximum"}
        instants = {"formatMinimum", "formatExclusiveMaximum"}
        foreign = {"string": numbers | instants, "timestamp": texts | numbers}.get(kind, texts | instants)
        for key in declared.keys() & foreign:
            raise self.refuse(f"{pointer}/{key}", f"has no meaning for a {kind}.")
        for key in ("minLength", "maxLength", "minimum", "maximum"):
            value = declared.get(key, 0)
            if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 2**53:
                raise self.refuse(f"{pointer}/{key}", "must be a number within ±2^53.")

    def instant(self, declared: dict[str, Any], pointer: str, key: str) -> datetime | None:
        if key not in declared:
            return None
        try:
            value = datetime.fromisoformat(declared[key])
        except (TypeError, ValueError):
            value = None
        if value is None or value.tzinfo is None:
            raise self.refuse(f"{pointer}/{key}", "must be an RFC 3339 instant with an offset.")
        return value

    def branches(self, names: list[str], types: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
        required: dict[str, tuple[str, ...]] = dict.fromkeys(types, ())
        for index, branch in enumerate(self.document.get("allOf", ())):
            pointer = f"/allOf/{index}"
            try:
                event = branch["if"]["properties"]["event_type"]["const"]
                fields = tuple(branch["then"]["required"])
            except (KeyError, TypeError) as error:
                raise self.refuse(pointer, 'must be {"if": event_type const, "then": required}.') from error
            if event not in types:
                raise self.refuse(f"{pointer}/if", f"{event!r} is not in event_type's enum.")
            self.known(fields, names, f"{pointer}/then/required")
            for name, narrowed in branch["then"].get("properties", {}).items():
                if narrowed.keys() - {"type"}:
                    raise self.refuse(f"{pointer}/then/properties/{name}", "only a narrower type is executed here.")
            required[event] = required[event] + fields
        return required

    def extension(self, key: str, wanted: dict[str, type]) -> dict[str, Any] | None:
        value = self.document.get(key)
        if value is None:
            return None
        if not isinstance(value, dict) or value.keys() != wanted.keys():
            raise self.refuse(f"/{key}", f"must have exactly the keys {', '.join(wanted)}.")
        for name, kind in wanted.items():
            if not isinstance(value[name], kind):
                raise self.refuse(f"/{key}/{name}", f"must be of type {kind.__name__}.")
        return value

    def platform(self, fields: tuple[Field, ...]) -> PlatformRules | None:
        key = "x-platform-device-rules"
        value = self.extension(key, {"field": str, "scope": str, "allowed": dict})
        if value is None:
            return None
        by_name = {f.name: f for f in fields}
        self.known([value["field"], value["scope"]], by_name, f"/{key}")
        platforms = by_name[value["field"]].enum or ()
        self.known(value["allowed"], platforms, f"/{key}/allowed")
        for platform, rules in value["allowed"].items():
            self.known(rules, by_name, f"/{key}/allowed/{platform}")
            for name, values in rules.items():
                self.known(values, by_name[name].enum or (), f"/{key}/allowed/{platform}/{name}")
        return PlatformRules(
            field=value["field"],
            scope=value["scope"],
            allowed={p: {n: tuple(v) for n, v in rules.items()} for p, rules in value["allowed"].items()},
        )

    def funnel(self, types: tuple[str, ...]) -> Funnel | None:
        key = "x-funnel-sequence"
        value = self.extension(key, {"scope": str, "steps": list})
        if value is None:
            return None
        self.known([value["scope"]], ("session_id", "user_id"), f"/{key}/scope")
        steps = []
        for index, step in enumerate(value["steps"]):
            if not isinstance(step, dict) or step.keys() != {"event", "after_any"}:
                raise self.refuse(f"/{key}/steps/{index}", "must have exactly the keys event, after_any.")
            self.known([step["event"], *step["after_any"]], types, f"/{key}/steps/{index}")
            steps.append(FunnelStep(event=step["event"], after_any=tuple(step["after_any"])))
        return Funnel(scope=value["scope"], steps=tuple(steps))

    def order_total(self, names: list[str], types: tuple[str, ...]) -> OrderTotal | None:
        key = "x-order-total"
        texts = (
            "event",
            "order_id",
            "total",
            "details",
            "items",
            "item_quantity",
            "item_price",
            "discount",
            "shipping",
        )
        value = self.extension(key, {**dict.fromkeys(texts, str), "tolerance": int})
        if value is None:
            return None
        self.known([value["event"]], types, f"/{key}/event")
        self.known([value["order_id"], value["total"], value["details"]], names, f"/{key}")
        return OrderTotal(**value)
