"""Chooses the lines of each fault so that one defect breaks exactly one check.

A line that disappears as evidence (unreadable, without visit or type) must not be the one another
check relies on: such faults go to spare lines only, which are neither the first of their visit nor a
step of the funnel. Lines another planted defect depends on are kept as they are.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from pipeline.contract import Contract
from pipeline.errors import SettingsError
from pipeline.simulate import damage
from pipeline.simulate.catalogue import FAULTS
from pipeline.simulate.damage import Damage, Hand, edited
from pipeline.simulate.dice import Dice, Flags, Ints
from pipeline.simulate.plan import Plan, Role
from pipeline.simulate.population import Population
from pipeline.simulate.render import Lines
from pipeline.simulate.shop import Shop
from pipeline.simulate.texts import numbers


class Ground:
    """A planned day as faults see it: which lines are what, and which are still free."""

    def __init__(self, plan: Plan, contract: Contract, shop: Shop, population: Population) -> None:
        self.plan = plan
        self.contract = contract
        self.shop = shop
        self.population = population
        #: Lines that no (further) fault may touch.
        self.taken: Flags = np.zeros(len(plan), bool)
        #: Line -> the event it borrows a value from.
        self.donors: dict[int, dict[str, Any]] = {}

    def role(self, *roles: Role) -> Flags:
        """Lines of these roles."""
        return np.isin(self.plan.role, roles)

    @cached_property
    def all(self) -> Flags:
        """Every line."""
        return np.ones(len(self.plan), bool)

    @cached_property
    def later(self) -> Flags:
        """Lines that are not the first of their visit."""
        return ~self.plan.first

    @cached_property
    def spare(self) -> Flags:
        """Lines whose loss changes no other check's answer."""
        return self.later & ~self.role(Role.BASKET, Role.ORDER)

    @cached_property
    def group(self) -> Ints:
        """What the funnel is judged within: the visit, or the customer."""
        session = self.plan.session.astype(np.int64)
        return self.plan.session_user[session].astype(np.int64) if self.shop.funnel.scope == "user_id" else session

    @cached_property
    def orders_of_group(self) -> Ints:
        """Orders in each group."""
        return np.bincount(self.group[self.role(Role.ORDER)], minlength=int(self.group.max()) + 1)

    @cached_property
    def first_basket(self) -> Ints:
        """Time of the first basket of each group; a day's end where there is none."""
        first = np.full(len(self.orders_of_group), np.iinfo(np.int64).max)
        baskets = self.role(Role.BASKET)
        np.minimum.at(first, self.group[baskets], self.plan.time[baskets])
        return first

    def refusing(self, name: str) -> Flags:
        """Lines on a platform with which some value of the field does not go."""
        refusing = [
            bool(damage.refused_values(self.contract, self.shop.platform, profile.platform, name))
            for profile in self.shop.profiles
        ]
        found: Flags = np.array(refusing)[self.population.profile[self.plan.session_user[self.plan.session]]]
        return found


Choice = Callable[[Ground], Flags]


@dataclass(frozen=True, kw_only=True, slots=True)
class Planting:
    """How a fault is planted."""

    #: The lines its rule looks at; the rate is a share of them.
    looks_at: Choice
    #: The lines it may be planted in.
    where: Choice
    damage: Damage
    #: What changes in the plan before the lines are written.
    arrange: Callable[[Ground, Ints], None] | None = None
    #: Lines that come out for one that goes in.
    lines: int = 1


def _every(ground: Ground) -> Flags:
    return ground.all


def _later(ground: Ground) -> Flags:
    return ground.later


def _spare(ground: Ground) -> Flags:
    return ground.spare


def _of(*roles: Role) -> Choice:
    return lambda ground: ground.role(*roles)


def _with_product(ground: Ground) -> Flags:
    tapped: Flags = ground.plan.pieces[:, 3] > 0
    return ground.role(Role.BASKET) | tapped


def _baskets_never_ordered(ground: Ground) -> Flags:
    no_order: Flags = ground.orders_of_group[ground.group] == 0
    return ground.role(Role.BASKET) & no_order


def _orders_that_can_be_early(ground: Ground) -> Flags:
    only_one: Flags = ground.orders_of_group[ground.group] == 1
    return ground.role(Role.ORDER) & only_one


def _move_before_basket(ground: Ground, rows: Ints) -> None:
    ground.plan.time[rows] = ground.first_basket[ground.group[rows]] - 1
    moved = np.isin(ground.group, ground.group[rows])
    ground.taken |= moved & ground.role(Role.BASKET)


