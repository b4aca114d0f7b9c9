"""Many hosts on one server, or a few, as a discrete-event model.

    worker ── half a round trip ──► server: one script after the other ── half a round trip ──► worker: runs the batch

The engine's own rules are in it: the size of a batch is `Pace`'s, cut to the fair part of the backlog; a batch whose
job the supervisor has seen run for `STEAL_AFTER`, or that is older than `OVERLONG` at one of its looks, loses what has
not started, to the front of the queue; who finds nothing is idle until something is handed over. All chance comes from
one seed.

A worker belongs to one server; with several, each holds its part of the queues.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.scale_model.costs import Costs
from benchmarks.scale_model.durations import Durations
from tempotask.pool.housekeeper import LOOKS_A_LEASE
from tempotask.pool.pace import BUDGET, Pace
from tempotask.pool.supervisor import TICK
from tempotask.pool.watch import OVERLONG, STEAL_AFTER
from tempotask.store.turns import ROOM

LEASE = 10.0
"""Seconds of a lease where none is given."""
RENEWED = LEASE / LOOKS_A_LEASE
"""Seconds between two renewals of a lease."""
RECORD = 100
"""Bytes of a record: far from what limits a batch."""


@dataclass(frozen=True)
class Setup:
    """What works on what."""

    hosts: int = 1
    cores: int = 1
    """Of a host; each has a worker."""
    latency: float = 0.0
    """Seconds that the network adds to a round trip."""
    servers: int = 1
    shared: int = 0
    """So many cores do the work of all hosts, of the server and of the link, in turns; 0: each has its own."""

    @property
    def workers(self) -> int:
        return self.hosts * self.cores


@dataclass(frozen=True)
class Prediction:
    """What the model says of a run."""

    rate: float
    """Jobs a second."""
    efficiency: float
    """Seconds of jobs by seconds of cores."""
    load: float
    """Part of the time in which the servers work."""
    seconds: float
    given_back: int = 0
    """Jobs that were stolen back."""


class Cores:
    """Cores that are shared: what finds none free waits for the one that is free first."""

    def __init__(self, number: int) -> None:
        self._free = [0.0] * number

    def start(self, at: float, seconds: float) -> float:
        """Takes a core for so long; when that begins. To be called in the order of `at`, more or less."""
        if not self._free:
            return at
        # The one that was used last of those that are free: none gets a gap that another could have filled.
        core = max((free, core) for core, free in enumerate(self._free) if free <= at)[1] if self._any(at) else None
        if core is None:
            core = self._free.index(min(self._free))
        start = max(at, self._free[core])
        self._free[core] = start + seconds
        return start

    def _any(self, at: float) -> bool:
        return min(self._free) <= at


class Queue:
    """What waits at one server."""

    def __init__(self, jobs: Sequence[float] | Durations) -> None:
        self._endless = jobs if isinstance(jobs, Durations) else None
        self._waiting = deque(() if isinstance(jobs, Durations) else jobs)

    def claim(self, want: int, workers: int) -> list[float]:
        """As `claim` in queues.lua: what is wanted, but no more than the fair part, and one at least."""
        back = len(self._waiting)
        if self._endless is not None:
            taken = [self._waiting.popleft() for _ in range(min(want, back))]
            return taken + self._endless.take(want - len(taken))
        most = max(1, min(want, back // (2 * workers)))
        return [self._waiting.popleft() for _ in range(min(most, back))]

    def give_back(self, jobs: Sequence[float]) -> None:
        self._waiting.extendleft(reversed(jobs))


class Server:
    """One thread that serves one script after the other; its queue, its workers."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.workers = 0
        self.idle: deque[Worker] = deque()
        self.free = self.busy = 0.0


class Worker:
    """A worker, as far as the model knows it: what it believes of its jobs, and what it has to settle."""

    __slots__ = ("blocks", "pace", "server", "unsettled")

    def __init__(self, server: Server, believed: float | None) -> None:
        self.server = server
        self.pace = Pace(ROOM)
        self.unsettled = 0
        self.blocks = 0.0
        """From when on it hears of what is handed over."""
        if believed is not None:
            for _ in range(20):
                self.pace.took(1, believed, RECORD)


