"""What does a system cost that has nothing to do?"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

import psutil
import redis

from benchmarks.harness import Bench
from benchmarks.rows import Row, Spread, at_most

BY_CLIENTS = ("evalsha", "eval", "fcall", "blpop", "brpop", "blmpop", "bzpopmin", "script|load", "hello", "info")
"""Commands that scripts do not call."""


def commands(client: redis.Redis) -> tuple[int, int]:
    """How many commands the server has carried out, and how many of them came from clients, this one not counted."""
    processed = client.info("stats")["total_commands_processed"]
    calls = client.info("commandstats")
    sent = sum(calls.get(f"cmdstat_{name}", {}).get("calls", 0) for name in BY_CLIENTS)
    return processed, sent


def processor_seconds(processes: Iterable[psutil.Process]) -> float:
    """Of all threads, to the nanosecond; `times` of a process count in hundredths."""
    return sum(
        int((thread / "schedstat").read_text().split()[0]) / 1e9
        for process in processes
        for thread in Path(f"/proc/{process.pid}/task").iterdir()
    )


def measure(bench: Bench) -> list[Row]:
    seconds = float(bench.size(20, 5))
    with bench.project("noop") as project:
        supervisor = project.supervisor().ready()
        project.producer.enqueue_many({"name": "noop", "queue": "q0", "data": {"path": ""}} for _ in range(100))
        project.all_settled()
        project.producer.close()
        project.wait_idle()
        # What follows the end of work is not idling: a second look, an early settle, a renewal under way.
        time.sleep(2.0)
        tree = supervisor.tree()
        used, (processed, sent), began = processor_seconds(tree), commands(project.redis), time.monotonic()
        time.sleep(seconds)
        passed = time.monotonic() - began
        more_used, (more_processed, more_sent) = processor_seconds(tree), commands(project.redis)
    # Our own two INFOs, of which the second was counted by neither: one is in each difference of its kind.
    total = Spread([(more_processed - processed - 2) / passed], "/s")
    clients = Spread([(more_sent - sent - 2) / passed], "/s")
    core = Spread([100 * (more_used - used) / passed], "% of a core")
    return [
        at_most("idle: commands/s at the server, those inside scripts too", total, 3, 1),
        at_most("idle: commands/s that a supervisor and its workers send", clients, 3, 1),
        at_most("idle: CPU of supervisor, nursery and 2 workers", core, 0.5, 0.1),
    ]
