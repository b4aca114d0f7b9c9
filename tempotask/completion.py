"""Handles as their jobs finish."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Generic, TypeVar

from tempotask.durations import Duration, patience
from tempotask.errors import InvalidOptions
from tempotask.handle import JobHandle
from tempotask.names import short
from tempotask.store.endings import aask_within, is_silence

if TYPE_CHECKING:
    from tempotask.client import Client
    from tempotask.store.outcomes import Outcomes
    from tempotask.store.wait import Wait

R = TypeVar("R")


class as_completed(Iterator[JobHandle[R]], AsyncIterator[JobHandle[R]]):
    """Yields handles as their jobs finish, well or not, in `for` and in `async for`, or one by one for `next` and
    `anext`; `timeout` seconds in all, from the first that is asked for.

    Raises:
        InvalidOptions: something that is no handle, or a `timeout` that is no time; or a job waits for itself.
        TimeoutError: the time is over, and some have not finished.
    """

    def __init__(self, handles: Iterable[JobHandle[R]], timeout: Duration | None = None) -> None:
        self._handles = list(dict.fromkeys(_checked(handles)))
        self._timeout = patience(timeout)
        self._yielding: Generator[JobHandle[R], None, None] | None = None
        self._ayielding: AsyncGenerator[JobHandle[R], None] | None = None

    def __iter__(self) -> Iterator[JobHandle[R]]:
        # Not this object: it would be in the way of each, and who leaves a loop is to end the waiting.
        self._yielding = self._yielding or _yielding(self._handles, self._timeout)
        return self._yielding

    def __next__(self) -> JobHandle[R]:
        return next(iter(self))

    def __aiter__(self) -> AsyncIterator[JobHandle[R]]:
        self._ayielding = self._ayielding or _ayielding(self._handles, self._timeout)
        return self._ayielding

    async def __anext__(self) -> JobHandle[R]:
        return await anext(aiter(self))


def _yielding(handles: list[JobHandle[R]], timeout: float | None) -> Generator[JobHandle[R], None, None]:
    ready = threading.Event()
    deadline = None if timeout is None else time.monotonic() + timeout
    looked = not is_silence(timeout)
    course = _Completion(handles, ready.set)
    try:
        course.ask(timeout)
        while course.left:
            ready.clear()
            if finished := course.finished():
                yield from finished
            elif not ready.wait(None if deadline is None else max(0.0, deadline - time.monotonic())):
                if looked:
                    raise course.late(timeout)
                looked = True
                course.ask(0.0, seeks=True)
    finally:
        course.end()


async def _ayielding(handles: list[JobHandle[R]], timeout: float | None) -> AsyncGenerator[JobHandle[R], None]:
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    deadline = None if timeout is None else loop.time() + timeout
    looked = not is_silence(timeout)
    course = _Completion(handles, lambda: loop.call_soon_threadsafe(ready.set))
    try:
        await course.aask(timeout)
        while course.left:
            ready.clear()
            finished = course.finished()
            for handle in finished:
                yield handle
            if not finished:
                # The limit is around the waiting alone: a generator must not be cancelled at a `yield`.
                try:
                    async with asyncio.timeout_at(deadline):
                        await ready.wait()
                except TimeoutError:
                    if looked:
                        raise course.late(timeout) from None
                    looked = True
                    await course.aask(0.0, seeks=True)
    finally:
        course.end()


def _checked(handles: Iterable[JobHandle[R]]) -> Iterator[JobHandle[R]]:
    for one in [handles] if isinstance(handles, str) or not isinstance(handles, Iterable) else handles:
        if not isinstance(one, JobHandle):
            raise InvalidOptions(
                f"as_completed takes handles, and {short(one)} is none; give those that enqueue returned, or make one "
                "of an id, as in [manager.handle(id)]"
            )
        yield one


class _Completion(Generic[R]):
    """The state of one `as_completed`: for each client a wait, and the handles by their id."""

    def __init__(self, handles: list[JobHandle[R]], notify: Callable[[], object]) -> None:
        self.left = len(handles)
        """How many have not been yielded."""
        by_client: dict[Client, dict[str, list[JobHandle[R]]]] = {}
        for handle in handles:
            by_client.setdefault(handle._client, {}).setdefault(handle.id, []).append(handle)
        # Before any waiting begins.
        for client, by_id in by_client.items():
            if (running := client.running()) is not None and running.id in by_id:
                by_id[running.id][0]._insist_on_another_job()
        self._parts: list[tuple[Outcomes, Wait, dict[str, list[JobHandle[R]]]]] = []
        for client, by_id in by_client.items():
            known = all(handle._known for ones in by_id.values() for handle in ones)
            self._parts.append((client.outcomes, client.outcomes.begin(list(by_id), notify, known), by_id))

    def ask(self, timeout: float | None, *, seeks: bool = False) -> None:
        """`seeks`: and looks for those that are silent."""
        for outcomes, wait, _ in self._parts:
            wait.seeks |= seeks
            outcomes.ask_within(wait, timeout)

    async def aask(self, timeout: float | None, *, seeks: bool = False) -> None:
        """`ask`, to be awaited."""
        for outcomes, wait, _ in self._parts:
            wait.seeks |= seeks
            await aask_within(outcomes, wait, timeout)

    def finished(self) -> list[JobHandle[R]]:
        """The handles of jobs that have finished since the last look."""
        found = []
        for _, wait, by_id in self._parts:
            for id, ending in wait.take().items():
                for handle in by_id[id]:
                    handle._saw(ending)
                    found.append(handle)
        self.left -= len(found)
        return found

    def late(self, timeout: float | None) -> TimeoutError:
        return TimeoutError(f"{self.left} jobs have not finished within {timeout} s; they go on")

    def end(self) -> None:
        for outcomes, wait, _ in self._parts:
            outcomes.end(wait)
