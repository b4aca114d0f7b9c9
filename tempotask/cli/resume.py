"""The command `tempotask resume`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from tempotask.cli.acting import QueuesOrJobs, check_named, each, each_queue, queues_or_jobs
from tempotask.cli.command import everywhere, managed


@click.command(cls=QueuesOrJobs)
@queues_or_jobs
@everywhere
def resume(db: str | None, namespace: str, as_json: bool, names: Sequence[str], jobs: Sequence[str]) -> None:
    """Has paused queues or jobs go on."""
    check_named("resume", names, jobs)
    with managed(db, namespace) as manager:
        if jobs:
            each(manager, [*jobs, *names], manager.resume_job_by_id, "resumed", "resumed", as_json)
        else:
            each_queue(manager, names, manager.resume_queue, False, as_json)
