"""Jobs that take so long and no core: with them two cores can carry many workers."""

from __future__ import annotations

import time
from typing import Any

from tempotask import Context, Job, QueueManager

tempotask = QueueManager.init()


@tempotask.task(queue="work")
def nap(job: Job[float], ctx: Context[Any]) -> None:
    time.sleep(job.data)
