"""`init(inline=True)`: between two tries of a job others have their turn, as on a pool of one worker."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import Any

import pytest
from unit.inlined import App, note, register

from tempotask import Context, InvalidOptions, Job, JobCancelled, JobFailed, QueueManager, Retry, as_completed
from tempotask.handle import JobHandles


def test_children_run_before_their_parent_is_tried_again(tempotask: QueueManager[App], seen: list[Any]) -> None:
    def fan_out(job: Job[None], ctx: Context[App]) -> int:
        if job.attempt == 1:
            for number in range(3):
                ctx.enqueue(name="note", queue="q", data=number, options={"id": f"child-of-{number}"})
        if any(tempotask.handle(f"child-of-{number}").status() != "completed" for number in range(3)):
            raise Retry
        return job.attempt

    register(tempotask, "note", note)
    assert register(tempotask, "fan_out", fan_out).enqueue().result() == 2
    assert seen == [0, 1, 2]


def test_a_queue_that_a_try_pauses_starts_no_other_one_until_it_is_resumed(tempotask: QueueManager[App]) -> None:
    def break_circuit(job: Job[None], ctx: Context[App]) -> int:
        if job.attempt == 1:
            tempotask.pause_queue("q")
            raise Retry
        return job.attempt

    handle = register(tempotask, "break_circuit", break_circuit).enqueue()
    assert (handle.status(), handle.info().tries) == ("waiting", 1)
    tempotask.resume_queue("q")
    assert handle.result() == 2


def test_a_try_sees_what_became_of_those_before_it(tempotask: QueueManager[App]) -> None:
    def look(job: Job[None], ctx: Context[App]) -> list[Any]:
        if job.attempt == 1:
            ctx.enqueue(name="note", queue="q")
            raise OSError("first")
        info = tempotask.get_job_by_id(job.id)
        assert info is not None
        return [info.status, info.tries, info.error, [error.message for error in info.errors], len(info.children)]

    register(tempotask, "note", note)
    told = register(tempotask, "look", look, attempts=2).enqueue().result()
    assert told == ["processing", 2, "OSError: first", ["first"], 1]


def test_one_that_is_tried_again_for_ever_is_told_of_and_still_waits(tempotask: QueueManager[App]) -> None:
    def poll(job: Job[None], ctx: Context[App]) -> None:
        raise Retry(after=3600)

    task = register(tempotask, "poll", poll)
    with pytest.raises(InvalidOptions, match=r"was tried 10,000 times, and what it waits for does not come"):
        task.enqueue(id="poll")
    assert tempotask.handle("poll").status() == "waiting"


def test_a_job_that_a_ctrl_c_has_cut_off_still_waits(tempotask: QueueManager[App]) -> None:
    def interrupt(job: Job[None], ctx: Context[App]) -> None:
        raise KeyboardInterrupt

    task = register(tempotask, "interrupt", interrupt)
    with pytest.raises(KeyboardInterrupt):
        task.enqueue(id="cut")
    assert tempotask.handle("cut").status() == "waiting"


class Bare(Retry):
    """As one may be made who does not know better."""

    def __init__(self) -> None:
        pass


class Unusual(Retry):
    def __init__(self, after: Any) -> None:
        self.after = after


@pytest.mark.parametrize("error", [Bare(), Unusual("soon"), Unusual(-1), Unusual(timedelta(seconds=2))])
def test_a_retry_of_ones_own_kind_is_one_whatever_it_says(tempotask: QueueManager[App], error: Retry) -> None:
    def twice(job: Job[None], ctx: Context[App]) -> int:
        if job.attempt == 1:
            raise error
        return job.attempt

    assert register(tempotask, "twice", twice).enqueue().result() == 2


def test_a_note_that_is_no_unicode_is_told_as_far_as_it_is(tempotask: QueueManager[App]) -> None:
    def tell(job: Job[None], ctx: Context[App]) -> None:
        job.progress(1, 2, note="caf\udce9.txt")

    progress = register(tempotask, "tell", tell).enqueue().info().progress
    assert progress is not None
    assert progress.note == "caf?.txt"


@pytest.mark.parametrize("how", ["result", "awaited"])
def test_a_handler_that_waits_for_its_own_job_is_told_so(tempotask: QueueManager[App], how: str) -> None:
    async def wait_for_itself(job: Job[None], ctx: Context[App]) -> None:
        handle = tempotask.handle(job.id)
        if how == "awaited":
            await handle
        else:
            handle.result()

    with pytest.raises(JobFailed, match="waits in its handler for its own end") as failed:
        register(tempotask, "wait_for_itself", wait_for_itself).enqueue().result()
    assert failed.value.type == "InvalidOptions"


@pytest.mark.parametrize("what", ["join", "start", "run"])
def test_what_a_handler_may_not_do_in_a_pool_it_may_not_do_inline(tempotask: QueueManager[App], what: str) -> None:
    def try_it(job: Job[None], ctx: Context[App]) -> None:
        tempotask.run() if what == "run" else asyncio.run(getattr(tempotask, what)())

    with pytest.raises(JobFailed, match="a handler can't"):
        register(tempotask, "try_it", try_it).enqueue().result()


def test_a_handler_may_run_a_loop_though_its_caller_has_one(tempotask: QueueManager[App]) -> None:
    async def answer() -> int:
        return 42

    register(tempotask, "runs", lambda job, ctx: asyncio.run(answer()))
    register(tempotask, "hands_on", lambda job, ctx: answer())

    async def test() -> list[Any]:
        return [tempotask.enqueue(name=name, queue="q").result() for name in ("runs", "hands_on")]

    assert asyncio.run(test()) == [42, 42]


def test_a_job_that_was_cancelled_while_it_waited_never_began(tempotask: QueueManager[App]) -> None:
    tempotask.pause_queue("q")
    handle = register(tempotask, "note", note).enqueue()
    assert handle.cancel()
    info = handle.info()
    assert (info.status, info.tries, info.started_at, info.worker, info.run_seconds) == (
        "cancelled",
        0,
        None,
        None,
        None,
    )


@pytest.mark.parametrize("many", [False, True])
def test_who_waits_for_a_job_that_is_deleted_is_told_that_it_was(tempotask: QueueManager[App], many: bool) -> None:
    tempotask.pause_queue("q")
    register(tempotask, "note", note)

    def delete(job: Job[str], ctx: Context[App]) -> None:
        assert tempotask.delete_jobs(queue="q") if many else tempotask.delete_job_by_id(job.data)

    register(tempotask, "delete", delete, queue="other")
    handle = tempotask.enqueue(name="note", queue="q")

    async def wait() -> Any:
        waiting = asyncio.ensure_future(handle.aresult(60))
        await asyncio.sleep(0)
        while not tempotask._client.outcomes._waiting:
            await asyncio.sleep(0.001)
        await tempotask.aenqueue(name="delete", queue="other", data=handle.id)
        return await waiting

    with pytest.raises(JobCancelled, match="it was deleted"):
        asyncio.run(wait())
    assert tempotask.get_job_by_id(handle.id) is None


@pytest.mark.parametrize("cursor", ["", "x", 5, b"1", "9" * 20])
def test_a_cursor_that_no_call_has_returned_is_refused(tempotask: QueueManager[App], cursor: Any) -> None:
    with pytest.raises(InvalidOptions, match="give what the call before returned as its cursor"):
        tempotask.get_jobs(cursor=cursor)


def test_a_further_try_has_its_place_by_priority(tempotask: QueueManager[App], seen: list[Any]) -> None:
    def urgent(job: Job[None], ctx: Context[App]) -> None:
        ctx.app.seen.append(f"urgent {job.attempt}")
        if job.attempt == 1:
            raise Retry

    def root(job: Job[None], ctx: Context[App]) -> None:
        ctx.enqueue(name="note", queue="q", data="usual")
        ctx.enqueue(name="urgent", queue="q", options={"priority": 9})
        ctx.enqueue(name="note", queue="q", data="late", options={"priority": -5})
        ctx.enqueue(name="note", queue="q", data="usual")

    register(tempotask, "note", note)
    register(tempotask, "urgent", urgent)
    register(tempotask, "root", root).enqueue()
    assert seen == ["urgent 1", "urgent 2", "usual", "usual", "late"]


def test_a_job_that_is_waited_for_and_tried_again_lets_its_siblings_go_first(tempotask: QueueManager[App]) -> None:
    def until_done(job: Job[str], ctx: Context[App]) -> int:
        if tempotask.handle(job.data).status() != "completed":
            raise Retry
        return job.attempt

    def parent(job: Job[None], ctx: Context[App]) -> int:
        sibling = ctx.enqueue(name="note", queue="q")
        waits = ctx.enqueue(name="until_done", queue="q", data=sibling.id)
        tries: int = waits.result()
        return tries

    register(tempotask, "note", note)
    register(tempotask, "until_done", until_done)
    assert register(tempotask, "parent", parent).enqueue().result() == 2


def test_all_have_run_when_enqueue_returns_also_what_an_awaited_child_adds(
    tempotask: QueueManager[App], seen: list[Any]
) -> None:
    def adds(job: Job[None], ctx: Context[App]) -> None:
        for number in range(3):
            ctx.enqueue(name="note", queue="q", data=number)

    async def parent(job: Job[None], ctx: Context[App]) -> None:
        await ctx.enqueue(name="adds", queue="q")
        ctx.app.seen.append("parent")

    register(tempotask, "note", note)
    register(tempotask, "adds", adds)
    register(tempotask, "parent", parent).enqueue()
    assert seen == ["parent", 0, 1, 2]


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_they_run_in_the_callers_thread_also_where_it_has_a_loop(tempotask: QueueManager[App], kind: str) -> None:
    async def awhere(job: Job[None], ctx: Context[App]) -> int:
        await asyncio.sleep(0)
        return threading.get_ident()

    handler = awhere if kind == "async def" else lambda job, ctx: threading.get_ident()
    task = register(tempotask, "where", handler)

    async def test() -> tuple[int, bool]:
        before = asyncio.current_task(), asyncio.get_running_loop()
        found = task.enqueue().result()
        await asyncio.sleep(0)
        return found, before == (asyncio.current_task(), asyncio.get_running_loop())

    assert asyncio.run(test()) == (threading.get_ident(), True)


@pytest.mark.parametrize("how", ["as_completed", "results"])
def test_a_handler_that_waits_for_its_own_job_among_others_is_told_so(tempotask: QueueManager[App], how: str) -> None:
    def wait_for_all(job: Job[None], ctx: Context[App]) -> None:
        handles = JobHandles([ctx.enqueue(name="note", queue="q"), tempotask.handle(job.id)])
        if how == "results":
            handles.results()
        else:
            list(as_completed(handles))

    register(tempotask, "note", note)
    with pytest.raises(JobFailed, match="waits in its handler for its own end"):
        register(tempotask, "wait_for_all", wait_for_all).enqueue().result()
