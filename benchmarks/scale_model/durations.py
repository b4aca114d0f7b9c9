"""How long jobs take: all the same, or spread as short and long work is."""

from __future__ import annotations

import random
from collections.abc import Callable

SHAPE = 1.5
"""Of Pareto's distribution: so few that are so long that its variance has no end."""
LONGEST = 200
"""Pareto's jobs are cut at so many times the mean: else one of them would be the whole run."""

KINDS: dict[str, Callable[[random.Random, float], float]] = {
    "constant": lambda chance, mean: mean,
    "exponential": lambda chance, mean: chance.expovariate(1 / mean),
    "Pareto": lambda chance, mean: min(chance.paretovariate(SHAPE) * mean * (SHAPE - 1) / SHAPE, LONGEST * mean),
}


class Durations:
    """Seconds of one job after the other, the same for the same seed."""

    def __init__(self, kind: str, mean: float, seed: int = 0) -> None:
        self._draw, self._mean, self._chance = KINDS[kind], mean, random.Random(seed)
        self._constant = kind == "constant"

    def take(self, number: int) -> list[float]:
        """Of the next so many jobs."""
        if self._constant:
            return [self._mean] * number
        return [self._draw(self._chance, self._mean) for _ in range(number)]
