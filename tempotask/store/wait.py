"""Wait: that somebody waits for some jobs, and what has arrived for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from tempotask.errors import TempoTaskError

Ending = bytes | TempoTaskError
"""An encoded `Outcome`, or why there will be none."""

FIRST_PAUSE = 2.0
"""Seconds of silence after which it is asked for again, at first."""


class Wait:
    """Somebody's waiting for some jobs. `notify` is called, from any thread, when something has arrived."""

    __slots__ = (
        "_arrived", "_lock", "asked", "coming", "ended", "ids", "known", "notify", "pause", "registered", "seeks",
    )  # fmt: skip

    def __init__(
        self, ids: Sequence[str], notify: Callable[[], object], known: bool, lock: AbstractContextManager[Any]
    ) -> None:
        self._lock = lock
        self.ids = ids
        self.notify = notify
        self.known = known
        """Whether this process saw these jobs being added."""
        self.coming = False
        """Whether these jobs are on their way to the server: until it has them, none is lost."""
        self.seeks = not known
        """Whether those without an outcome are looked for at once: as a rule only others' are."""
        self.registered = False
        """Whether the server may know that this process waits, so that it tells us how they end."""
        self.asked: Callable[[], object] | None = None
        """Called when the server has been asked by `ask_soon`."""
        self.pause = FIRST_PAUSE
        self.ended = False
        self._arrived: dict[str, Ending] = {}

    def add(self, id: str, ending: Ending) -> None:
        """Something has arrived. To be called with the lock, and `notify` after it."""
        self._arrived[id] = ending

    def take(self) -> dict[str, Ending]:
        """What has arrived since the last look."""
        with self._lock:
            arrived, self._arrived = self._arrived, {}
        return arrived
