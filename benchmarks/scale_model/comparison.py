"""The model's predictions beside real runs."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import redis

from benchmarks.harness import WORKERS, Bench
from benchmarks.rows import Spread
from benchmarks.scale_model.answers import seconds
from benchmarks.scale_model.costs import Costs
from benchmarks.scale_model.durations import Durations
from benchmarks.scale_model.hosts import Hosts, Run, hosts
from benchmarks.scale_model.link import Link
from benchmarks.scale_model.measurement import gauge, nap, ping
from benchmarks.scale_model.model import Prediction, Setup, Simulation
from tempotask.pool.pace import BUDGET

CORES = 2
"""Of this machine: what all hosts, the server and the link have together."""
USUAL = 0.005
LATENCIES = (0.0, 0.0002, 0.001, 0.005)
OTHERS = (
    *(("constant", 0.001, 0.0), ("constant", 0.02, 0.001), ("constant", 0.08, 0.005)),
    *(("exponential", USUAL, 0.001), ("exponential", 0.03, 0.005), ("Pareto", USUAL, 0.0002), ("Pareto", 0.02, 0.005)),
)
"""Besides jobs of the usual length at all latencies: how they are spread, how long they are, the latency."""


@dataclass(frozen=True)
class Case:
    """The same jobs some times, and what the model says of them."""

    hosts: int
    kind: str
    mean: float
    latency: float
    runs: list[Run]
    predicted: Prediction
    apart: bool
    """Whether each host was in a network namespace of its own."""

    @property
    def rate(self) -> Spread:
        return Spread([run.rate for run in self.runs], "jobs/s")

    @property
    def load(self) -> Spread:
        return Spread([run.load * 100 for run in self.runs], "%")

    @property
    def error(self) -> float:
        """Of the jobs a second, and so of the efficiency."""
        return abs(self.predicted.rate / self.rate.median - 1)

    @property
    def load_error(self) -> float:
        return abs(self.predicted.load * 100 / self.load.median - 1)

    def __str__(self) -> str:
        return f"{_hosts(self.hosts)}, {self.kind} {seconds(self.mean)}, +{seconds(self.latency)}"


def _hosts(count: int) -> str:
    return f"{count} host" if count == 1 else f"{count} hosts"


class Field:
    """Real hosts, and the model with what things cost here, beside them."""

    def __init__(self, bench: Bench, costs: Costs, real: Hosts, link: Link, gauge: Callable[[], float]) -> None:
        self._real, self._gauge, self._rounds = real, gauge, bench.size(3, 1)
        self._seconds = 0.6 if bench.quick else 2.4
        with redis.Redis.from_url(link.url) as client:
            trip = ping(client)
        # What the link takes of a core, there and back.
        passing = max(0.0, trip - costs.round_trip)
        self._own_job, self._believed = costs.own_job, USUAL
        self._costs = dataclasses.replace(costs, round_trip=trip, core_turn=costs.core_turn + passing)
        self._dear = 1 / gauge()
        """How much dearer everything is to the server than when its costs were taken, by what the gauge says."""

    def learn_supervision(self) -> None:
        """From runs that are not compared: what a supervisor does about a batch. Only with one supervisor."""
        jobs = self._usual()
        supervision = min(self._real.run(jobs, 0.0).supervision for _ in range(2))
        turns = len(jobs) / (BUDGET // (USUAL + self._own_job))
        self._costs = dataclasses.replace(self._costs, core_turn=self._costs.core_turn + supervision / turns)

    def learn_company(self, count: int) -> None:
        """From runs that are not compared: how much dearer everything is to the server while so many hosts use its
        caches. One with a core of its own has no such company."""
        runs, predicted = self._beside(count, self._usual(), 0.0, USUAL)
        self._dear *= statistics.median(run.load for run in runs) / predicted.load

    def case(self, count: int, kind: str, mean: float, latency: float) -> Case:
        """Runs and predicts the very same jobs."""
        number = max(20, int(self._seconds / mean)) * count * WORKERS
        runs, predicted = self._beside(count, Durations(kind, mean, number).take(number), latency, mean)
        return Case(count, kind, mean, latency, runs, predicted, self._real.apart)

    def _usual(self) -> list[float]:
        return [USUAL] * int(self._seconds / USUAL * self._real.workers)

    def _beside(self, count: int, jobs: list[float], latency: float, mean: float) -> tuple[list[Run], Prediction]:
        """Some runs, and the prediction with what sleeps and turns cost between them: that changes within minutes, with
        what the machine does besides."""
        naps, turns, runs = [nap()], [self._gauge()], []
        for _ in range(self._rounds):
            runs.append(self._real.run(jobs, latency))
            naps.append(nap())
            turns.append(self._gauge())
        late, core = (statistics.median(part) for part in zip(*naps, strict=True))
        costs = dataclasses.replace(self._costs, own_job=self._own_job + late, core_job=self._own_job + core)
        costs = costs.dearer(self._dear * statistics.median(turns))
        believed, self._believed = (self._believed if self._rounds == 1 else mean), mean
        setup = Setup(count, WORKERS, latency, shared=CORES)
        return runs, Simulation(setup, costs, believed=believed + costs.own_job).run(jobs)


def compare(bench: Bench, costs: Costs) -> Iterator[Case]:
    """One run after the other, with more and more hosts."""
    with hosts(bench) as (real, link), gauge(bench) as turn:
        real.grow(1)
        field = Field(bench, costs, real, link, turn)
        field.learn_supervision()
        for count in (1, 2, 4) if bench.quick else (1, 2, 4, 8):
            real.grow(count)
            field.learn_company(count)
            for latency in LATENCIES[::2] if bench.quick else LATENCIES:
                yield field.case(count, "constant", USUAL, latency)
            for kind, mean, latency in OTHERS if count == 4 else ():
                yield field.case(count, kind, mean, latency)
