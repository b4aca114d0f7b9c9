"""Jobs that tell where they run, and where what they start runs."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import Any

from tempotask import Context, Job, QueueManager

tempotask = QueueManager.init()
PLACE = "import os; print(sorted(os.sched_getaffinity(0)), os.getpriority(os.PRIO_PROCESS, 0))"


def place() -> str:
    return f"{sorted(os.sched_getaffinity(0))} {os.getpriority(os.PRIO_PROCESS, 0)}"


@tempotask.task(queue="q")
def tell(job: Job[None], ctx: Context[Any]) -> list[str]:
    """The place of the handler, of a thread and of a process that it starts."""
    told = [place()]
    thread = threading.Thread(target=lambda: told.append(place()))
    thread.start()
    thread.join()
    child = subprocess.run([sys.executable, "-c", PLACE], capture_output=True, text=True, check=True)
    return [*told, child.stdout.strip()]
