"""What a producer holds: a handle to one job, or to many."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Generic, NoReturn, SupportsIndex, TypeVar, overload

import msgspec

from tempotask.durations import Duration, patience
from tempotask.errors import InvalidOptions, JobNotFound, ResultExpired, ServerUnavailable
from tempotask.names import is_automatic
from tempotask.store.endings import ain_order, in_order, is_silence
from tempotask.store.records import FINISHED, decode_outcome
from tempotask.twins import twin

if TYPE_CHECKING:
    from tempotask.client import Client
    from tempotask.info import JobInfo, LogEntry
    from tempotask.store.records import Status
    from tempotask.store.wait import Ending

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class JobHandle(msgspec.Struct, Generic[R_co], eq=False, gc=False):
    """One job, seen from outside: what it does, and what comes of it. Handles follow the newest run of their id."""

    id: str
    queue: str
    """Empty for a handle made from an id, until the job's outcome is known."""
    name: str
    created: bool
    """False when a job of this id had not finished, so that nothing was added."""
    _client: Client
    _known: bool = True
    """Whether this process saw the job being added."""
    _seen: Ending | None = None
    """The ending that `wait` or `as_completed` saw, for the next who wants the result: the server may forget it."""
    _reruns: int = 0
    """The client's `reruns` by then."""
    _silent_since: float | None = None
    """Since when, of the monotonic clock, it has been asked for without an answer, or has not been looked for."""
    _ended: bool = False
    """Whether it was seen to have ended: who asks then for what is kept no longer is told so at once."""

    def status(self) -> Status:
        """Where the job is now.

        Raises:
            JobNotFound: nobody knows it.
            ServerUnavailable: the server can't be reached.
        """
        status = self._client.status(self.id, self.queue)
        self._ended |= status in FINISHED
        return status

    def info(self) -> JobInfo:
        """All that is known of the job: of one whose history has been trimmed, what its outcome says.

        Raises:
            JobNotFound: nobody knows it.
            ServerUnavailable: the server can't be reached.
        """
        info = self._client.info(self.id, self.queue)
        self._ended |= info.status in FINISHED
        return info

    def logs(self) -> list[LogEntry]:
        """What the job logged, oldest first: nothing, once its history has been trimmed.

        Raises:
            JobNotFound: nobody knows it.
            ServerUnavailable: the server can't be reached.
        """
        return self._client.logs(self.id, self.queue)

    def result(self, timeout: Duration | None = None) -> R_co:
        """Waits for the job's end, at most `timeout` seconds, also through an outage of the server; its result.

        Raises:
            JobFailed: it failed (`JobTimeout`, `WorkerCrashed` are kinds of it).
            JobCancelled: it was cancelled or deleted.
            ResultExpired: it has ended, and its outcome is no longer kept.
            JobNotFound: nobody knows it.
            TimeoutError: the `timeout` is over; the job goes on.
            InvalidPayload: the result does not fit the type of its task.
            InvalidOptions: a `timeout` that is no time; it is a schedule, which has no result; or the job waits for
                itself.
            ServerUnavailable: the manager was closed meanwhile; or this program has only the id of the job, and the
                server could not be asked.
        """
        self._insist_on_another_job()
        ending = self._fresh()
        if ending is None:
            again = self._is_to_be_sought()
            (ending,) = in_order(self._client.outcomes, [self.id], timeout, self._known, again=again)
        return self._value(ending)

    def cancel(self) -> bool:
        """Cancels the job; whether it will be cancelled. One that has not started never starts; one that runs is ended.
        A finished job stays as it is. Of a schedule: it makes no more jobs.

        Raises:
            ServerUnavailable: the server can't be reached.
        """
        return self._client.acting.cancel(self.id, self.queue)

    acancel = twin(cancel)
    astatus = twin(status)
    ainfo = twin(info)
    alogs = twin(logs)

    async def aresult(self, timeout: Duration | None = None) -> R_co:
        """`result`, to be awaited."""
        ending = self._fresh()
        return self._value(await self._asought(timeout) if ending is None else ending)

    def __await__(self) -> Generator[Any, None, R_co]:
        return self.aresult().__await__()

    async def wait(self, timeout: Duration | None = None) -> Status:
        """Waits for the job's end; its final status.

        Raises:
            TimeoutError: the `timeout` is over; the job goes on.
            ResultExpired, JobNotFound, InvalidOptions: there is no status to tell; the last, as it is a schedule.
            ServerUnavailable: the manager was closed meanwhile; or this program has only the id of the job, and the
                server could not be asked.
        """
        ending = await self._asought(timeout)
        if isinstance(ending, bytes):
            self._saw(ending)
        elif isinstance(ending, ResultExpired | JobNotFound):
            self._ended = True
        try:
            return await self._client.apart(self._client.final_status, self.id, self.queue, ending)
        except (ResultExpired, JobNotFound):
            seen = self._fresh()
            if not isinstance(seen, bytes):
                raise
            return decode_outcome(seen).status

    async def _asought(self, timeout: Duration | None) -> Ending:
        self._insist_on_another_job()
        outcomes, ids, again = self._client.outcomes, [self.id], self._is_to_be_sought()
        (ending,) = [one async for one in ain_order(outcomes, ids, timeout, self._known, again=again)]
        return ending

    def _insist_on_another_job(self) -> None:
        running = self._client.running()
        if running is not None and running.id == self.id:
            raise InvalidOptions(f"job {self.id} waits in its handler for its own end, which would never come")

    def _saw(self, ending: Ending) -> None:
        """Keeps an ending. That it is not kept at the server any more says nothing against what was seen before."""
        if isinstance(ending, bytes) or not isinstance(self._fresh(), bytes):
            self._seen, self._reruns = ending, self._client.reruns
        self._ended |= not isinstance(ending, ServerUnavailable)

    def _fresh(self) -> Ending | None:
        """What was seen, unless the job may have been run again since: handles follow the newest run. Whoever knows an
        id that a user gave can add it again."""
        if self._seen is None or self._reruns != self._client.reruns or not is_automatic(self.id):
            return None
        return self._seen

    def _is_to_be_sought(self) -> bool:
        """Whether the job is to be looked for if nothing is told at once: who asks again and again for a short while
        is to hear, too, that it is nowhere any more."""
        now = time.monotonic()
        since = self._silent_since
        silent = since is not None and is_silence(now - since)
        if since is None or silent:
            self._silent_since = now
        return silent or self._ended

    def _value(self, ending: Ending) -> R_co:
        """The result. What was seen takes the place of an ending that the server has let go of meanwhile; it is let go
        of too, as results may be large."""
        seen, self._seen = self._seen, None
        if seen is not None and isinstance(ending, ResultExpired | JobNotFound):
            ending = seen
        if not isinstance(ending, bytes):
            raise ending
        self._ended = True
        outcome = decode_outcome(ending)
        self.queue, self.name = outcome.queue, outcome.name
        value: R_co = self._client.value(self.id, outcome)
        return value

    def __reduce__(self) -> NoReturn:
        raise TypeError("a handle can't be pickled: send its id, and make another one of that, manager.handle(id)")

    def __repr__(self) -> str:
        return f"<JobHandle {self.id!r}" + (f" of task {self.name!r} in queue {self.queue!r}>" if self.name else ">")


