"""`init(inline=True)`: jobs are cancelled, paused, tried again and deleted."""

from __future__ import annotations

from typing import Any

import pytest
from unit.inlined import App, note, register

from tempotask import Context, Job, JobCancelled, JobNotFound, QueueManager


def test_a_job_that_has_ended_can_be_run_again_and_not_cancelled(tempotask: QueueManager[App], seen: list[Any]) -> None:
    handle = register(tempotask, "note", note).enqueue(1)
    assert tempotask.cancel_job_by_id(handle.id) is False
    assert tempotask.pause_job_by_id(handle.id) is False
    assert handle.cancel() is False
    assert tempotask.retry_job_by_id(handle.id) is True
    assert seen == [1, 1]
    assert tempotask.retry_job_by_id("nothing") is False


def test_failed_jobs_are_retried_with_fresh_tries(tempotask: QueueManager[App], seen: list[Any]) -> None:
    def fail(job: Job[int], ctx: Context[App]) -> None:
        ctx.app.seen.append((job.data, job.attempt))
        if len(ctx.app.seen) < 5:
            raise ValueError

    task = register(tempotask, "fail", fail, attempts=2)
    handles = [task.enqueue(n) for n in range(2)]
    assert tempotask.retry_jobs() == 2
    assert seen == [(0, 1), (0, 2), (1, 1), (1, 2), (0, 1), (1, 1)]
    assert [handle.status() for handle in handles] == ["completed"] * 2
    assert tempotask.retry_jobs() == 0


def test_of_the_runs_of_an_id_only_the_newest_is_retried(tempotask: QueueManager[App], seen: list[Any]) -> None:
    def fail(job: Job[int], ctx: Context[App]) -> None:
        ctx.app.seen.append(job.data)
        if len(ctx.app.seen) in (1, 2, 3, 5):
            raise ValueError

    task = register(tempotask, "fail", fail)
    for n, id in enumerate(["a", "a", "b", "b"]):
        task.enqueue(n, id=id)
    assert tempotask.retry_jobs() == 1
    assert seen == [0, 1, 2, 3, 1]


def test_deleting_an_older_run_leaves_the_result_of_the_newest(tempotask: QueueManager[App], seen: list[Any]) -> None:
    def second(job: Job[int], ctx: Context[App]) -> int:
        ctx.app.seen.append(job.data)
        if len(ctx.app.seen) == 1:
            raise ValueError
        return job.data

    task = register(tempotask, "second", second)
    handles = [task.enqueue(n, id="x") for n in (1, 2)]
    assert tempotask.delete_jobs(status="failed") == 1
    assert handles[1].result() == 2


def test_what_waited_in_a_paused_queue_runs_by_priority(tempotask: QueueManager[App], seen: list[Any]) -> None:
    task = register(tempotask, "note", note)
    tempotask.pause_queue(task.queue)
    for n, priority in ((1, 0), (2, 9), (3, -1), (4, 9)):
        task.enqueue(n, priority=priority)
    tempotask.resume_queue(task.queue)
    assert seen == [2, 4, 1, 3]


def test_children_run_by_priority(tempotask: QueueManager[App], seen: list[Any]) -> None:
    child = register(tempotask, "note", note)

    def parent(job: Job[int], ctx: Context[App]) -> None:
        for n, priority in ((1, 0), (2, 9), (3, 0)):
            ctx.enqueue(name="note", queue=child.queue, data=n, options={"priority": priority})

    register(tempotask, "parent", parent).enqueue(0)
    assert seen == [2, 1, 3]


def test_a_paused_queue_holds_its_jobs_until_it_is_resumed(tempotask: QueueManager[App], seen: list[Any]) -> None:
    task = register(tempotask, "note", note)
    assert (tempotask.pause_queue("q"), tempotask.pause_queue("q")) == (True, False)
    handle, cancelled = task.enqueue(1, id="x"), task.enqueue(2)
    assert (handle.status(), seen) == ("waiting", [])
    assert task.enqueue(1, id="x").created is False
    with pytest.raises(TimeoutError):
        handle.result(timeout=0.01)
    assert tempotask.get_sorted_jobs()[0].paused is True
    assert cancelled.cancel() is True
    with pytest.raises(JobCancelled):
        cancelled.result()
    assert (tempotask.resume_queue("q"), tempotask.resume_queue("q")) == (True, False)
    assert (handle.result(), seen) == (1, [1])


def test_a_job_that_waits_can_be_paused_on_its_own(tempotask: QueueManager[App], seen: list[Any]) -> None:
    task = register(tempotask, "note", note)
    tempotask.pause_queue("q")
    handle = task.enqueue(1)
    assert tempotask.toggle_pause_job_by_id(handle.id) is True
    assert handle.info().paused is True
    tempotask.resume_queue("q")
    assert (handle.status(), seen) == ("waiting", [])
    assert tempotask.resume_job_by_id(handle.id) is True
    assert seen == [1]


def test_deleted_jobs_are_known_no_more(tempotask: QueueManager[App]) -> None:
    task = register(tempotask, "note", note)
    handles = [task.enqueue(n, id=f"x{n}") for n in range(4)]
    assert tempotask.delete_job_by_id("x0") is True
    assert tempotask.delete_job_by_id("x0") is False
    assert tempotask.get_job_by_id("x0") is None
    assert tempotask.delete_jobs(status="failed") == 0
    tempotask.pause_queue("q")
    waiting = task.enqueue(4)
    assert tempotask.delete_all_jobs() == 4
    for handle in (handles[1], waiting):
        with pytest.raises(JobNotFound):
            handle.status()
    assert tempotask.get_jobs() == []