class Simulation:
    """One run. `run` lets it work off a backlog, `endless` looks at it in the middle of one that has no end."""

    def __init__(self, setup: Setup, costs: Costs, seed: int = 0, believed: float | None = None) -> None:
        self.setup, self.costs = setup, costs
        self._believed = believed
        self._chance = random.Random(seed)
        self._cores = Cores(setup.shared)
        self._half = (costs.round_trip + setup.latency) / 2
        self._events: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = []
        self._order = itertools.count()
        self._turns = self._settled = self._given_back = 0
        self._worked = self._last = 0.0

    def run(self, jobs: Sequence[float]) -> Prediction:
        """Works off these jobs, from when all workers are idle until all is settled."""
        count = self.setup.servers
        servers = [Server(Queue(jobs[number::count])) for number in range(count)]
        for worker in self._workers(servers):
            worker.server.idle.append(worker)
        for server in servers:
            self._at(0.0, self._hand_over, server)
        while self._events:
            self._next()
        return self._prediction(0.0, self._last, sum(server.busy for server in servers))

    def endless(self, durations: Durations, turns: int = 6, least: int = 3000) -> Prediction:
        """A backlog without end, after two turns of each worker, for so many more and for `least` turns in all."""
        servers = [Server(Queue(durations)) for _ in range(self.setup.servers)]
        spread = max(BUDGET, self._believed or 0.0) + 2 * self._half
        for worker in self._workers(servers):
            self._at(self._chance.uniform(0, spread), self._turn, worker)
        for number in range(self.setup.hosts):
            self._at(self._chance.uniform(0, RENEWED), self._renew, servers[number % len(servers)])
        workers = self.setup.workers
        self._until(max(2 * workers, least // 2))
        began, busy = self._events[0][0], sum(server.busy for server in servers)
        self._settled, self._worked = 0, 0.0
        self._until(self._turns + max(turns * workers, least))
        return self._prediction(began, self._events[0][0], sum(server.busy for server in servers) - busy)

    def _prediction(self, began: float, ended: float, busy: float) -> Prediction:
        seconds = ended - began
        cores = self.setup.workers * seconds
        load = min(1.0, self.costs.idle + busy / seconds / self.setup.servers)
        return Prediction(self._settled / seconds, self._worked / cores, load, seconds, self._given_back)

    def _workers(self, servers: Sequence[Server]) -> list[Worker]:
        every = [Worker(servers[n % len(servers)], self._believed) for n in range(self.setup.workers)]
        for worker in every:
            worker.server.workers += 1
        return every

    def _at(self, when: float, what: Callable[..., None], *about: object) -> None:
        heapq.heappush(self._events, (when, next(self._order), what, about))

    def _next(self) -> None:
        self._now, _, what, about = heapq.heappop(self._events)
        what(*about)

    def _until(self, turns: int) -> None:
        while self._turns < turns:
            self._next()

    # -- the server

    def _serve(self, server: Server, seconds: float) -> float:
        """Takes its place in line; when the reply goes out."""
        seconds += self.costs.cold.after(max(0.0, self._now - server.free))
        start = self._cores.start(max(self._now, server.free), seconds)
        server.free = start + seconds
        server.busy += seconds
        return server.free

    def _script(self, jobs: float) -> float:
        """What a turn with so many jobs costs. A job costs as much when it is settled as when it is claimed: nobody
        needs to know more exactly."""
        return self.costs.turn + self.costs.job * jobs

    def _turn(self, worker: Worker, worked: float = 0.0) -> None:
        """A worker's turn has come to its server."""
        self._turns += 1
        server = worker.server
        batch = server.queue.claim(worker.pace.want(), server.workers)
        end = self._serve(server, self._script((worker.unsettled + len(batch)) / 2))
        if worker.unsettled:
            self._settled += worker.unsettled
            self._worked += worked
            self._last = end
        worker.unsettled = 0
        if batch:
            self._run(worker, batch, end + self._half)
        else:
            worker.blocks = end + 2 * self._half
            server.idle.append(worker)

    def _hand_over(self, server: Server) -> None:
        """Whoever is idle gets a batch, in one script."""
        while server.idle:
            worker = server.idle[0]
            batch = server.queue.claim(worker.pace.want(), server.workers)
            if not batch:
                return
            server.idle.popleft()
            end = self._serve(server, self.costs.handing * self._script(len(batch)))
            self._run(worker, batch, max(end, worker.blocks) + self._half)

    def _take_back(self, server: Server, jobs: list[float]) -> None:
        self._given_back += len(jobs)
        server.queue.give_back(jobs)
        self._serve(server, self.costs.handing * self._script(len(jobs)))
        self._hand_over(server)

    def _hear(self, server: Server, seconds: float) -> None:
        """What a worker says while it works: nobody waits for the answer."""
        self._serve(server, seconds)

    def _renew(self, server: Server) -> None:
        """A supervisor does, and is told of the leases of all that belong to this server."""
        self._serve(server, self.costs.renewal + self.costs.lease * self.setup.hosts / self.setup.servers)
        self._at(self._now + RENEWED, self._renew, server)

    # -- the worker

    def _run(self, worker: Worker, batch: list[float], began: float) -> None:
        """Has a batch in hand from then on."""
        extra = self.costs.own_job
        seconds = sum(batch) + extra * len(batch)
        if seconds > STEAL_AFTER:
            if len(batch) > 1:
                batch = self._steal(worker, batch, began)
                seconds = sum(batch) + extra * len(batch)
            self._tell(worker.server, batch, began)
        worker.pace.took(len(batch), seconds, RECORD * len(batch))
        worker.unsettled = len(batch)
        self._at(began + seconds, self._finish, worker, sum(batch))

    def _steal(self, worker: Worker, batch: list[float], began: float) -> list[float]:
        """What is left to a worker when its supervisor has looked, as it does once a tick."""
        first = self._chance.uniform(0, TICK)
        overlong = first + math.ceil((OVERLONG - first) / TICK) * TICK
        at = 0.0
        for kept, seconds in enumerate(batch, 1):
            seen = first + max(0, math.ceil((at - first) / TICK)) * TICK
            at += seconds + self.costs.own_job
            look = min(seen + STEAL_AFTER, overlong)
            if look < at and kept < len(batch):
                self._at(began + look + self._half, self._take_back, worker.server, batch[kept:])
                return batch[:kept]
        return batch

    def _tell(self, server: Server, batch: Sequence[float], began: float) -> None:
        """Of a job that its supervisor sees at two looks the worker tells, and settles what was finished before."""
        at, look = 0.0, self._chance.uniform(0, TICK)
        for index, seconds in enumerate(batch):
            first = at + (look - at) % TICK
            if first + TICK < at + seconds:
                when = began + first + TICK + self._half
                self._at(when, self._hear, server, self.costs.say)
                if index:
                    self._at(when, self._hear, server, self.costs.handing * self._script(index))
            at += seconds + self.costs.own_job

    def _finish(self, worker: Worker, worked: float) -> None:
        """The batch has ended: what became of it goes to the server."""
        costs = self.costs
        start = self._cores.start(self._now, costs.core_turn + costs.core_job * worker.unsettled)
        self._at(start + costs.own_turn + self._half, self._turn, worker, worked)
