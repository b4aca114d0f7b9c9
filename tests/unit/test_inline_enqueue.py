"""`init(inline=True)`: jobs that are added, by callers and by other jobs."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from unit.inlined import App, note, register

from tempotask import Context, InvalidOptions, InvalidPayload, Job, JobNotFound, QueueManager

# -- adding


def test_nobody_waits_for_a_delay(tempotask: QueueManager[App], seen: list[Any]) -> None:
    task = register(tempotask, "note", note)
    task.enqueue(1, delay=3600)
    task.enqueue(2, delay_until=datetime.now(UTC) + timedelta(days=365))
    assert seen == [1, 2]


def test_options_are_checked_as_ever(tempotask: QueueManager[App]) -> None:
    with pytest.raises(InvalidOptions, match="attempts"):
        tempotask.enqueue(name="note", queue="q", options={"attempts": 0})


def test_an_id_that_has_finished_runs_again_and_handles_follow(tempotask: QueueManager[App], seen: list[Any]) -> None:
    task = register(tempotask, "note", note)
    first, second = task.enqueue(1, id="x"), task.enqueue(2, id="x")
    assert (first.created, second.created) == (True, True)
    assert (first.result(), second.result(), seen) == (2, 2, [1, 2])


def test_an_id_that_has_not_finished_adds_nothing(tempotask: QueueManager[App], seen: list[Any]) -> None:
    def again(job: Job[Any], ctx: Context[App]) -> bool:
        ctx.app.seen.append(job.id)
        return ctx.enqueue(name="again", queue="q", options={"id": job.id}).created

    assert register(tempotask, "again", again).enqueue(id="x").result() is False
    assert seen == ["x"]


def test_publish_runs_a_copy_in_each_queue(tempotask: QueueManager[App], seen: list[Any]) -> None:
    for queue in ("one", "two"):
        tempotask.register_job(name="n", queue=queue, handler=lambda job, ctx: ctx.app.seen.append(job.queue))
    handles = tempotask.publish(name="n", queues=["one", "two"], data=1, options={"id": "x"})
    assert [handle.id for handle in handles] == ["x:one", "x:two"]
    assert seen == ["one", "two"]


def test_enqueue_many_runs_them_all_in_order(tempotask: QueueManager[App], seen: list[Any]) -> None:
    register(tempotask, "note", note)
    handles = tempotask.enqueue_many({"name": "note", "queue": "q", "data": n} for n in range(2500))
    assert seen == list(range(2500))
    assert handles.results() == seen


def test_what_is_refused_in_the_middle_says_which_are_in(tempotask: QueueManager[App], seen: list[Any]) -> None:
    register(tempotask, "note", note)
    jobs: list[dict[str, Any]] = [{"name": "note", "queue": "q", "data": n} for n in range(1000)]
    with pytest.raises(InvalidPayload, match="job 1000") as refused:
        tempotask.enqueue_many([*jobs, {"name": "note", "queue": "q", "data": object()}])
    assert len(refused.value.handles) == len(seen) == 1000


# -- children


def test_children_run_when_their_parent_has_ended(tempotask: QueueManager[App], seen: list[Any]) -> None:
    register(tempotask, "note", note)

    def parent(job: Job[Any], ctx: Context[App]) -> str:
        handle = ctx.enqueue(name="note", queue="q", data="child")
        tempotask.publish(name="note", queues=["q"], data="other")
        ctx.app.seen.append(handle.status())
        return handle.id

    handle = register(tempotask, "parent", parent).enqueue()
    assert seen == ["waiting", "child", "other"]
    child = tempotask.get_job_by_id(handle.result())
    assert child is not None
    assert (child.parent, child.status) == (handle.id, "completed")


def test_a_child_that_is_asked_for_runs_there_and_then(tempotask: QueueManager[App], seen: list[Any]) -> None:
    register(tempotask, "note", note)

    def parent(job: Job[Any], ctx: Context[App]) -> str:
        assert ctx.enqueue(name="note", queue="q", data="child").result() == "child"
        ctx.app.seen.append("parent")
        return "done"

    assert register(tempotask, "parent", parent).enqueue().result() == "done"
    assert seen == ["child", "parent"]


def test_a_chain_of_jobs_may_be_as_long_as_it_likes(tempotask: QueueManager[App], seen: list[Any]) -> None:
    def next_one(job: Job[int], ctx: Context[App]) -> None:
        ctx.app.seen.append(job.data)
        if job.data:
            ctx.enqueue(name="next", queue="q", data=job.data - 1)

    register(tempotask, "next", next_one).enqueue(3000)
    assert len(seen) == 3001


def test_children_run_though_their_parent_fails(tempotask: QueueManager[App], seen: list[Any]) -> None:
    register(tempotask, "note", note)

    def parent(job: Job[Any], ctx: Context[App]) -> None:
        ctx.enqueue(name="note", queue="q", data=job.attempt)
        raise ValueError

    handle = register(tempotask, "parent", parent, attempts=2).enqueue()
    assert handle.status() == "failed"
    assert seen == [1, 2]


@pytest.mark.parametrize(("fails", "expected"), [(False, ["parent", "child", "child"]), (True, ["parent"])])
def test_children_with_on_success_exist_only_if_their_parent_completes(
    tempotask: QueueManager[App], seen: list[Any], fails: bool, expected: list[str]
) -> None:
    register(tempotask, "note", note)

    def parent(job: Job[Any], ctx: Context[App]) -> None:
        handle = ctx.enqueue(name="note", queue="q", data="child", on_success=True)
        ctx.publish(name="note", queues=["q"], data="child", on_success=True)
        with pytest.raises(JobNotFound):
            handle.status()
        ctx.app.seen.append("parent")
        if fails:
            raise ValueError

    handle = register(tempotask, "parent", parent).enqueue()
    assert seen == expected
    assert len(handle.info().children) == len(expected) - 1


def test_a_task_adds_many_jobs_of_its_own(tempotask: QueueManager[App]) -> None:
    task = register(tempotask, "note", note)
    handles = task.enqueue_many([1, 2], priority=3)
    assert handles.results() == [1, 2]
    assert {handle.info().priority for handle in handles} == {3}
    assert asyncio.run(task.aenqueue_many(iter([3]))).results() == [3]
