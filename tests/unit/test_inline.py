"""`init(inline=True)`: jobs run in the caller, at once, as they would in a worker."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import gc
import pickle
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
from unit.inlined import App, anote, note, register

from tempotask import (
    Context,
    DuplicateTask,
    InvalidName,
    InvalidOptions,
    InvalidPayload,
    Job,
    JobFailed,
    JobHandle,
    QueueManager,
    ResultExpired,
    Retry,
)


class Thumb(msgspec.Struct):
    path: str
    width: int = 256


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


def test_what_needs_a_server_says_so(tempotask: QueueManager[App]) -> None:
    register(tempotask, "note", note)
    with pytest.raises(InvalidOptions, match=r"runs jobs inline, at once: there is no server, and so no repeat"):
        tempotask.enqueue(name="note", queue="q", options={"repeat": "* * * * *"})
    with pytest.raises(InvalidOptions, match=r"runs jobs inline, at once: it tells no events"):
        tempotask.on("failed", print)


def test_an_outcome_that_is_one_too_many_has_expired() -> None:
    with QueueManager.init(inline=True, ctx=App, options={"max_results": 1}) as tempotask:
        task = register(tempotask, "note", note)
        first, second = task.enqueue(1), task.enqueue(2)
        assert second.result() == 2
        with pytest.raises(ResultExpired):
            first.result()


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


def test_a_map_leaves_no_results_behind(tempotask: QueueManager[App]) -> None:
    assert list(register(tempotask, "note", note).map(range(5))) == list(range(5))
    ids = [info.id for info in tempotask.get_jobs()]
    assert len(ids) == 5
    assert tempotask._client.store.outcomes_of(ids) == [None] * 5


def test_a_constraint_of_an_annotation_is_looked_at(tempotask: QueueManager[App]) -> None:
    def handler(job: Job[Annotated[int, msgspec.Meta(ge=0)]], ctx: Context[App]) -> int:
        return job.data

    task = register(tempotask, "n", handler)
    assert task.enqueue(5).result() == 5
    with pytest.raises(JobFailed, match="Expected `int` >= 0"):
        task.enqueue(-5).result()


def test_times_arrive_as_text_where_no_type_is_given(tempotask: QueueManager[App], seen: list[Any]) -> None:
    task = register(tempotask, "note", lambda job, ctx: ctx.app.seen.append(job.data))
    moment = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
    task.enqueue(
        {"aware": moment, "naive": moment.replace(tzinfo=None), "n": [-1, b"\xff"], "within": [moment]}
    ).result()
    text = "2026-11-29T12:00:00"
    assert seen == [{"aware": f"{text}Z", "naive": text, "n": [-1, b"\xff"], "within": [f"{text}Z"]}]


def test_what_an_async_handler_sets_in_its_context_is_not_the_next_ones(tempotask: QueueManager[App]) -> None:
    user = contextvars.ContextVar("user", default="nobody")

    async def handler(job: Job[str], ctx: Context[App]) -> str:
        before = user.get()
        user.set(job.data)
        return before

    task = register(tempotask, "whose", handler)
    assert [task.enqueue(name).result() for name in ("a", "b")] == ["nobody", "nobody"]


def test_an_attribute_error_in_a_property_of_the_context_is_told_as_it_is() -> None:
    class Broken:
        @property
        def model(self) -> str:
            raise AttributeError("no weights here")

    with QueueManager.init(inline=True, ctx=Broken) as tempotask:
        task = tempotask.register_job(name="n", queue="q", handler=lambda job, ctx: ctx.model)
        with pytest.raises(JobFailed, match="AttributeError: no weights here"):
            task.enqueue().result()


def test_many_children_are_all_shown(tempotask: QueueManager[App]) -> None:
    def many(job: Job[Any], ctx: Context[App]) -> None:
        for number in range(500):
            ctx.enqueue(name="note", queue="others", data=number)

    register(tempotask, "note", note, queue="others")
    handle = register(tempotask, "many", many).enqueue()
    assert [tempotask.handle(child).result() for child in handle.info().children] == list(range(500))


def test_only_what_is_made_like_an_automatic_id_is_refused(tempotask: QueueManager[App]) -> None:
    task = register(tempotask, "note", note)
    for id in ("customerinvoice-12", "202611291142001-1", "transactionpaid-7"):
        assert task.enqueue(1, id=id).id == id
    automatic = task.enqueue(1).id
    with pytest.raises(InvalidName, match=r"looks like an automatic one; .* retry it"):
        task.enqueue(1, id=automatic)


def test_who_pickles_a_handle_is_told_what_to_send_instead(tempotask: QueueManager[App]) -> None:
    handle = register(tempotask, "note", note).enqueue(1)
    with pytest.raises(TypeError, match="send its id"):
        pickle.dumps(handle)
    assert copy.copy(handle).result() == 1


def test_deleting_what_waits_leaves_the_finished_run_of_its_id(tempotask: QueueManager[App]) -> None:
    task = register(tempotask, "note", note)
    task.enqueue(1, id="again")
    tempotask.pause_queue("q")
    task.enqueue(2, id="again")
    assert tempotask.delete_jobs(status="waiting") == 1
    assert [(job.id, job.status) for job in tempotask.get_jobs()] == [("again", "completed")]


def test_deleting_what_waits_deletes_also_where_no_cancelled_job_is_kept() -> None:
    tempotask: QueueManager[App] = QueueManager.init(inline=True, options={"max_jobs_per_status": {"cancelled": 0}})
    tempotask.pause_queue("q")
    handles = tempotask.enqueue_many({"name": "note", "queue": "q"} for _ in range(3))
    assert tempotask.delete_jobs(status="waiting") == 3
    assert [tempotask.get_job_by_id(handle.id) for handle in handles] == [None] * 3
    tempotask.close()


def test_a_large_payload_is_let_go_when_its_job_completes(tempotask: QueueManager[App]) -> None:
    tries = iter([RuntimeError("once"), None, None])

    def weigh(job: Job[str], ctx: Context[App]) -> int:
        if (error := next(tries)) is not None:
            raise error
        return len(job.data)

    handle = register(tempotask, "weigh", weigh).enqueue("x" * 5000)
    assert handle.info().data == "x" * 5000
    assert tempotask.retry_job_by_id(handle.id)
    assert handle.result() == 5000
    assert handle.info().data is None
    assert not tempotask.retry_job_by_id(handle.id)


def test_an_async_handler_whose_error_has_no_text_spoils_nothing_for_those_after_it(
    tempotask: QueueManager[App],
) -> None:
    class Mute(Exception):
        def __repr__(self) -> str:
            raise RuntimeError("no text")

    @tempotask.task(queue="q")
    async def mute(job: Job[bool], ctx: Context[App]) -> str:
        if job.data:
            raise Mute("why")
        return "fine"

    assert (mute.enqueue(True).info().error or "").endswith("Mute: why")
    assert [mute.enqueue(False).result() for _ in range(2)] == ["fine", "fine"]

    async def alive() -> bool:
        return True

    assert asyncio.run(alive())


@pytest.mark.parametrize("depth", range(0, 45, 5))
def test_jobs_that_wait_for_jobs_until_the_stack_is_full_all_end(tempotask: QueueManager[App], depth: int) -> None:
    @tempotask.task(queue="q")
    def deep(job: Job[int], ctx: Context[App]) -> int:
        return ctx.enqueue(name="deep", queue="q", data=job.data - 1).result() + 1 if job.data else 0

    def down(depth: int) -> JobHandle[int]:
        return down(depth - 1) if depth else deep.enqueue(100)

    with pytest.raises(JobFailed, match="until the stack is full"):
        down(depth).result()
    assert tempotask.get_jobs(status="waiting") == []
