"""What do 1 to 200 supervisors cost the server, when they are idle and when they work?

200 real ones with one worker each would be 600 processes. So the scripts that they run are run from here, by the same
functions and as often; and up to 20 real ones are held against that.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks.growth.driven import LEASE, Driven
from benchmarks.growth.server import Work, spent
from benchmarks.growth.waiting import jobs
from benchmarks.growth.work import Held
from benchmarks.harness import Bench, Project
from benchmarks.rows import Row, Spread, told
from tempotask.pool import firing
from tempotask.pool.housekeeper import LOOKS_A_LEASE, RECONCILE, TIDY, compare
from tempotask.pool.pace import LARGEST
from tempotask.store.wire import IDLE_SECONDS

REAL, DRIVEN = (1, 20), (1, 20, 50, 100, 200)
REAL_QUICKLY, DRIVEN_QUICKLY = (2,), (1, 2, 20)

Found = tuple[Work, list[Work]]
"""What one second costs when all are idle, and what one job costs, in several rounds."""


def measure(bench: Bench) -> list[Row]:
    few, many = (REAL_QUICKLY, DRIVEN_QUICKLY) if bench.quick else (REAL, DRIVEN)
    count, rounds = bench.size(100_000, 20_000), bench.size(3, 1)
    found = {supervisors: driven(bench, supervisors, count, rounds) for supervisors in many}
    rows: list[Row] = []
    for supervisors in few:
        what = f"{supervisors} real supervisors of 1 worker, against driven ones"
        rows += compared(what, count, real(bench, supervisors, count, rounds), found[supervisors])
    for supervisors in many:
        rows += compared(f"{supervisors} driven supervisors, against 1", count, found[supervisors], found[1])
    return rows


def compared(what: str, count: int, ours: Found, reference: Found) -> list[Row]:
    def row(figure: str, unit: str, read: Callable[[Found], list[float]]) -> Row:
        return told(f"{what}: {figure}", Spread(read(ours), unit), Spread(read(reference), unit))

    return [
        row("idle, commands per second", "/s", lambda found: [found[0].commands]),
        row("idle, server time in scripts per second", "µs", lambda found: [found[0].scripts]),
        row(
            f"{count:,} no-op jobs, server's processor time per job",
            *("µs", lambda found: [work.processor for work in found[1]]),
        ),
    ]


# -- real ones


def real(bench: Bench, supervisors: int, count: int, rounds: int) -> Found:
    seconds = float(bench.size(20, 4))
    with bench.project("noop", BENCHMARK_QUEUES=str(Held.QUEUES * rounds)) as project:
        held = Held(project, rounds)
        for started in [project.supervisor(workers=1) for _ in range(supervisors)]:
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
