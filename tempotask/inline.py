"""The door of `init(inline=True)`: jobs run in the caller, at once. For tests of applications.

No server is opened and no process started. Payloads are encoded, decoded and validated, errors turned into failures,
tries counted as in a worker, by the same code; what is different is said in docs/testing.md: nobody waits (`delay`,
`retry_delay`), and nobody keeps time limits.
"""

from __future__ import annotations

import contextvars
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from tempotask.client import Client
from tempotask.errors import InvalidOptions
from tempotask.job import Context
from tempotask.manager import QueueManager
from tempotask.memory import Memory, NoServer
from tempotask.options import Options
from tempotask.producer import Producer
from tempotask.store.look import Found
from tempotask.store.outcomes import Outcomes, Wait
from tempotask.store.store import Addition
from tempotask.store.stream import Stream

if TYPE_CHECKING:
    import redis

    from tempotask.pool.report import AppReport

A = TypeVar("A")
P = ParamSpec("P")
T = TypeVar("T")


class InlineManager(QueueManager[A]):
    """A `QueueManager` that runs jobs in the caller. Made with `QueueManager.init(inline=True)`."""

    def __init__(self, db: str | redis.Redis | None, namespace: str, options: Options, concurrency: int | None) -> None:
        super().__init__(db, namespace, options, concurrency)
        self._client: InlineClient = InlineClient(self)
        self._producer = Producer(self._client, self.tasks, options.max_payload_bytes)

    # -- running: there is nothing to start, and nothing is ever left

    async def start(self) -> None:
        """Does nothing: jobs run as they are enqueued."""

    async def join(self, *, delayed: bool = False) -> None:
        """Returns at once: jobs have run by the time `enqueue` returns."""

    async def stop(self) -> None:
        """Does nothing."""

    def run(self) -> None:
        """Returns at once."""

    def context(self) -> Context[A]:
        """A context for handlers; the application's own is made once, at the first job."""
        return Context(self, self._app)

    @functools.cached_property
    def _app(self) -> A:
        return self._make_context()

    def describe(self) -> AppReport:
        """Refuses: no pool can work for this manager."""
        raise InvalidOptions(
            "this manager was made with inline=True, so that nothing ever waits for workers; leave it out for a pool"
        )

    def move(self, db: str, namespace: str) -> None:
        """Refuses, as `describe` does."""
        self.describe()


class InlineClient(Client):
    """The client of an inline manager: its store is in memory."""

    threads = 1000
    """Each awaited job may hold one, and the jobs that it waits for others."""

    def __init__(self, manager: InlineManager[Any]) -> None:
        super().__init__(None, manager.namespace, manager.options, manager.tasks)
        self._memory = Memory(manager, lambda id, outcome: self.outcomes.told(id, outcome))

    @property
    def server(self) -> NoServer:
        """None: using it says so."""
        return NoServer()

    @property
    def store(self) -> Memory:
        """The jobs, in memory."""
        return self._memory

    @property
    def outcomes(self) -> InlineOutcomes:
        """The outcomes that somebody waits for."""
        with self._in_this_process():
            if not isinstance(self._outcomes, InlineOutcomes):
                self._outcomes = InlineOutcomes(self._memory, self.submit)
            return self._outcomes

    def stream(self) -> InlineStream:
        """For calls of many jobs, one after the other."""
        return InlineStream(self._memory)

    async def apart(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Calls what may block in a thread, which belongs to the running job as its caller does."""
        family, context = self._memory.family, contextvars.copy_context()

        def inside() -> T:
            with self._memory.within(family):
                return context.run(call, *args, **kwargs)

        return await super().apart(inside)

    def found(self, id: str) -> Found | None:
        """A job, as it is in memory."""
        return self._memory.found(id)

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
        self._deliver([(id, outcome)])

    def _find_lost(self, wait: Wait) -> None:
        with self._lock:
            missing = self._missing(wait)
        self._deliver([(id, self._why_lost(id, wait.known)) for id in missing if self._find(id) is None])

    def _find(self, id: str) -> Found | None:
        return self._memory.found(id)

    def _check_later(self, wait: Wait) -> None:
        pass


class InlineStream(Stream):
    """Calls that take effect at once."""

    def __init__(self, memory: Memory) -> None:
        super().__init__(memory)
        self._memory = memory
        self._created: list[bool] = []

    def send(self, addition: Addition) -> None:
        """Adds jobs, and runs them."""
        self._created = addition.created(self._memory.run("enqueue", *addition.arguments()))

    def created(self) -> list[bool]:
        """Which jobs of the last call were created."""
        created, self._created = self._created, []
        return created
