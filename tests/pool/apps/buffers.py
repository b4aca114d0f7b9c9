"""Jobs that take some buffers and let go of them."""

from __future__ import annotations

import resource
from typing import Any

from tempotask import Context, Job, QueueManager

tempotask = QueueManager.init()


@tempotask.task(queue="q")
def fill(job: Job[tuple[int, int, int]], ctx: Context[Any]) -> int:
    """How often so many rounds, with so many buffers of that size, wanted a page of the kernel's."""
    rounds, buffers, size = job.data
    for_once(buffers, size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        for_once(buffers, size)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def for_once(buffers: int, size: int) -> None:
    for buffer in [bytearray(size) for _ in range(buffers)]:
        buffer[::4096] = bytes(len(range(0, size, 4096)))
