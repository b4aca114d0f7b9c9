"""What live supervisors declare, as a worker asks it of a task that it does not know: its own may have newer code."""

from __future__ import annotations

import time

import redis

from tempotask.errors import TempoTaskError
from tempotask.store.records import read_registration
from tempotask.store.store import Store

FRESH = 1.0
"""Seconds for which a yes is believed. A no is asked for each time: a supervisor that has just come must not find the
job failed."""


class Others:
    """All supervisors of a namespace."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._asked = 0.0
        self._declared: set[tuple[str, str]] = set()

    def may_run(self, queue: str, name: str) -> bool:
        """Whether one declares this task, or may: it is of a version that can't be read, or nobody can be asked now."""
        if (queue, name) in self._declared and time.monotonic() - self._asked <= FRESH:
            return True
        try:
            told = self._store.registrations()
        except (TempoTaskError, redis.RedisError):
            return True
        registrations = [read_registration(blob) for blob in told.values()]
        self._asked = time.monotonic()
        self._declared = {task for one in registrations if one is not None for task in one.tasks}
        return (queue, name) in self._declared or None in registrations
