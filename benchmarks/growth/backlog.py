"""What does a claim cost with 10,000 to 5,000,000 jobs waiting?"""

from __future__ import annotations

import contextlib

from benchmarks.growth.server import spent
from benchmarks.growth.waiting import BATCH, Waiting, compared, jobs
from benchmarks.growth.work import completed
from benchmarks.harness import Bench, Project, in_turns, until
from benchmarks.rows import Row, Spread, ratio, told

FEWEST = 10_000
POINTS = (100_000, 1_000_000, 5_000_000)
QUICKLY = (200_000,)
QUEUES = 3
STARTED_ON = 100_000
"""Jobs that a supervisor finds, of which it does half: what it costs when few are left is another question."""


def measure(bench: Bench) -> list[Row]:
    points = QUICKLY if bench.quick else POINTS
    rounds, turns = bench.size(5, 3), bench.size(60, 10)
    rows = []
    with contextlib.ExitStack() as projects:
        spaces = [projects.enter_context(bench.project("noop")) for _ in (FEWEST, *points)]
        few, *others = (Waiting(space, n, QUEUES) for space, n in zip(spaces, (FEWEST, *points), strict=True))
        for count, many in zip(points, others, strict=True):
            what = f"server time per claimed job, {BATCH} a claim: {count:,} waiting, against {FEWEST:,}"
            mine, other = compared(many, few, rounds, turns)
            if count < points[-1]:
                rows.append(told(what, mine, other))
                continue
            rows.append(ratio(what, mine, other, 1.2, 1.05, more_is_better=False))
            rows.append(told(f"{what}; the batch before settled too", *compared(many, few, rounds, turns, settle=True)))
            memory = f"server memory per waiting job: {count:,} waiting, against {FEWEST:,}"
            rows.append(told(memory, Spread([many.bytes], "B"), Spread([few.bytes], "B")))
        rows.append(by_supervisor(bench, spaces[0], spaces[-1], points[-1]))
    return rows


def by_supervisor(bench: Bench, few: Project, many: Project, count: int) -> Row:
    """All of a job but its enqueueing, with real workers, on the first jobs of what waits."""
    few.producer.enqueue_many(jobs(STARTED_ON - FEWEST, QUEUES))
    mine, others = in_turns(lambda: first_jobs(many), lambda: first_jobs(few), bench.size(2, 1), "µs")
    what = f"server's processor time per job of a supervisor with 2 workers: {count:,} waiting, against {STARTED_ON:,}"
    return told(what, mine, others)


def first_jobs(project: Project) -> float:
    """Microseconds of the server's processor for each of half of `STARTED_ON` jobs, or some more. They are added
    again."""
    names = [f"q{number}" for number in range(QUEUES)]
    before = completed(project, names)

    def work() -> None:
        supervisor = project.supervisor()
        least = before + STARTED_ON // 2
        until("the first jobs", lambda: completed(project, names) >= least, every=0.01, within=600)
        supervisor.end()

    work_done = spent(project.redis, work)
    done = completed(project, names) - before
    project.producer.enqueue_many(jobs(done, QUEUES))
    return work_done.processor / done
