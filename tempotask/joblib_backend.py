"""A backend for joblib, and so for scikit-learn: `with parallel_config(backend="tempotask")`.

    import tempotask.joblib_backend        # makes it known to joblib, which looks for no backends by itself

Each batch of joblib's calls is one call of a `TempoExecutor`, pickled by joblib's cloudpickle and signed. Large arrays
in it, and in what it returns, go by files of this host (arrays.py) and not through the server. Executors are used
again by later calls, and end with the program.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from typing import Any

from joblib import cpu_count, register_parallel_backend  # type: ignore[import-untyped]
from joblib._parallel_backends import (  # type: ignore[import-untyped]
    AutoBatchingMixin,
    FallbackToBackend,
    ParallelBackendBase,
    SequentialBackend,
)

from tempotask import arrays, linux
from tempotask.arrays import Sender
from tempotask.errors import InvalidOptions, TempoTaskError
from tempotask.futures import TempoExecutor
from tempotask.futures.answers import VARIABLE
from tempotask.futures.executor import insist_on_no_import
from tempotask.futures.pending import CallFuture
from tempotask.shelf import INLINE, Shelf, ShelfFile, clear_folder, remove_all

try:
    import cloudpickle  # type: ignore[import-untyped]
except ImportError:
    # Before 1.6 joblib brought its own.
    from joblib.externals import cloudpickle  # type: ignore[import-untyped]

NAME = "tempotask"
JOB = "joblib"
"""What the names of files begin with in the place of the id of a job."""

_lock = threading.Lock()
_executors: dict[tuple[int, int, str | None], TempoExecutor] = {}
"""By process, workers and server."""
_shelves: dict[int, Shelf] = {}
"""By process."""


class TempoBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]
    """Runs joblib's calls in the workers of a `TempoExecutor`.

    `db`: as for `TempoExecutor`; given as `parallel_config(backend="tempotask", db=URL)`. Without `n_jobs` there is a
    worker for each core.
    """

    default_n_jobs = -1
    supports_retrieve_callback = True
    supports_inner_max_num_threads = importlib.util.find_spec("threadpoolctl") is not None

    def __init__(
        self, nesting_level: int | None = None, inner_max_num_threads: int | None = None, db: str | None = None
    ) -> None:
        super().__init__(nesting_level=nesting_level, inner_max_num_threads=inner_max_num_threads)
        self._db = db
        self._executor: TempoExecutor | None = None
        self._untaken: dict[Future[bytes], str] = {}
        """Calls whose results joblib has not taken, and what stands for them in the names of files."""

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """How many calls run at once. In a worker of an executor: one."""
        if n_jobs == 0:
            raise InvalidOptions("n_jobs == 0 in Parallel has no meaning; -1 is a worker for each core")
        if n_jobs is None or VARIABLE in os.environ:
            return 1
        return n_jobs if n_jobs > 0 else max(int(cpu_count()) + 1 + n_jobs, 1)

    def configure(self, n_jobs: int = 1, parallel: Any = None, **of_other_backends: Any) -> int:
        """Gets an executor for the calls of a `Parallel`; how many run at once.

        joblib gives each backend what is meant for the files of its own ones (`max_nbytes`, `temp_folder`,
        `mmap_mode`), and hints that all of them may pass over.
        """
        if n_jobs != 1:
            insist_on_no_import()
        workers = self.effective_n_jobs(n_jobs)
        if workers == 1:
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        self.parallel = parallel
        self._executor = _executor(workers, self._db)
        return workers

    def submit(self, func: Callable[[], Any], callback: Callable[[Future[bytes]], object] | None = None) -> Any:
        """Has a batch called; its future."""
        if self._executor is None:
            raise RuntimeError("this backend has no workers; joblib's Parallel configures it first")
        name = f"{JOB}-{uuid.uuid4().hex}"
        files: list[ShelfFile] = []
        sent = arrays.dumps(func, Sender(_shelf, written=files), name, cloudpickle.dumps)
        try:
            future: Future[bytes] = self._executor.submit(_run, sent, name, self.inner_max_num_threads)
        except BaseException:
            remove_all(files)
            raise
        self._untaken[future] = name
        future.add_done_callback(lambda _: remove_all(files))
        if callback is not None:
            future.add_done_callback(callback)
        return future

    def retrieve_result_callback(self, future: Future[bytes]) -> Any:
        """What a batch returned. Raises what it raised; `WorkerCrashed` if its process died."""
        self._untaken.pop(future, None)
        return arrays.loads(future.result(), arrays.take)

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Ends all calls: nobody waits for them any more."""
        executor, untaken = self._executor, self._untaken
        futures, self._untaken = list(untaken), {}
        for future, name in untaken.items():
            future.cancel()
            # Whatever came of it: one that was cancelled may have come to its end all the same.
            future.add_done_callback(partial(_forget, name))
        if executor is not None:
            # A server that can't be asked is not asked for each.
            with contextlib.suppress(TempoTaskError):
                for future in futures:
                    if not future.done() and isinstance(future, CallFuture) and future._id:
                        executor._feeder._client.acting.cancel(future._id)
        if not ensure_ready:
            self._executor = None

    def terminate(self) -> None:
        """The calls of a `Parallel` have ended; the workers stay for the next."""
        self.reset_batch_stats()


def _forget(name: str, ended: Future[bytes]) -> None:
    """Removes the files of a call whose result nobody takes."""
    clear_folder(_shelf().folder, name)


def _executor(workers: int, db: str | None) -> TempoExecutor:
    key = (os.getpid(), workers, db)
    with _lock:
        made = _executors.get(key)
        if made is None or made._broken:
            made = _executors[key] = TempoExecutor(workers, db=db, pickle=True)
        return made


def _shelf() -> Shelf:
    pid = os.getpid()
    with _lock:
        if pid not in _shelves:
            _shelves[pid] = Shelf(INLINE, JOB, linux.born_ns(pid))
        return _shelves[pid]


# -- in a worker


def _run(sent: bytes, name: str, threads: int | None) -> bytes:
    call = arrays.loads(sent, arrays.unpack)
    with _limited(threads):
        value = call()
    return arrays.dumps(value, Sender(_shelf, "result"), name, cloudpickle.dumps)


@contextlib.contextmanager
def _limited(threads: int | None) -> Iterator[None]:
    """At most so many threads in the libraries that are loaded by now."""
    if threads is None:
        yield
        return
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(threads):
        yield


register_parallel_backend(NAME, TempoBackend)
