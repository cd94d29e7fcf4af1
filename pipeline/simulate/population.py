"""The customers: drawn from the seed alone, so that a person is the same on every day."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipeline.simulate.dice import Dice, Ints
from pipeline.simulate.shop import Shop

#: Marks the streams of the population; days count from 1, so none collides with a day's.
_POPULATION = 0


class Population:
    """Columns over customers; customer i is the same whatever the size of the population."""

    def __init__(self, shop: Shop, size: int, seed: int) -> None:
        def stream(purpose: int) -> Dice:
            return Dice(seed, _POPULATION, purpose)

        model = shop.model
        self.size = size
        #: Index into `shop.profiles`.
        self.profile: Ints = stream(0).choose([p.weight for p in shop.profiles], size)
        #: Index of the favourite category.
        self.favourite: Ints = stream(1).choose([c.weight for c in shop.categories], size)
        #: Index of the usual payment method.
        self.payment: Ints = stream(2).choose(list(model["payments"].values()), size)
        activity = model["activity"]
        affinities = np.asarray(activity["affinities"], dtype=np.float64)
        #: Inclination to buy, about 1.
        self.affinity: npt.NDArray[np.float64] = affinities[stream(3).below(len(affinities), size)]
        self.activity: npt.NDArray[np.float64] = np.asarray(activity["weights"], dtype=np.float64)[
            stream(4).choose(activity["shares"], size)
        ]

    def visitors(self, dice: Dice, count: int) -> Ints:
        """Who makes each of `count` visits; active customers come more often."""
        return dice.choose(self.activity, count)
