"""The screen: a line of what all is about, the tables, a line that says something, and the keys.

One line of all tables is selected; keys act on what it shows. Nothing here waits: what a key asks for is handed on.
"""

from __future__ import annotations

import time
from typing import Any

from rich.text import Text

from tempotask.cli import output
from tempotask.manager import QueueManager
from tempotask.top.keys import DOWN, TAB, UP
from tempotask.top.sampler import Act, Sampler
from tempotask.top.state import State
from tempotask.top.tables import Table, clock, duration, tables

AIRY = 14
"""Lines of a screen from which on there is an empty one between two tables."""
SAID_FOR = 8.0
"""Seconds for which the line says what came of a key."""
KEYS = (
    ("q", "quit", ("", "queue", "worker", "failure")),
    ("j/k", "select", ("queue", "worker", "failure")),
    ("tab", "table", ("queue", "worker", "failure")),
    ("p", "pause/resume", ("queue",)),
    ("c", "cancel", ("worker",)),
    ("r", "retry", ("failure",)),
)
"""Key, what it does, and for which kind of line."""

ALL_KEYS = sum(len(key) + len(what) + 5 for key, what, _ in KEYS)
"""Columns that it takes to name them all."""

Asked = tuple[str, Act]
"""A question, and what is done when the answer is yes."""


