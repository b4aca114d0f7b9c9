"""What do 1 to 200 supervisors cost the server, when they are idle and when they work?

Up to 20 of them are real, with one worker each: three processes. At more the same scripts are run from here, as often
as they would run them; so they are at 1 and 20 too, beside the real ones.
"""

from __future__ import annotations

import time

from benchmarks.growth.driven import LEASE, Driven
from benchmarks.growth.server import Work, spent
from benchmarks.growth.waiting import jobs
from benchmarks.growth.work import Held
from benchmarks.harness import Bench, Project, Row, Spread, told
from tempotask.pool import firing
from tempotask.pool.batch import LARGEST
from tempotask.pool.housekeeper import LOOKS_A_LEASE, RECONCILE, TIDY, compare
from tempotask.store.wire import IDLE_SECONDS

REAL = (1, 5, 20)
DRIVEN = (1, 20, 50, 100, 200)
REAL_QUICKLY = (1, 3)
DRIVEN_QUICKLY = (1, 3, 20)


def measure(bench: Bench) -> list[Row]:
    few, many = (REAL_QUICKLY, DRIVEN_QUICKLY) if bench.quick else (REAL, DRIVEN)
    count, rounds = bench.size(100_000, 20_000), bench.size(3, 1)
    rows: list[Row] = []
    for how, points, measured in (("", few, real), (", driven from here", many, driven)):
        found = [measured(bench, supervisors, count, rounds) for supervisors in points]
        for supervisors, (idle, works) in zip(points, found, strict=True):
            rows += rows_of(f"{supervisors} supervisors of 1 worker{how}, against 1", count, (idle, works), found[0])
    return rows


Found = tuple[Work, list[Work]]
"""What one second costs when all are idle, and what one job costs, in several rounds."""


def rows_of(what: str, count: int, ours: Found, reference: Found) -> list[Row]:
    (idle, works), (one_idle, one_works) = ours, reference
    return [
        told(f"{what}: idle, commands per second", Spread([idle.commands], "/s"), Spread([one_idle.commands], "/s")),
        told(
            f"{what}: idle, server time in scripts per second",
            *(Spread([idle.scripts], "µs"), Spread([one_idle.scripts], "µs")),
        ),
        told(
            f"{what}: server time in scripts per job, {count:,} no-op jobs",
            *(Spread([work.scripts for work in each], "µs") for each in (works, one_works)),
        ),
    ]


# -- real ones


def real(bench: Bench, supervisors: int, count: int, rounds: int) -> Found:
    seconds = float(bench.size(20, 4))
    with bench.project("noop", BENCHMARK_QUEUES=str(Held.QUEUES * rounds)) as project:
        held = Held(project, rounds)
        for started in [project.supervisor("--concurrency", "1") for _ in range(supervisors)]:
            started.ready()
        project.wait_idle(supervisors)
        works = [held.put_through(count) for _ in range(rounds)]
        # What follows the end of work is not idling: a second look, an early settle, a renewal under way.
        time.sleep(2.0)
        idle = spent(project.redis, lambda: time.sleep(seconds))
    return idle.per(idle.seconds), works


# -- the same from here


def driven(bench: Bench, supervisors: int, count: int, rounds: int) -> Found:
    with bench.project("noop") as project:
        workers = [Driven(project, f"driven{number}") for number in range(supervisors)]
        works = []
        for _ in range(rounds):
            project.producer.enqueue_many(jobs(count, Held.QUEUES))
            works.append(spent(project.redis, lambda: work_off(workers)).per(count))
            for worker in workers:
                # Not idle any more, or what is enqueued next would be handed over.
                worker.turn(0)
        idle = spent(project.redis, lambda: idle_for(RECONCILE, project, workers))
    # The blocking calls, one of each worker and one of each supervisor for its orders, are counted and not made.
    waits = 2 * supervisors / IDLE_SECONDS
    idle = idle.per(RECONCILE)
    return idle._replace(commands=idle.commands + waits), works


def work_off(workers: list[Driven]) -> None:
    """Turns in turn, until every worker has settled what it had and none finds anything."""
    while sum(len(worker.turn(LARGEST)) for worker in workers):
        pass


def idle_for(seconds: float, project: Project, workers: list[Driven]) -> None:
    """All that supervisors and workers with nothing to do send in so many seconds, without waiting in between."""
    looks = int(seconds / LEASE * (LOOKS_A_LEASE if len(workers) > 1 else LOOKS_A_LEASE / 2))
    tidied = int(TIDY * looks / seconds)
    store = project.store
    for number in range(looks):
        for worker in workers:
            if number % tidied == 0:
                firing.fire(store)
            store.renew(worker.supervisor, LEASE, tidy=number % tidied == 0)
    for worker in workers:
        for _ in range(int(seconds / IDLE_SECONDS)):
            worker.turn(LARGEST)
        firing.declare(store, (), again=True)
        compare(store, worker.supervisor, {worker.name: (0, "", None)})
