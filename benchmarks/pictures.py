"""The pictures in docs/pictures, taken from real runs: `scripts/pictures`."""

from __future__ import annotations

import io
import re
import time

from rich.console import Console
from rich.text import Text

from benchmarks.harness import ROOT, Bench, until
from tempotask.top.sampler import Sampler
from tempotask.top.screen import Screen

PICTURES = ROOT / "docs" / "pictures"
WIDTH, HEIGHT = 110, 26


def draw(name: str, title: str, lines: list[Text]) -> None:
    """Writes lines of a screen as SVG."""
    console = Console(record=True, file=io.StringIO(), width=WIDTH, force_terminal=True, highlight=False)
    for line in lines:
        console.print(line, no_wrap=True, overflow="crop")
    # Without the fonts that it would have the reader's browser fetch from elsewhere.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", console.export_svg(title=title), flags=re.DOTALL)
    PICTURES.mkdir(exist_ok=True)
    (PICTURES / f"{name}.svg").write_text(svg)
    print(f"written: docs/pictures/{name}.svg")


def top(bench: Bench) -> None:
    """`tempotask top` on a shop with four workers: one has a long job, two queues fail now and then, one is paused."""
    with bench.project("pictured") as project:
        manager = project.producer
        manager.pause_queue("search")
        manager.enqueue_many({"name": "index", "queue": "search", "data": n} for n in range(1520))
        manager.enqueue(name="monthly", queue="reports", data="October")
        supervisor = project.supervisor(workers=4).ready()
        manager.enqueue_many({"name": "thumbnail", "queue": "images", "data": n} for n in range(20_000))
        manager.enqueue_many({"name": "welcome", "queue": "mail", "data": n} for n in range(5000))
        sampler = Sampler(manager, lambda: None)
        screen = Screen(sampler, f"{project.namespace} at {manager._client.server.label}")
        sampler.start()
        until("failures", lambda: sampler.state is not None and len(sampler.state.failures) >= 6, within=60)
        time.sleep(3)
        lines = screen.drawn(WIDTH, HEIGHT)
        # What it shows when a worker is selected.
        screen.press("tab")
        lines = screen.drawn(WIDTH, HEIGHT)
        sampler.stop()
        supervisor.end()
    draw("top", "tempotask top", lines)


if __name__ == "__main__":
    with Bench() as everything:
        top(everything)
