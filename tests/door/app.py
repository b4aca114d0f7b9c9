"""The application at whose door the tests stand. The environment says where its server is."""

from __future__ import annotations

import os
from typing import Any

from tempotask import Context, Job, QueueManager

tempotask: QueueManager[Any] = QueueManager.init(
    os.environ.get("DOOR_DB"), namespace=os.environ.get("DOOR_NAMESPACE", "door"), options={"connect_timeout": 60}
)


@tempotask.task(queue="q")
def echo(job: Job[Any], ctx: Context[Any]) -> Any:
    return job.data


@tempotask.task(queue="nobody", delay=3600)
def left(job: Job[Any], ctx: Context[Any]) -> None: ...
