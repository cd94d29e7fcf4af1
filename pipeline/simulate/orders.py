"""Baskets and orders: quantities, coupon, shipping, and a total that adds up."""

from __future__ import annotations

import json
from datetime import date

import numpy as np
import numpy.typing as npt
import polars as pl

from pipeline.simulate.dice import Dice, Flags, Ints
from pipeline.simulate.pieces import Pieces
from pipeline.simulate.population import Population
from pipeline.simulate.shop import Shop

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
        self.texts = [pl.Series([], dtype=pl.String)]
        self.count = 0
        choices = len(self.model["quantities"])
        self.items = pl.Series(
            _inside({"product_id": p.id, order.item_quantity: n + 1, order.item_price: p.price})
            for p in shop.products
            for n in range(choices)
        )
        self.payments = pl.Series(list(shop.model["payments"]))
        self.coupons = pl.Series([_inside(code or None) for code, _, _ in self.model["coupons"]])

    def write(
        self, dice: Dice, *, session: Ints, put: Flags, ordered: Flags, item: Ints, user: Ints
    ) -> npt.NDArray[np.int32]:
        """Pieces of the events that fill a basket or order it, shape (events, 4); zeros elsewhere.

        Args:
            dice: the batch's stream.
            session: visit of each event, ascending.
            put: events that put something into the basket.
            ordered: events that order the visit's basket, at most one per visit and after its baskets.
            item: product of each event.
            user: customer of each visit.
        """
        found = np.zeros((len(session), 4), np.int32)
        put_item = item[put]
        quantity = dice.choose(self.model["quantities"], len(put_item))
        quantity[self.prices[put_item] > self.model["single_above"]] = 0
        found[put, 0] = self.pieces.priced_products + put_item
        found[put, 1] = self.pieces.quantities + quantity
        buyers = session[ordered]
        order_of = np.full(len(user), -1)
        order_of[buyers] = np.arange(len(buyers))
        bought = order_of[session[put]]
        kept = bought >= 0
        self.add(dice, bought[kept], put_item[kept], quantity[kept], user[buyers])
        found[ordered, 0] = len(self.pieces.texts) + self.count - len(buyers) + np.arange(len(buyers))
        return found

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
        items = (
            pl.DataFrame({"order": order, "text": self.items.gather(item * len(self.model["quantities"]) + quantity)})
            .group_by("order", maintain_order=True)
            .agg(pl.col("text").str.join(","))
        )
        frame = pl.DataFrame(
            {"total": subtotal - discount + fee, "discount": discount, "fee": fee, "number": number}
        ).with_columns(items["text"], payment=self.payments.gather(payment), coupon=self.coupons.gather(coupon))
        texts = frame.select(
            text=pl.concat_str(
                pl.lit(f',"{names.order_id}":"{self.prefix}'),
                pl.col("number").cast(pl.String).str.zfill(8),
                pl.lit(f'","{names.total}":'),
                pl.col("total"),
                pl.lit(',"payment_method":"'),
                pl.col("payment"),
                pl.lit(f'","{names.details}":"{{\\"{names.items}\\":['),
                pl.col("text"),
                pl.lit(f'],\\"{names.discount}\\":'),
                pl.col("discount"),
                pl.lit(f',\\"{names.shipping}\\":'),
                pl.col("fee"),
                pl.lit(',\\"coupon_code\\":'),
                pl.col("coupon"),
                pl.lit('}"'),
            )
        )
        self.texts.append(texts["text"])
        self.count += count


def _inside(value: object) -> str:
    """A JSON value as it stands inside a JSON text inside JSON."""
    return json.dumps(json.dumps(value, separators=(",", ":")))[1:-1]
