"""The ways to have jobs done by two processes. Each is started, and then puts lists of jobs through.

Ours adds them all, each a job, and waits for all results; or its executor is handed them in chunks, as those of the
standard library are. The pools are set up as benchmarks/peers/apps/ has them for no-op jobs.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

from benchmarks.harness import WORKERS
from benchmarks.real.timed import work

Results = Callable[[Sequence[Any], int], Iterable[Any]]
"""The results of these jobs, in any order, put through in chunks of that size where there are chunks."""


@contextlib.contextmanager
def ours() -> Iterator[Results]:
    from benchmarks.apps.real import tempotask

    def results(jobs: Sequence[Any], chunk: int) -> Iterable[Any]:
        return tempotask.enqueue_many({"name": "real", "queue": "work", "data": job} for job in jobs).results()

    asyncio.run(tempotask.start())
    try:
        yield results
    finally:
        asyncio.run(tempotask.stop())


@contextlib.contextmanager
def ours_in_chunks() -> Iterator[Results]:
    from tempotask.futures import TempoExecutor

    with TempoExecutor(WORKERS) as workers:
        yield lambda jobs, chunk: workers.map(work, jobs, chunksize=chunk)


@contextlib.contextmanager
def pool() -> Iterator[Results]:
    with multiprocessing.Pool(WORKERS) as workers:
        yield lambda jobs, chunk: workers.imap_unordered(work, jobs, chunk)


@contextlib.contextmanager
def executor() -> Iterator[Results]:
    with ProcessPoolExecutor(WORKERS) as workers:
        yield lambda jobs, chunk: workers.map(work, jobs, chunksize=chunk)


@contextlib.contextmanager
def joblib() -> Iterator[Results]:
    """Its default backend, loky, which finds the size of its batches by itself."""
    from joblib import Parallel, delayed  # type: ignore[import-untyped]

    one = delayed(work)
    with Parallel(WORKERS, return_as="generator_unordered") as parallel:
        yield lambda jobs, chunk: parallel(one(job) for job in jobs)


@contextlib.contextmanager
def parallel() -> Iterator[Results]:
    """GNU parallel starts a process for each chunk, which is handed its jobs as lines."""

    def results(jobs: Sequence[Any], chunk: int) -> Iterable[Any]:
        command = ["parallel", "--will-cite", "--jobs", str(WORKERS), "--pipe", "-N", str(chunk)]
        lines = "".join(f"{json.dumps(job)}\n" for job in jobs)
        done = subprocess.run(
            [*command, sys.executable, "-m", "benchmarks.real.alone"],
            input=lines,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return map(json.loads, done.stdout.splitlines())

    yield results


WAYS: dict[str, Callable[[], AbstractContextManager[Results]]] = {
    way.__name__: way for way in (ours, ours_in_chunks, pool, executor, joblib, parallel)
}
