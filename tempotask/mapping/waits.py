"""Waits: the waiting for the jobs of a flow, a chunk at a time; the oldest is asked for first."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tempotask.mapping.inputs import Wake

if TYPE_CHECKING:
    from tempotask.client import Client
    from tempotask.store.outcomes import Outcomes
    from tempotask.store.wait import Ending, Wait


class Waiting:
    """The waiting for the jobs of a chunk. It is small: `Outcomes` may hold it for a minute."""

    __slots__ = ("_touched", "_wake", "left", "wait")

    def __init__(self, outcomes: Outcomes, ids: list[str], touched: deque[Waiting], wake: Wake) -> None:
        self.left = len(ids)
        """How many have not ended."""
        self._touched, self._wake = touched, wake
        self.wait = outcomes.begin(ids, self._notify, True)

    def _notify(self) -> None:
        self._touched.append(self)
        self._wake()


class Waits:
    """All that a flow waits for. `wake` is called, from any thread, when something has ended."""

    def __init__(self, client: Client, wake: Wake) -> None:
        self._client, self._wake = client, wake
        self._open: set[Waiting] = set()
        self._coming: Waiting | None = None
        self._unasked: deque[Waiting] = deque()
        self._touched: deque[Waiting] = deque()

    def begin(self, ids: list[str]) -> Waiting:
        """Waits for the jobs of a chunk, which are about to be sent; `sent` and `added` follow."""
        waiting = Waiting(self._client.outcomes, ids, self._touched, self._wake)
        self._open.add(waiting)
        return waiting

    def sent(self, waiting: Waiting) -> None:
        """They are on their way to the server."""
        self._coming = waiting
        waiting.wait.coming = True
        # Whoever maps may come back after hours only.
        self._client.outcomes.ask_later(waiting.wait)

    def added(self) -> None:
        """The server has those that were sent."""
        if (waiting := self._coming) is not None:
            self._coming = None
            waiting.wait.coming = False
            self._unasked.append(waiting)

    def oldest(self) -> Wait | None:
        """The oldest for which nobody has asked, to be asked for now: of that chunk most has ended."""
        while self._unasked:
            waiting = self._unasked.popleft()
            if waiting.left:
                return waiting.wait
        return None

    def arrived(self) -> Iterator[tuple[str, Ending]]:
        """Jobs that have ended since the last look, by their ids."""
        while self._touched:
            waiting = self._touched.popleft()
            arrived = waiting.wait.take()
            yield from arrived.items()
            waiting.left -= len(arrived)
            if waiting.left == 0 and waiting in self._open:
                self._open.discard(waiting)
                self._client.outcomes.end(waiting.wait)

    def close(self) -> None:
        """Waits for nothing any more."""
        for waiting in self._open:
            self._client.outcomes.end(waiting.wait)
        self._open.clear()
