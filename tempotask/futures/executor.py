"""TempoExecutor: `concurrent.futures` over the queue, with a pool of its own."""

from __future__ import annotations

import itertools
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, thread
from functools import partial
from typing import Any, TypeVar

import redis

from tempotask import linux
from tempotask.client import Client
from tempotask.errors import InvalidOptions, JobTimeout, NotImportable
from tempotask.futures import permission, pickled
from tempotask.futures.answers import LARGEST, NOTHING, PICKLED, PLAIN, Beginning, Reader, Writer, Written
from tempotask.futures.feeder import Feeder
from tempotask.futures.own_pool import OwnPool, main_module, new_namespace, text_of
from tempotask.futures.pending import CallFuture, Pending, Row, Slot
from tempotask.options import Options, whole
from tempotask.shelf import INLINE, Shelf
from tempotask.store.script import chunked

T = TypeVar("T")

_open: set[Feeder] = set()
"""Those that have work, or a pool, when the interpreter ends."""
_over = False
"""Whether the interpreter ends."""
MEANWHILE = 0.05
"""Seconds of reading inputs after which what has been read is handed on."""
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
        InvalidPayload: an initializer whose arguments can't be sent, or are too large.
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
        key = permission.given_key() or permission.new_key()
        namespace = new_namespace()
        client = Client(db, namespace, Options(max_payload_bytes=LARGEST), {})
        client.own_pool = True
        if db is not None and (why := client.server.why_not_handed_over):
            raise InvalidOptions(f"workers can't connect as this program: {why}; give a URL")
        signer = pickled.Signer(key)
        # Where files stay until their process is gone: calls may wait here for long, and no server knows of them.
        shelf = Shelf(INLINE, namespace, linux.born_ns(os.getpid()))
        self._writer = Writer(signer, namespace, lambda: shelf, pickles=pickle)
        self._beginning = Beginning(initializer_is_pickled=pickle)
        if initializer is not None and not _is_a_lock_of_bars(initializer):
            self._beginning.initializer = self._writer.call(initializer, tuple(initargs), {}).call
            text_of(self._beginning)
        pool = OwnPool(client, workers, key, allow_pickle=pickle)
        self._feeder = Feeder(client, pool, Reader(signer if pickle else None), PICKLED if pickle else PLAIN, workers)
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
        self._check()
        try:
            future = CallFuture(self._writer.call(fn, args, kwargs), self._feeder.withdraw)
        except (NotImportable, JobTimeout):
            raise  # the latter: the time of the handler that submits is over
        except Exception as error:
            # As others of these executors tell it, who find it later.
            future = CallFuture(NOTHING, self._feeder.withdraw)
            future.set_exception(error)
        else:
            try:
                self._take([future], fn)
            except BaseException:
                future.drop(None)
                raise
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
        inputs: Iterator[Any] = zip(*iterables, strict=False)
        write: Callable[..., Written] = self._writer.call
        if chunksize > 1:
            inputs, write = chunked(inputs, chunksize), self._writer.row
        row = Row(self._feeder.withdraw, self._feeder.withdraw_all)
        slots = self._slots(write, fn, itertools.islice(inputs, buffersize), row)
        # Without a hold on the executor, which may be let go of.
        executor = weakref.ref(self)

        def submit(more: Iterable[Any]) -> deque[Slot] | None:
            return None if (here := executor()) is None else here._slots(write, fn, more, row)

        # Without a bound all inputs have been read; who is asked beyond his end may have more, or wait for it.
        results = _results(submit, row, slots, iter(()) if buffersize is None else inputs, end)
        return itertools.chain.from_iterable(results) if chunksize > 1 else results

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes no more calls, ends those that were submitted (with `cancel_futures`, only those that have begun), then
        the pool. With `wait`, returns when nothing is left: no process, no key, no thread."""
        self._feeder.close(cancel=cancel_futures)
        if wait:
            self._feeder.join()

    # -- calls

    def _take(self, calls: Sequence[Pending], fn: Callable[..., Any]) -> None:
        feeder = self._feeder
        if not calls:
            return
        self._check()
        if feeder not in _open:
            self._check_start(fn)
            _open.add(feeder)
        feeder.take(calls, self._beginning)

    def _check_start(self, fn: Callable[..., Any]) -> None:
        insist_on_no_import()
        # Now, as a script that has come to its end has no file any more.
        self._beginning.main = main_module()
        while isinstance(fn, partial):
            fn = fn.func
        module = getattr(fn, "__module__", None)
        if isinstance(module, str) and module not in ("__main__", "__mp_main__"):
            self._beginning.modules = [module]
        # Copied at once, as other threads add to it.
        for other in list(_open):
            if other.ended:
                _open.discard(other)

    def _check(self) -> None:
        if _over:
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")
        self._feeder.check()

    def _slots(
        self, write: Callable[..., Written], fn: Callable[..., Any], inputs: Iterable[tuple[Any, ...]], row: Row
    ) -> deque[Slot]:
        """Slots for these calls, submitted; of what can't be sent the slot has the error."""
        slots, sendable, taken = deque[Slot](), list[Slot](), time.monotonic()
        try:
            for args in inputs:
                try:
                    slots.append(slot := Slot(row, write(fn, args)))
                    sendable.append(slot)
                except (NotImportable, JobTimeout):
                    raise
                except Exception as error:
                    slots.append(slot := Slot(row, NOTHING))
                    slot.end(None, error)
                if time.monotonic() - taken > MEANWHILE:
                    # Reading the inputs takes time, in which these can run.
                    self._take(sendable, fn)
                    sendable, taken = [], time.monotonic()
            self._take(sendable, fn)
        except BaseException:
            row.leave(slots)
            raise
        return slots


def insist_on_no_import() -> None:
    """Raises `NotImportable` in a worker that imports the program which made its executor: it would begin anew."""
    from tempotask.pool import application

    if application.importing:
        raise NotImportable(
            "calls were submitted while a worker imports this file; put what submits them under "
            'if __name__ == "__main__":'
        )


def _results(
    submit: Callable[[Iterable[tuple[Any, ...]]], deque[Slot] | None],
    row: Row,
    slots: deque[Slot],
    inputs: Iterator[tuple[Any, ...]],
    end: float | None,
) -> Iterator[Any]:
    """The results of slots, in their order; for each that is asked for, one more of the inputs is submitted."""
    more = True
    try:
        while slots:
            if more:
                following = submit(itertools.islice(inputs, 1))
                more = bool(following)
                slots.extend(following or ())
                del following
            # No hold on a slot whose result is out.
            yield _result(slots.popleft(), end)
    finally:
        row.leave(slots)


def _result(slot: Slot, end: float | None) -> Any:
    """The result; a call that does not come to it is cancelled."""
    try:
        return slot.result(None if end is None else end - time.monotonic())
    except BaseException:
        slot.cancel()
        raise
    finally:
        # What is raised holds this frame, which is not to hold what has it.
        del slot


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
