"""Multiplying matrices with numpy, on one thread."""

from __future__ import annotations

from pathlib import Path

import numpy


def make(folder: Path, count: int, size: int) -> list[list[int]]:
    """The seed of two matrices, and their size, for each job."""
    return [[number, size] for number in range(count)]


def work(job: list[int]) -> str:
    """The trace of a product, to as many digits as do not depend on where in memory the matrices lie."""
    seed, size = job
    chance = numpy.random.default_rng(seed)
    left, right = chance.random((size, size)), chance.random((size, size))
    return f"{numpy.trace(left @ right @ left):.8g}"
