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
import polars as pl

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
    order_texts: pl.Series

    def __len__(self) -> int:
        return len(self.time)


@dataclass(frozen=True, slots=True)
class _Batch:
    session: Ints
    time: Ints
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
        step, slot = (index[:at_most] for index in np.nonzero(slots))
        page, shown = self.pages(dice, slot, category[step], item[step], term[step])
        session = visit[step]
        pieces = self.event_pieces(dice, slot, kind[step], item[step], term[step], page, shown)
        put, ordered = slot == Slot.BASKET, slot == Slot.ORDER
        pieces += self.book.write(dice, session=session, put=put, ordered=ordered, item=item[step], user=user)
        return _Batch(
            session=session + first_visit,
            time=self.times(dice, session, len(user)),
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

    def pages(self, dice: Dice, slot: Ints, category: Ints, item: Ints, term: Ints) -> tuple[Ints, Ints]:
        """The page each event shows (views; else -1) and the page that was on the screen before it (-1: outside)."""
        places = self.pieces.places
        listing, product, results = places.categories + category, places.items + item, places.results + term
        landing = dice.choose(list(self.model["landings"].values()), len(slot))
        page = np.full(len(slot), -1)
        for place, shown in (
            (Slot.LANDING, np.choose(landing, [np.full(len(slot), places.landing), listing, product])),
            (Slot.RESULTS, results),
            (Slot.LISTING, listing),
            (Slot.ITEM, product),
            (Slot.BASKET_PAGE, np.full(len(slot), places.basket)),
            (Slot.PAYMENT, np.full(len(slot), places.payment)),
            (Slot.DONE, np.full(len(slot), places.done)),
            (Slot.ACCOUNT, np.full(len(slot), places.account)),
        ):
            page = np.where(slot == place, shown, page)
        latest = np.maximum.accumulate(np.where(page >= 0, np.arange(len(slot)), 0))
        before = np.concatenate([[-1], page[latest[:-1]]]) if len(slot) else page
        return page, np.where(slot == Slot.LANDING, -1, before)

    def event_pieces(
        self, dice: Dice, slot: Ints, kind: Ints, item: Ints, term: Ints, page: Ints, before: Ints
    ) -> npt.NDArray[np.int32]:
        """Numbers of the pieces of each event, shape (events, 4); orders are written by the order book."""
        p, count = self.pieces, len(slot)
        found = np.zeros((count, 4), np.int32)
        view = page >= 0
        outside = p.outside_referrers + dice.choose(list(self.model["referrers"].values()), count)
        found[view, 0] = p.views + page[view]
        found[view, 1] = np.where(before < 0, outside, p.inside_referrers + before)[view]
        tap = np.isin(slot, (Slot.WANDER_TAP, Slot.ITEM_TAP, Slot.BASKET_TAP))
        of_item = tap & (slot != Slot.WANDER_TAP)
        found[tap, 0] = p.urls + before[tap]
        found[tap, 1] = self.elements(dice, slot, kind)[tap]
        found[tap, 2] = p.positions + dice.below(pieces_module.POSITIONS, count)[tap]
        found[of_item, 3] = p.products + item[of_item]
        lookup = slot == Slot.LOOKUP
        found[lookup, 0] = p.urls + before[lookup]
        found[lookup, 1] = p.queries + term[lookup]
        found[lookup, 2] = p.results + dice.below(pieces_module.RESULTS, count)[lookup]
        return found

    def elements(self, dice: Dice, slot: Ints, kind: Ints) -> Ints:
        """The tapped element of each event (meaningful for taps only)."""
        number = dice.below(pieces_module.ELEMENT_IDS, len(slot))
        where = np.where(slot == Slot.BASKET_TAP, len(self.model["steps"]), kind)
        element = np.zeros(len(slot), np.int64)
        for index, (name, weights) in enumerate(self.model["elements"].items()):
            type_index = dice.choose(list(weights.values()), len(slot))
            drawn = self.pieces.elements[name] + type_index * pieces_module.ELEMENT_IDS + number
            element = np.where(where == index, drawn, element)
        return element

    def times(self, dice: Dice, session: Ints, visits: int) -> Ints:
        """Milliseconds since the day began; a visit that would pass midnight begins earlier."""
        calendar = self.model["calendar"]
        hours = calendar["weekend" if self.day.weekday() >= _SATURDAY else "working_day"]
        start = dice.choose(hours, visits) * HOUR_MS + dice.below(HOUR_MS, visits)
        knots = [1000 * seconds for seconds in self.model["sessions"]["gaps"]]
        elapsed = np.cumsum(dice.from_knots(knots, len(session)))
        first = np.searchsorted(session, np.arange(visits), side="left")
        last = np.searchsorted(session, np.arange(visits), side="right") - 1
        here = last >= first  # a cut batch leaves its last visits without events
        began = np.zeros(visits, np.int64)
        began[here] = elapsed[first[here]]
        duration = np.zeros(visits, np.int64)
        duration[here] = elapsed[last[here]] - began[here]
        start = np.maximum(np.minimum(start, DAY_MS - 1 - duration), 0)
        time: Ints = np.minimum(start[session] + elapsed - began[session], DAY_MS - 1)
        return time

    def in_order_of_time(self, batches: list[_Batch], user: Ints) -> Plan:
        """All batches as one plan, sorted by time; equal times keep their order."""
        order = np.argsort(np.concatenate([b.time for b in batches]).astype(np.int32), kind="stable")
        return Plan(
            day=self.day,
            session=np.concatenate([b.session for b in batches]).astype(np.int32)[order],
            time=np.concatenate([b.time for b in batches]).astype(np.int32)[order],
            role=np.concatenate([b.role for b in batches])[order],
            pieces=np.concatenate([b.pieces for b in batches])[order],
            first=np.concatenate([b.first for b in batches])[order],
            ids=Dice(*self.key, 4).words(2 * len(order)).reshape(-1, 2),
            session_words=Dice(*self.key, 5).words(2 * len(user)).reshape(-1, 2),
            session_user=user.astype(np.int32),
            order_texts=pl.concat(self.book.texts),
        )
