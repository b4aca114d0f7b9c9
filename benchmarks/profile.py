"""Where do the microseconds of a job go, at 1, 10 and 200 jobs a batch?

The parts of a real worker are driven in this process, with batches of that size and a watch at each of their doors:
the server's own time is what the server says of the script; the wire is what is left of the round trip.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from benchmarks import drain
from benchmarks.harness import Bench, Project
from benchmarks.rows import Row, Spread
from tempotask import QueueManager
from tempotask.pool.control_block import ControlBlock
from tempotask.pool.leases import register
from tempotask.pool.report import WorkerSpec
from tempotask.pool.worker import Worker
from tempotask.store import wire
from tempotask.store.records import encode

SUPERVISOR, LEASE = "profiled", 600.0


class Watch:
    """Counts the seconds that are spent in some functions, without those in watched functions that they call."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._open: list[float] = []
        """For each watched call under way, the seconds of watched calls inside it."""

    def over(self, part: str, owner: Any, name: str) -> None:
        """From now on watches `owner.name`, as this part."""
        setattr(owner, name, self._watched(part, getattr(owner, name)))

    def _watched(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        clock, seconds, under_way = time.perf_counter, self.seconds, self._open

        def watched(*arguments: Any, **named: Any) -> Any:
            under_way.append(0.0)
            began = clock()
            try:
                return function(*arguments, **named)
            finally:
                took = clock() - began
                seconds[part] += took - under_way.pop()
                if under_way:
                    under_way[-1] += took

        return watched


def worker_of(project: Project) -> Worker:
    """A worker of the no-op application in this process."""
    os.environ["BENCHMARK_QUEUES"] = "3"
    from benchmarks.apps import noop

    manager: QueueManager[Any] = QueueManager.init(project.bench.url, namespace=project.namespace)
    for queue in ("q0", "q1", "q2"):
        manager.register_job(name="noop", queue=queue, handler=noop.noop)
    store = project.store
    register(store, SUPERVISOR, LEASE, [], 1, [], "benchmarks")
    name = f"{SUPERVISOR}.1"
    store.register(SUPERVISOR, LEASE, workers=[name])
    spec = WorkerSpec(name, SUPERVISOR, project.bench.url, project.namespace)
    return Worker(manager, spec, ControlBlock.create())


def calls(project: Project, count: int) -> float:
    """Seconds that it takes to decode so many payloads and call the handler, and nothing else."""
    worker = worker_of(project)
    (lane, *_) = worker._runner.lanes.values()
    payload = encode({"path": drain.PATH.format(7)})
    began = time.perf_counter()
    for _ in range(count):
        lane.handler(lane.decode(payload), worker._runner.context)
    return time.perf_counter() - began


def profile(bench: Bench, size: int, count: int) -> dict[str, float]:
    """Microseconds a job, by part."""
    with bench.project("noop") as project:
        project.producer.enqueue_many(drain.jobs(count))
        worker, watch = worker_of(project), Watch()
        watch.over("settlement: what became of the jobs", worker._settling, "settlement")
        watch.over("decode the batch", worker._turns, "batch")
        watch.over("run: decode payload, call, keep what became of it", worker._runner, "run_batch")
        watch.over("wire", worker._turns._wire, "_talk")
        packing = vars(wire)["packed"]
        watch.over("encode the call", wire, "packed")
        bench.redis.config_resetstat()
        began = time.perf_counter()
        try:
            done = _work_off(worker, size, count)
        finally:
            vars(wire)["packed"] = packing
        whole = time.perf_counter() - began
        stats: dict[str, Any] = bench.redis.info("commandstats")
    parts = {part: seconds / done * 1e6 for part, seconds in watch.seconds.items()}
    parts["server: turn"] = stats["cmdstat_evalsha"]["usec"] / done
    parts["wire"] -= parts["server: turn"]
    parts["bookkeeping a batch"] = whole / done * 1e6 - sum(parts.values())
    return dict(sorted(parts.items(), key=lambda part: -part[1]))


def _work_off(worker: Worker, size: int, count: int) -> int:
    """Takes turns of that size until little is left, so that none is smaller."""
    done = 0
    while done < count - 3 * size:
        hand = worker._take_turn(size)
        assert hand is not None
        worker._work_off(hand)
        done += len(hand.runs)
    return done


def measure(bench: Bench) -> list[Row]:
    rows = []
    for size in (1, 10, 200):
        count = bench.size(200_000, 20_000) if size == 200 else bench.size(10_000, 2_000) * size // 2
        rounds = [profile(bench, size, count) for _ in range(bench.rounds)]
        for part in rounds[0]:
            spread = Spread([each[part] for each in rounds], "µs")
            rows.append(Row(f"{size} a batch, {part}", spread, spread.median, None, None, False))
    with bench.project("noop") as project:
        count = bench.size(200_000, 20_000)
        spread = Spread([calls(project, count) / count * 1e6 for _ in range(bench.rounds)], "µs")
    rows.append(Row("floor: decode a payload and call the handler", spread, spread.median, None, None, False))
    return rows
