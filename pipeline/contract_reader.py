"""Walks a schema document and refuses, with the JSON pointer of the place, whatever has no meaning here."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import datetime
from typing import Any, Final

from pipeline.contract import Contract, Field, Funnel, FunnelStep, Kind, OrderTotal, PlatformRules
from pipeline.errors import ContractError

#: Fields the gate itself is built on; every contract declares them.
STRUCTURAL: Final = ("event_id", "event_type", "user_id", "session_id", "timestamp", "platform")
#: Columns that staging adds, and the word for what is wrong with a whole line.
_RESERVED: Final = frozenset(
    {"line_no", "byte_offset", "byte_length", "day_us", "order_key", "problems", "line"}
    | {"items_total", "order_discount", "order_shipping"}
)
_FIELD_KEYWORDS: Final = frozenset(
    {"type", "description", "enum", "pattern", "minLength", "maxLength", "minimum", "maximum", "format"}
    | {"formatMinimum", "formatExclusiveMaximum"}
)
_TOP_KEYWORDS: Final = frozenset(
    {"$schema", "$id", "title", "description", "type", "required", "properties", "allOf"}
    | {"x-platform-device-rules", "x-funnel-sequence", "x-order-total"}
)
#: What means the same on every engine (Rust, Java, RE2, Python): no look-around, no \d, \w or \s, nothing possessive.
_NOT_PORTABLE: Final = re.compile(r"\(\?(?!:)|\[\[|&&|--|~~|[+*?}]\+")
_PORTABLE_PATTERN: Final = re.compile(r"\^(?:[\x20-\x7e](?<![\\^$])|\\[.\-/+*?()\[\]{}|\\])*\$")
_MOST_REPEATS: Final = 1000
#: The rule that compares a line's platform with its session's has this name beside those of the fields.
_SESSION_RULE: Final = "session"


class Reader:
    """One schema document on its way to a Contract."""

    def __init__(self, source: str, document: Any) -> None:
        self.source = source
        self.document = document

    def contract(self, sha256: str) -> Contract:
        """Read everything.

        Raises:
            ContractError: the document says something that cannot be executed.
        """
        document = self.document = self.object(self.document, "", "the schema")
        self.keys(document, _TOP_KEYWORDS, "")
        if document.get("type", "object") != "object":
            raise self.refuse("/type", "must be object: every line is one.")
        properties = self.object(document.get("properties", {}), "/properties", "it")
        fields = {name: self.read_field(name, declared) for name, declared in properties.items()}
        for name in STRUCTURAL:
            if name not in fields:
                raise self.refuse("/properties", f"the field {name} must be declared.")
        types = fields["event_type"].enum
        if not types:
            raise self.refuse("/properties/event_type", "needs an enum: the event types.")
        branches = self.branches(fields, types)
        return Contract(
            title=str(document.get("title", "")),
            source=self.source,
            sha256=sha256,
            fields=tuple(fields.values()),
            required=self.texts(document.get("required", []), "/required", known=fields),
            required_by_type={event: found for event, (found, _) in branches.items()},
            required_pointers={event: pointer for event, (_, pointer) in branches.items()},
            platform=self.platform(fields),
            funnel=self.funnel(types),
            order_total=self.order_total(fields, types),
        )

    # -- shapes ---------------------------------------------------------------------------------------

    def refuse(self, pointer: str, why: str) -> ContractError:
        """The error for a place."""
        return ContractError(f"{self.source}#{pointer}: {why}", hint="Edit the schema, then: daygate rules")

    def object(self, value: Any, pointer: str, what: str = "it") -> dict[str, Any]:
        """A JSON object."""
        if not isinstance(value, dict):
            raise self.refuse(pointer, f"{what} must be a JSON object.")
        return value

    def keys(self, value: dict[str, Any], known: Collection[str], pointer: str) -> None:
        """No keyword is silently ignored."""
        for key in value:
            if key not in known:
                raise self.refuse(f"{pointer}/{key}", "this keyword is not executed by daygate.")

    def known(self, value: Any, vocabulary: Collection[str], pointer: str) -> None:
        """A declared word."""
        if not isinstance(value, str) or value not in vocabulary:
            raise self.refuse(pointer, f"{value!r} is not declared (known: {', '.join(vocabulary)}).")

    def texts(
        self, value: Any, pointer: str, *, known: Collection[str] | None = None, least: int = 0
    ) -> tuple[str, ...]:
        """A list of different texts, each of them known."""
        if not isinstance(value, list) or len(value) < least or not all(isinstance(one, str) for one in value):
            raise self.refuse(pointer, "must list at least one text." if least else "must be a list of texts.")
        for index, one in enumerate(value):
            if one in value[:index]:
                raise self.refuse(f"{pointer}/{index}", f"{one!r} stands twice.")
            if known is not None:
                self.known(one, known, f"{pointer}/{index}")
        return tuple(value)

    # -- fields ---------------------------------------------------------------------------------------

    def read_field(self, name: str, declaration: Any) -> Field:
        """One property."""
        pointer = f"/properties/{name}"
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", name):
            raise self.refuse(pointer, "field names are lower-case letters, digits and _ (at most 63).")
        if name in _RESERVED:
            raise self.refuse(pointer, "daygate uses this name itself; a field needs another.")
        declared = self.object(declaration, pointer)
        self.keys(declared, _FIELD_KEYWORDS, pointer)
        kind = self.kind(declared, pointer)
        self.keywords_fit(kind, declared, pointer)
        enum = self.texts(declared["enum"], f"{pointer}/enum", least=1) if "enum" in declared else None
        field = Field(
            name=name,
            kind=kind,
            pointer=pointer,
            description=str(declared.get("description", "")),
            enum=enum,
            pattern=self.pattern(declared["pattern"], f"{pointer}/pattern") if "pattern" in declared else None,
            min_length=declared.get("minLength"),
            max_length=declared.get("maxLength"),
            minimum=declared.get("minimum"),
            maximum=declared.get("maximum"),
            not_before=self.instant(declared, pointer, "formatMinimum"),
            before=self.instant(declared, pointer, "formatExclusiveMaximum"),
        )
        bounds = (
            (field.min_length, field.max_length),
            (field.minimum, field.maximum),
            (field.not_before, field.before),
        )
        if any(low is not None and high is not None and low > high for low, high in bounds):  # type: ignore[operator]
            raise self.refuse(pointer, "its lowest value is above its highest.")
        return field

    def kind(self, declared: dict[str, Any], pointer: str) -> Kind:
        """How the field is staged."""
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
        """Each keyword means something for the kind and has a value of the right form."""
        lengths, numbers = {"minLength", "maxLength"}, {"minimum", "maximum"}
        texts, instants = {"enum", "pattern"} | lengths, {"formatMinimum", "formatExclusiveMaximum"}
        foreign = {"string": numbers | instants, "timestamp": texts | numbers}.get(kind, texts | instants)
        for key in sorted(declared.keys() & foreign):
            raise self.refuse(f"{pointer}/{key}", f"has no meaning for a {kind}.")
        for key in sorted(declared.keys() & (lengths | numbers)):
            value = declared[key]
            if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 2**53:
                raise self.refuse(f"{pointer}/{key}", "must be a number within ±2^53.")
            if key in lengths and (not isinstance(value, int) or value < 0):
                raise self.refuse(f"{pointer}/{key}", "must be a whole number, 0 or more.")

    def pattern(self, value: Any, pointer: str) -> str:
        """A regular expression that means the same on every engine."""
        portable = isinstance(value, str) and _PORTABLE_PATTERN.fullmatch(value) and not _NOT_PORTABLE.search(value)
        if not portable:
            raise self.refuse(
                pointer,
                "must be ASCII, start with ^ and end with $, without look-around and without \\d, \\w or \\s "
                "(their meaning differs between engines; write [0-9]).",
            )
        try:
            re.compile(value)
        except (re.error, OverflowError, RecursionError) as error:
            raise self.refuse(pointer, f"is no regular expression ({error}).") from error
        if any(int(repeats) > _MOST_REPEATS for repeats in re.findall(r"\d+(?=,?\d*\})", value)):
            raise self.refuse(pointer, f"repeats something more than {_MOST_REPEATS} times; use maxLength.")
        return str(value)

    def instant(self, declared: dict[str, Any], pointer: str, key: str) -> datetime | None:
        """A bound of the timestamp."""
        if key not in declared:
            return None
        try:
            value = datetime.fromisoformat(declared[key])
        except (TypeError, ValueError):
            value = None
        if value is None or value.tzinfo is None:
            raise self.refuse(f"{pointer}/{key}", "must be an RFC 3339 instant with an offset.")
        return value

    # -- event types ----------------------------------------------------------------------------------

    def branches(self, fields: dict[str, Field], types: tuple[str, ...]) -> dict[str, tuple[tuple[str, ...], str]]:
        """Event type -> the fields only it requires, and the pointer of that list."""
        found: dict[str, tuple[tuple[str, ...], str]] = {}
        branches = self.document.get("allOf", [])
        if not isinstance(branches, list):
            raise self.refuse("/allOf", "must be a list.")
        for index, branch in enumerate(branches):
            pointer = f"/allOf/{index}"
            event = self.condition(branch, pointer, types)
            if event in found:
                raise self.refuse(f"{pointer}/if", f"{event!r} has a branch already; put both into one.")
            then = self.object(branch["then"], f"{pointer}/then")
            self.keys(then, ("required", "properties"), f"{pointer}/then")
            place = f"{pointer}/then/required"
            found[event] = (self.texts(then.get("required", []), place, known=fields), place)
            self.narrowed(then.get("properties", {}), f"{pointer}/then/properties")
        return {event: found.get(event, ((), "/allOf")) for event in types}

    def condition(self, branch: Any, pointer: str, types: tuple[str, ...]) -> str:
        """The event type a branch is for."""
        form = 'must be {"if": {"required": ["event_type"], "properties": {"event_type": {"const": …}}}, "then": …}.'
        try:
            condition = dict(branch["if"])
            event = condition["properties"]["event_type"]["const"]
            wanted = {"properties": {"event_type": {"const": event}}}
        except (KeyError, TypeError, ValueError) as error:
            raise self.refuse(pointer, form) from error
        if branch.keys() != {"if", "then"} or condition not in (wanted, {"required": ["event_type"], **wanted}):
            raise self.refuse(pointer, form)
        if event not in types:
            raise self.refuse(f"{pointer}/if", f"{event!r} is not in event_type's enum.")
        return str(event)

    def narrowed(self, properties: Any, pointer: str) -> None:
        """A branch may take null away from a field's types, which `required` says already."""
        for name, narrowed in self.object(properties, pointer).items():
            self.known(name, self.document["properties"], f"{pointer}/{name}")
            types = self.document["properties"][name]["type"]
            kinds = [types] if isinstance(types, str) else [kind for kind in types if kind != "null"]
            if narrowed not in ({}, *({"type": kind} for kind in kinds)):
                raise self.refuse(f"{pointer}/{name}", "only the field's own type, without null, is executed here.")

    # -- extensions -----------------------------------------------------------------------------------

    def extension(self, key: str, wanted: dict[str, type]) -> dict[str, Any] | None:
        """An extension with exactly those keys, each of its type."""
        value = self.document.get(key)
        if value is None:
            return None
        if not isinstance(value, dict) or value.keys() != wanted.keys():
            raise self.refuse(f"/{key}", f"must have exactly the keys {', '.join(wanted)}.")
        for name, kind in wanted.items():
            if type(value[name]) is not kind:
                raise self.refuse(f"/{key}/{name}", f"must be of type {kind.__name__}.")
        return value

    def of_kind(self, name: str, fields: dict[str, Field], kinds: tuple[Kind, ...], pointer: str) -> Field:
        """A declared field of one of those kinds."""
        self.known(name, fields, pointer)
        if fields[name].kind not in kinds:
            raise self.refuse(pointer, f"{name} must be a {' or '.join(kinds)}.")
        return fields[name]

    def platform(self, fields: dict[str, Field]) -> PlatformRules | None:
        """`x-platform-device-rules`."""
        key = "x-platform-device-rules"
        value = self.extension(key, {"field": str, "scope": str, "allowed": dict})
        if value is None:
            return None
        platforms = self.of_kind(value["field"], fields, ("string",), f"/{key}/field").enum or ()
        self.of_kind(value["scope"], fields, ("string",), f"/{key}/scope")
        if not value["allowed"]:
            raise self.refuse(f"/{key}/allowed", "must name at least one value.")
        allowed: dict[str, dict[str, tuple[str, ...]]] = {}
        for platform, rules in value["allowed"].items():
            pointer = f"/{key}/allowed/{platform}"
            self.known(platform, platforms, pointer)
            allowed[platform] = {}
            for name, values in self.object(rules, pointer).items():
                vocabulary = self.of_kind(name, fields, ("string",), f"{pointer}/{name}").enum
                if vocabulary is None or name == _SESSION_RULE:
                    why = "needs an enum" if vocabulary is None else "needs another name"
                    raise self.refuse(f"{pointer}/{name}", f"{name} {why} to be ruled here.")
                allowed[platform][name] = self.texts(values, f"{pointer}/{name}", known=vocabulary, least=1)
        return PlatformRules(field=value["field"], scope=value["scope"], allowed=allowed)

    def funnel(self, types: tuple[str, ...]) -> Funnel | None:
        """`x-funnel-sequence`."""
        key = "x-funnel-sequence"
        value = self.extension(key, {"scope": str, "steps": list})
        if value is None:
            return None
        self.known(value["scope"], ("session_id", "user_id"), f"/{key}/scope")
        if not value["steps"]:
            raise self.refuse(f"/{key}/steps", "must have at least one step.")
        steps: list[FunnelStep] = []
        for index, step in enumerate(value["steps"]):
            pointer = f"/{key}/steps/{index}"
            if not isinstance(step, dict) or step.keys() != {"event", "after_any"}:
                raise self.refuse(pointer, "must have exactly the keys event, after_any.")
            self.known(step["event"], types, f"{pointer}/event")
            after = self.texts(step["after_any"], f"{pointer}/after_any", known=types, least=1)
            if step["event"] in (*after, *(earlier.event for earlier in steps)):
                raise self.refuse(pointer, f"{step['event']!r} comes after itself, or is a step already.")
            steps.append(FunnelStep(event=step["event"], after_any=after))
        return Funnel(scope=value["scope"], steps=tuple(steps))

    def order_total(self, fields: dict[str, Field], types: tuple[str, ...]) -> OrderTotal | None:
        """`x-order-total`."""
        key = "x-order-total"
        members = ("items", "item_quantity", "item_price", "discount", "shipping")
        texts = ("event", "order_id", "total", "details", *members)
        value = self.extension(key, {**dict.fromkeys(texts, str), "tolerance": int})
        if value is None:
            return None
        self.known(value["event"], types, f"/{key}/event")
        self.of_kind(value["order_id"], fields, ("string",), f"/{key}/order_id")
        self.of_kind(value["total"], fields, ("number", "integer"), f"/{key}/total")
        details = self.of_kind(value["details"], fields, ("string",), f"/{key}/details")
        if value["order_id"] in ("event_id", value["details"]) or details.name in STRUCTURAL:
            raise self.refuse(f"/{key}", "order_id, details and the event's own fields must be different ones.")
        if len({value["items"], value["discount"], value["shipping"]}) < len(("items", "discount", "shipping")):
            raise self.refuse(f"/{key}", "items, discount and shipping must be different members.")
        if value["tolerance"] < 0:
            raise self.refuse(f"/{key}/tolerance", "must be 0 or more.")
        return OrderTotal(**value)