class Screen:
    """What is shown of a sampler's state. `where` names the namespace and the server."""

    def __init__(self, sampler: Sampler, where: str) -> None:
        self._sampler = sampler
        self._where = where
        self._state: State | None = None
        self._tables: list[Table] = []
        self._selected: tuple[str, str] | None = None
        """Kind and key of a line."""
        self._index = 0
        """Where that line was seen last, among all."""
        self._asked: Asked | None = None
        self._said = ""
        self._said_at = 0.0

    def press(self, key: str) -> bool:
        """Does what a key asks for. Returns whether that is to quit."""
        if self._asked is not None:
            (_, act), self._asked = self._asked, None
            if key in ("y", "Y"):
                self._sampler.act(act)
            else:
                self.say("nothing is cancelled")
            return False
        if key in (UP, DOWN, TAB):
            self._move(key)
        elif key in ("p", "c", "r"):
            {"p": self._pause, "c": self._cancel, "r": self._retry}[key]()
        return key == "q"

    def say(self, line: str) -> None:
        """Says something for a while."""
        self._said, self._said_at = output.visible(line), time.monotonic()

    # -- selecting

    def _lines(self) -> list[tuple[str, str]]:
        return [(table.kind, key) for table in self._tables for key in table.rows]

    def _select(self) -> None:
        """Keeps the line selected that was; if it is gone, the one in its place."""
        lines = self._lines()
        if self._selected in lines:
            self._index = lines.index(self._selected)
        elif lines:
            self._index = min(self._index, len(lines) - 1)
            self._selected = lines[self._index]
        else:
            self._index, self._selected = 0, None

    def _move(self, key: str) -> None:
        lines = self._lines()
        if not lines:
            return
        if key == TAB:
            kinds = [table.kind for table in self._tables if table.rows]
            kind = lines[self._index][0]
            following = kinds[(kinds.index(kind) + 1) % len(kinds)]
            self._index = next(i for i, line in enumerate(lines) if line[0] == following)
        else:
            self._index = max(0, min(len(lines) - 1, self._index + (1 if key == DOWN else -1)))
        self._selected = lines[self._index]

    @property
    def _kind(self) -> str:
        return self._selected[0] if self._selected is not None else ""

    # -- acting

    def _pause(self) -> None:
        queue = self._found("queue")
        if queue is None:
            self.say("p pauses or resumes a queue: select one")
            return
        name, paused = queue.name, queue.paused

        def act(manager: QueueManager[Any]) -> str:
            changed = manager.resume_queue(name) if paused else manager.pause_queue(name)
            now, before = ("resumed", "not paused") if paused else ("paused", "paused")
            return f"queue {name} is {now}" if changed else f"queue {name} was {before} before"

        self._sampler.act(act)

    def _cancel(self) -> None:
        worker = self._found("worker")
        if worker is None or worker.id is None:
            self.say("c cancels the job that a worker runs: select a worker that runs one")
            return
        id = worker.id

        def act(manager: QueueManager[Any]) -> str:
            if manager.cancel_job_by_id(id):
                return f"job {id} is cancelled"
            return f"job {id} was not cancelled: it has ended"

        self._asked = (f"cancel it (y/n)? job {id} ({worker.queue}/{worker.name})", act)

    def _retry(self) -> None:
        failure = self._found("failure")
        if failure is None:
            self.say("r has a failed job tried again: select one")
            return
        id = failure.id

        def act(manager: QueueManager[Any]) -> str:
            if manager.retry_job_by_id(id):
                return f"job {id} waits again"
            return f"job {id} was not retried: it is not finished, history does not keep it, or its payload was let go"

        self._sampler.act(act)

    def _found(self, kind: str) -> Any:
        """What the selected line shows, if it is of that kind."""
        if self._selected is None or self._kind != kind:
            return None
        return next((table.rows.get(self._selected[1]) for table in self._tables if table.kind == kind), None)

    # -- drawing

    def drawn(self, width: int, height: int) -> list[Text]:
        """All lines, for a terminal of that size."""
        if self._state is not self._sampler.state and self._sampler.state is not None:
            self._state = self._sampler.state
            self._tables = tables(self._state)
        while not self._sampler.said.empty():
            self.say(self._sampler.said.get())
        self._select()
        room = max(0, height - 3)
        body = self._body(width, room)
        body += [Text()] * (room - len(body))
        # Of a terminal that is hardly there the most important line is left.
        return [self._head(), *body, self._line(), self._keys(width)][: max(1, height)]

    def _body(self, width: int, room: int) -> list[Text]:
        some = [table for table in self._tables if table.rows or table.kind == "queue"]
        if room < 3 * len(some):
            some = [table for table in some if table.kind == self._kind] or some[:1]
        gap = 1 if room >= AIRY else 0
        needs = [max(1, len(table.rows)) for table in some]
        rooms = _shared(needs, room - len(some) - gap * (len(some) - 1))
        selected = self._selected[1] if self._selected is not None else None
        body: list[Text] = []
        for table, lines in zip(some, rooms, strict=True):
            body += [Text()] * (gap if body else 0)
            body += table.drawn(width, max(0, lines), selected if table.kind == self._kind else None)
            if not table.rows and self._state is not None:
                body.append(Text().append("no queue has had a job yet", "dim"))
        return body[: max(0, room)]

    def _head(self) -> Text:
        """What matters most stands first: the rest is cut off by a narrow terminal."""
        line, state = Text().append("tempotask top", "bold"), self._state
        if state is not None:
            busy = sum(worker.state == "busy" for worker in state.workers)
            line.append(f"  {len(state.workers)} worker{'s' if len(state.workers) != 1 else ''}, {busy} busy")
            if not state.supervisors:
                line.append("  no supervisor works here", "yellow")
            if state.silent:
                line.append(f"  no answer from {len(state.silent)} of {state.supervisors} supervisors", "yellow")
        return line.append(f"  {clock()}  {self._where}")

    def _line(self) -> Text:
        if self._asked is not None:
            return Text().append(self._asked[0], "bold yellow")
        since = time.monotonic() - self._sampler.looked_at
        if self._sampler.trouble is not None:
            return Text().append(
                f"no answer for {duration(since)}: {output.visible(self._sampler.trouble)}", "bold red"
            )
        if time.monotonic() - self._said_at < SAID_FOR:
            return Text().append(self._said)
        if self._state is None:
            return Text().append("looking…", "dim")
        return Text()

    def _keys(self, width: int) -> Text:
        """Those that do nothing for the selected line are pale; left out, where there is no room for all."""
        some = KEYS if width >= ALL_KEYS else [key for key in KEYS if self._kind in key[2]]
        line = Text()
        for key, what, kinds in some:
            here = self._kind in kinds
            line.append(f" {key} ", "reverse" if here else "dim").append(f" {what}  ", "" if here else "dim")
        return line


def _shared(needs: list[int], room: int) -> list[int]:
    """How much of the room each gets: what it needs, or an equal part of what the others leave."""
    rooms = [0] * len(needs)
    left, waiting = room, sorted(range(len(needs)), key=lambda i: needs[i])
    for count, i in zip(range(len(waiting), 0, -1), waiting, strict=True):
        rooms[i] = min(needs[i], max(0, left) // count)
        left -= rooms[i]
    return rooms
