"""Tasks that repeat, for the tests of schedules. $TEST_REPEAT says how; handlers tell the test that they run."""

from __future__ import annotations

import json
import os
from typing import Any

from chores import GATE, tell

from tempotask import Context, Job, QueueManager, Repeat

tempotask = QueueManager.init()
options = json.loads(os.environ.get("TEST_REPEAT", "null"))
repeat: Any = {} if options is None else {"repeat": Repeat(**options)}


@tempotask.task(queue="q", **repeat)
def tick(job: Job[Any], ctx: Context[Any]) -> None:
    tell("ticks", job.id)


@tempotask.task(queue="q")
def hold(job: Job[Any], ctx: Context[Any]) -> None:
    """Runs until the test opens the gate for one."""
    tell("holds", job.id)
    os.read(GATE, 1)
