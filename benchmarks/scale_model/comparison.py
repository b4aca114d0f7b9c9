"""The model's predictions beside real runs."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

import redis

from benchmarks.harness import WORKERS, Bench
from benchmarks.rows import Spread
from benchmarks.scale_model.answers import seconds
from benchmarks.scale_model.costs import Costs
from benchmarks.scale_model.durations import Durations
from benchmarks.scale_model.hosts import Hosts, Run, hosts
from benchmarks.scale_model.link import Link
from benchmarks.scale_model.measurement import nap, ping
from benchmarks.scale_model.model import Prediction, Setup, Simulation
from tempotask.pool.batch import BUDGET

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
    """Real hosts, and the model with what things cost here."""

    def __init__(self, bench: Bench, costs: Costs, real: Hosts, link: Link) -> None:
        self._real, self._rounds = real, bench.size(3, 1)
        self._seconds = 0.6 if bench.quick else 2.4
        with redis.Redis.from_url(link.url) as client:
            trip = ping(client)
        # What the link takes of a core, there and back.
        passing = max(0.0, trip - costs.round_trip)
        self._own_job, self._believed = costs.own_job, USUAL
        self.costs = dataclasses.replace(costs, round_trip=trip, core_turn=costs.core_turn + passing)

    def learn(self) -> None:
        """From runs that are not compared: what a supervisor does about a batch. Only with one supervisor."""
        jobs = [USUAL] * int(self._seconds / USUAL * self._real.workers)
        supervision = min(self._real.run(jobs, 0.0).supervision for _ in range(2))
        turns = len(jobs) / (BUDGET // (USUAL + self._own_job))
        self.costs = dataclasses.replace(self.costs, core_turn=self.costs.core_turn + supervision / turns)

    def case(self, count: int, kind: str, mean: float, latency: float) -> Case:
        """Runs and predicts the very same jobs."""
        number = max(20, int(self._seconds / mean)) * count * WORKERS
        jobs = Durations(kind, mean, number).take(number)
        # How late a sleep ends depends on what the machine does besides: it is measured between the runs.
        naps, runs = [nap()], []
        for _ in range(self._rounds):
            runs.append(self._real.run(jobs, latency))
            naps.append(nap())
        late, core = (statistics.median(part) for part in zip(*naps, strict=True))
        costs = dataclasses.replace(self.costs, own_job=self._own_job + late, core_job=self._own_job + core)
        believed, self._believed = (self._believed if self._rounds == 1 else mean), mean
        setup = Setup(count, WORKERS, latency, shared=CORES)
        predicted = Simulation(setup, costs, believed=believed + costs.own_job).run(jobs)
        return Case(count, kind, mean, latency, runs, predicted, self._real.apart)


def compare(bench: Bench, costs: Costs) -> Iterator[Case]:
    """One run after the other, with more and more hosts."""
    with hosts(bench) as (real, link):
        real.grow(1)
        field = Field(bench, costs, real, link)
        field.learn()
        for count in (1, 2, 4) if bench.quick else (1, 2, 4, 8):
            real.grow(count)
            for latency in LATENCIES[::2] if bench.quick else LATENCIES:
                yield field.case(count, "constant", USUAL, latency)
            for kind, mean, latency in OTHERS if count == 4 else ():
                yield field.case(count, kind, mean, latency)
