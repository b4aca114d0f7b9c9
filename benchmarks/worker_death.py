"""A worker is killed with -9 at work: when is that seen, its job back in its queue, and its place working again?"""

from __future__ import annotations

import os
import random
import signal
import time
from typing import NamedTuple

from benchmarks.harness import PATIENCE, Bench, Failed, Project, Supervisor, title, until
from benchmarks.rows import Row, Spread, at_most

NAP = 0.002
"""Seconds that a job takes."""
LOOK = 0.0001
"""Seconds between two looks."""
LOW, MANY = 2000, 10_000
"""Jobs that wait at least; that are added when there are fewer."""


class Ledger:
    """What the handlers write, read as it grows: which process has started a job."""

    def __init__(self, project: Project) -> None:
        self._file = os.open(project.folder / "ledger", os.O_RDONLY | os.O_CREAT, 0o600)
        self._rest = b""
        self.pids: set[int] = set()

    def newcomer(self) -> bool:
        """Whether a process is there, since the last look, that was not there before."""
        before = len(self.pids)
        *lines, self._rest = (self._rest + os.read(self._file, 1 << 20)).split(b"\n")
        self.pids.update(int(line.partition(b" ")[0]) for line in lines)
        return len(self.pids) > before

    def close(self) -> None:
        os.close(self._file)


class Death(NamedTuple):
    """Milliseconds from the kill on."""

    seen: float
    back: float
    again: float


def is_reaped(pid: int) -> bool:
    """Whether its nursery has seen it die, and ended what it has left behind: until then it is a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def kill_one(project: Project, supervisor: Supervisor, ledger: Ledger) -> Death:
    """Kills a worker that works. Giving back its jobs and forgetting it is one step on the server."""
    victim = random.choice(supervisor.workers())
    worker = title(victim).split()[2]
    while ledger.newcomer():
        pass
    known = project.key("workers")
    if not project.redis.hexists(known, worker):
        raise Failed(f"the server does not know the worker {worker}")
    seen = back = again = 0.0
    os.kill(victim.pid, signal.SIGKILL)
    killed = time.monotonic()
    while not (seen and back and again):
        now = time.monotonic() - killed
        seen = seen or (now if is_reaped(victim.pid) else 0.0)
        back = back or (0.0 if project.redis.hexists(known, worker) else time.monotonic() - killed)
        again = again or (time.monotonic() - killed if ledger.newcomer() else 0.0)
        if now > PATIENCE:
            raise Failed(f"the death of a worker is not over after {now:.0f} s: {seen:.3f}, {back:.3f}, {again:.3f} s")
        time.sleep(LOOK)
    return Death(seen * 1000, back * 1000, again * 1000)


def fill(project: Project) -> None:
    """Sees to it that there is always something to do."""
    if project.redis.llen(project.key("queue:0:work")) < LOW:
        project.producer.enqueue_many({"name": "nap", "queue": "work", "data": NAP} for _ in range(MANY))


def measure(bench: Bench) -> list[Row]:
    deaths = []
    number = bench.size(200, 10)
    with bench.project("dying") as project:
        fill(project)
        supervisor = project.supervisor().ready()
        ledger = Ledger(project)
        for _ in range(number):
            fill(project)
            # The one that was born last works by now, so the supervisor has both.
            until("two workers", lambda: len(supervisor.workers()) == 2)
            time.sleep(random.uniform(0, 0.05))
            deaths.append(kill_one(project, supervisor, ledger))
        ledger.close()
        supervisor.process.kill()
    return [
        row("is seen", [death.seen for death in deaths], 10),
        row("has its job back in its queue", [death.back for death in deaths], 50),
        row("is replaced by one at work", [death.again for death in deaths], 200),
    ]


def row(what: str, taken: list[float], most: float) -> Row:
    """The 99th of a hundred counts; of fewer the last."""
    enough = len(taken) >= 100
    figure = sorted(taken)[len(taken) * 99 // 100 - 1 if enough else -1]
    what = f"{len(taken)} workers killed with -9 at work: one {what} after ({'p99' if enough else 'the worst'})"
    return at_most(what, Spread(taken, "ms"), most, most, figure=figure)
