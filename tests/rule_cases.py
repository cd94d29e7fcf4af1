"""Cases for every rule of the seven checks, as data: a visit's events and exactly the (line, rule) that must fail.

Most are derived from the contract, so that a new field or event type brings its own. Each case has sessions,
customers and ids of its own, so that all of them can also be judged in one frame (`test_rule_mutations.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from conftest import Session
from test_rules import DEVICES, FUNNEL, GOOD, ONE_DEFECT

from pipeline.contract import Contract, Field

Events = list[Any]
#: (line inside the case, "check/rule")
Failing = set[tuple[int, str]]

VIEW, SEARCH, CLICK, CART, PURCHASE = range(5)
PLACES = {"page_view": VIEW, "search": SEARCH, "click": CLICK, "add_to_cart": CART, "purchase": PURCHASE}
#: A wrong type of each kind of field.
WRONG_TYPE = {"string": 7, "integer": "7", "number": "7", "timestamp": 7}
#: Values of the form a pattern asks for; the session's own events hold the others.
WELL_FORMED = {"product_id": "P0001", "category_id": "CAT001", "order_id": "ORD0000000000001"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """Events (or raw lines) and what fails of them."""

    name: str
    events: Events
    failing: Failing


class Cases:
    """Builds all cases of a contract."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.numbers = count(1)

    def session(self, **more: str) -> Session:
        """A visit nobody else has."""
        return Session(next(self.numbers), **more)

    def every(self) -> list[Case]:
        """All of them, by name."""
        made = [*self.written(), *self.required(), *self.values(), *self.bounds(), *self.totals(), *self.visits()]
        assert len({case.name for case in made}) == len(made)
        return made

    def visit(self, name: str, place: int, change: dict[str, Any], failing: str | None) -> Case:
        """A whole visit with one event changed; a change to `...` removes the field."""
        events = self.session().visit().events
        changed = {key: value for key, value in {**events[place], **change}.items() if value is not ...}
        events[place] = changed
        return Case(name=name, events=events, failing={(place + 1, failing)} if failing else set())

    def written(self) -> Iterator[Case]:
        """The tables of `test_rules.py`."""
        for name, place, change, rule in ONE_DEFECT:
            yield self.visit(name, place, change, rule)
        for name, place, change in GOOD:
            yield self.visit(f"good: {name}", place, change, None)
        for name, steps, bad in FUNNEL:
            visit = self.session()
            for step in steps:
                visit.add(step)
            yield Case(
                name=name, events=visit.events, failing={(line, f"funnel_order/{steps[line - 1]}") for line in bad}
            )
        for name, platform, change, rule in DEVICES:
            visit = self.session(platform=platform).add("page_view").add("page_view", **change)
            yield Case(name=name, events=visit.events, failing={(2, rule)} if rule else set())

    def required(self) -> Iterator[Case]:
        """Every required field of every event type: missing, null, and empty where it is a text."""
        scopes = [(name, name, SEARCH) for name in self.contract.required]
        for event, names in self.contract.required_by_type.items():
            scopes += [(f"{event}.{name}", name, PLACES[event]) for name in names]
        for rule, name, place in scopes:
            kinds = {"missing": ..., "null": None}
            if self.contract.field(name).kind in ("string", "timestamp"):
                kinds["empty"] = ""
            for kind, value in kinds.items():
                yield self.visit(f"required {rule} {kind}", place, {name: value}, f"required_fields/{rule}")

    def home(self, field: Field) -> int:
        """An event that carries the field; not a step other lines rely on where there is a choice."""
        if field.name in self.contract.required:
            return SEARCH
        requiring = [event for event, names in self.contract.required_by_type.items() if field.name in names]
        return PLACES[requiring[0]] if requiring else CLICK

    def values(self) -> Iterator[Case]:
        """Every field with a wrong type, and every list and pattern left."""
        for field in self.contract.fields:
            place, rule = self.home(field), f"value_ranges/{field.name}"
            name = f"value {field.name}"
            yield self.visit(f"{name} of a wrong type", place, {field.name: WRONG_TYPE[field.kind]}, rule)
            if field.kind == "string":
                yield self.visit(f"{name} with U+0000", place, {field.name: "a\0"}, rule)
            if field.enum is not None:
                yield self.visit(f"{name} in capitals", place, {field.name: field.enum[0].swapcase()}, rule)
                yield self.visit(f"{name} with a blank", place, {field.name: field.enum[0] + " "}, rule)
            if field.pattern is not None:
                good = WELL_FORMED.get(field.name) or self.session().visit().events[place][field.name]
                for what, value in {"before": "x" + good, "behind": good + "x", "newline": good + "\n"}.items():
                    yield self.visit(f"{name} with more {what}", place, {field.name: value}, rule)
            if not self.requires_here(field, VIEW) and (field.enum or field.pattern or field.min_length):
                yield self.visit(f"{name} empty where optional", VIEW, {field.name: ""}, rule)
                typeless = self.visit(f"{name} empty without an event type", SEARCH, {field.name: ""}, rule)
                del typeless.events[SEARCH]["event_type"]
                typeless.failing.add((SEARCH + 1, "required_fields/event_type"))
                yield typeless
            if not self.requires_here(field, VIEW):
                yield self.visit(f"{name} null where optional", VIEW, {field.name: None}, None)

    def requires_here(self, field: Field, place: int) -> bool:
        """Whether the event at that place must have the field."""
        event = next(name for name, where in PLACES.items() if where == place)
        return field.name in (*self.contract.required, *self.contract.required_by_type[event])

    def bounds(self) -> Iterator[Case]:
        """Every bound: the last value inside, the first outside."""
        texts = self.texts()
        for field in self.contract.fields:
            place, rule, name = self.home(field), f"value_ranges/{field.name}", field.name
            total = self.contract.order_total is not None and name == self.contract.order_total.total
            for bound, outside in ((field.minimum, -1), (field.maximum, 1)):
                if bound is None:
                    continue
                good = {name: bound, **(self.order(bound) if total else {})}
                yield self.visit(f"bound {name} at {bound}", place, good, None)
                yield self.visit(f"bound {name} beyond {bound}", place, {name: bound + outside}, rule)
            if field.max_length is not None and name in texts:
                yield self.visit(f"bound {name} as long as allowed", place, {name: texts[name](field.max_length)}, None)
                yield self.visit(f"bound {name} one too long", place, {name: texts[name](field.max_length + 1)}, rule)
            if field.min_length is not None:
                yield self.visit(f"bound {name} as short as allowed", place, {name: "x" * field.min_length}, None)

    def texts(self) -> dict[str, Any]:
        """How a text of a given length is made, per field with a longest length."""
        details = self.session().visit().events[PURCHASE]["extra_data"]
        made: dict[str, Any] = {
            field.name: lambda length: "가" * length for field in self.contract.fields if field.max_length
        }
        made["order_id"] = lambda length: "ORD" + "7" * (length - 3)
        made["extra_data"] = lambda length: details + " " * (length - len(details))
        return made

    @staticmethod
    def order(total: float, **parts: object) -> dict[str, Any]:
        """Details of an order of one item at that price."""
        return {"extra_data": json.dumps({"products": [{"quantity": 1, "unit_price": total}], **parts})}

    def totals(self) -> Iterator[Case]:
        """The order's sum: its parts, its tolerance on both sides, and whom it does not concern."""
        mismatch = "order_total/total_amount"
        for name, total, parts, rule in [
            ("no discount and no shipping", 1000, {}, None),
            ("a discount alone", 900, {"discount_amount": 100}, None),
            ("shipping alone", 1100, {"shipping_fee": 100}, None),
            ("a discount added instead", 1100, {"discount_amount": 100}, mismatch),
            ("shipping taken off instead", 900, {"shipping_fee": 100}, mismatch),
            ("one too low", 999, {}, None),
            ("two too low", 998, {}, mismatch),
            ("a hair beyond the tolerance", 1001.000001, {}, mismatch),
        ]:
            yield self.visit(f"order {name}", PURCHASE, {"total_amount": total, **self.order(1000, **parts)}, rule)
        yield self.visit("order details on a click", CLICK, {"total_amount": 5, **self.order(1000)}, None)
        lost = "value_ranges/extra_data"
        yield self.visit("details on a click that nobody can keep", CLICK, {"extra_data": "{oops"}, lost)
        typeless = self.visit("such details without a type", SEARCH, {"event_type": ..., "extra_data": "{oops"}, None)
        yield replace(typeless, failing={(SEARCH + 1, lost), (SEARCH + 1, "required_fields/event_type")})
        yield self.visit("details on a click that are no order", CLICK, {"extra_data": "{}"}, None)
        wrong = self.visit("a total outside the range is no mismatch", PURCHASE, {"total_amount": 0}, None)
        yield replace(wrong, failing={(PURCHASE + 1, "value_ranges/total_amount")})
        both = self.visit("unreadable details and a malformed id", PURCHASE, {"extra_data": "x", "order_id": "x"}, None)
        yield replace(both, failing={(PURCHASE + 1, "order_total/extra_data"), (PURCHASE + 1, "value_ranges/order_id")})

    def visits(self) -> Iterator[Case]:
        """Rules that look at several lines."""
        yield from self.copies()
        yield from self.order_in_time()
        yield from self.order_without_a_place()
        yield from self.platforms()
        yield from self.instants()
        for index, line in enumerate(("not json", "[]", "3", "null", '{"a":1,"a":2}', '{"a":NaN}')):
            yield Case(name=f"no object {index}", events=[line], failing={(1, "required_fields/line")})

    def copies(self) -> Iterator[Case]:
        """Ids used twice."""
        events = self.session().visit().events
        twice = {(6, "unique_event_id/event_id"), (7, "unique_event_id/event_id")}
        yield Case(name="three copies of a search", events=[*events, events[SEARCH], events[SEARCH]], failing=twice)
        one, other = self.session().visit().events, self.session().visit().events
        other[PURCHASE]["order_id"] = one[PURCHASE]["order_id"]
        yield Case(
            name="an order id of another customer's order",
            events=[*one, *other],
            failing={(10, "unique_event_id/order_id")},
        )
        one = self.session().visit().events
        one[VIEW]["order_id"] = one[SEARCH]["order_id"] = one[PURCHASE]["order_id"]
        yield Case(name="an order id on views before its order", events=one, failing=set())
        one = self.session().visit().events
        later = [{**one[VIEW], "order_id": one[PURCHASE]["order_id"], "event_id": one[VIEW]["event_id"][:-1] + "f"}]
        yield Case(name="an order id on a view after its order", events=[*one, *later], failing=set())
        one, other = self.session().visit().events, self.session().visit().events
        for event in (one[PURCHASE], other[PURCHASE]):
            event["order_id"] = ""
        empty = {(5, "required_fields/purchase.order_id"), (10, "required_fields/purchase.order_id")}
        yield Case(name="two orders with an empty id", events=[*one, *other], failing=empty)
        one, other = self.session().visit().events, self.session().visit().events
        one[SEARCH]["event_id"] = other[SEARCH]["event_id"] = ""
        empty = {(2, "required_fields/event_id"), (7, "required_fields/event_id")}
        yield Case(name="two events with an empty id", events=[*one, *other], failing=empty)

    def order_in_time(self) -> Iterator[Case]:
        """The funnel: ties, other visits, and evidence that cannot be placed."""
        noon = "2026-01-15T12:00:00+09:00"
        tied = self.session().add("page_view", timestamp=noon).add("add_to_cart", timestamp=noon).events
        yield Case(name="a tie in line order", events=tied, failing=set())
        tied = self.session().add("page_view", timestamp=noon).add("add_to_cart", timestamp=noon).events
        yield Case(name="a tie the other way", events=tied[::-1], failing={(1, "funnel_order/add_to_cart")})
        yield Case(name="a visit written backwards", events=self.session().visit().events[::-1], failing=set())
        again = self.session()
        for step in ("page_view", "add_to_cart", "purchase", "page_view", "add_to_cart"):
            again.add(step)
        yield Case(name="the first view and the first cart count, not the last", events=again.events, failing=set())
        lone = self.session().add("purchase").events
        yield Case(
            name="a cart in another visit", events=[*self.session().visit().events, *lone],
            failing={(6, "funnel_order/purchase")},
        )  # fmt: skip
        same_user = self.session().add("purchase", user_id="U900001").events
        other = self.session()
        for step in ("page_view", "add_to_cart"):
            other.add(step, user_id="U900001")
        yield Case(
            name="a cart in another visit of the same customer", events=[*other.events, *same_user],
            failing={(3, "funnel_order/purchase")},
        )  # fmt: skip

    def order_without_a_place(self) -> Iterator[Case]:
        """The funnel: what cannot be placed in the day is no step, but evidence all the same."""
        for what, timestamp, rule in [
            ("unreadable", "2026-02-30T10:00:00", "instant"),
            ("a day late", "2026-01-16T10:00:00", "day"),
            ("a day early", "2026-01-14T10:00:00", "day"),
        ]:
            visit = self.session().add("page_view", timestamp=timestamp).add("add_to_cart").events
            late = {(1, f"timestamp_validity/{rule}")}
            yield Case(name=f"evidence {what}", events=visit, failing=late)
            visit = self.session().add("add_to_cart", timestamp=timestamp).events
            yield Case(name=f"a lone cart {what}", events=visit, failing=late)
        first = self.session().add("add_to_cart", timestamp="2026-01-15T00:00:00+09:00").events
        yield Case(name="a lone cart at midnight", events=first, failing={(1, "funnel_order/add_to_cart")})
        unplaced = [
            self.session().add("add_to_cart", session_id=session_id).events[0] for session_id in (..., None, "")
        ]
        lost = {(line, "required_fields/session_id") for line in (1, 2, 3)}
        yield Case(name="carts without a visit", events=unplaced, failing=lost)

    def platforms(self) -> Iterator[Case]:
        """Platform and device, and the platform a visit began with."""
        allowed = self.contract.platform.allowed if self.contract.platform else {}
        system = {platform: values["os"][0] for platform, values in allowed.items()}
        for platform, values in allowed.items():
            for name, names in values.items():
                for value in self.contract.field(name).enum or ():
                    visit = self.session(platform=platform).add("page_view", **{name: value}).events
                    refused = {(1, f"platform_device/{name}")} if value not in names else set()
                    yield Case(name=f"{platform} with {name} {value}", events=visit, failing=refused)
        for first, then in zip(system, [*system][1:] + [*system][:1], strict=True):
            visit = self.session(platform=first).add("page_view").add("page_view", platform=then, os=system[then])
            changed = {(2, "platform_device/session")}
            yield Case(name=f"{first} becomes {then}", events=visit.events, failing=changed)
        visit = self.session().add("page_view").add("page_view", platform="ios", os="iOS").add("page_view").events
        yield Case(
            name="a visit begins in time, not in the file", events=[visit[1], visit[2], visit[0]],
            failing={(1, "platform_device/session")},
        )  # fmt: skip
        visit = self.session().add("page_view", platform="tv").add("page_view", platform="ios", os="iOS")
        began = {(1, "value_ranges/platform")}
        yield Case(name="an unknown platform begins nothing", events=visit.events, failing=began)
        visit = self.session().add("page_view", timestamp="never", platform="ios", os="iOS").add("page_view")
        began = {(1, "timestamp_validity/instant"), (1, "platform_device/session")}
        yield Case(name="a line that cannot be placed begins nothing", events=visit.events, failing=began)
        visit = self.session().add("page_view", timestamp="never").add("page_view", timestamp="never")
        visit.events[1].update(platform="ios", os="iOS")
        lost = {(1, "timestamp_validity/instant"), (2, "timestamp_validity/instant")}
        yield Case(name="a visit that cannot be placed has no beginning", events=visit.events, failing=lost)
        visit = self.session(platform="ios").add("page_view", device_type="watch", os="Windows")
        wrong = {(1, "value_ranges/device_type"), (1, "platform_device/os")}
        yield Case(name="an unknown device is no matter of the platform", events=visit.events, failing=wrong)
        views = [self.session(platform=p).add("page_view", session_id="").events[0] for p in ("web", "ios")]
        lost = {(1, "required_fields/session_id"), (2, "required_fields/session_id")}
        yield Case(name="two platforms without a visit", events=views, failing=lost)

    def instants(self) -> Iterator[Case]:
        """The contract's years and the day's edges."""
        day = {(1, "timestamp_validity/day")}
        beyond = day | {(1, "timestamp_validity/range")}
        for timestamp, failing in {
            "2026-01-15T00:00:00+09:00": set(),
            "2026-01-14T23:59:59.999999+09:00": day,
            "2026-01-15T23:59:59.999999+09:00": set(),
            "2026-01-16T00:00:00+09:00": day,
            "2020-01-01T00:00:00+09:00": day,
            "2019-12-31T23:59:59.999999+09:00": beyond,
            "2030-12-31T23:59:59.999999+09:00": day,
            "2031-01-01T00:00:00+09:00": beyond,
            "0001-01-03T00:00:00Z": beyond,
            "9999-12-30T00:00:00Z": beyond,
        }.items():
            yield Case(
                name=f"instant {timestamp}", events=self.session().add("page_view", timestamp=timestamp).events,
                failing=failing,
            )  # fmt: skip
