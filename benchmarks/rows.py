"""Rows: what the table shows of a measurement, and what it is held against."""

from __future__ import annotations

import itertools
import statistics
from dataclasses import dataclass


@dataclass
class Spread:
    """The median of several measurements, and how far they lie apart."""

    values: list[float]
    unit: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def __str__(self) -> str:
        text = f"{number(self.median)} {self.unit}".rstrip()
        if len(self.values) > 1 and self.median:
            text += f" ±{(max(self.values) - min(self.values)) / 2 / abs(self.median):.0%}"
        return text


def by_rounds(ours: Spread, reference: Spread) -> Spread:
    """Ours by the reference, round by round.

    A machine that is slower for a minute is so for those of one round alike, and so says nothing of their ratio. Where
    the reference was measured once more at last, each of ours is held against the mean of the two next to it. Of sides
    that have no rounds in common, it is the ratio of the medians.
    """
    mine, others = ours.values, reference.values
    if len(others) == len(mine) + 1:
        others = [statistics.mean(pair) for pair in itertools.pairwise(others)]
    elif len(others) != len(mine):
        return Spread([ours.median / reference.median])
    return Spread([each / other for each, other in zip(mine, others, strict=True)])


@dataclass
class Row:
    """One line of the table. `figure` is what is held against `least` and `aim`; the more the better, or the less."""

    what: str
    measured: Spread
    figure: float
    least: float | None
    """None: it is only told."""
    aim: float | None
    more_is_better: bool
    reference: Spread | None = None
    unit: str = ""
    """Of the figure; empty for a ratio."""

    def reaches(self, bound: float | None) -> bool:
        if bound is None:
            return True
        return self.figure >= bound if self.more_is_better else self.figure <= bound

    @property
    def holds(self) -> str:
        if self.least is None:
            return ""
        return "aim" if self.reaches(self.aim) else "yes" if self.reaches(self.least) else "NO"


def ratio(what: str, ours: Spread, reference: Spread, least: float, aim: float, *, more_is_better: bool = True) -> Row:
    """A row that holds us against the reference."""
    return Row(what, ours, by_rounds(ours, reference).median, least, aim, more_is_better, reference)


def told(what: str, ours: Spread, reference: Spread) -> Row:
    """A row that is held against nothing."""
    return Row(what, ours, by_rounds(ours, reference).median, None, None, True, reference)


def at_most(what: str, measured: Spread, least: float, aim: float, *, figure: float | None = None) -> Row:
    """A row whose median, or another figure of it, must not be more."""
    return Row(what, measured, measured.median if figure is None else figure, least, aim, False, unit=measured.unit)


def number(value: float) -> str:
    """Three digits or so, for people."""
    if value and abs(value) < 0.001:
        return f"{value:.1e}"
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"
