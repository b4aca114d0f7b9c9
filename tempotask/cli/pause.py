"""The command `tempotask pause`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from tempotask.cli.acting import QueuesOrJobs, check_named, each, each_queue, queues_or_jobs
from tempotask.cli.command import everywhere, managed


@click.command(cls=QueuesOrJobs)
@queues_or_jobs
@everywhere
def pause(db: str | None, namespace: str, as_json: bool, names: Sequence[str], jobs: Sequence[str]) -> None:
    """Has queues start nothing, or single jobs not start."""
    check_named("pause", names, jobs)
    with managed(db, namespace) as manager:
        if jobs:
            each(manager, [*jobs, *names], manager.pause_job_by_id, "paused", "paused", as_json)
        else:
            each_queue(manager, names, manager.pause_queue, True, as_json)
