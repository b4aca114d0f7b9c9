"""How it is measured what turns and jobs cost on this machine."""

from __future__ import annotations

import contextlib
import gc
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import drain
from benchmarks.harness import Bench, Failed, Project
from benchmarks.profile import worker_of
from benchmarks.scale_model.costs import PAUSE, Cold, Costs
from tempotask.pool.leases import register
from tempotask.store.records import encode
from tempotask.store.said import Live

SIZES = (1, 10, 50, 200, 1000)
"""Jobs of a batch at which turns are measured."""
SMALL = SIZES[:3]
"""Those at which it shows what a pause costs: with large ones it is lost among the jobs."""
GAPS = (0.006, 0.012, 0.025, 0.05, 0.1)
"""Seconds between two turns, at which that is measured, beside `PAUSE`."""
WATCHED = 1.5
"""Seconds of turns after each of them, about."""
NAP = 0.003
GAUGE = 10, 40, 0.01
"""The turns that show how fast the server is just now: jobs in each, how many, seconds between two."""


@dataclass(frozen=True)
class Sample:
    """A turn at one size of batch."""

    script: float
    """What the server says of the script, by commandstats."""
    server: float
    """What the server's process has used: the script, and reading and writing."""
    worker: float
    """The worker's part and the round trip: all but the server's time."""
    core: float
    """Of the worker's process."""


