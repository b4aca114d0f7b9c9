"""Looks for the best of 144 pairs of parameters, on every core: python sweep.py

The model is a ridge regression on random waves ("random Fourier features"). Its parameters: how fast the waves are,
and how much large weights cost.
"""

from __future__ import annotations

import asyncio
import itertools
from datetime import timedelta

import msgspec
import numpy as np

from tempotask import Context, Job, JobHandle, JobNotFound, QueueManager, ResultExpired, as_completed

WAVES = 200
SPEEDS = [float(speed) for speed in np.geomspace(0.05, 20, 12).round(3)]
COSTS = [float(cost) for cost in np.geomspace(1e-6, 10, 12).round(7)]


class Point(msgspec.Struct, frozen=True):
    """One pair of parameters; the seed is that of the waves."""

    speed: float
    cost: float
    seed: int = 0

    @property
    def id(self) -> str:
        return f"{self.speed}:{self.cost}"

    def __str__(self) -> str:
        return f"speed {self.speed:g}, cost {self.cost:g}"


class Measurements:
    """What the model is to learn, and what it is judged by. Each worker makes them once: they are its context."""

    def __init__(self) -> None:
        chance = np.random.default_rng(6)
        self.inputs = chance.uniform(-2, 2, (1500, 2))
        truth = np.sin(3 * self.inputs[:, 0]) * np.cos(2 * self.inputs[:, 1])
        self.targets = truth + chance.normal(0, 0.1, len(truth))


tempotask = QueueManager.init(ctx=Measurements, namespace="sweep")


def error(point: Point, measured: Measurements) -> float:
    """How far the model is off, on average, on the third of the measurements that it has not seen."""
    chance = np.random.default_rng(point.seed)
    directions = chance.normal(0, point.speed, (2, WAVES))
    waves = np.cos(measured.inputs @ directions + chance.uniform(0, 2 * np.pi, WAVES))
    seen, judged = waves[:1000], waves[1000:]
    normal = seen.T @ seen + point.cost * np.eye(WAVES)
    weights = np.linalg.solve(normal, seen.T @ measured.targets[:1000])
    return float(np.sqrt(np.mean((judged @ weights - measured.targets[1000:]) ** 2)))


@tempotask.task(queue="points", timeout=60, keep_result=timedelta(days=1))
def score(job: Job[Point], ctx: Context[Measurements]) -> float:
    return error(job.data, ctx.app)


def grid() -> list[tuple[Point, int]]:
    """All points, and the priority of each: a coarse grid comes first, so that there soon is a rough answer."""
    points = []
    for (row, speed), (column, cost) in itertools.product(enumerate(SPEEDS), enumerate(COSTS)):
        coarse = row % 3 == 1 and column % 3 == 1
        points.append((Point(speed, cost), 1 if coarse else 0))
    return points


async def jobs_of(points: list[tuple[Point, int]]) -> list[JobHandle[float]]:
    """The job of each point, which is called after it. Those of a sweep that was stopped go on, or have a result; to
    add a finished one again would have it run again."""
    known, new = [], []
    for point, priority in points:
        handle = tempotask.handle(point.id)
        try:
            status = await handle.astatus()
            if status == "completed":
                await handle.aresult(0)
            if status not in ("failed", "cancelled"):
                known.append(handle)
                continue
        except (JobNotFound, ResultExpired):
            pass
        options = {"id": point.id, "priority": priority}
        new.append({"name": "score", "queue": "points", "data": point, "options": options})
    return [*known, *await tempotask.aenqueue_many(new)]


async def main() -> None:
    points = grid()
    handles = await jobs_of(points)
    of = {point.id: (point, priority) for point, priority in points}
    coarse, done = sum(of_coarse for _, of_coarse in points), 0
    best, lowest = points[0][0], float("inf")
    async with tempotask:
        async for handle in as_completed(handles):
            (point, of_coarse), found = of[handle.id], await handle
            done, coarse = done + 1, coarse - of_coarse
            if found < lowest:
                best, lowest = point, found
            if of_coarse and not coarse:
                print(f"after {done} of {len(points)}, a coarse grid: {best}, error {lowest:.4f}")
            elif done % 48 == 0:
                print(f"{done} of {len(points)}: {best}, error {lowest:.4f}")
        again = (Point(best.speed, best.cost, seed) for seed in range(1, 21))
        others = [found async for found in score.amap(again)]
    print(f"the best: {best}, error {lowest:.4f}; with other waves {np.mean(others):.4f} ± {np.std(others):.4f}")


if __name__ == "__main__":
    asyncio.run(main())
