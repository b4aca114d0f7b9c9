"""InlineClient: what a client does, on jobs in memory."""

from __future__ import annotations

import contextvars
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar

from tempotask import linux
from tempotask.client import Client
from tempotask.errors import InvalidOptions
from tempotask.inline.acting import InlineActing, fits
from tempotask.inline.memory import Memory
from tempotask.inline.stand_ins import NoServer, refusal
from tempotask.names import short
from tempotask.shelf import INLINE, Shelf
from tempotask.store.lists import Filter, QueueJobs
from tempotask.store.look import Found
from tempotask.store.lost import reason
from tempotask.store.outcomes import Outcomes
from tempotask.store.records import FINISHED, STATUSES, Status
from tempotask.store.stream import DirectStream
from tempotask.store.wait import Wait

if TYPE_CHECKING:
    from tempotask.manager import QueueManager

P = ParamSpec("P")
T = TypeVar("T")


class InlineClient(Client):
    """The client of an inline manager: its store is in memory."""

    threads = 1000
    """Each awaited job may hold one, and the jobs that it waits for others."""

    def __init__(self, manager: QueueManager[Any]) -> None:
        super().__init__(None, manager.namespace, manager.options, manager.tasks)
        self._memory = Memory(manager, lambda id, outcome: self.outcomes.told(id, outcome))
        self.running = self._memory.runners.running

    @property
    def server(self) -> NoServer:
        """None: using it says so."""
        return NoServer()

    @property
    def store(self) -> Memory:
        """The jobs, in memory."""
        return self._memory

    @property
    def shelf(self) -> Shelf:
        """Where this process puts large arrays."""
        with self._in_this_process():
            if self._shelf is None:
                self._shelf = Shelf(INLINE, self.namespace, linux.born_ns(self._pid))
                # The jobs go with this process, or before.
                weakref.finalize(self, self._shelf.clear)
            return self._shelf

    @property
    def outcomes(self) -> InlineOutcomes:
        """The outcomes that somebody waits for."""
        with self._in_this_process():
            if not isinstance(self._outcomes, InlineOutcomes):
                self._outcomes = InlineOutcomes(self._memory, self.submit)
            return self._outcomes

    def stream(self) -> DirectStream:
        """For calls of many jobs, one after the other."""
        return DirectStream(self._memory)

    async def apart(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Calls what may block in a thread, which belongs to the running job as its caller does."""
        here, context = self._memory.runners.here, contextvars.copy_context()

        def inside() -> T:
            with self._memory.runners.within(here):
                return context.run(call, *args, **kwargs)

        return await super().apart(inside)

    @property
    def events(self) -> NoReturn:
        """Refuses."""
        raise refusal("it tells no events; look at the jobs instead")

    @property
    def acting(self) -> InlineActing:
        """What acts on jobs."""
        return InlineActing(self._memory)

    def find(self, id: str, queue: str = "") -> Found | None:
        """A job, as it is in memory."""
        return self._memory.found(id)

    def find_status(self, id: str, queue: str) -> Status | None:
        """Where a job is, in memory."""
        found = self._memory.found(id)
        return None if found is None else found.status

    def listed(self, wanted: Filter, limit: int, cursor: str | None) -> tuple[list[Found], str | None]:
        """The newest of such jobs, and where to go on: after how many."""
        passed = "0" if cursor is None else cursor
        if not (isinstance(passed, str) and passed.isascii() and passed.isdecimal() and len(passed) < 12):
            raise InvalidOptions(f"cursor={short(cursor)}: give what the call before returned as its cursor")
        first, found = int(passed), [one for one in self._memory.jobs() if fits(wanted, one)]
        following = first + limit
        return found[first:following], str(following) if following < len(found) else None

    def newest(self, most: int) -> list[QueueJobs]:
        """All queues with their newest jobs, at most so many of each status."""
        jobs, queues = self._memory.jobs(), list[QueueJobs]()
        for name, paused in self._memory.queues():
            of = {status: [one for one in jobs if fits(Filter(name, status), one)] for status in STATUSES}
            stats = {status: len(some) for status, some in of.items()}
            queues.append(QueueJobs(name, paused, stats, {status: some[:most] for status, some in of.items()}))
        return queues

    def close(self) -> None:
        """Lets go of threads and loops; jobs stay."""
        super().close()
        self._memory.close()


class InlineOutcomes(Outcomes):
    """Waiting where there is nothing to listen to: a job that ends says so itself."""

    def __init__(self, memory: Memory, submit: Callable[..., object]) -> None:
        super().__init__(memory.server, memory, submit)
        self._memory = memory

    def told(self, id: str, outcome: bytes) -> None:
        """A job has ended."""
        self._deliver([(id, outcome)], pushed=True)

    def begin(self, ids: Sequence[str], notify: Callable[[], object], known: bool) -> Wait:
        """Begins to wait. A job that has no outcome is looked for in any case: memory knows at once where it is."""
        wait = super().begin(ids, notify, known)
        wait.seeks = True
        return wait

    def ask_within(self, wait: Wait, timeout: float | None) -> None:
        """`ask`: memory answers at once."""
        self.ask(wait)

    def _find_lost(self, wait: Wait) -> None:
        with self._lock:
            missing = self._missing(wait)
        found = {id: self._memory.found(id) for id in missing}
        lost = [(id, reason(id, wait.known, one)) for id, one in found.items() if one is None or one.status in FINISHED]
        self._deliver(lost, pushed=True)

    def ask_soon(self, wait: Wait) -> None:
        """`ask` in another thread, which belongs to the running job as its caller does."""
        here = self._memory.runners.here

        def ask() -> None:
            with self._memory.runners.within(here):
                self.ask(wait)
            if wait.asked is not None:
                wait.asked()

        self._submit(ask)

    def ask_later(self, wait: Wait) -> None:
        pass
