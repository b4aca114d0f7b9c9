"""What does it cost to look, with `tempotask top`?"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator

import psutil
import redis

from benchmarks.harness import ROOT, Bench, Project, until
from benchmarks.idle import BY_CLIENTS, processor_seconds
from benchmarks.rows import Row, Spread, at_most
from tempotask import linux

FOR_TOP = (*BY_CLIENTS, "smembers", "multi", "exec", "rpush", "pexpire", "set", "lindex")
"""Commands that clients send, those among them that looking needs; some are called by scripts too, as often without."""
COLUMNS, LINES = 120, 40
SETTLED = 3.0
"""Seconds after which everything is asked and read for the first time."""


def commands(client: redis.Redis) -> tuple[int, int]:
    """How many commands the server has carried out, and how many of them came from clients."""
    calls = client.info("commandstats")
    sent = sum(calls.get(f"cmdstat_{name}", {}).get("calls", 0) for name in FOR_TOP)
    return client.info("stats")["total_commands_processed"], sent


@contextlib.contextmanager
def shown(project: Project) -> Iterator[psutil.Process]:
    """`tempotask top` in a terminal, read as fast as it writes."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    me, seen = os.getpid(), threading.Event()
    command = [sys.executable, "-m", "tempotask.cli", "top", "--db", project.bench.url]
    process = subprocess.Popen(
        [*command, "--namespace", project.namespace], stdin=theirs, stdout=theirs, stderr=theirs, cwd=ROOT,
        env={**os.environ, "TERM": "xterm-256color"}, preexec_fn=lambda: linux.die_with(me),
    )  # fmt: skip
    os.close(theirs)

    def read() -> None:
        with contextlib.suppress(OSError):
            while written := os.read(ours, 65536):
                if b"MiB" in written:
                    seen.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        until("the workers on the screen", seen.is_set)
        time.sleep(SETTLED)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()
        reader.join()
        os.close(ours)


def per_second(project: Project, seconds: float, process: psutil.Process | None = None) -> tuple[float, float, float]:
    """Commands carried out, commands sent, and hundredths of a core that a process uses, a second."""
    of_process = [process] if process is not None else []
    used, before, began = processor_seconds(of_process), commands(project.redis), time.monotonic()
    time.sleep(seconds)
    passed = time.monotonic() - began
    after = commands(project.redis)
    carried_out, sent = ((late - early) / passed for late, early in zip(after, before, strict=True))
    return carried_out, sent, 100 * (processor_seconds(of_process) - used) / passed


def measure(bench: Bench) -> list[Row]:
    seconds = float(bench.size(20, 5))
    with bench.project("noop") as project:
        project.supervisor().ready()
        manager = project.producer
        manager.enqueue_many({"name": "noop", "queue": f"q{n % 3}", "data": {"path": ""}} for n in range(300))
        manager.enqueue_many({"name": "noop", "queue": f"q{n % 3}", "data": "no struct"} for n in range(30))
        project.all_settled()
        project.wait_idle()
        time.sleep(SETTLED)
        without = per_second(project, seconds)
        with shown(project) as process:
            quiet = per_second(project, seconds, process)
    with bench.project("busy") as project:
        project.producer.enqueue_many({"name": "spin", "queue": "work", "data": 0.02} for _ in range(100_000))
        project.supervisor().ready()
        with shown(project) as process:
            busy = per_second(project, seconds, process)
    sent, carried_out = quiet[1] - without[1], quiet[0] - without[0]
    of_a_core = "% of a core"
    return [
        at_most("top: commands/s that it and the supervisor send, idle workers", Spread([sent], "/s"), 5, 2.5),
        at_most("top: commands/s more at the server, those inside scripts too", Spread([carried_out], "/s"), 40, 25),
        at_most("top: its CPU, idle workers, 3 queues", Spread([quiet[2]], of_a_core), 1, 0.8),
        at_most("top: its CPU, busy workers", Spread([busy[2]], of_a_core), 1, 0.8),
    ]
