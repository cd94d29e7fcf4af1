"""The plan of a day: who comes when, what happens in each visit, and in which order; numbers only.

A visit is a row of steps; a step fills some of a fixed row of slots (landing page, search, results,
category page, tap, product page, tap on the basket button, basket, …). The boolean matrix steps x
slots, read row by row, is the visit's events in order, so a purchase always follows its basket.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.simulate import pieces as pieces_module
from pipeline.simulate.dice import Dice, Flags, Ints, Words
from pipeline.simulate.orders import OrderBook
from pipeline.simulate.pieces import Pieces
from pipeline.simulate.population import Population
from pipeline.simulate.shop import Shop

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
#: Visits planned at a time; bounds the memory of the drawing.
BATCH = 1 << 15


class Role(IntEnum):
    """What an event is, as numbered in a plan; the order of `shop.Events`."""

    VIEW = 0
    TAP = 1
    BASKET = 2
    ORDER = 3
    LOOKUP = 4


class Slot(IntEnum):
    """The places of a step, in order of time."""

    LANDING = 0
    LOOKUP = 1
    RESULTS = 2
    LISTING = 3
    WANDER_TAP = 4
    ITEM_TAP = 5
    ITEM = 6
    BASKET_TAP = 7
    BASKET = 8
    BASKET_PAGE = 9
    PAYMENT = 10
    ORDER = 11
    DONE = 12
    ACCOUNT = 13


_ROLE_OF_SLOT = np.array(
    [
        *(Role.VIEW, Role.LOOKUP, Role.VIEW, Role.VIEW, Role.TAP, Role.TAP, Role.VIEW, Role.TAP, Role.BASKET),
        *(Role.VIEW, Role.VIEW, Role.ORDER, Role.VIEW, Role.VIEW),
    ],
    dtype=np.int8,
)
#: Kinds of steps, in the order of shop.toml's [steps].
_SATURDAY = 5
_WANDER, _LISTING, _LOOKUP, _RECOMMENDED = range(4)


@dataclass(slots=True)
class Plan:
    """A day's events in file order (by time), as columns of equal length.

    `sessions` and `users` are indices; `pieces` are the numbers of the texts after the head.
    """

    day: date
    #: Visit of each event, index into `session_words` and `session_user`.
    session: npt.NDArray[np.int32]
    #: Milliseconds since the day began.
    time: npt.NDArray[np.int32]
    role: npt.NDArray[np.int8]
    #: Shape (events, 4).
    pieces: npt.NDArray[np.int32]
    #: Random 128 bits of each event id, shape (events, 2).
    ids: Words
    #: Whether the event is the first of its visit.
    first: Flags
    session_words: Words
    session_user: npt.NDArray[np.int32]
    #: Pieces of the day's orders, numbered after the shop's own.
    order_texts: pa.StringArray

    def __len__(self) -> int:
        return len(self.time)


_Places = dict[Slot, Ints]
_Pages = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class _Batch:
    session: npt.NDArray[np.int32]
    time: npt.NDArray[np.int32]
    role: npt.NDArray[np.int8]
    pieces: npt.NDArray[np.int32]
    first: Flags


class Planner:
    """Draws the visits of one day, batch by batch."""

    def __init__(self, shop: Shop, pieces: Pieces, population: Population, day: date, seed: int) -> None:
        self.shop = shop
        self.model: dict[str, Any] = shop.model
        self.pieces = pieces
        self.population = population
        self.day = day
        self.key = (seed, day.toordinal())
        self.book = OrderBook(shop, pieces, population, day, Dice(*self.key, 1))

    def plan(self, events: int | None) -> Plan:
        """The whole day; exactly `events` events when given, else what the customers do on such a day."""
        wanted = self.visits() if events is None else None
        batches: list[_Batch] = []
        users: list[Ints] = []
        visits = planned = 0
        while (planned < events) if events is not None else (visits < (wanted or 0)):
            count = BATCH if wanted is None else min(BATCH, wanted - visits)
            dice = Dice(*self.key, 2, len(batches))
            user = self.population.visitors(dice, count)
            batch = self.batch(dice, user, visits, None if events is None else events - planned)
            batches.append(batch)
            users.append(user)
            visits += count
            planned += len(batch.time)
        return self.in_order_of_time(batches, np.concatenate(users))

    def visits(self) -> int:
        """How many visits the customers make on this day."""
        calendar = self.model["calendar"]
        weight = calendar["weekdays"][self.day.weekday()]
        swing = int(Dice(*self.key, 3).below(2001, 1)[0]) - 1000
        expected: float = self.population.size * self.model["sessions"]["per_user"] * weight
        noisy: float = expected * (1 + calendar["noise"] * swing / 1000)
        return max(1, round(noisy))

    def batch(self, dice: Dice, user: Ints, first_visit: int, at_most: int | None) -> _Batch:
        """The events of `len(user)` visits, visit by visit."""
        steps = np.asarray(self.model["sessions"]["steps"])
        length = steps[dice.below(len(steps), len(user))]
        visit = np.repeat(np.arange(len(user)), length)
        ends = np.cumsum(length)
        opening, closing = np.zeros(len(visit), bool), np.zeros(len(visit), bool)
        opening[ends - length], closing[ends - 1] = True, True
        kind = dice.choose(list(self.model["steps"].values()), len(visit))
        category, item, term = self.targets(dice, user[visit])
        slots = self.slots(dice, kind, visit, user, opening, closing)
        step, slot = np.divmod(np.flatnonzero(slots)[:at_most], len(Slot))
        at = _places(slot)
        session = visit[step]
        pieces = self.event_pieces(dice, at, step, kind, category, item, term)
        put, ordered = at[Slot.BASKET], at[Slot.ORDER]
        self.book.write(dice, pieces, session=session, put=put, ordered=ordered, item=item[step[put]], user=user)
        return _Batch(
            session=(session + first_visit).astype(np.int32),
            time=self.times(dice, session, len(user)).astype(np.int32),
            role=_ROLE_OF_SLOT[slot],
            pieces=pieces,
            first=slot == Slot.LANDING,
        )

    def targets(self, dice: Dice, user: Ints) -> tuple[Ints, Ints, Ints]:
        """Category, product and search term each step is about; early products of a category are popular."""
        categories = self.shop.categories
        any_category = dice.choose([c.weight for c in categories], len(user))
        favoured = dice.hits(self.model["chances"]["favourite_category"], len(user))
        category = np.where(favoured, self.population.favourite[user], any_category)
        skewed = dice.units(len(user))
        skewed = ((skewed >> 1) * (skewed >> 1)) >> 30
        products = np.array([c.products for c in categories])[category]
        item = np.array([c.first_product for c in categories])[category] + ((skewed * products) >> 32)
        terms = np.array([c.terms for c in categories])[category]
        term = np.array([c.first_term for c in categories])[category] + dice.below(terms, len(user))
        return category, item, term

    def slots(self, dice: Dice, kind: Ints, visit: Ints, user: Ints, opening: Flags, closing: Flags) -> Flags:
        """Which slots each step fills, shape (steps, slots)."""
        chances, count = self.model["chances"], len(kind)
        filled = np.zeros((count, len(Slot)), bool)
        filled[:, Slot.LANDING] = opening
        filled[:, Slot.LOOKUP] = filled[:, Slot.RESULTS] = kind == _LOOKUP
        filled[:, Slot.LISTING] = (kind == _LISTING) | ((kind == _WANDER) & ~opening)
        filled[:, Slot.WANDER_TAP] = (kind == _WANDER) & dice.hits(chances["wander_tap"], count)
        filled[:, Slot.ITEM_TAP] = kind != _WANDER
        filled[:, Slot.ITEM] = filled[:, Slot.ITEM_TAP] & dice.hits(chances["open_item"], count)
        puts = filled[:, Slot.ITEM] & dice.hits(chances["basket"] * self.population.affinity[user[visit]], count)
        so_far = np.cumsum(puts)
        before = np.zeros(len(user), np.int64)
        before[visit[opening]] = (so_far - puts)[opening]
        puts &= so_far - before[visit] <= self.model["sessions"]["max_basket"]
        filled[:, Slot.BASKET_TAP] = filled[:, Slot.BASKET] = puts
        has_basket = np.bincount(visit[puts], minlength=len(user)) > 0
        opened = closing & has_basket[visit] & dice.hits(chances["open_basket"], count)
        paying = opened & dice.hits(chances["open_payment"], count)
        ordered = paying & dice.hits(chances["order"], count)
        filled[:, Slot.BASKET_PAGE], filled[:, Slot.PAYMENT] = opened, paying
        filled[:, Slot.ORDER] = filled[:, Slot.DONE] = ordered
        filled[:, Slot.ACCOUNT] = closing & dice.hits(chances["account"], count)
        return filled

    def pages(
        self, dice: Dice, at: _Places, step: Ints, category: Ints, item: Ints, term: Ints
    ) -> tuple[_Pages, _Pages]:
        """The page each event shows (views; else -1) and the page that was on the screen before it (-1: outside)."""
        places = self.pieces.places
        page = np.full(len(step), -1, np.int32)
        for place, single in (
            (Slot.BASKET_PAGE, places.basket),
            (Slot.PAYMENT, places.payment),
            (Slot.DONE, places.done),
            (Slot.ACCOUNT, places.account),
        ):
            page[at[place]] = single
        for place, shown in (
            (Slot.RESULTS, places.results + term),
            (Slot.LISTING, places.categories + category),
            (Slot.ITEM, places.items + item),
        ):
            page[at[place]] = shown[step[at[place]]]
        came = at[Slot.LANDING]
        landing = dice.choose(list(self.model["landings"].values()), len(step), came)
        about = step[came]
        pages = [np.full(len(came), places.landing), places.categories + category[about], places.items + item[about]]
        page[came] = np.choose(landing, pages)
        latest = np.maximum.accumulate(np.where(page >= 0, np.arange(len(step)), 0))
        before = np.full_like(page, -1)
        before[1:] = page[latest[:-1]]
        before[came] = -1
        return page, before

    def event_pieces(
        self, dice: Dice, at: _Places, step: Ints, kind: Ints, category: Ints, item: Ints, term: Ints
    ) -> npt.NDArray[np.int32]:
        """Numbers of the pieces of each event, shape (events, 4); the order book writes those of baskets and orders."""
        p, count = self.pieces, len(step)
        page, before = self.pages(dice, at, step, category, item, term)
        view = page >= 0
        found = np.zeros((count, 4), np.int32)
        found[:, 0] = np.where(view, p.views + page, p.urls + before)
        found[:, 1] = np.where(view, p.inside_referrers + before, 0)
        came, lookup = at[Slot.LANDING], at[Slot.LOOKUP]
        found[came, 1] = p.outside_referrers + dice.choose(list(self.model["referrers"].values()), count, came)
        tap = np.concatenate([at[Slot.WANDER_TAP], at[Slot.ITEM_TAP], at[Slot.BASKET_TAP]])
        of_item = tap[len(at[Slot.WANDER_TAP]) :]
        of_basket = np.arange(len(tap)) >= len(tap) - len(at[Slot.BASKET_TAP])
        where = np.where(of_basket, len(self.model["steps"]), kind[step[tap]])
        found[tap, 1] = self.elements(dice, count, tap, where)
        found[tap, 2] = p.positions + dice.below(pieces_module.POSITIONS, count, tap)
        found[of_item, 3] = p.products + item[step[of_item]]
        found[lookup, 1] = p.queries + term[step[lookup]]
        found[lookup, 2] = p.results + dice.below(pieces_module.RESULTS, count, lookup)
        return found

    def elements(self, dice: Dice, count: int, tap: Ints, where: Ints) -> Ints:
        """The tapped element of the events `tap` of `count`, by the kind of what it is tapped in."""
        element = dice.below(pieces_module.ELEMENT_IDS, count, tap)
        for index, (name, weights) in enumerate(self.model["elements"].items()):
            there = np.flatnonzero(where == index)
            drawn = dice.choose(list(weights.values()), count, tap[there])
            element[there] += self.pieces.elements[name] + drawn * pieces_module.ELEMENT_IDS
        return element

    def times(self, dice: Dice, session: Ints, visits: int) -> Ints:
        """Milliseconds since the day began; a visit that would pass midnight begins earlier."""
        calendar = self.model["calendar"]
        hours = calendar["weekend" if self.day.weekday() >= _SATURDAY else "working_day"]
        start = dice.choose(hours, visits) * HOUR_MS + dice.below(HOUR_MS, visits)
        knots = [1000 * seconds for seconds in self.model["sessions"]["gaps"]]
        elapsed = np.cumsum(dice.from_knots(knots, len(session)))
        events = np.bincount(session, minlength=visits)
        here = events > 0  # a cut batch leaves its last visits without events
        last = np.cumsum(events) - 1
        began, duration = np.zeros(visits, np.int64), np.zeros(visits, np.int64)
        began[here] = elapsed[(last - events + 1)[here]]
        duration[here] = elapsed[last[here]] - began[here]
        start = np.maximum(np.minimum(start, DAY_MS - 1 - duration), 0)
        time: Ints = np.minimum((start - began)[session] + elapsed, DAY_MS - 1)
        return time

    def in_order_of_time(self, batches: list[_Batch], user: Ints) -> Plan:
        """All batches as one plan, sorted by time; equal times keep their order."""
        time = np.concatenate([b.time for b in batches])
        order = _order(time)
        return Plan(
            day=self.day,
            session=np.concatenate([b.session for b in batches])[order],
            time=time[order],
            role=np.concatenate([b.role for b in batches])[order],
            pieces=np.concatenate([b.pieces for b in batches]).take(order, axis=0),
            first=np.concatenate([b.first for b in batches])[order],
            ids=Dice(*self.key, 4).words(2 * len(order)).reshape(-1, 2),
            session_words=Dice(*self.key, 5).words(2 * len(user)).reshape(-1, 2),
            session_user=user.astype(np.int32),
            order_texts=pa.concat_arrays(self.book.texts),
        )


def _places(slot: Ints) -> _Places:
    """Slot -> the events in it."""
    small = slot.astype(np.int8)
    return {place: np.flatnonzero(small == place) for place in Slot}


def _order(time: npt.NDArray[np.int32]) -> Ints:
    """What puts events in order of time; equal times keep their order.

    NumPy sorts numbers of 16 bits by counting: twice that, the lower half first, is faster than any other sort.
    """
    order = np.argsort(time.astype(np.uint16), kind="stable")
    return order[np.argsort((time >> 16).astype(np.uint16)[order], kind="stable")]
