"""`init(inline=True)`: jobs run in the caller, at once, as they would in a worker."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tempotask import (
    Context,
    DuplicateTask,
    InvalidOptions,
    InvalidPayload,
    Job,
    JobCancelled,
    JobFailed,
    JobNotFound,
    QueueManager,
    Retry,
    as_completed,
)


class Thumb(msgspec.Struct):
    path: str
    width: int = 256


class App:
    made = 0

    def __init__(self) -> None:
        App.made += 1
        self.seen: list[Any] = []


@pytest.fixture
def tempotask() -> Iterator[QueueManager[App]]:
    with QueueManager.init(inline=True, ctx=App) as manager:
        yield manager


@pytest.fixture
def seen(tempotask: QueueManager[App]) -> list[Any]:
    """What handlers saw: the application's context is the same for all."""
    return tempotask.context().app.seen


def register(tempotask: QueueManager[App], name: str, handler: Any, queue: str = "q", **options: Any) -> Any:
    return tempotask.register_job(name=name, queue=queue, handler=handler, options=options)


def note(job: Job[Any], ctx: Context[App]) -> Any:
    ctx.app.seen.append(job.data)
    return job.data


async def anote(job: Job[Any], ctx: Context[App]) -> Any:
    await asyncio.sleep(0)
    ctx.app.seen.append(job.data)
    return job.data


# -- running


def test_a_job_has_run_when_enqueue_returns(tempotask: QueueManager[App], seen: list[Any]) -> None:
    task = register(tempotask, "note", note)
    handle = task.enqueue(5)
    assert seen == [5]
    assert (handle.status(), handle.result(), handle.created) == ("completed", 5, True)


def test_it_runs_in_the_callers_thread(tempotask: QueueManager[App]) -> None:
    register(tempotask, "where", lambda job, ctx: threading.get_ident())
    assert tempotask.enqueue(name="where", queue="q").result() == threading.get_ident()


def test_data_arrives_decoded_to_its_type_and_as_a_copy(tempotask: QueueManager[App], seen: list[Any]) -> None:
    def look(job: Job[Thumb], ctx: Context[App]) -> Thumb:
        ctx.app.seen.append(job.data)
        return job.data

    task, given = register(tempotask, "look", look), {"path": "a.png"}
    result = task.enqueue(given).result()
    assert seen == [Thumb("a.png")]
    assert result == Thumb("a.png")
    assert result is not seen[0]


def test_data_that_do_not_fit_fail_at_once_with_the_path_of_the_field(tempotask: QueueManager[App]) -> None:
    def look(job: Job[Thumb], ctx: Context[App]) -> None:
        raise AssertionError("never called")

    handle = register(tempotask, "look", look, attempts=5).enqueue({"path": 3})
    with pytest.raises(JobFailed, match=r"InvalidPayload: the data does not fit: .*\$\.path"):
        handle.result()
    assert handle.info().tries == 1


def test_what_cannot_be_sent_is_refused_in_the_caller(tempotask: QueueManager[App]) -> None:
    with pytest.raises(InvalidPayload, match=r"data\['x'\] is of type object"):
        tempotask.enqueue(name="note", queue="q", data={"x": object()})
    with pytest.raises(InvalidPayload, match="at most"):
        tempotask.enqueue(name="note", queue="q", data=b"x" * 9_000_000)


def test_a_result_that_cannot_be_sent_fails_the_job(tempotask: QueueManager[App]) -> None:
    register(tempotask, "bad", lambda job, ctx: {"f": object()})
    with pytest.raises(JobFailed, match=r"InvalidPayload: result\['f'\]"):
        tempotask.enqueue(name="bad", queue="q").result()


def test_large_payloads_arrive(tempotask: QueueManager[App]) -> None:
    task = register(tempotask, "length", lambda job, ctx: len(job.data))
    assert task.enqueue(b"x" * 1_000_000).result() == 1_000_000
    assert tempotask.enqueue_many([{"name": "length", "queue": "q", "data": b"x" * 50_000}]).results() == [50_000]


def test_an_error_is_the_jobs_with_its_traceback(tempotask: QueueManager[App]) -> None:
    def fail(job: Job[Any], ctx: Context[App]) -> None:
        raise LookupError("no such thing")

    handle = register(tempotask, "fail", fail).enqueue()
    with pytest.raises(JobFailed) as failed:
        handle.result()
    assert (failed.value.type, failed.value.message) == ("LookupError", "no such thing")
    assert 'raise LookupError("no such thing")' in failed.value.traceback
    assert "tempotask/pool" not in failed.value.traceback
    assert handle.status() == "failed"


