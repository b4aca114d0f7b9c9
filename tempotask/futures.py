"""TempoExecutor: `concurrent.futures` over the queue, with a pool of its own."""

from __future__ import annotations

import itertools
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future, thread
from functools import partial
from typing import Any, TypeVar

import redis

from tempotask import payload, pickled
from tempotask.answers import LARGEST, PICKLED, PLAIN, Beginning, Call, Reader, purpose_of_call
from tempotask.client import Client
from tempotask.errors import InvalidOptions, NotImportable
from tempotask.feeder import CallFuture, Feeder
from tempotask.functions import in_a_row, in_a_row_by_name, named
from tempotask.options import Options, whole
from tempotask.own_pool import OwnPool, new_namespace

T = TypeVar("T")

_open: set[Feeder] = set()
"""Those that have work, or a pool, when the interpreter ends."""
_over = False
"""Whether the interpreter ends."""
assert thread  # its own end of the interpreter must come after ours: the first registered is the last called


class TempoExecutor(Executor):
    """Calls functions in worker processes: a `concurrent.futures.Executor` for functions that can be imported.

    The first call starts a supervisor and its workers, in a namespace of their own, and `shutdown` ends them. A worker
    that dies fails the call that it made with `WorkerCrashed`, and no other.

    `max_workers`: worker processes, one for each core if left out.
    `db`: a URL, or a `redis.Redis` whose settings are taken over; else $TEMPOTASK_DB, else the embedded server.
    `pickle`: arguments, results and exceptions are pickled and signed. Else they are plain data, as with all jobs.
    `initializer`, `initargs`: called once in each worker, before its first call.

    Raises:
        InvalidOptions: a value that makes no sense (a `ValueError`).
        NotImportable: an initializer that workers can't import.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        *,
        db: str | redis.Redis | None = None,
        pickle: bool = False,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
    ) -> None:
        if isinstance(max_workers, int) and max_workers <= 0:
            raise InvalidOptions(f"max_workers must be greater than 0, and is {max_workers}")
        workers = (os.cpu_count() or 1) if max_workers is None else whole(1, 4096)("max_workers", max_workers)
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        key = pickled.given_key() or pickled.new_key()
        namespace = new_namespace()
        client = Client(db, namespace, Options(max_payload_bytes=LARGEST), {})
        if db is not None and (why := client.server.why_not_handed_over):
            raise InvalidOptions(f"workers can't connect as this program: {why}; give a URL")
        self._pickles = bool(pickle)
        self._signer = pickled.Signer(key)
        self._purpose = purpose_of_call(namespace)
        self._beginning = Beginning(initializer_is_pickled=self._pickles)
        if initializer is not None and not _is_a_lock_of_bars(initializer):
            self._beginning.initializer = self._signed(initializer, tuple(initargs), {})
        pool = OwnPool(client, workers, key, allow_pickle=self._pickles)
        reader = Reader(self._signer if self._pickles else None)
        self._feeder = Feeder(client, pool, reader, PICKLED if self._pickles else PLAIN, workers)
        self._last: tuple[object, str] = (None, "")
        """The last function that was called, and its name: as a rule it is called again."""
        # Whoever lets go of an executor without a word has what it was given done, and its pool ended.
        weakref.finalize(self, self._feeder.close, cancel=False).atexit = False

    @property
    def _broken(self) -> BaseException | bool:
        # Where others of these executors have it.
        return self._feeder.broken or False

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Has `fn(*args, **kwargs)` called by a worker; its future.

        Raises:
            NotImportable: workers can't import `fn` (without `pickle=True`).
            RuntimeError: the executor was shut down.
            BrokenExecutor: its pool did not start, or is gone.
        """
        future = self._future(fn, args, kwargs)
        self._take([future], fn)
        return future

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[T]:
        """As `map(fn, *iterables)`, called by workers: the results, in order.

        `timeout`: seconds from now for all of it, else `TimeoutError`. `chunksize`: so many calls make one job.
        `buffersize`: so many jobs are submitted ahead of the result that is asked for; all of them if left out.

        Raises:
            What `submit` does; the iterator, what a call raises.
        """
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if buffersize is not None and not isinstance(buffersize, int):
            raise TypeError("buffersize must be an integer or None")
        if buffersize is not None and buffersize < 1:
            raise ValueError("buffersize must be None or > 0")
        end = None if timeout is None else timeout + time.monotonic()
        inputs = zip(*iterables, strict=False)
        if chunksize == 1:
            return self._results(fn, inputs, end, buffersize)
        in_chunks = self._results(self._in_chunks(fn), _chunks(inputs, chunksize), end, buffersize)
        return itertools.chain.from_iterable(in_chunks)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes no more calls, ends those that were submitted (with `cancel_futures`, only those that have begun), then
        the pool. With `wait`, returns when nothing is left: no process, no key, no thread."""
        self._feeder.close(cancel=cancel_futures)
        if wait:
            self._feeder.join()

    # -- calls

    def _take(self, futures: list[CallFuture], fn: Callable[..., Any]) -> None:
        feeder, futures = self._feeder, [future for future in futures if not future.done()]
        if not futures:
            return
        if feeder not in _open:
            self._check_start(fn)
            _open.add(feeder)
        feeder.take(futures, self._beginning)

    def _check_start(self, fn: Callable[..., Any]) -> None:
        from tempotask.pool import application

        if application.importing:
            raise NotImportable(
                "calls were submitted while a worker imports this file; put what submits them under "
                'if __name__ == "__main__":'
            )
        while isinstance(fn, partial):
            fn = fn.func
        module = getattr(fn, "__module__", None)
        if isinstance(module, str) and module not in ("__main__", "__mp_main__"):
            self._beginning.modules = [module]
        for other in [other for other in _open if other.ended]:
            _open.discard(other)

    def _future(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> CallFuture:
        if _over:
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")
        self._feeder.check()
        try:
            call = self._signed(fn, args, kwargs)
        except NotImportable:
            raise
        except Exception as error:
            # As others of these executors tell it, who find it later.
            future = CallFuture(self._feeder, b"")
            future.set_exception(error)
            return future
        return CallFuture(self._feeder, call)

    def _signed(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bytes:
        if self._pickles:
            return self._signer.dumps((fn, args, kwargs), self._purpose)
        function, target = self._last
        if function is not fn:
            target, first, keywords = named(fn)
            if first or keywords:
                args, kwargs = (*first, *args), {**keywords, **kwargs}
            else:
                self._last = fn, target
        call = Call(target, args, kwargs)  # type: ignore[arg-type]
        return self._signer.sign(payload.encode(call, LARGEST, "the call"), self._purpose)

    # -- map

    def _in_chunks(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """A function that calls `fn` for a whole chunk."""
        if self._pickles:
            return partial(in_a_row, fn)
        return partial(in_a_row_by_name, *named(fn))

    def _results(
        self, fn: Callable[..., Any], inputs: Iterator[tuple[Any, ...]], end: float | None, ahead: int | None
    ) -> Iterator[Any]:
        """The results, of which as many as may be are submitted at once, before the first is asked for."""
        futures = deque(self._future(fn, args, {}) for args in itertools.islice(inputs, ahead))
        self._take(list(futures), fn)
        # Without a hold on the executor, which may be let go of.
        return _results(weakref.ref(self), fn, inputs, futures, end, refill=ahead is not None)


def _results(
    executor: weakref.ref[TempoExecutor],
    fn: Callable[..., Any],
    inputs: Iterator[tuple[Any, ...]],
    futures: deque[CallFuture],
    end: float | None,
    *,
    refill: bool,
) -> Iterator[Any]:
    try:
        while futures:
            if refill and (open := executor()) is not None and (args := next(inputs, None)) is not None:
                futures.append(open.submit(fn, *args))  # type: ignore[arg-type]
            open = None
            # No hold on a future whose result is out.
            yield _result(futures.popleft(), end)
    finally:
        # The last ones first: when one has been begun, so have those before it.
        while futures and futures.pop().cancel():
            pass


def _result(future: CallFuture, end: float | None) -> Any:
    """The result; a future that does not come to it is cancelled."""
    try:
        try:
            return future.result(None if end is None else end - time.monotonic())
        finally:
            future.cancel()
    finally:
        # What it raised holds this frame, which is not to hold what raised it.
        del future


def _chunks(inputs: Iterator[tuple[Any, ...]], size: int) -> Iterator[tuple[tuple[tuple[Any, ...], ...]]]:
    while chunk := tuple(itertools.islice(inputs, size)):
        yield (chunk,)


def _is_a_lock_of_bars(initializer: object) -> bool:
    """Whether `tqdm.contrib.concurrent` gives it, so that the bars of all workers share a lock. A lock can't go to
    processes that are not our children; theirs keep one each, as bars in workers do anyway."""
    owner = getattr(initializer, "__self__", None)
    return getattr(initializer, "__name__", "") == "set_lock" and getattr(owner, "__module__", "").startswith("tqdm")


def _at_exit() -> None:
    global _over
    _over = True
    for feeder in list(_open):
        feeder.close(cancel=False)
    for feeder in list(_open):
        feeder.join()


threading._register_atexit(_at_exit)  # type: ignore[attr-defined]
