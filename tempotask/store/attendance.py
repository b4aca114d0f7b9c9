"""Attendance: whether anybody can work in a namespace, for those who wait there for jobs."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING

from tempotask.store.values import number, text

if TYPE_CHECKING:
    from tempotask.store.store import Store

log = logging.getLogger("tempotask")

SILENCE = 5.0
"""Seconds in which nothing is heard until it is looked whether anybody works: pools are started beside producers."""


class Attendance:
    """Tells the log that nobody works: once, until somebody does. Or that a worker waits itself."""

    def __init__(self) -> None:
        self.in_worker = False
        """Whether who waits here are the handlers of a worker."""
        self._told = False
        self._next = math.inf
        """From when, of the monotonic clock, it is worth a look."""

    def waits(self) -> None:
        """Somebody begins to wait, however long: who asks again and again for a short while waits as well."""
        if self._next == math.inf:
            self._next = time.monotonic() + SILENCE

    def heard(self) -> None:
        """Something has come."""
        self._next = time.monotonic() + SILENCE

    @property
    def due(self) -> bool:
        """Whether nothing has come for a while, so that it is worth a look."""
        return time.monotonic() >= self._next

    def look(self, store: Store) -> None:
        """Looks, if that is due. Raises `ServerUnavailable`."""
        if not self.due:
            return
        self._next = time.monotonic() + SILENCE
        if self.in_worker:
            if not self._told:
                log.warning(
                    "a handler waits for other jobs, and holds its worker meanwhile: where all workers wait so, "
                    "nothing goes on; add what is to follow with ctx.enqueue(…, on_success=True), and wait elsewhere"
                )
            self._told = True
            return
        absent = not supervised(store)
        if absent and not self._told:
            log.warning(
                "no supervisor works in namespace %r of %s, and jobs are waited for; start one there: "
                "tempotask-supervisor app:tempotask",
                store.namespace,
                store.server.label,
            )
        self._told = absent


def supervised(store: Store) -> bool:
    """Whether the lease of a supervisor runs. Those that were swept have a word instead of a time."""
    now = store.now()
    return any(number(text(until)) / 1000 > now for until in store.read("HGETALL", "leases").values())
