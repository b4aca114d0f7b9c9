"""An application that computes with numpy. With `TEST_THREAD` its workers are spawned, not forked."""

from __future__ import annotations

import os
import threading
from typing import Any

import numpy
import numpy.random
from threadpoolctl import threadpool_info

from tempotask import Context, Job, QueueManager

if "TEST_THREAD" in os.environ:
    threading.Thread(target=threading.Event().wait, name="listener", daemon=True).start()

tempotask = QueueManager.init()


@tempotask.task(queue="q")
def multiply(job: Job[int], ctx: Context[Any]) -> int:
    """How many threads the library uses with which numpy multiplies matrices, once it has done so."""
    square = numpy.ones((job.data, job.data))
    assert (square @ square)[0, 0] == job.data
    (library,) = [each for each in threadpool_info() if each["user_api"] == "blas"]
    return int(library["num_threads"])


@tempotask.task(queue="q")
def look(job: Job[str], ctx: Context[Any]) -> str | None:
    return os.environ.get(job.data)


@tempotask.task(queue="q")
def draw(job: Job[None], ctx: Context[Any]) -> list[float]:
    """Which process it is, and what numpy draws there first."""
    return [os.getpid(), float(numpy.random.random())]
