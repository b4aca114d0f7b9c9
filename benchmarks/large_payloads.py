"""Do large payloads pile up in a worker?"""

from __future__ import annotations

import contextlib
import threading

import psutil

from benchmarks.harness import Bench, Failed, Supervisor, until
from benchmarks.rows import Row, Spread, at_most

MIB = 1 << 20
PAYLOAD = b"x" * 65536
SLICE, MOST_WAITING = 250, 1000
"""Jobs: so the server never holds more than some 100 MiB of them."""


class Sampler(threading.Thread):
    """Looks at the workers' own memory every 20 ms."""

    def __init__(self, supervisor: Supervisor) -> None:
        super().__init__(daemon=True)
        self.workers = supervisor.workers()
        self.idle = {worker.pid: self._uss(worker) for worker in self.workers}
        self.peak = dict(self.idle)
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.02):
            for worker in self.workers:
                self.peak[worker.pid] = max(self.peak[worker.pid], self._uss(worker))

    def grown(self) -> list[float]:
        """MiB above idle, of each worker."""
        return [(self.peak[pid] - self.idle[pid]) / MIB for pid in self.idle]

    def _uss(self, worker: psutil.Process) -> int:
        with contextlib.suppress(psutil.NoSuchProcess):
            return int(worker.memory_full_info().uss)
        raise Failed("a worker has ended")


def measure(bench: Bench) -> list[Row]:
    count = bench.size(100_000, 20_000)
    with bench.project("payloads") as project:
        supervisor = project.supervisor().ready()
        project.wait_idle()
        sampler = Sampler(supervisor)
        sampler.start()
        waiting = project.key("queue:0:work")
        job = {"name": "length", "queue": "work", "data": PAYLOAD}
        for _ in range(0, count, SLICE):
            until("the backlog to shrink", lambda: project.redis.llen(waiting) < MOST_WAITING, every=0.002)
            project.producer.enqueue_many(job for _ in range(SLICE))
        project.all_settled()
        sampler.over.set()
        sampler.join()
        completed = int(project.redis.hget(project.key("counts:work"), "completed") or 0)
        if completed != count:
            raise Failed(f"{completed:,} of {count:,} jobs completed")
    grown = Spread(sampler.grown(), "MiB")
    what = f"{count:,} jobs of 64 KiB through 2 workers: peak USS above idle, the larger one"
    return [at_most(what, grown, 32, 8, figure=max(grown.values))]
