"""Has a figure fallen behind its floor, since its ratio to it was kept?

Figure and floor are measured in turns, in one run, so their ratio says much the same on a faster machine or a slower
one. `python -m benchmarks --guard` holds the ratios against those in kept.json, which `--keep` writes. What is worse by
more than a quarter is measured once more, in more rounds, before it counts; and it does not count while others are at
work on the machine, as who waits for a core more often is hurt more by them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from rich.markup import escape
from rich.table import Table

from benchmarks.kept import Kept
from benchmarks.rows import Row

GUARDED = ("limit", "results_limit", "bulk_enqueue", "single_enqueue", "idle_latency")
"""Benchmarks of which each row with a reference is a ratio to a floor."""
TAIL = ", p99"
"""Such rows are left out: they say more about the machine than about us."""
LOSS = 0.25
"""A ratio may be worse by this part of what was kept."""
ROUNDS, AGAIN = 5, 11
"""Of a first look, and of one that decides."""
CALM = 0.9
"""What others must leave of the cores for a miss to count."""

Measure = Callable[[str, int], list[Row]]
"""The rows of a benchmark, measured in so many rounds."""


@dataclass(frozen=True)
class Held:
    """A ratio, held against what was kept of it."""

    benchmark: str
    what: str
    kept: float | None
    """None: nothing was."""
    row: Row | None
    """None: it is no longer measured."""
    busy: bool = False
    """Whether others were at work on the machine."""

    @property
    def loss(self) -> float | None:
        """By which part of what was kept it is worse; less than 0 when it is better."""
        if self.kept is None or self.row is None:
            return None
        change = self.row.figure / self.kept - 1
        return -change if self.row.more_is_better else change

    @property
    def missed(self) -> bool:
        """One of which a side is missing has missed too: else one that is renamed would be guarded no more."""
        if self.loss is None:
            return True
        return self.loss > LOSS and not self.busy

    @property
    def verdict(self) -> str:
        if self.loss is None:
            return "NOT KEPT" if self.kept is None else "NOT MEASURED"
        return "NO" if self.missed else "yes" if self.loss <= LOSS else "machine busy"


def ratios(rows: Iterable[Row]) -> dict[str, Row]:
    """Those rows that are guarded, by what they say."""
    return {row.what: row for row in rows if row.reference is not None and not row.what.endswith(TAIL)}


def compared(benchmark: str, kept: dict[str, float], rows: Iterable[Row]) -> dict[str, Held]:
    """What was kept of a benchmark beside what is measured, by row."""
    found = ratios(rows)
    return {what: Held(benchmark, what, kept.get(what), found.get(what)) for what in {**kept, **found}}


def hold(kept: Kept, names: Iterable[str], measure: Measure, share: Callable[[], float]) -> Iterator[Held]:
    """Measures these benchmarks and holds their ratios against those that were kept; `share` is what others leave of
    the cores."""
    for name in names:
        ours = kept.ratios.get(name, {})
        held = compared(name, ours, measure(name, ROUNDS))
        if any(each.missed for each in held.values()):
            calm = share() >= CALM
            if calm:
                again = compared(name, ours, measure(name, AGAIN))
                held |= {what: each for what, each in again.items() if held[what].missed}
                calm = share() >= CALM
            if not calm:
                held = {what: dataclasses.replace(each, busy=True) for what, each in held.items()}
        yield from held.values()


def keep(machine: dict[str, Any], measure: Measure) -> Kept:
    """Measures all that is guarded, in as many rounds as decide."""
    found = {name: ratios(measure(name, AGAIN)) for name in GUARDED}
    kept = {name: {what: round(row.figure, 4) for what, row in rows.items()} for name, rows in found.items()}
    return Kept({**machine, "rounds": AGAIN}, kept)


def table(kept: Kept, held: Iterable[Held]) -> Table:
    at, processor, cores = (kept.machine.get(key) for key in ("at", "processor", "cores"))
    shown = Table(title=f"ratios to floors; kept on {cores} cores of {processor}, {at}", title_justify="left")
    for column in ("what", "kept", "now", "worse by", "holds"):
        shown.add_column(column, overflow="fold")
    for each in held:
        style = "bold red" if each.missed else "green" if each.verdict == "yes" else "yellow"
        shown.add_row(
            escape(f"{each.benchmark}: {each.what}"),
            "" if each.kept is None else f"{each.kept:.3g}",
            "" if each.row is None else f"{each.row.figure:.3g}",
            "" if each.loss is None else f"{each.loss:.0%}",
            f"[{style}]{each.verdict}[/]",
        )
    return shown
