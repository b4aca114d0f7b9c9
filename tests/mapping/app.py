"""The application whose tasks are mapped."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

from tempotask import Context, Job, QueueManager

tempotask: QueueManager[Any] = QueueManager.init(
    os.environ.get("MAPPING_DB"),
    namespace=os.environ.get("MAPPING_NAMESPACE", "mapping"),
    options={"connect_timeout": 60},
)


@tempotask.task(queue="q")
def echo(job: Job[Any], ctx: Context[Any]) -> Any:
    return job.data


@tempotask.task(queue="q")
def even(job: Job[int], ctx: Context[Any]) -> int:
    """Fails for odd numbers."""
    if job.data % 2:
        raise ValueError(f"{job.data} is odd")
    return job.data


@tempotask.task(queue="q", max_crashes=1)
def fragile(job: Job[int], ctx: Context[Any]) -> int:
    """13 kills its process."""
    if job.data == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    return job.data


@tempotask.task(queue="held")
def held(job: Job[str], ctx: Context[Any]) -> str:
    """Waits until somebody opens that FIFO for writing; of no name, for nothing."""
    if job.data:
        with open(job.data, "rb"):
            pass
    return job.data


@tempotask.task(queue="q")
def note(job: Job[tuple[str, int]], ctx: Context[Any]) -> int:
    """Writes down that it ran."""
    path, number = job.data
    with open(path, "a") as ledger:
        ledger.write(f"{number}\n")
    return number


@tempotask.task(queue="q", keep_result=0)
def fleeting(job: Job[int], ctx: Context[Any]) -> int:
    """Its outcomes would be kept for nobody."""
    return job.data


inline: QueueManager[Any] = QueueManager.init(inline=True)


@inline.task(queue="q")
def threads(job: Job[int], ctx: Context[Any]) -> int:
    """The thread that it runs in."""
    return threading.get_ident()


@inline.task(queue="q")
def half(job: Job[int], ctx: Context[Any]) -> int:
    """Fails for odd numbers."""
    if job.data % 2:
        raise ValueError(f"{job.data} is odd")
    return job.data // 2
