"""Receipts: what producers were told of jobs while things broke, and when."""

from __future__ import annotations

import threading
import time
from typing import Any, NamedTuple

from tempotask import JobCancelled, JobFailed, JobHandle, as_completed

UNTOLD = "TimeoutError"


class Receipt(NamedTuple):
    job: str
    word: str
    """`completed`, `cancelled`, the type of a failure, or the name of the error that `result` raised."""
    result: Any
    at: float
    """When it was told, by the monotonic clock."""


class Receipts:
    """Waits for results as any producer does, in threads."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._waiting: set[str] = set()
        self._told: list[Receipt] = []

    def wait_for(self, handles: list[JobHandle[Any]]) -> None:
        """Waits for these too."""
        with self._lock:
            self._waiting |= {handle.id for handle in handles}
        self._threads.append(threading.Thread(target=self._wait, args=(handles,), daemon=True))
        self._threads[-1].start()

    def _wait(self, handles: list[JobHandle[Any]]) -> None:
        for handle in as_completed(handles):
            word, result = _result(handle)
            with self._lock:
                self._waiting.discard(handle.id)
                self._told.append(Receipt(handle.id, word, result, time.monotonic()))

    def collect(self, within: float) -> list[Receipt]:
        """All of them, when all have come or the time is over; then it is empty again."""
        end = time.monotonic() + within
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        with self._lock:
            told = self._told + [Receipt(job, UNTOLD, None, time.monotonic()) for job in self._waiting]
            self._threads, self._told, self._waiting = [], [], set()
        return told


def _result(handle: JobHandle[Any]) -> tuple[str, Any]:
    try:
        return "completed", handle.result(timeout=30)
    except JobCancelled:
        return "cancelled", None
    except JobFailed as error:
        return error.type, None
    except Exception as error:
        return type(error).__name__, None
