"""Handlers that go up to what is allowed, and beyond it."""

from __future__ import annotations

from typing import Any

from tempotask import Context, Job, QueueManager

tempotask = QueueManager.init(ctx=dict, options={"max_payload_bytes": 1000})


@tempotask.task(queue="q")
def returns(job: Job[int], ctx: Context[Any]) -> bytes:
    """So many bytes, and three for their length."""
    return b"x" * job.data


@tempotask.task(queue="q")
def logs_bytes(job: Job[int], ctx: Context[Any]) -> None:
    job.logger(b"x" * job.data)


@tempotask.task(queue="q")
def logs_text(job: Job[int], ctx: Context[Any]) -> None:
    job.logger("x" * job.data)


@tempotask.task(queue="q")
def logs_lines(job: Job[int], ctx: Context[Any]) -> None:
    for number in range(job.data):
        job.logger(number)


@tempotask.task(queue="q")
def notes(job: Job[int], ctx: Context[Any]) -> None:
    job.progress(1, note="x" * job.data)


@tempotask.task(queue="q", attempts=30)
def fails(job: Job[int], ctx: Context[Any]) -> None:
    raise ValueError("x" * job.data)
