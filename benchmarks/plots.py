"""Draws results as SVG: `python -m benchmarks.plots RESULTS.json FOLDER`, or, after a run, `--plots FOLDER`.

Bars, a scale and their names are all that is needed, so this is written with the standard library: what would draw it
for us is a hundred times as large, and its colours would not follow the reader's light or dark page.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from benchmarks.rows import number

OURS = "TempoTask"
DRAINS = ("drain", "drain_peers", "drain_pools", "limit")
"""The benchmarks whose rows hold our drain against another."""
WIDTH, MARGIN, TOP, BAR, STEP, FOOT = 760, 24, 72, 12, 40, 44
VALUE = 110
"""Room for the number behind the longest bar."""

STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328; stroke: #ffffff; stroke-width: 4px; paint-order: stroke }
.title { font-size: 16px; font-weight: 600 }
.quiet { fill: #59636e }
.paper { fill: #ffffff }
.grid { stroke: #d1d9e0 }
.reach { stroke: #1f2328 }
.mark { stroke: #bc4c00; stroke-width: 2 }
.ours { fill: #0969da }
.other { fill: #818b98 }
.short { fill: #cf222e }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc; stroke: #0d1117 }
  .quiet { fill: #9198a1 }
  .paper { fill: #0d1117 }
  .grid { stroke: #3d444d }
  .reach { stroke: #f0f6fc }
  .mark { stroke: #f0883e }
  .ours { fill: #4493f8 }
  .other { fill: #7d8590 }
  .short { fill: #f85149 }
}
"""
"""Every chart brings its own paper, so that it can be read on a page of any colour."""


@dataclass(frozen=True)
class Bar:
    """One bar: its name, how far it reaches, and how it looks."""

    name: str
    value: float
    kind: str
    """ours, other or short."""
    text: str = ""
    """Behind the bar."""
    reach: tuple[float, float] | None = None
    """The least and the most that was measured."""
    mark: float | None = None
    """What it should reach."""


@dataclass(frozen=True)
class Chart:
    """Bars over a logarithmic scale."""

    name: str
    title: str
    note: str
    bars: list[Bar]
    origin: float | None = None
    """Where bars begin; if None, at the left end of the scale."""

    @cached_property
    def ticks(self) -> list[float]:
        """What is written on the scale: powers of ten, with 2 and 5 times these if all lies close together."""
        values = [value for bar in self.bars for value in (bar.value, bar.mark, *(bar.reach or ())) if value]
        values += [self.origin] if self.origin else []
        low, high = min(values), max(values)
        steps = (1, 2, 5) if high < 100 * low else (1,)
        ticks = [step * 10.0**power for power in range(-9, 13) for step in steps]
        first = max(tick for tick in ticks if tick <= low)
        return [tick for tick in ticks if first <= tick <= min(more for more in ticks if more >= high)]

    def at(self, value: float) -> float:
        """Where a value is, from the left."""
        low, high = self.ticks[0], self.ticks[-1]
        return MARGIN + math.log(value / low) / math.log(high / low) * (WIDTH - 2 * MARGIN - VALUE)

    def svg(self) -> str:
        height = TOP + STEP * len(self.bars) + FOOT
        root = ElementTree.Element(
            "svg",
            {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {WIDTH} {height}", "role": "img"},
        )
        add(root, "title", self.title)
        add(root, "style", STYLE)
        add(root, "rect", kind="paper", width=WIDTH, height=height, rx=8)
        add(root, "text", self.title, kind="title", x=MARGIN, y=32)
        add(root, "text", self.note, kind="quiet", x=MARGIN, y=52)
        self._grid(root, height)
        for place, bar in enumerate(self.bars):
            self._bar(root, bar, TOP + STEP * place)
        ElementTree.indent(root, " ")
        return ElementTree.tostring(root, encoding="unicode") + "\n"

    def _grid(self, root: ElementTree.Element, height: float) -> None:
        for tick in self.ticks:
            x = self.at(tick)
            add(root, "line", kind="grid", x1=x, x2=x, y1=TOP, y2=height - FOOT + 8)
            add(root, "text", number(tick), kind="quiet", x=x, y=height - 16, **{"text-anchor": "middle"})

    def _bar(self, root: ElementTree.Element, bar: Bar, y: float) -> None:
        add(root, "text", bar.name, x=MARGIN, y=y + 14)
        begin, end = sorted((self.at(self.origin or self.ticks[0]), self.at(bar.value)))
        top, middle = y + 20, y + 20 + BAR / 2
        add(root, "rect", kind=bar.kind, x=begin, y=top, width=max(end - begin, 1), height=BAR, rx=2)
        right = end
        if bar.reach:
            low, right = (self.at(value) for value in bar.reach)
            add(root, "line", kind="reach", x1=low, x2=right, y1=middle, y2=middle)
        if bar.mark:
            x = self.at(bar.mark)
            right = max(right, x)
            add(root, "line", kind="mark", x1=x, x2=x, y1=top - 3, y2=top + BAR + 3)
        add(root, "text", bar.text, kind="quiet", x=max(right, end) + 8, y=top + 11)


def add(parent: ElementTree.Element, tag: str, text: str = "", kind: str = "", **places: float | str) -> None:
    """Puts an element into another."""
    found = {name: place if isinstance(place, str) else f"{place:.5g}" for name, place in places.items()}
    ElementTree.SubElement(parent, tag, {"class": kind, **found} if kind else found).text = text or None


def drains(rows: list[dict[str, Any]]) -> Chart:
    """Our drain and everybody else's."""
    rows = [row for row in rows if row["benchmark"] in DRAINS and row["reference"]]
    found: defaultdict[str, list[float]] = defaultdict(list)
    for row in rows:
        found[OURS] += row["measured"]["values"]
        found[row["what"].partition(" against ")[2]] += row["reference"]["values"]
    bars = [
        Bar(
            name,
            statistics.median(values),
            "ours" if name == OURS else "other",
            f"{number(statistics.median(values))}/s",
            (min(values), max(values)),
        )
        for name, values in found.items()
    ]
    note = "logarithmic; a bar ends at the median, the line over it shows the least and the most"
    return Chart("drain", "No-op jobs a second, two workers", note, sorted(bars, key=lambda bar: -bar.value))


def bounds(rows: list[dict[str, Any]]) -> Chart:
    """How each figure stands to what it must reach. Figures and bounds of 0 have no place on the scale."""
    return Chart(
        "bounds",
        "Every figure against what it must at least be",
        "logarithmic; 1 is just enough, to the right is better; the mark is the aim",
        list(_against_bounds(rows)),
        origin=1,
    )


def _against_bounds(rows: list[dict[str, Any]]) -> Iterator[Bar]:
    for row in rows:
        figure, least, aim = row["figure"], row["least"], row["aim"]
        if not (least and figure):
            continue
        better = 1 if row["more_is_better"] else -1
        times = (figure / least) ** better
        text = f"{number(figure)} {row['unit']}".rstrip()
        yield Bar(
            row["what"], times, "ours" if times >= 1 else "short", text, mark=(aim / least) ** better if aim else None
        )


def draw(results: Path, folder: Path) -> list[Path]:
    """Writes the charts for which there are rows into the folder, and returns where they are."""
    rows = json.loads(results.read_text())["rows"]
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for chart in (drains(rows), bounds(rows)):
        if chart.bars:
            drawn.append(folder / f"{chart.name}.svg")
            drawn[-1].write_text(chart.svg())
    return drawn


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("python -m benchmarks.plots RESULTS.json FOLDER")
    for path in draw(Path(sys.argv[1]), Path(sys.argv[2])):
        print(path)