def _with_earlier(*roles: Role) -> Choice:
    """Free lines of the roles except the first one, which stays to borrow from."""

    def choose(ground: Ground) -> Flags:
        free = ground.role(*roles) & ~ground.taken
        free[np.argmax(free)] = False
        return free

    return choose


def _nearest_earlier(free: Flags, rows: Ints) -> Ints:
    """The closest earlier free line of each row."""
    return np.maximum.accumulate(np.where(free, np.arange(len(free)), 0))[rows]


def _borrow_event_id(ground: Ground, rows: Ints) -> None:
    donors = _nearest_earlier(~ground.taken, rows)
    ground.plan.ids[rows] = ground.plan.ids[donors]
    ground.taken[donors] = True


def _borrow_order_id(ground: Ground, rows: Ints) -> None:
    donors = _nearest_earlier(~ground.taken & ground.role(Role.ORDER), rows)
    first_order = int(ground.plan.pieces[ground.role(Role.ORDER), 0].min())
    texts = ground.plan.order_texts.take(numbers(ground.plan.pieces[donors, 0] - first_order)).to_pylist()
    ground.donors |= {int(row): json.loads(f"{{{text[1:]}}}") for row, text in zip(rows, texts, strict=True)}
    ground.taken[donors] = True


_ANY_ROLE = tuple(Role)
_LOOKUPS, _BASKETS, _ORDERS = _of(Role.LOOKUP), _of(Role.BASKET), _of(Role.ORDER)


def _planting(looks_at: Choice, where: Choice, how: Damage) -> Planting:
    return Planting(looks_at=looks_at, where=where, damage=how)


def _on(lines: Choice, how: Damage) -> Planting:
    return Planting(looks_at=lines, where=lines, damage=how)


#: Fault -> how it is planted; the same names as `FAULTS`.
PLANTINGS: Mapping[str, Planting] = {
    "user_id_missing": _planting(_every, _spare, damage.without("user_id")),
    "event_type_missing": _planting(_every, _spare, damage.without("event_type")),
    "session_id_empty": _planting(_every, _spare, damage.becomes("session_id", "")),
    "query_null": _on(_LOOKUPS, damage.becomes("search_query", None)),
    "order_id_missing": _on(_ORDERS, damage.without("order_id")),
    "line_truncated": _planting(_every, _spare, damage.truncated),
    "line_not_object": _planting(_every, _spare, damage.wrapped),
    "line_repeated": Planting(looks_at=_every, where=_every, damage=damage.repeated, lines=2),
    "event_id_repeated": Planting(
        looks_at=_every, where=_with_earlier(*_ANY_ROLE), damage=damage.untouched, arrange=_borrow_event_id
    ),
    "order_id_repeated": Planting(
        looks_at=_ORDERS, where=_with_earlier(Role.ORDER), damage=damage.borrowed("order_id"), arrange=_borrow_order_id
    ),
    "quantity_zero": _on(_BASKETS, damage.beyond("quantity", "minimum", -1)),
    "quantity_too_large": _on(_BASKETS, damage.beyond("quantity", "maximum", 1)),
    "quantity_as_text": _on(_BASKETS, damage.as_text("quantity")),
    "unit_price_too_large": _on(_BASKETS, damage.beyond("unit_price", "maximum", 1)),
    "total_amount_too_large": _on(_ORDERS, damage.beyond("total_amount", "maximum", 1)),
    "browser_unknown": _on(_every, damage.with_suffix("browser", "/9")),
    "event_type_unknown": _planting(_every, _spare, damage.with_suffix("event_type", "_v2")),
    "payment_method_unknown": _on(_ORDERS, damage.with_suffix("payment_method", "_v2")),
    "user_id_malformed": _planting(_every, _spare, damage.with_suffix("user_id", "X")),
    "product_id_malformed": _on(_with_product, damage.with_suffix("product_id", "X")),
    "query_too_long": _on(_LOOKUPS, damage.too_long("search_query")),
    "result_count_negative": _on(_LOOKUPS, damage.beyond("result_count", "minimum", -1)),
    "result_count_fraction": _on(_LOOKUPS, damage.becomes("result_count", 0.5)),
    "purchase_without_cart": _on(_ORDERS, edited(damage.alone)),
    "purchase_before_cart": Planting(
        looks_at=_ORDERS, where=_orders_that_can_be_early, damage=damage.untouched, arrange=_move_before_basket
    ),
    "cart_without_view": _planting(_BASKETS, _baskets_never_ordered, edited(damage.alone)),
    "date_impossible": _planting(_every, _later, damage.dated(damage.no_such_day)),
    "day_wrong": _planting(_every, _later, damage.dated(damage.day_before)),
    "year_out_of_range": _planting(_every, _later, damage.dated(damage.after_all_years)),
    "timestamp_not_iso": _planting(_every, _later, edited(damage.not_iso)),
    "total_mismatch": _on(_ORDERS, edited(damage.mismatched)),
    "item_lost": _on(_ORDERS, damage.details_edited(damage.lose_item)),
    "details_unreadable": _on(_ORDERS, edited(damage.cut_details)),
    "price_as_text": _on(_ORDERS, damage.details_edited(damage.price_as_text)),
    "device_not_allowed": _planting(_every, lambda g: g.refusing("device_type"), damage.disallowed("device_type")),
    "os_not_allowed": _planting(_every, lambda g: g.refusing("os"), damage.disallowed("os")),
    "platform_changed": _planting(_every, _later, edited(damage.on_another_platform)),
}


