"""Baskets and orders: quantities, coupon, shipping, and a total that adds up."""

from __future__ import annotations

import json
from datetime import date

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.simulate.dice import Dice, Ints
from pipeline.simulate.pieces import Pieces
from pipeline.simulate.population import Population
from pipeline.simulate.shop import Shop
from pipeline.simulate.texts import column, numbers, one

#: Order numbers run through all of 10^8 in steps coprime to it: unique, and not in sequence.
_NUMBERS = 10**8
_STRIDE = 7_654_321


class OrderBook:
    """Fills the pieces of baskets and orders, and numbers the orders of a day."""

    def __init__(self, shop: Shop, pieces: Pieces, population: Population, day: date, dice: Dice) -> None:
        order = self.order = shop.order
        self.model = shop.model["orders"]
        self.usual_payment: float = shop.model["chances"]["usual_payment"]
        self.payment_weights = list(shop.model["payments"].values())
        self.pieces = pieces
        self.population = population
        self.prices = np.array([p.price for p in shop.products])
        self.first_number = int(dice.below(_NUMBERS, 1)[0])
        self.prefix = f"{shop.model['order_prefix']}{day:%Y%m%d}"
        #: Pieces of the orders so far, in order of their number.
        self.texts = [column([])]
        self.count = 0
        choices = len(self.model["quantities"])
        self.items = column(
            _inside({"product_id": p.id, order.item_quantity: n + 1, order.item_price: p.price})
            for p in shop.products
            for n in range(choices)
        )
        self.payments = column(shop.model["payments"])
        self.coupons = column(_inside(code or None) for code, _, _ in self.model["coupons"])

    def write(
        self,
        dice: Dice,
        pieces: npt.NDArray[np.int32],
        *,
        session: Ints,
        put: Ints,
        ordered: Ints,
        item: Ints,
        user: Ints,
    ) -> None:
        """Writes the pieces of the events that fill a basket or order it.

        Args:
            dice: the batch's stream.
            pieces: of each event, shape (events, 4).
            session: visit of each event, ascending.
            put: events that put something into the basket.
            ordered: events that order the visit's basket, at most one per visit and after its baskets.
            item: product of each event that puts.
            user: customer of each visit.
        """
        quantity = dice.choose(self.model["quantities"], len(item))
        quantity[self.prices[item] > self.model["single_above"]] = 0
        pieces[put, 0] = self.pieces.priced_products + item
        pieces[put, 1] = self.pieces.quantities + quantity
        buyers = session[ordered]
        order_of = np.full(len(user), -1)
        order_of[buyers] = np.arange(len(buyers))
        bought = order_of[session[put]]
        kept = bought >= 0
        self.add(dice, bought[kept], item[kept], quantity[kept], user[buyers])
        pieces[ordered, 0] = len(self.pieces.texts) + self.count - len(buyers) + np.arange(len(buyers))

    def add(self, dice: Dice, order: Ints, item: Ints, quantity: Ints, buyer: Ints) -> None:
        """Writes the pieces of `len(buyer)` orders; `order` says which one each item belongs to, ascending."""
        count = len(buyer)
        subtotal = np.bincount(order, self.prices[item] * (quantity + 1), minlength=count).astype(np.int64)
        coupon = dice.choose([weight for _, _, weight in self.model["coupons"]], count)
        percent = np.array([off for _, off, _ in self.model["coupons"]])[coupon]
        discount = subtotal * percent // 10_000 * 100
        fee = np.where(subtotal - discount < self.model["free_shipping_from"], self.model["shipping_fee"], 0)
        usual = dice.hits(self.usual_payment, count)
        payment = np.where(usual, self.population.payment[buyer], dice.choose(self.payment_weights, count))
        number = (self.first_number + _STRIDE * (self.count + np.arange(count))) % _NUMBERS
        names = self.order
        items = self.items.take(numbers(item * len(self.model["quantities"]) + quantity))
        edges = np.cumsum(np.bincount(order + 1, minlength=count + 1)).astype(np.int32)
        self.texts.append(
            pc.binary_join_element_wise(
                one(f',"{names.order_id}":"{self.prefix}'),
                pc.ascii_lpad(_digits(number), 8, "0"),
                one(f'","{names.total}":'),
                _digits(subtotal - discount + fee),
                one(',"payment_method":"'),
                self.payments.take(numbers(payment)),
                one(f'","{names.details}":"{{\\"{names.items}\\":['),
                pc.binary_join(pa.ListArray.from_arrays(numbers(edges), items), one(",")),
                one(f'],\\"{names.discount}\\":'),
                _digits(discount),
                one(f',\\"{names.shipping}\\":'),
                _digits(fee),
                one(',\\"coupon_code\\":'),
                self.coupons.take(numbers(coupon)),
                one('}"'),
                one(""),
            )
        )
        self.count += count


def _digits(values: Ints) -> pa.StringArray:
    return numbers(values).cast(pa.string())


def _inside(value: object) -> str:
    """A JSON value as it stands inside a JSON text inside JSON."""
    return json.dumps(json.dumps(value, separators=(",", ":")))[1:-1]
