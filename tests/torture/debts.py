"""What is owed: jobs whose adding was acknowledged, and those of which the producer was told an error."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from tempotask import JobHandles, QueueManager
from tempotask.errors import ServerFull, ServerUnavailable

TOGETHER = 500
"""So many jobs are added by one call."""
COMPLETED = ("completed",)


class Owed(NamedTuple):
    """A job that is owed, and the outcomes that are right: `completed`, `cancelled`, or the type of a failure."""

    mark: str
    expect: tuple[str, ...] = COMPLETED
    is_chore: bool = True
    """Whether it keeps to the rules of the chores: its result is the mark of its run, and it commits one child."""
    max_crashes: int = 3
    has_timeout: bool = False


class Debts:
    """All that is owed since the last judgement. May be used by several threads."""

    def __init__(self, manager: QueueManager[Any]) -> None:
        self._manager = manager
        self._lock = threading.Lock()
        self._made = 0
        self.owed: dict[str, Owed] = {}
        """By id."""
        self.maybe: dict[str, Owed] = {}
        """By mark: those that may be in or not, as the call that added them ended with an error."""

    def mark(self) -> str:
        """A word of its own for a job that is to be added."""
        with self._lock:
            self._made += 1
            return f"m{self._made}"

    def add(self, jobs: Iterable[tuple[Owed, Mapping[str, Any]]]) -> JobHandles[Any]:
        """Adds jobs, given as `enqueue_many` takes them, and writes down what came of it. Raises what that raises."""
        handles, left = JobHandles[Any](), list(jobs)
        while left:
            part, left = left[:TOGETHER], left[TOGETHER:]
            try:
                added: list[Any] = self._manager.enqueue_many(item for _, item in part)
            except (ServerFull, ServerUnavailable) as error:
                added = error.handles
                raise
            except BaseException:
                added = []
                raise
            finally:
                with self._lock:
                    self.owed |= {handle.id: owed for handle, (owed, _) in zip(added, part, strict=False)}
                    self.maybe |= {owed.mark: owed for owed, _ in part[len(added) :]}
            handles += added
        return handles

    def forget(self) -> None:
        with self._lock:
            self.owed, self.maybe = {}, {}
