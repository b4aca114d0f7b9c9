"""`init(inline=True)`: what handles and lists tell of jobs."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from unit.inlined import App, note, register

from tempotask import Context, InvalidOptions, Job, JobNotFound, QueueManager, as_completed


def test_handles_know_of_the_job_what_the_server_would(tempotask: QueueManager[App]) -> None:
    def say(job: Job[Any], ctx: Context[App]) -> str:
        job.logger("one")
        job.logger({"two": 2})
        return "done"

    before = datetime.now(UTC)
    handle = register(tempotask, "say", say).enqueue({"a": 1}, priority=7)
    info = handle.info()
    assert (info.id, info.queue, info.name, info.status) == (handle.id, "q", "say", "completed")
    assert (info.priority, info.data, info.result, info.error) == (7, {"a": 1}, "done", None)
    assert [entry.message for entry in handle.logs()] == ["one", {"two": 2}]
    assert info.enqueued_at is not None
    assert info.finished_at is not None
    assert before <= info.enqueued_at <= info.finished_at <= datetime.now(UTC) + timedelta(seconds=1)
    assert tempotask.handle(handle.id).result() == "done"
    assert tempotask.get_job_by_id(handle.id) == info


def test_a_job_nobody_knows_is_not_found(tempotask: QueueManager[App]) -> None:
    handle = tempotask.handle("nothing")
    for call in (handle.status, handle.info, handle.result):
        with pytest.raises(JobNotFound, match="nobody knows a job 'nothing'"):
            call()
    assert tempotask.get_job_by_id("nothing") is None
    with pytest.raises(JobNotFound):
        asyncio.run(handle.aresult())


def test_as_completed_yields_all_of_them(tempotask: QueueManager[App]) -> None:
    task = register(tempotask, "note", note)
    handles = [task.enqueue(n) for n in range(3)]
    assert {handle.result() for handle in as_completed(handles)} == {0, 1, 2}

    async def main() -> set[Any]:
        return {await handle async for handle in as_completed(handles)}

    assert asyncio.run(main()) == {0, 1, 2}


def test_history_is_trimmed_and_outcomes_stay() -> None:
    with QueueManager.init(inline=True, ctx=App, options={"max_jobs_per_status": 2}) as tempotask:
        handles = [register(tempotask, f"note{n}", note).enqueue(n) for n in range(4)]
        assert [handle.result() for handle in handles] == [0, 1, 2, 3]
        assert handles[0].status() == "completed"
        assert handles[0].info().data is None
        assert handles[3].info().data == 3


def test_jobs_and_queues_are_listed_as_ever(tempotask: QueueManager[App]) -> None:
    def pick(job: Job[int], ctx: Context[App]) -> int:
        if job.data % 2:
            raise ValueError
        return job.data

    for queue in ("one", "two"):
        tempotask.register_job(name="pick", queue=queue, handler=pick)
    for n in range(6):
        tempotask.enqueue(name="pick", queue="one" if n < 4 else "two", data=n)
    assert [job.data for job in tempotask.get_jobs()] == [5, 4, 3, 2, 1, 0]
    assert [job.data for job in tempotask.get_jobs(queue="one", status="failed")] == [3, 1]
    first = tempotask.get_jobs(limit=4)
    assert [job.data for job in tempotask.get_jobs(limit=4, cursor=first.cursor)] == [1, 0]
    with pytest.raises(InvalidOptions, match="cursor='nonsense'"):
        tempotask.get_jobs(cursor="nonsense")
    with pytest.raises(InvalidOptions, match="no status 'done'"):
        tempotask.get_jobs(status="done")
    one, two = tempotask.get_sorted_jobs(max_jobs_per_status=1)
    assert (one.name, one.paused, one.stats["completed"], one.stats["failed"], one.stats["total"]) == (
        *("one", False, 2, 2, 4),
    )
    assert [job.data for job in two.jobs["completed"]] == [4]
    assert len(asyncio.run(tempotask.aget_jobs())) == 6


def test_how_far_a_job_said_it_was_is_kept(tempotask: QueueManager[App]) -> None:
    def go(job: Job[Any], ctx: Context[App]) -> None:
        job.progress(3, 4, "nearly")

    info = register(tempotask, "go", go).enqueue().info()
    assert (info.progress.done, info.progress.total, info.progress.note) == (3, 4, "nearly")
