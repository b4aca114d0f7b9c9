"""What people see while a map runs: a live view on a terminal, else a line every ten seconds."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click
import msgspec

from tempotask.cli import output
from tempotask.cli.mapping.rows import short
from tempotask.cli.mapping.tally import Tally, clock, pace

if TYPE_CHECKING:
    import psutil
    from rich.console import Console, RenderableType

LINE_EVERY, FRAME_EVERY, LOOK_EVERY = 10.0, 0.25, 1.0
"""Seconds between two lines, two frames, two looks at the workers."""
MOST_WORKERS = 16
"""Workers that are shown one by one."""


class View:
    """Shows nothing but what must be said."""

    every = 1.0

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self._next = time.monotonic() + self.every

    def tick(self) -> None:
        """Called many times a second."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + self.every
            self.tally.mark()
            self.show()

    def show(self) -> None:
        """Shows how far it is."""

    def say(self, line: str) -> None:
        """A line that stays."""
        click.echo(output.visible(line), err=True)

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """While it lasts rows are written, which stay."""
        yield

    def failed(self, row: bytes) -> None:
        """Tells of a failed input."""
        self.say(f"tempotask map: {short(row)}")

    def first_failed(self, row: bytes) -> None:
        """Tells of the first of those that go to a file: it may be the same mistake in all, and is seen at once so."""

    def close(self) -> None:
        """Shows nothing any more."""


class PlainLines(View):
    """A plain line from time to time."""

    every = LINE_EVERY

    def show(self) -> None:
        self.say(f"tempotask map: {told(self.tally)}")

    def first_failed(self, row: bytes) -> None:
        self.failed(row)


class Objects(View):
    """Nothing but JSON, an object a line: how far it is from time to time, what failed, what must be said."""

    every = LINE_EVERY

    def __init__(self, tally: Tally, *, quiet: bool) -> None:
        super().__init__(tally)
        self._quiet = quiet

    def show(self) -> None:
        if not self._quiet:
            output.tell(self.tally.state())

    def say(self, line: str) -> None:
        output.tell({"said": line})

    def failed(self, row: bytes) -> None:
        output.tell(msgspec.Raw(row.strip()))


class Live(View):
    """A few lines of a terminal, drawn again and again."""

    every = FRAME_EVERY

    def __init__(self, tally: Tally, name: str, workers: Workers, *, among_rows: bool) -> None:
        from rich.console import Console

        super().__init__(tally)
        self._name = name
        self._workers = workers
        self._among_rows = among_rows
        """Whether rows go to a terminal, too."""
        self._console: Console = Console(stderr=True)
        self._draw()

    def _draw(self) -> None:
        from rich.live import Live as Drawn

        # A new one each time: one that goes on would begin by wiping as many lines as it had drawn before.
        self._drawn = Drawn(console=self._console, auto_refresh=False, transient=True)
        self._drawn.start()

    def show(self) -> None:
        self._drawn.update(frame(self._name, self.tally, self._workers.loads()), refresh=True)

    def say(self, line: str) -> None:
        self._console.print(output.visible(line), markup=False, highlight=False, soft_wrap=True)

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        if not self._among_rows:
            yield
            return
        self._drawn.stop()
        try:
            yield
        finally:
            self._draw()

    def first_failed(self, row: bytes) -> None:
        self.failed(row)

    def close(self) -> None:
        self._drawn.stop()


class Workers:
    """How busy the worker processes are."""

    def __init__(self, supervisor: Callable[[], int | None]) -> None:
        self._supervisor = supervisor
        self._known: dict[int, psutil.Process] = {}
        """Workers, by what was seen of them before."""
        self._used: dict[int, float] = {}
        self._looked = 0.0
        self._loads: list[float] = []

    def loads(self) -> list[float]:
        """Of each worker the part of a core that it and what it started uses, from 0 to about 1."""
        now = time.monotonic()
        if now - self._looked >= LOOK_EVERY:
            seconds, self._looked = now - self._looked, now
            before, self._used = self._used, self._look()
            self._loads = [
                max(0.0, used - before[pid]) / seconds for pid, used in sorted(self._used.items()) if pid in before
            ]
        return self._loads

    def _look(self) -> dict[int, float]:
        import psutil

        pid, used, known = self._supervisor(), dict[int, float](), dict[int, psutil.Process]()
        with contextlib.suppress(psutil.Error):
            for process in psutil.Process(pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    # A worker is looked at once for its name, which costs more than its times.
                    if self._known.get(process.pid) == process or _is_worker(process):
                        known[process.pid] = process
                        used[process.pid] = _seconds(process)
        self._known = known
        return used


def _is_worker(process: psutil.Process) -> bool:
    return " ".join(process.cmdline()).startswith("tempotask: worker")


def _seconds(process: psutil.Process) -> float:
    """The processor's time of a worker, and of what it has started."""
    import psutil

    times = process.cpu_times()
    total = times.user + times.system + getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    for child in process.children():
        with contextlib.suppress(psutil.Error):
            its = child.cpu_times()
            total += its.user + its.system
    return float(total)


def view_of(tally: Tally, name: str, workers: Workers, *, quiet: bool, as_json: bool, among_rows: bool = False) -> View:
    """The view that suits whoever looks. `among_rows`: rows go to a terminal, which may be the same."""
    if as_json:
        return Objects(tally, quiet=quiet)
    if quiet or sys.stderr is None:
        return View(tally)
    return Live(tally, name, workers, among_rows=among_rows) if sys.stderr.isatty() else PlainLines(tally)


def told(tally: Tally) -> str:
    """How far it is, in one line."""
    parts = [f"{tally.done:,} done", f"{tally.failed:,} failed"]
    if tally.before:
        parts.insert(0, f"{tally.before:,} answered before")
    parts.append(pace(tally.pace))
    if tally.left is not None:
        parts.append(f"{clock(tally.left)} left")
    return ", ".join(parts)


def frame(name: str, tally: Tally, loads: list[float]) -> RenderableType:
    """The live view."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    top = Table.grid(padding=(0, 2))
    top.add_column(overflow="ellipsis", no_wrap=True, max_width=44)
    top.add_column()
    top.add_column(justify="right")
    part = tally.part
    bar = ProgressBar(total=1.0, completed=part or 0.0, width=40, pulse=part is None)
    top.add_row(Text(name, style="bold"), bar, Text("" if part is None else f"{part:.0%}"))
    counts = Text.assemble(
        (f"{tally.done:,}", "green"),
        " done  ",
        (f"{tally.failed:,}", "bold red" if tally.failed else "dim"),
        " failed  ",
        (pace(tally.pace), "cyan"),
        f"  {clock(tally.seconds)} so far",
    )
    if tally.left is not None:
        counts.append(f"  {clock(tally.left)} left")
    if tally.before:
        counts.append(f"  ({tally.before:,} answered before)", style="dim")
    return Group(top, counts, _workers(loads))


def _workers(loads: list[float]) -> RenderableType:
    from rich.text import Text

    line = Text("workers", style="dim")
    for load in loads[:MOST_WORKERS]:
        filled = round(min(1.0, load) * 5)
        line.append("  " + "■" * filled, style="green").append("·" * (5 - filled)).append(f" {min(load, 9.99):4.0%}")
    if len(loads) > MOST_WORKERS:
        line.append(f"  … {len(loads) - MOST_WORKERS} more")
    return line
