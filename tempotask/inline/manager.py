"""InlineManager: the door of `init(inline=True)`."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NoReturn, TypeVar

from tempotask.errors import InvalidOptions
from tempotask.inline.client import InlineClient
from tempotask.job import Context
from tempotask.manager import CANT_JOIN, CANT_START, QueueManager
from tempotask.options import Options

if TYPE_CHECKING:
    import redis

A = TypeVar("A")


class InlineManager(QueueManager[A]):
    """A `QueueManager` that runs jobs in the caller. Made with `QueueManager.init(inline=True)`."""

    def __init__(self, db: str | redis.Redis | None, namespace: str, options: Options, concurrency: int | None) -> None:
        super().__init__(db, namespace, options, concurrency)
        self._use(InlineClient(self))

    # -- running: there is nothing to start, and nothing is ever left

    async def start(self) -> None:
        """Does nothing: jobs run as they are enqueued. Raises `InvalidOptions` in a handler."""
        self._insist_on_no_handler(CANT_START)

    async def join(self, *, delayed: bool = False) -> None:
        """Returns at once: jobs have run by the time `enqueue` returns. Raises `InvalidOptions` in a handler."""
        self._insist_on_no_handler(CANT_JOIN)

    async def stop(self) -> None:
        """Does nothing."""

    def run(self) -> int:
        """Returns 0 at once. Raises `InvalidOptions` in a handler."""
        self._insist_on_no_handler(CANT_START)
        return 0

    def _insist_on_no_handler(self, why: str) -> None:
        if self._client.running() is not None:
            raise InvalidOptions(why)

    def context(self) -> Context[A]:
        """A context for handlers; the application's own is made once, at the first job."""
        return Context(self, self._app)

    @functools.cached_property
    def _app(self) -> A:
        return self._make_context()

    def describe(self) -> NoReturn:
        """Refuses: no pool can work for this manager."""
        raise InvalidOptions(
            "this manager was made with inline=True, so that nothing ever waits for workers; leave it out for a pool"
        )

    def move(self, db: str, namespace: str) -> None:
        """Refuses, as `describe` does."""
        self.describe()