class JobHandles(list[JobHandle[R]]):
    """Handles to many jobs, whose results can be had together. A slice of them is of the same kind."""

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> JobHandle[R]: ...
    @overload
    def __getitem__(self, index: slice, /) -> JobHandles[R]: ...
    def __getitem__(self, index: SupportsIndex | slice, /) -> JobHandle[R] | JobHandles[R]:
        found = super().__getitem__(index)
        return JobHandles(found) if isinstance(found, list) else found

    def results(self, timeout: Duration | None = None) -> list[R]:
        """All results, in order, asked for at once; waits at most `timeout` seconds in all.

        Raises:
            What `JobHandle.result` raises, for the first one in order that has no result.
        """
        if not self:
            return []
        if self._are_of_several():
            left = _left(timeout)
            return [handle.result(left()) for handle in self]
        outcomes, (endings, missing, known, again) = self[0]._client.outcomes, self._by_now()
        with contextlib.closing(in_order(outcomes, missing, timeout, known, again=again)) as others:
            return [
                handle._value(next(others) if ending is None else ending)
                for handle, ending in zip(self, endings, strict=True)
            ]

    async def aresults(self, timeout: Duration | None = None) -> list[R]:
        """`results`, to be awaited."""
        if not self:
            return []
        if self._are_of_several():
            left = _left(timeout)
            return [await handle.aresult(left()) for handle in self]
        outcomes, (endings, missing, known, again) = self[0]._client.outcomes, self._by_now()
        async with contextlib.aclosing(ain_order(outcomes, missing, timeout, known, again=again)) as others:
            return [
                handle._value(await others.__anext__() if ending is None else ending)
                for handle, ending in zip(self, endings, strict=True)
            ]

    def _are_of_several(self) -> bool:
        """Whether they are of several managers, as a list that a user has put together may be."""
        return any(handle._client is not self[0]._client for handle in self)

    def _by_now(self) -> tuple[list[Ending | None], list[str], bool, bool]:
        """What has been seen by now, the ids of the rest, and of all of them `known` and `again`, as `in_order` has
        them. One look for all: other threads may see more meanwhile."""
        # Outside of workers no handler runs: a list of many handles need not be gone through for that.
        if self[0]._client.running() is not None:
            for handle in self:
                handle._insist_on_another_job()
        endings = [handle._fresh() for handle in self]
        missing = [handle.id for handle, ending in zip(self, endings, strict=True) if ending is None]
        return endings, missing, all(handle._known for handle in self), any(handle._ended for handle in self)


def _left(timeout: Duration | None) -> Callable[[], float | None]:
    """How much of a time is left, each time that it is asked."""
    timeout = patience(timeout)
    deadline = None if timeout is None else time.monotonic() + timeout
    return lambda: None if deadline is None else max(0.0, deadline - time.monotonic())
