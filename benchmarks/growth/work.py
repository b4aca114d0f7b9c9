"""Real supervisors at work: what a job costs the server."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks import drain
from benchmarks.growth.server import Work, spent
from benchmarks.harness import Failed, Project, until


def completed(project: Project, queues: Sequence[str]) -> int:
    """How many jobs of these queues have completed."""
    return sum(int(project.redis.hget(project.key(f"counts:{queue}"), "completed") or 0) for queue in queues)


def drained(project: Project, count: int, queues: int = 3) -> Work:
    """What one job costs when a supervisor starts on so many of them; its start, some calls, is in it."""
    names = [f"q{number}" for number in range(queues)]
    project.producer.enqueue_many(drain.jobs(count, queues))
    before = completed(project, names)

    def work_off() -> None:
        supervisor = project.supervisor()
        ring = project.store.ring
        until("the end of the backlog", lambda: not project.redis.exists(ring), every=0.02, within=600)
        until("the last job to be settled", project.store.quiet, every=0.02, within=600)
        supervisor.end()

    work = spent(project.redis, work_off)
    if (done := completed(project, names) - before) != count:
        raise Failed(f"{done:,} of {count:,} jobs completed")
    return work.per(count)


class Held:
    """Three queues a round, all paused, so that the jobs of a round begin all at once, on workers that are idle.

    To be made before the first supervisor: one that lives when a queue is paused takes back what its workers have
    not started.
    """

    QUEUES = 3

    def __init__(self, project: Project, rounds: int) -> None:
        self._project = project
        self._rounds = [[f"q{round * self.QUEUES + one}" for one in range(self.QUEUES)] for round in range(rounds)]
        for names in self._rounds:
            for name in names:
                project.store.pause_queue(name)

    def put_through(self, count: int) -> Work:
        """What a job of so many costs in one round, from the moment at which they may begin."""
        project, names = self._project, self._rounds.pop()
        project.producer.enqueue_many(
            {**job, "queue": names[number % self.QUEUES]} for number, job in enumerate(drain.jobs(count))
        )

        def begin() -> None:
            for name in names:
                project.store.resume_queue(name)
            until("the end of a round", lambda: completed(project, names) == count, every=0.02, within=600)

        return spent(project.redis, begin).per(count)
