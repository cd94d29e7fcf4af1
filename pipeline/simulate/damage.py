"""How a fault changes the text of one line. Only lines chosen for damage come here, one by one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from pipeline.contract import Contract, OrderTotal, PlatformRules
from pipeline.errors import ContractError
from pipeline.simulate.shop import Shop

Event = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Hand:
    """What a damage may use beside the line itself."""

    contract: Contract
    shop: Shop
    day: date
    #: 128 random bits, different for every line.
    draw: int
    #: Number of the damaged line, different for every line.
    serial: int
    #: Event whose values are borrowed; empty for most faults.
    donor: Event

    @property
    def order(self) -> OrderTotal:
        """How the contract describes orders."""
        return self.shop.order


#: (line with its newline, hand) -> line or lines with their newlines.
Damage = Callable[[str, Hand], str]
Edit = Callable[[Event, Hand], None]


def edited(edit: Edit) -> Damage:
    """A damage that changes fields of the event and leaves a well-formed line."""

    def damage(line: str, hand: Hand) -> str:
        event = json.loads(line)
        edit(event, hand)
        return json.dumps(event, ensure_ascii=False, separators=(",", ":")) + "\n"

    return damage


def without(name: str) -> Damage:
    """The field is left out."""
    return edited(lambda event, _: event.__delitem__(name))


def becomes(name: str, value: Any) -> Damage:
    """The field has a fixed value."""
    return edited(lambda event, _: event.__setitem__(name, value))


def with_suffix(name: str, suffix: str) -> Damage:
    """The field's text goes on."""
    return edited(lambda event, _: event.__setitem__(name, event[name] + suffix))


def as_text(name: str) -> Damage:
    """The field's number is written as text."""
    return edited(lambda event, _: event.__setitem__(name, str(event[name])))


def beyond(name: str, bound: str, by: int) -> Damage:
    """The field is `by` beyond the contract's `minimum` or `maximum`."""

    def edit(event: Event, hand: Hand) -> None:
        limit = getattr(hand.contract.field(name), bound)
        if limit is None:
            raise ContractError(f"{hand.contract.source} gives {name} no {bound}, so nothing can be planted beyond it.")
        event[name] = limit + by

    return edited(edit)


def too_long(name: str) -> Damage:
    """The field's text has one character more than the contract allows."""

    def edit(event: Event, hand: Hand) -> None:
        longest = hand.contract.field(name).max_length
        if longest is None:
            raise ContractError(f"{hand.contract.source} gives {name} no maxLength, so no text is too long.")
        event[name] = (event[name] * (longest + 1))[: longest + 1]

    return edited(edit)


def borrowed(name: str) -> Damage:
    """The field has the value of an earlier event."""
    return edited(lambda event, hand: event.__setitem__(name, hand.donor[name]))


def truncated(line: str, hand: Hand) -> str:  # noqa: ARG001  # every damage has this signature
    """The line ends in the middle."""
    return line[: len(line) // 2] + "\n"


def wrapped(line: str, hand: Hand) -> str:  # noqa: ARG001
    """The event stands inside an array."""
    return f"[{line[:-1]}]\n"


def repeated(line: str, hand: Hand) -> str:  # noqa: ARG001
    """The line comes twice."""
    return line + line


def untouched(line: str, hand: Hand) -> str:  # noqa: ARG001
    """The defect is already in the plan."""
    return line


def alone(event: Event, hand: Hand) -> None:
    """The event is the only one of its funnel's scope: a visit, or a customer, of its own."""
    scope = hand.shop.funnel.scope
    if scope == "user_id":
        digits = hand.shop.model["user_digits"]
        event[scope] = f"{hand.shop.model['user_prefix']}{10**digits - 1 - hand.serial:0{digits}d}"
    else:
        event[scope] = str(UUID(int=hand.draw, version=4))


def dated(new_date: Callable[[Hand], str]) -> Damage:
    """The timestamp keeps its time of day and has another date."""

    def edit(event: Event, hand: Hand) -> None:
        event["timestamp"] = new_date(hand) + event["timestamp"][len(hand.day.isoformat()) :]

    return edited(edit)


def day_before(hand: Hand) -> str:
    """The day before the one being simulated."""
    return (hand.day - timedelta(days=1)).isoformat()


def no_such_day(hand: Hand) -> str:
    """A date no calendar has."""
    return f"{hand.day.year}-02-30"


def after_all_years(hand: Hand) -> str:
    """The first date the contract no longer allows."""
    before = hand.contract.field("timestamp").before
    if before is None:
        raise ContractError(f"{hand.contract.source} gives timestamp no formatExclusiveMaximum.")
    return before.date().isoformat()


def not_iso(event: Event, hand: Hand) -> None:  # noqa: ARG001
    """The timestamp is written as people do."""
    event["timestamp"] = f"{datetime.fromisoformat(event['timestamp']):%d/%m/%Y %H:%M:%S}"


def mismatched(event: Event, hand: Hand) -> None:
    """The total is beyond its tolerance, by 10 to 500 won."""
    event[hand.order.total] += hand.order.tolerance + 10 + hand.draw % 491


def cut_details(event: Event, hand: Hand) -> None:
    """The order's details end in the middle."""
    details = event[hand.order.details]
    event[hand.order.details] = details[: len(details) // 2]


def details_edited(edit: Callable[[Any, OrderTotal], None]) -> Damage:
    """A damage inside the order's details, which stay well-formed JSON."""

    def outer(event: Event, hand: Hand) -> None:
        details = json.loads(event[hand.order.details])
        edit(details, hand.order)
        event[hand.order.details] = json.dumps(details, separators=(",", ":"))

    return edited(outer)


def lose_item(details: Any, order: OrderTotal) -> None:
    """The first item is missing."""
    del details[order.items][0]


def price_as_text(details: Any, order: OrderTotal) -> None:
    """The first item's price is a text."""
    item = details[order.items][0]
    item[order.item_price] = str(item[order.item_price])


def disallowed(name: str) -> Damage:
    """The field has a value of the contract that does not go with the platform."""

    def edit(event: Event, hand: Hand) -> None:
        choices = refused_values(hand.contract, hand.shop.platform, event[hand.shop.platform.field], name)
        event[name] = choices[hand.draw % len(choices)]

    return edited(edit)


def refused_values(contract: Contract, rules: PlatformRules, platform: str, name: str) -> list[str]:
    """Values of the field that the contract knows but does not allow on the platform."""
    allowed = rules.allowed.get(platform, {}).get(name)
    return [] if allowed is None else [value for value in contract.field(name).enum or () if value not in allowed]


def on_another_platform(event: Event, hand: Hand) -> None:
    """Platform, device, system and browser are those of a customer of another platform."""
    others = [profile for profile in hand.shop.profiles if profile.platform != event["platform"]]
    chosen = others[hand.draw % len(others)]
    event |= {name: getattr(chosen, name) for name in ("platform", "device_type", "os", "browser")}
