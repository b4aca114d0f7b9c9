"""What the tests of arrays have workers do."""

from __future__ import annotations

import os
import signal
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tempotask import Context, Job, QueueManager


class Part(msgspec.Struct):
    """A part of a matrix."""

    matrix: NDArray[np.float64]
    row: int = 0


tempotask = QueueManager.init()


@tempotask.task(queue="arrays")
def sum_of_row(job: Job[Part], ctx: Context[Any]) -> float:
    return job.data.matrix[job.data.row].sum()


@tempotask.task(queue="arrays")
def doubled(job: Job[np.ndarray], ctx: Context[Any]) -> np.ndarray:
    job.data *= 2
    return job.data


@tempotask.task(queue="arrays")
def untyped(job: Job[Any], ctx: Context[Any]) -> Any:
    return {"kind": type(job.data["array"]).__name__, "back": job.data["array"][::2]}


@tempotask.task(queue="arrays", attempts=3)
def third_time_lucky(job: Job[Part], ctx: Context[Any]) -> float:
    total = job.data.matrix.sum()
    job.data.matrix[:] = 0
    if job.attempt < 3:
        raise RuntimeError(f"try {job.attempt}")
    return total


@tempotask.task(queue="arrays", max_crashes=2)
def dies_once(job: Job[Part], ctx: Context[Any]) -> float:
    try:
        os.close(os.open(f"{job.id}.died", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return job.data.matrix.sum()
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


@tempotask.task(queue="arrays", max_crashes=1)
def dies(job: Job[Part], ctx: Context[Any]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@tempotask.task(queue="arrays")
def fails(job: Job[Part], ctx: Context[Any]) -> None:
    raise ValueError("it is meant to")


@tempotask.task(queue="arrays")
def passes_on(job: Job[np.ndarray], ctx: Context[Any]) -> str:
    return ctx.enqueue(name="doubled", queue="arrays", data=job.data).id


@tempotask.task(queue="arrays")
def too_many_in_one(job: Job[None], ctx: Context[Any]) -> None:
    ctx.enqueue(name="doubled", queue="arrays", data=np.ones(10**5), on_success=True)