def test_a_task_that_is_not_declared_fails_the_job(tempotask: QueueManager[App]) -> None:
    register(tempotask, "note", note)
    with pytest.raises(JobFailed, match="UnknownTask: no task 'nothing' in queue 'q'; registered are: q/note"):
        tempotask.enqueue(name="nothing", queue="q").result()


def test_sys_exit_is_a_failure_like_any_other(tempotask: QueueManager[App]) -> None:
    def leave(job: Job[Any], ctx: Context[App]) -> None:
        raise SystemExit(3)

    with pytest.raises(JobFailed, match="SystemExit: 3"):
        register(tempotask, "leave", leave).enqueue().result()


def test_control_c_in_a_handler_comes_through(tempotask: QueueManager[App]) -> None:
    def interrupt(job: Job[Any], ctx: Context[App]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        register(tempotask, "interrupt", interrupt).enqueue()


def test_the_context_is_made_once_and_not_before_the_first_job() -> None:
    App.made = 0
    with QueueManager.init(inline=True, ctx=App) as tempotask:
        task = register(tempotask, "note", note)
        assert App.made == 0
        task.enqueue(1)
        task.enqueue(2)
        assert App.made == 1
        assert tempotask.context().app.seen == [1, 2]


def test_tasks_may_be_registered_between_jobs(tempotask: QueueManager[App]) -> None:
    register(tempotask, "one", note).enqueue(1)
    assert register(tempotask, "two", note).enqueue(2).result() == 2
    with pytest.raises(DuplicateTask):
        register(tempotask, "two", note)


# -- tries


def test_tries_follow_each_other_without_waiting(tempotask: QueueManager[App], seen: list[Any]) -> None:
    def third(job: Job[Any], ctx: Context[App]) -> str:
        ctx.app.seen.append(job.attempt)
        job.logger(f"try {job.attempt}")
        if job.attempt < 3:
            raise ValueError(f"try {job.attempt}")
        return "done"

    handle = register(tempotask, "third", third, attempts=3, retry_delay=3600, backoff="exponential").enqueue()
    assert handle.result() == "done"
    assert seen == [1, 2, 3]
    info = handle.info()
    assert info.tries == 3
    assert [(error.attempt, error.message) for error in info.errors] == [(1, "try 1"), (2, "try 2")]
    assert info.logs[-1].message == "try 3"


def test_the_last_failure_is_the_jobs(tempotask: QueueManager[App]) -> None:
    def fail(job: Job[Any], ctx: Context[App]) -> None:
        raise ValueError(f"try {job.attempt}")

    handle = tempotask.register_job(name="fail", queue="q", handler=fail).enqueue(attempts=4)
    with pytest.raises(JobFailed, match="ValueError: try 4"):
        handle.result()


def test_fencing_tokens_grow(tempotask: QueueManager[App], seen: list[Any]) -> None:
    register(tempotask, "token", lambda job, ctx: ctx.app.seen.append(job.token))
    for _ in range(3):
        tempotask.enqueue(name="token", queue="q")
    assert seen == sorted(set(seen))


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
    assert len(refused.value.handles) == len(seen) == 1000  # type: ignore[attr-defined]


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


# -- async


async def later(tempotask: QueueManager[App], name: str, data: Any) -> Any:
    return await (await tempotask.aenqueue(name=name, queue="q", data=data))


def test_async_handlers_run_from_plain_code(tempotask: QueueManager[App], seen: list[Any]) -> None:
    task = register(tempotask, "anote", anote)
    assert [task.enqueue(n).result() for n in range(3)] == seen == [0, 1, 2]


@pytest.mark.parametrize("handler", [note, anote])
def test_jobs_run_from_a_running_loop(tempotask: QueueManager[App], handler: Any) -> None:
    task = register(tempotask, "n", handler)

    async def main() -> None:
        assert task.enqueue(1).result() == 1
        assert await task.enqueue(2) == 2
        assert await (await task.aenqueue(3)) == 3
        assert await (await tempotask.aenqueue_many([{"name": "n", "queue": "q", "data": 4}])).aresults() == [4]
        assert await task.enqueue(5).wait() == "completed"
        assert await asyncio.gather(*(later(tempotask, "n", n) for n in range(50))) == list(range(50))

    asyncio.run(main())


def test_an_async_handler_may_await_the_jobs_it_adds(tempotask: QueueManager[App]) -> None:
    register(tempotask, "anote", anote)

    async def parent(job: Job[int], ctx: Context[App]) -> int:
        if not job.data:
            return 0
        child = await ctx.aenqueue(name="parent", queue="q", data=job.data - 1)
        assert await child.astatus() == "waiting"
        return job.data + await child

    task = register(tempotask, "parent", parent)
    assert task.enqueue(5).result() == 15

    async def main() -> list[Any]:
        return await asyncio.gather(*(later(tempotask, "parent", 5) for _ in range(20)))

    assert asyncio.run(main()) == [15] * 20


def test_threads_run_their_own_jobs(tempotask: QueueManager[App]) -> None:
    register(tempotask, "where", lambda job, ctx: threading.get_ident())
    wrong = []

    def produce() -> None:
        for _ in range(50):
            if tempotask.enqueue(name="where", queue="q").result() != threading.get_ident():
                wrong.append(threading.get_ident())

    threads = [threading.Thread(target=produce) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_who_waits_for_a_job_of_another_thread_is_told(tempotask: QueueManager[App]) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def hold(job: Job[Any], ctx: Context[App]) -> str:
        entered.set()
        go_on.wait(60)
        return "done"

    task = register(tempotask, "hold", hold)
    thread = threading.Thread(target=task.enqueue, kwargs={"id": "x"})
    thread.start()
    assert entered.wait(60)
    handle = tempotask.handle("x")
    assert handle.status() == "processing"
    with pytest.raises(TimeoutError):
        handle.result(timeout=0.01)
    assert task.enqueue(id="x").created is False
    go_on.set()
    assert handle.result(timeout=60) == "done"
    thread.join()


# -- looking


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


# -- acting


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


def test_what_needs_a_server_says_so(tempotask: QueueManager[App]) -> None:
    register(tempotask, "note", note)
    with pytest.raises(InvalidOptions, match=r"runs jobs inline, at once: there is no server, and so no repeat"):
        tempotask.enqueue(name="note", queue="q", options={"repeat": "* * * * *"})
    with pytest.raises(InvalidOptions, match=r"runs jobs inline, at once: it tells no events"):
        tempotask.on("failed", print)


# -- children that depend on success


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


def test_retry_is_honoured_without_waiting(tempotask: QueueManager[App]) -> None:
    def again(job: Job[Any], ctx: Context[App]) -> int:
        if job.attempt < 3:
            raise Retry(after=3600, reason="not yet")
        return job.attempt

    assert register(tempotask, "again", again).enqueue().result() == 3


def test_fail_on_ends_the_tries(tempotask: QueueManager[App]) -> None:
    def fail(job: Job[Any], ctx: Context[App]) -> None:
        raise LookupError

    handle = register(tempotask, "fail", fail, attempts=5, fail_on=LookupError).enqueue()
    assert handle.info().tries == 1


# -- a pool that is none


def test_starting_and_joining_do_nothing(tempotask: QueueManager[App], tmp_path: Path) -> None:
    task = register(tempotask, "note", note)

    async def main() -> None:
        async with tempotask:
            handle = await task.aenqueue(1)
            await tempotask.join(delayed=True)
            assert await handle == 1
        assert await handle == 1

    asyncio.run(main())
    tempotask.run()


def test_no_server_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TEMPOTASK_DB", "redis://127.0.0.1:1")
    for db in (None, "redis://127.0.0.1:1"):
        with QueueManager.init(db, inline=True, ctx=App) as tempotask:
            assert register(tempotask, "note", note).enqueue(1).result() == 1
            assert tempotask.get_queues_list() == ["q"]
    assert not list(tmp_path.iterdir())


def test_a_pool_for_it_is_refused(tempotask: QueueManager[App]) -> None:
    with pytest.raises(InvalidOptions, match="inline=True"):
        tempotask.describe()


@pytest.mark.filterwarnings("error")
def test_closing_leaves_no_loop_open_and_jobs_may_follow() -> None:
    tempotask = QueueManager.init(inline=True, ctx=App)
    task = register(tempotask, "anote", anote)
    for n in range(2):
        assert task.enqueue(n).result() == n
        tempotask.close()
    del task, tempotask
    gc.collect()
