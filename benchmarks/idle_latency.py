"""How long is it from `enqueue` to the first line of the handler, when nothing else is going on?"""

from __future__ import annotations

import multiprocessing
import statistics
import time

import redis

from benchmarks.harness import Bench, Project, Row, in_turns

PACE = 0.005
"""Seconds in which everybody falls asleep again. Only then is asked for what the other side has seen."""


def ours(project: Project, count: int) -> float:
    """Milliseconds, the median of so many single jobs."""
    taken: list[int] = []
    for _ in range(count):
        began = time.time_ns()
        handle = project.producer.enqueue(name="now", queue="work")
        time.sleep(PACE)
        taken.append(handle.result(timeout=60) - began)
        project.wait_idle()
        time.sleep(PACE)
    return statistics.median(taken) / 1e6


def bare(bench: Bench, count: int) -> float:
    """The same for two processes, one of which pushes to a list on which the other blocks."""
    context = multiprocessing.get_context("fork")
    echo = context.Process(target=_echo, args=(bench.url, count), daemon=True)
    echo.start()
    taken = []
    with redis.Redis.from_url(bench.url) as client:
        client.blpop(["{limit}:back"])
        for _ in range(count):
            time.sleep(PACE)
            began = time.time_ns()
            client.rpush("{limit}:there", "x" * 30)
            time.sleep(PACE)
            taken.append(int(client.blpop(["{limit}:back"])[1]) - began)
    echo.join()
    return statistics.median(taken) / 1e6


def _echo(url: str, count: int) -> None:
    with redis.Redis.from_url(url) as client:
        client.rpush("{limit}:back", "ready")
        for _ in range(count):
            client.blpop(["{limit}:there"])
            client.rpush("{limit}:back", time.time_ns())


def measure(bench: Bench) -> list[Row]:
    rounds, count = bench.size(5, 1), 100
    with bench.project("busy") as project:
        project.supervisor().ready()
        project.wait_idle()
        ours(project, 10)
        mine, others = in_turns(lambda: ours(project, count), lambda: bare(bench, count), rounds, "ms")
    what = "idle latency, enqueue to the first line of the handler, p50"
    return [Row(what, mine, mine.median / others.median, 1.7, 1.3, False, others)]
