"""What is on its way: the spans that are in the queue or with a worker.

`tempotask.mapping` does the like for jobs. A span is more than a job: it may come back in parts, and be one that an
earlier command has added.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent import futures
from typing import Any

from tempotask.cli.mapping.span import Span
from tempotask.cli.mapping.work import QUEUE, Work
from tempotask.errors import ServerUnavailable
from tempotask.manager import QueueManager
from tempotask.store.script import chunked
from tempotask.store.wait import Ending, Wait

TICK = 0.1
"""Seconds after which it is looked whether somebody wants it to stop."""


class Flight:
    """Sends spans, and takes what comes of them. `notify` is called, from any thread, when something has come."""

    def __init__(self, manager: QueueManager[Any], work: Work, notify: Callable[[], object]) -> None:
        self._manager = manager
        self._client = manager._client
        self._name = work.name
        self._notify = notify
        self._spans: dict[str, Span] = {}
        self._waits: list[tuple[Wait, set[str]]] = []
        self.inputs = 0
        """How many inputs are on their way."""

    def __len__(self) -> int:
        return len(self._spans)

    def send(self, spans: Sequence[Span]) -> None:
        """Adds jobs for these, and waits for them. Those that were left behind are there, and are waited for only.

        Raises:
            ServerUnavailable, ServerFull: the server does not take them.
        """
        self._manager.enqueue_many(self._job(one) for one in spans if not one.left_behind)
        self._await([one for one in spans if not one.left_behind], known=True)
        self._await([one for one in spans if one.left_behind], known=False)

    def rest(self, seconds: float) -> None:
        """For how long nobody need hear what has been answered."""
        self._client.outcomes.rest(seconds)

    def landed(self) -> list[tuple[Span, Ending]]:
        """What has come since the last look."""
        found, left = [], []
        for wait, ids in self._waits:
            for id, ending in wait.take().items():
                ids.discard(id)
                found.append((self._land(id), ending))
            if ids:
                left.append((wait, ids))
            else:
                self._client.outcomes.end(wait)
        self._waits = left
        return found

    def last(self, give_up: Callable[[], bool]) -> list[tuple[Span, Ending]]:
        """When the pool has ended: what has come until then, and was not heard of. The rest has not run.

        Raises:
            ServerUnavailable: the server can't be asked, or `give_up` has said that nobody waits for it any more.
        """
        ids = list(self._spans)
        store = self._client.store
        asked = self._client.submit(lambda: [one for some in chunked(ids) for one in store.outcomes_of(some)])
        while not futures.wait([asked], TICK).done:
            if give_up():
                raise ServerUnavailable("the server has not said what else was answered")
        ended = zip(ids, asked.result(), strict=True)
        return [(self._land(id), outcome) for id, outcome in ended if outcome is not None]

    def close(self) -> None:
        """Waits for nothing any more."""
        for wait, _ in self._waits:
            self._client.outcomes.end(wait)
        self._waits = []

    def _job(self, span: Span) -> dict[str, Any]:
        options: dict[str, Any] = {"id": span.id}
        if len(span.lines) > 1:
            # Which of them it was is found out by giving them one by one.
            options["max_crashes"] = 1
        return {"queue": QUEUE, "name": self._name, "data": (span.first, span.lines), "options": options}

    def _await(self, spans: Sequence[Span], *, known: bool) -> None:
        if spans:
            ids = [one.id for one in spans]
            for one in spans:
                self._spans[one.id] = one
                self.inputs += len(one.lines)
            wait = self._client.outcomes.begin(ids, self._notify, known)
            self._waits.append((wait, set(ids)))
            self._client.outcomes.ask(wait)

    def _land(self, id: str) -> Span:
        span = self._spans.pop(id)
        self.inputs -= len(span.lines)
        return span
