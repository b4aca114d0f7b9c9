"""Attendance: whether anybody works in a namespace, for those who wait there for jobs."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from tempotask.store.facts import number
from tempotask.store.script import text

if TYPE_CHECKING:
    from tempotask.store.store import Store

log = logging.getLogger("tempotask")

SILENCE = 5.0
"""Seconds of waiting for a job after which it is looked whether anybody works: pools are started beside producers."""


class Attendance:
    """Tells the log that nobody works: once, until somebody does."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._told = False
        self._next = 0.0
        """From when, of the monotonic clock, it is worth another look."""

    def look(self) -> None:
        """Looks, unless that was done a moment ago. For who has waited for `SILENCE`. Raises `ServerUnavailable`."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + SILENCE
        absent = not _supervised(self._store)
        if absent and not self._told:
            log.warning(
                "no supervisor works in namespace %r of %s, and jobs are waited for; start one there: "
                "tempotask-supervisor app:tempotask",
                self._store.namespace,
                self._store.server.label,
            )
        self._told = absent


def _supervised(store: Store) -> bool:
    """Whether the lease of a supervisor runs. Those that were swept have a word instead of a time."""
    now = store.now()
    return any(number(text(until)) / 1000 > now for until in store.read("HGETALL", "leases").values())
