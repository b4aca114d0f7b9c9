"""Tables as lines of text, for a screen that is drawn every second.

Not rich's own tables, which measure every cell: they would take all of the hundredth of a core that there is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from tempotask.cli import output
from tempotask.top.state import Failure, Queue, State, Worker

GAP = 2
"""Columns of the terminal between two of a table."""
LEAST = 12
"""Characters that the column which gets what is left of the screen has at least: others are left out for it."""
HEAD, SELECTED = "bold", "reverse"
NARROW, MEDIUM, WIDE = range(3)
"""In what screens a column is shown: in all, or only where there is room for it."""


class Column(NamedTuple):
    """A column; the last of a table gets what is left of the screen."""

    title: str
    right: bool = False
    rank: int = NARROW
    """The columns of the highest rank go first when the screen is too narrow."""


class Line(NamedTuple):
    """A line of a table."""

    cells: tuple[str, ...]
    style: str = ""


class Table(NamedTuple):
    """What is shown of one kind."""

    kind: str
    columns: tuple[Column, ...]
    rows: dict[str, Any]
    """What stands in it, by what tells it from the others and stays the same from one look to the next."""
    line: Callable[[Any], Line]
    """Makes a line of a row. Only of those that are shown: there may be thousands."""

    def drawn(self, width: int, room: int, selected: str | None) -> list[Text]:
        """Its head and so many lines, those around the selected one."""
        keys = list(self.rows)
        at = keys.index(selected) if selected in self.rows else 0
        first = max(0, min(at - room // 2, len(keys) - room))
        shown = [(key, self.line(self.rows[key])) for key in keys[first : first + room]]
        heads = [column.title for column in self.columns]
        if len(shown) < len(keys):
            heads[0] += f" {first + 1}-{first + len(shown)} of {len(keys)}"
        columns, widths = self._widths(width, [heads, *(line.cells for _, line in shown)])
        drawn = [self._drawn(heads, columns, widths, width, HEAD)]
        for key, line in shown:
            style = f"{line.style} {SELECTED if key == selected else ''}".strip()
            drawn.append(self._drawn(line.cells, columns, widths, width, style))
        return drawn

    def _widths(self, width: int, rows: Sequence[Sequence[str]]) -> tuple[list[int], list[int]]:
        """The columns for which there is room, and how wide each is."""
        columns = list(range(len(self.columns)))
        # No long name is to push the numbers off the screen.
        most, last = max(LEAST, 2 * width // 5), columns[-1]
        widths = [min(most, max(map(cell_len, cells))) for cells in zip(*rows, strict=True)]
        for rank in (WIDE, MEDIUM):
            if sum(widths[i] + GAP for i in columns[:-1]) + min(LEAST, widths[last]) <= width:
                break
            columns = [i for i in columns if self.columns[i].rank < rank]
        used = sum(widths[i] + GAP for i in columns if i != last)
        widths[last] = max(0, width - used)
        return columns, widths

    def _drawn(
        self, cells: Sequence[str], columns: Sequence[int], widths: Sequence[int], width: int, style: str
    ) -> Text:
        parts = [_fitted(cells[i], widths[i], self.columns[i].right) for i in columns]
        # With its style as a span: only so two lines of different styles are different.
        return Text().append(set_cell_size((" " * GAP).join(parts), width), style or None)


def _fitted(cell: str, width: int, right: bool) -> str:
    length = cell_len(cell)
    if length > width:
        return set_cell_size(cell, width - 1) + "…" if width > 0 else ""
    return " " * (width - length) + cell if right else cell + " " * (width - length)


# -- the tables


def tables(state: State) -> list[Table]:
    """All that is shown of a state."""
    queues = sorted(state.queues, key=lambda queue: (not _is_active(queue), queue.name))
    return [
        Table("queue", QUEUES, {queue.name: queue for queue in queues}, _queue),
        Table("worker", WORKERS, {worker.worker: worker for worker in state.workers}, _worker),
        # A job that is run again under its id may fail more than once.
        Table("failure", FAILURES, {f"{failure.id} {failure.at}": failure for failure in state.failures}, _failure),
    ]


QUEUES = (
    Column("queue"),
    Column("waiting", right=True),
    Column("running", right=True),
    Column("rate", right=True),
    Column("oldest", right=True, rank=MEDIUM),
    Column("delayed", right=True, rank=WIDE),
    Column("completed", right=True, rank=WIDE),
    Column("failed", right=True, rank=MEDIUM),
    Column("state"),
)
WORKERS = (
    Column("worker"),
    Column("host", rank=WIDE),
    Column("pid", right=True, rank=MEDIUM),
    Column("state"),
    Column("cpu", right=True, rank=MEDIUM),
    Column("memory", right=True, rank=MEDIUM),
    Column("batch", right=True, rank=WIDE),
    Column("for", right=True),
    Column("job"),
)
FAILURES = (Column("failed"), Column("job"), Column("tries", right=True, rank=WIDE), Column("error"))


def _is_active(queue: Queue) -> bool:
    return bool(queue.paused or queue.waiting or queue.running or queue.delayed or queue.rate)


def _queue(queue: Queue) -> Line:
    cells = (
        output.visible(queue.name), f"{queue.waiting:,}", f"{queue.running:,}",
        per_second(queue.rate), duration(queue.oldest_seconds),
        f"{queue.delayed:,}", f"{queue.completed:,}", f"{queue.failed:,}", "paused" if queue.paused else "",
    )  # fmt: skip
    return Line(cells, "yellow" if queue.paused else "" if _is_active(queue) else "dim")


def _worker(worker: Worker) -> Line:
    job = f"{worker.queue}/{worker.name} {worker.id}" if worker.id else ""
    cells = (
        worker.worker, worker.host, str(worker.pid or ""), worker.state,
        "" if worker.cpu_percent is None else f"{worker.cpu_percent:.0f} %", size(worker.memory_bytes),
        "" if worker.batch is None else f"{worker.number}/{worker.batch}", duration(worker.seconds), job,
    )  # fmt: skip
    style = {"busy": "green", "idle": "dim"}.get(worker.state, "")
    return Line(tuple(map(output.visible, cells)), style)


def _failure(failure: Failure) -> Line:
    moment, today = output.moment(failure.at) or "", output.moment(time.time()) or ""
    at = moment[11:] if moment[:10] == today[:10] else moment[5:16]
    job = f"{failure.queue}/{failure.name} {failure.id}"
    return Line((at, output.visible(job), str(failure.tries), output.text(failure.error)), "red")


# -- numbers as people read them


def per_second(rate: float | None) -> str:
    """Jobs a second."""
    if rate is None:
        return ""
    return f"{rate:,.0f}/s" if rate >= 10 or rate == 0 else f"{rate:.1f}/s"


def duration(seconds: float | None) -> str:
    """Seconds; minutes and seconds; hours; days."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)}:{int(seconds % 60):02} m"
    if seconds < 100 * 3600:
        return f"{int(seconds // 3600)}:{int(seconds % 3600 // 60):02} h"
    return f"{seconds / 86400:,.0f} d"


def size(bytes: int) -> str:
    """MiB, or GiB."""
    return f"{bytes / 2**20:.0f} MiB" if bytes < 2**30 else f"{bytes / 2**30:.1f} GiB"


def clock() -> str:
    """The time of day here."""
    return time.strftime("%H:%M:%S")
