"""Real hosts here: supervisors behind a link, each in a network namespace of its own where the system lets us.

Jobs that sleep keep their time without a core, so that two cores can carry more than two workers.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import WORKERS, Bench, Project, until
from benchmarks.scale_model.link import Link
from benchmarks.scale_model.measurement import server_seconds
from tempotask.pool.watch import STEALING

CLONE_NEWNET = 0x40000000
LOOK = 0.02
"""Seconds between two looks whether all is done. Each wakes the server, too: more of them are a part of its load that
shows."""


@dataclass(frozen=True)
class Run:
    """What was measured."""

    rate: float
    """Jobs a second."""
    efficiency: float
    load: float
    """Of the server."""
    supervision: float
    """Seconds of a core that the supervisors have used."""
    link: float
    """Part of a core that the link has used."""


class Hosts:
    """So many supervisors of two workers, which are idle between the runs."""

    def __init__(self, bench: Bench, project: Project, link: Link) -> None:
        self._bench, self._project, self._link = bench, project, link
        self._pids: list[int] = []
        self.apart = _may_part()
        """Whether each is in a network namespace of its own."""

    @property
    def workers(self) -> int:
        return len(self._pids) * WORKERS

    def grow(self, count: int) -> None:
        """Starts supervisors until there are so many, all idle."""
        self._link.latency = 0.0
        while len(self._pids) < count:
            starter = threading.Thread(target=self._start)
            starter.start()
            starter.join()
        self._project.wait_idle(self.workers)

    def _start(self) -> None:
        """In a thread of its own: a namespace is a thread's, and its children's."""
        if self.apart:
            _part()
        supervisor = self._project.supervisor(db=self._link.url)
        self._pids.append(supervisor.ready().pid)

    def run(self, jobs: Sequence[float], latency: float) -> Run:
        """Has these jobs slept off; each is so many seconds."""
        self._project.wait_idle(self.workers)
        self._link.latency = latency
        store, before = self._project.store, self._completed()
        # What it costs to add them is nobody's turn.
        store.pause_queue("work")
        self._project.producer.enqueue_many({"name": "nap", "queue": "work", "data": seconds} for seconds in jobs)
        # Supervisors that hear of a pause take back whatever is claimed for a while (watch.py): not these jobs.
        time.sleep(2 * STEALING + latency)
        used = server_seconds(self._bench)
        supervised, linked = sum(map(_core_seconds, self._pids)), _core_seconds(self._link.pid)
        began = time.monotonic()
        store.resume_queue("work")
        # Nobody looks as long as they can't be done.
        time.sleep(max(sum(jobs) / self.workers, max(jobs)))
        until("the last job to be settled", lambda: self._completed() - before >= len(jobs), every=LOOK)
        seconds = time.monotonic() - began
        load = (server_seconds(self._bench) - used) / seconds
        supervised = sum(map(_core_seconds, self._pids)) - supervised
        linked = (_core_seconds(self._link.pid) - linked) / seconds
        return Run(len(jobs) / seconds, sum(jobs) / (self.workers * seconds), load, supervised, linked)

    def _completed(self) -> int:
        return int(self._project.redis.hget(self._project.key("counts:work"), "completed") or 0)


@contextlib.contextmanager
def hosts(bench: Bench) -> Iterator[tuple[Hosts, Link]]:
    """None at first; all are gone afterwards, with their link and what they left on the server."""
    with Link(bench.folder, bench.folder / "s.sock") as link:
        project = Project(bench, "benchmarks.scale_model.sleeping:tempotask", "scale", {})
        try:
            yield Hosts(bench, project, link), link
        finally:
            link.latency = 0.0
            project.close()
            bench.redis.flushall()


def _part() -> bool:
    """Puts this thread, and what it starts, into a network namespace of its own. Whether the system let us."""
    return bool(ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) == 0)


def _may_part() -> bool:
    found = []
    thread = threading.Thread(target=lambda: found.append(_part()))
    thread.start()
    thread.join()
    return found[0]


def _core_seconds(pid: int) -> float:
    """Of a process' main thread so far, exactly: what `ps` shows counts by the hundredth."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