class Garden:
    """The faults planted in a plan; damages lines as they are rendered."""

    def __init__(self, ground: Ground, faults: Mapping[str, float], seed: int) -> None:
        self.ground = ground
        self.seed = seed
        #: Fault -> number of lines.
        self.planted: dict[str, int] = {}
        rows: list[Ints] = []
        work: list[tuple[Damage, Hand]] = []
        #: Arranged faults first: they keep lines that later faults must leave alone.
        for name in sorted(faults, key=lambda name: (PLANTINGS[name].arrange is None, tuple(FAULTS).index(name))):
            chosen = self.choose(name, faults[name])
            rows.append(chosen)
            hands = self.hands(name, chosen, first=len(work))
            work += zip([PLANTINGS[name].damage] * len(chosen), hands, strict=True)
            self.planted[name] = len(chosen)
        flat = np.concatenate(rows) if rows else np.zeros(0, np.int64)
        order = np.argsort(flat)
        self.rows = flat[order]
        self.work = [work[index] for index in order]

    @property
    def lines(self) -> int:
        """Lines of the damaged delivery."""
        added = sum((PLANTINGS[name].lines - 1) * count for name, count in self.planted.items())
        return len(self.ground.plan) + added

    def choose(self, name: str, rate: float) -> Ints:
        """The lines of one fault, in file order; marks them and arranges the plan."""
        ground, planting = self.ground, PLANTINGS[name]
        free = np.flatnonzero(planting.where(ground) & ~ground.taken)
        if not len(free):
            raise SettingsError(
                f"The fault {name} finds no line to be planted in on {ground.plan.day} ({len(ground.plan)} events).",
                hint="A bigger day has more: daygate generate --events 20000",
            )
        wanted = max(1, round(rate * int(planting.looks_at(ground).sum())))
        draws = Dice(self.seed, ground.plan.day.toordinal(), 6, zlib.crc32(name.encode())).words(len(free))
        wanted = min(wanted, len(free))
        rows = np.sort(free[np.argpartition(draws, wanted - 1)[:wanted]])
        ground.taken[rows] = True
        if planting.arrange is not None:
            planting.arrange(ground, rows)
        return rows

    def hands(self, name: str, rows: Ints, *, first: int) -> Iterable[Hand]:
        """What each damaged line of a fault is given; `first` lines were damaged before."""
        ground = self.ground
        words = Dice(self.seed, ground.plan.day.toordinal(), 7, zlib.crc32(name.encode())).words(2 * len(rows))
        for serial, row in enumerate(rows.tolist()):
            yield Hand(
                contract=ground.contract,
                shop=ground.shop,
                day=ground.plan.day,
                draw=int(words[2 * serial]) << 64 | int(words[2 * serial + 1]),
                serial=first + serial,
                donor=ground.donors.get(row, {}),
            )

    def damaged(self, begin: int, lines: Lines) -> memoryview:
        """The lines of events begin, begin+1, … with their defects."""
        first, last = np.searchsorted(self.rows, [begin, begin + len(lines)])
        if first == last:
            return lines.data
        parts: list[bytes | memoryview] = []
        done = 0
        for row, (harm, hand) in zip(self.rows[first:last] - begin, self.work[first:last], strict=True):
            start, end = lines.starts[row], lines.starts[row + 1]
            parts += lines.data[done:start], harm(str(lines.data[start:end], "utf-8"), hand).encode()
            done = end
        return memoryview(b"".join([*parts, lines.data[done:]]))


def check_faults(faults: Mapping[str, float]) -> None:
    """Refuses unknown faults and shares that are none."""
    for name, rate in faults.items():
        if name not in FAULTS:
            raise SettingsError(f"{name!r} is not a fault (known: {', '.join(FAULTS)}).")
        if not 0 < rate <= 1:
            raise SettingsError(
                f"The rate of the fault {name} must be above 0 and at most 1, e.g. {FAULTS[name].rate}."
            )
