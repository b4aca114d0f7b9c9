"""Pauses between tries, each twice as long as the one before."""

from __future__ import annotations

ENOUGH = 32
"""Doublings after which any pause is at its longest: a power of two must stay a float, however often it is tried."""


def growing(first: float, longest: float, tries: int) -> float:
    """The pause (seconds) after so many tries, one at least, that have failed in a row."""
    return min(longest, first * 2.0 ** min(tries - 1, ENOUGH))
