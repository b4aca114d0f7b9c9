"""Jobs that are handed a large array."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from tempotask import Context, Job, QueueManager


class Part(msgspec.Struct):
    """One of so many equal parts of an array."""

    array: np.ndarray
    number: int
    parts: int


tempotask = QueueManager.init()


@tempotask.task(queue="work")
def total(job: Job[Part], ctx: Context[Any]) -> float:
    part = len(job.data.array) // job.data.parts
    return float(job.data.array[job.data.number * part : (job.data.number + 1) * part].sum())