def line(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Where the line through these points begins, and how it climbs. Each counts by its relative error: a large batch
    must not decide what a small one costs."""
    weights = [1 / y**2 for _, y in points]
    total = sum(weights)
    x_mean = sum(w * x for w, (x, _) in zip(weights, points, strict=True)) / total
    y_mean = sum(w * y for w, (_, y) in zip(weights, points, strict=True)) / total
    spread = sum(w * (x - x_mean) ** 2 for w, (x, _) in zip(weights, points, strict=True))
    climb = sum(w * (x - x_mean) * (y - y_mean) for w, (x, y) in zip(weights, points, strict=True)) / spread
    return max(0.0, y_mean - climb * x_mean), climb


def server_seconds(bench: Bench) -> float:
    """Of a core, that the server has used so far."""
    used: dict[str, Any] = bench.redis.info("cpu")
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])


@contextlib.contextmanager
def gauge(bench: Bench) -> Iterator[Callable[[], float]]:
    """Tells what a turn costs the server just now, in seconds of its thread, whatever else there is on the server."""
    project = Project(bench, "benchmarks.apps.noop:tempotask", "gauge", {})
    try:
        yield lambda: _sample(bench, project, *GAUGE).server
    finally:
        project.close()


def samples(bench: Bench, most: int, pause: float, sizes: Sequence[int] = SIZES) -> list[Sample]:
    """Turns of each size, `most` of them or fewer where they are large, with so many seconds between two."""
    found = []
    for size in sizes:
        with bench.project("noop") as project:
            found.append(_sample(bench, project, size, min(most, 40_000 // size), pause))
    return found


def _sample(bench: Bench, project: Project, size: int, turns: int, pause: float) -> Sample:
    """One queue, and more than twice as much in it as is claimed: else the fair part would be less."""
    project.producer.enqueue_many(drain.jobs(size * (turns + 6), 1))
    worker = worker_of(project)
    hand = worker._take_turn(size)
    bench.redis.config_resetstat()
    used, took, core = server_seconds(bench), [], time.thread_time()
    gc.disable()
    for _ in range(turns):
        if pause:
            time.sleep(pause)
        began = time.perf_counter()
        if hand is None or len(hand.batch.records) != size:
            raise Failed(f"no batch of {size}")
        worker._work_off(hand)
        hand = worker._take_turn(size)
        took.append(time.perf_counter() - began)
    gc.enable()
    core = (time.thread_time() - core) / turns
    server = (server_seconds(bench) - used) / turns
    stats: dict[str, Any] = bench.redis.info("commandstats")
    script = stats["cmdstat_evalsha"]
    # The median: a turn that met the world at work says nothing of turns.
    return Sample(script["usec"] / script["calls"] / 1e6, server, statistics.median(took) - server, core)


def cold(bench: Bench, busy: Sequence[Sample], rested: Sequence[Sample], most: int, idling: float) -> Cold:
    """What pauses between turns cost, beside what the server does then by itself, `idling` seconds a second. `busy` are
    turns of each size without one, `rested` after `PAUSE`."""
    more = [0.0]
    for gap in (PAUSE, *GAPS):
        late = rested if gap == PAUSE else samples(bench, min(most, int(WATCHED / gap)), gap, SMALL)
        dearer = statistics.mean(late[at].server - busy[at].server for at in range(len(SMALL)))
        # A longer gap leaves nothing warmer.
        more.append(max(more[-1], dearer - idling * gap))
    return Cold((0.0, PAUSE, *GAPS), tuple(more))


def idle(bench: Bench, seconds: float = 2.0) -> float:
    """Of a second, what the server's process uses when nobody wants anything."""
    used = server_seconds(bench)
    time.sleep(seconds)
    return (server_seconds(bench) - used) / seconds


def say(bench: Bench, times: int) -> float:
    """Seconds of the server's thread to be told of a job that takes long."""
    with bench.project("noop") as project:
        worker = worker_of(project)
        project.producer.enqueue_many(drain.jobs(1, 1))
        hand = worker._take_turn(1)
        if hand is None:
            raise Failed("no job to tell of")
        told = encode(Live(worker.id, 1, time.time(), None))
        used = server_seconds(bench)
        for _ in range(times):
            worker._turns.say(hand.batch.turn, 0, hand.batch.records[0].id, b"", b"", told, [])
        used = server_seconds(bench) - used
        worker._work_off(hand)
        worker._take_turn(0)
        return used / times


def renewal(bench: Bench, many: int, times: int = 100) -> tuple[float, float]:
    """Seconds of the server's thread to renew a lease, and for each lease that is told of in the reply."""
    points = []
    with bench.project("noop") as project:
        for count in (1, many):
            for number in range(len(project.redis.hkeys(project.key("leases"))), count):
                register(project.store, f"s{number}", 600.0, [], 1, [], "benchmarks")
            used = server_seconds(bench)
            for _ in range(times):
                project.store.renew("s0", 600.0, tidy=False)
            points.append((count, (server_seconds(bench) - used) / times))
    return line(points)


def ping(client: Any, times: int = 200) -> float:
    """Seconds of a round trip to a server that sleeps."""
    took = []
    for _ in range(times):
        time.sleep(PAUSE)
        began = time.perf_counter()
        client.ping()
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def nap(times: int = 20) -> tuple[float, float]:
    """By how many seconds a sleep is too long, and how many of them are a core's."""
    took, core = [], time.thread_time()
    for _ in range(times):
        began = time.perf_counter()
        time.sleep(NAP)
        took.append(time.perf_counter() - began)
    return statistics.median(took) - NAP, (time.thread_time() - core) / times


def measured(bench: Bench, turns: int = 300) -> tuple[Costs, list[Sample], list[Sample]]:
    """The costs on this machine, of jobs that keep a core busy, and the turns that they were taken from: one after the
    other, and each after a pause."""
    busy, rested = samples(bench, turns, 0.0), samples(bench, turns, PAUSE)
    trip = ping(bench.redis)
    turn, job = line([(size, each.server) for size, each in zip(SIZES, busy, strict=True)])
    worker, own_job = line([(size, each.worker) for size, each in zip(SIZES, rested, strict=True)])
    core, _ = line([(size, each.core) for size, each in zip(SIZES, rested, strict=True)])
    idling = idle(bench)
    alone, each_lease = renewal(bench, bench.size(1000, 200))
    costs = Costs(
        turn=turn,
        job=job,
        cold=cold(bench, busy, rested, turns, idling),
        idle=idling,
        own_turn=max(0.0, worker - trip),
        own_job=own_job,
        round_trip=trip,
        say=say(bench, turns),
        renewal=alone,
        lease=each_lease,
        core_turn=core,
    )
    return costs, busy, rested
