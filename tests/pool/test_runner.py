"""Interrupts on the job that runs: what the signal does, and to whom. A runner alone, with real signals."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from pool.stage import Stage

from tempotask import Context, InvalidOptions, InvalidPayload, Job, JobTimeout
from tempotask.pool.control_block import (
    CANCEL,
    HANDED,
    INTERRUPT,
    INTERRUPT_HANDED,
    INTERRUPT_INDEX,
    INTERRUPT_TURN,
    NONE,
    OVERDUE,
    TURN,
)
from tempotask.pool.runner import PILE
from tempotask.store.records import RunOptions, decode_outcome, encode


@pytest.mark.parametrize("name", ["plain", "limited"])
@pytest.mark.parametrize("options", [None, RunOptions(timeout=600), RunOptions(attempts=2)])
def test_a_plain_handler_sees_that_its_job_is_cancelled_and_is_not_interrupted(
    stage: Stage, name: str, options: RunOptions | None
) -> None:
    seen = []

    def handler(job: Job[Any], ctx: Context[Any]) -> str:
        seen.append(job.cancelled)
        if job.token == 101:
            stage.sentence(CANCEL, 1)
        seen.append(job.cancelled)
        return "to its end"

    stage.handler = handler
    runs = stage.run([name] * 3, options=options)
    assert seen == [False, False, False, True, False, False]
    assert [run.status for run in runs] == ["completed"] * 3
    assert stage.block.words[INTERRUPT] == NONE


@pytest.mark.parametrize("interrupt", [CANCEL, OVERDUE])
@pytest.mark.parametrize("decorated", [False, True])
def test_a_coroutine_is_cancelled_and_may_clean_up(stage: Stage, interrupt: int, decorated: bool) -> None:
    seen: list[object] = []

    async def handler(job: Job[Any], ctx: Context[Any]) -> str:
        if job.token != 101:
            return "undisturbed"
        try:
            stage.sentence(interrupt, 1)
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)
            seen.append(job.cancelled)
            raise
        return "never"

    # A decorator may make a `def` of it.
    stage.register((lambda job, ctx: handler(job, ctx)) if decorated else handler)
    runs = stage.run(["coroutine"] * 3)
    assert [run.status for run in runs] == ["completed", "failed", "completed"]
    assert seen == [interrupt == CANCEL]
    assert runs[1].failure is not None
    assert runs[1].failure.type == ("asyncio.exceptions.CancelledError" if interrupt == CANCEL else "JobTimeout")


async def _nap() -> None:
    await asyncio.sleep(600)


async def _group() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(_nap())


WAYS: dict[str, Callable[[], Awaitable[Any]]] = {
    "sleep": _nap,
    "gather": lambda: asyncio.gather(_nap(), _nap()),
    "wait for": lambda: asyncio.wait_for(_nap(), 300),
    "a group": _group,
    "a task": lambda: asyncio.ensure_future(_nap()),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_end_of_its_time_is_a_job_timeout_in_a_coroutine_as_well(stage: Stage, way: str) -> None:
    left: list[int] = []

    async def handler(job: Job[Any], ctx: Context[Any]) -> str:
        if job.token != 101:
            return "undisturbed"
        try:
            stage.sentence(OVERDUE, 1)
            await WAYS[way]()
        except JobTimeout as error:
            await asyncio.sleep(0)
            left.append(len(asyncio.all_tasks()))
            return str(error)
        return "never"

    stage.register(handler)
    runs = stage.run(["coroutine"] * 3)
    told = [bytes(decode_outcome(run.outcome).result) for run in runs]
    assert told == [encode(said) for said in ("undisturbed", "the time of this try is over", "undisturbed")]
    assert left == [1]


@pytest.mark.parametrize("name", ["plain", "limited"])
@pytest.mark.parametrize("options", [None, RunOptions(timeout=600)])
def test_the_end_of_its_time_is_raised_in_the_handler(stage: Stage, name: str, options: RunOptions | None) -> None:
    def handler(job: Job[Any], ctx: Context[Any]) -> None:
        if job.token == 101:
            stage.sentence(OVERDUE, 1)
            time.sleep(600)

    stage.handler = handler
    runs = stage.run([name] * 3, options=options)
    assert [run.failure and run.failure.type for run in runs] == [None, "JobTimeout", None]


@pytest.mark.parametrize("interrupt", [CANCEL, OVERDUE])
@pytest.mark.parametrize("wrong", [{"index": 0}, {"index": 2}, {"turn": 2}, {"handed": 1000}])
def test_an_interrupt_on_another_job_does_nothing_and_stands(
    stage: Stage, interrupt: int, wrong: dict[str, int]
) -> None:
    seen = []

    def handler(job: Job[Any], ctx: Context[Any]) -> None:
        if job.token == 101:
            stage.sentence(interrupt, **{"index": 1, **wrong})
        seen.append(job.cancelled)

    stage.handler = handler
    runs = stage.run(["plain", "limited", "plain"])
    assert [run.status for run in runs] == ["completed"] * 3
    assert seen == [False] * 3
    assert stage.block.words[INTERRUPT] == interrupt


def test_the_interrupt_on_a_job_that_was_handed_over_names_when(stage: Stage) -> None:
    def handler(job: Job[Any], ctx: Context[Any]) -> bool:
        assert stage.block.words[HANDED] == 1234
        stage.sentence(CANCEL, 0, handed=1234)
        return job.cancelled

    stage.handler = handler
    (run,) = stage.run(["plain"], handed=1234)
    assert bytes(run.result) == b"\xc3"  # true


@pytest.mark.parametrize("interrupt", [CANCEL, OVERDUE])
@pytest.mark.parametrize("raises", [False, True])
@pytest.mark.parametrize("target", [500, *(pytest.param(one, marks=pytest.mark.slow) for one in (501, 502))])
def test_a_storm_of_signals_hits_the_job_that_is_meant_and_no_other(
    stage: Stage, interrupt: int, raises: bool, target: int
) -> None:
    """The alarm comes all the time, at any line of the runner, and renews the interrupt on one job each time."""
    struck, cancelled, over = 0, set(), False

    def alarm(number: int, frame: object) -> None:
        nonlocal struck
        struck += 1
        words = stage.block.words
        words[INTERRUPT_INDEX], words[INTERRUPT_TURN], words[INTERRUPT_HANDED] = target, words[TURN], 0
        words[INTERRUPT] = interrupt
        assert stage.runner is not None
        stage.runner.on_interrupt(number, frame)
        # From its end on, or the runner would not get on where this takes as long.
        if not over:
            signal.setitimer(signal.ITIMER_REAL, 0.00005)

    def handler(job: Job[Any], ctx: Context[Any]) -> None:
        index = job.token - 100
        if index == target:
            for _ in range(200):
                pass
        if job.cancelled:
            cancelled.add(index)
        if raises:
            raise ValueError(str(index))

    async def coroutine(job: Job[Any], ctx: Context[Any]) -> None:
        await asyncio.sleep(0)
        handler(job, ctx)

    stage.handler = handler
    stage.register(coroutine)
    names = ["plain", "limited", "coroutine"] * 200
    meant = ("JobTimeout",) if interrupt == OVERDUE else ("asyncio.exceptions.CancelledError",)
    stage.run(names[:1])
    before = signal.signal(signal.SIGALRM, alarm)
    hit = False
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0001)
        end = time.monotonic() + 1
        while time.monotonic() < end or not hit:
            runs = stage.run(names)
            assert len(runs) == len(names)
            struck_down = {index for index, run in enumerate(runs) if run.failure and run.failure.type in meant}
            assert struck_down <= {target}
            hit = hit or bool(struck_down or cancelled)
            ends = {run.status for index, run in enumerate(runs) if index not in struck_down}
            assert ends == {"failed" if raises else "completed"}
    finally:
        over = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert struck > 100
    assert cancelled <= {target}


def test_a_job_alone_that_has_a_time_limit_has_the_supervisor_look(stage: Stage) -> None:
    stage.run(["plain"])
    assert stage.watched == 0
    stage.run(["limited"])
    assert stage.watched == 1
    stage.run(["limited", "limited"])
    assert stage.watched == 1


def test_children_that_are_held_back_count_as_results_do_towards_settling_before_the_end(stage: Stage) -> None:
    def handler(job: Job[Any], ctx: Context[Any]) -> None:
        ctx.enqueue(name="child", queue="q", data=bytes(300_000), on_success=True)

    stage.handler = handler
    runs = stage.run(["plain"] * 9)
    assert stage.full == 2
    assert all(run.held is not None and run.children is not None for run in runs)
    stage.run(["plain"] * 9, options=RunOptions(attempts=2))
    assert stage.full == 4


def test_what_failures_and_log_lines_take_counts_towards_settling_before_the_end(stage: Stage) -> None:
    def fail(job: Job[Any], ctx: Context[Any]) -> None:
        raise ValueError("x" * 10_000)

    def log(job: Job[Any], ctx: Context[Any]) -> None:
        job.logger("x" * 50_000)

    stage.handler = fail
    size = stage.run(["plain"])[0].size
    assert size > 10_000
    stage.run(["plain"] * (3 * PILE // size))
    assert stage.full >= 2
    stage.handler, stage.full = log, 0
    stage.run(["plain"] * 50)
    assert stage.full == 2


def test_no_job_runs_in_the_context_of_the_one_before_it(stage: Stage) -> None:
    contexts = []
    stage.handler = lambda job, ctx: contexts.append(ctx)
    stage.run(["plain"])
    with pytest.raises(InvalidOptions, match="success of a running job"):
        contexts[0].enqueue(name="child", queue="q", on_success=True)


def test_what_a_thread_says_that_has_outlived_its_job_is_said_by_no_job(stage: Stage) -> None:
    """Neither between two jobs, nor beside the next one, not even beside another try of the same job."""
    jobs: list[Job[Any]] = []

    def speak(job: Job[Any]) -> None:
        job.logger(f"of {job.token}")
        job.progress(job.token)

    def handler(job: Job[Any], ctx: Context[Any]) -> None:
        for earlier in jobs:
            speak(msgspec.structs.replace(earlier, id=job.id))
            speak(earlier)
        speak(job)
        jobs.append(job)

    stage.handler = handler
    for _ in range(2):
        stage.run(["plain", "limited"])
        for job in jobs:
            speak(job)
    for run, job in zip(stage.run(["plain", "limited"]), jobs[-2:], strict=True):
        assert [msgspec.msgpack.decode(line)[1] for line in run.lines or ()] == [f"of {job.token}"]
        assert run.progress == (job.token, None, None)


def test_the_end_of_its_time_is_a_job_timeout_also_in_the_body_of_a_group(stage: Stage) -> None:
    """Which takes what ends its body for an error of its own, in some versions of Python."""

    async def handler(job: Job[Any], ctx: Context[Any]) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(_nap())
            stage.sentence(OVERDUE, 0)
            await _nap()

    stage.register(handler)
    (run,) = stage.run(["coroutine"])
    assert run.failure is not None
    assert run.failure.type == "JobTimeout"


def test_a_long_traceback_ends_where_the_error_was_raised(stage: Stage) -> None:
    def leaf() -> None:
        raise KeyError("missing")

    def branch(depth: int) -> None:
        leaf() if depth == 0 else branch_again(depth - 1)

    def branch_again(depth: int) -> None:
        branch(depth)

    stage.handler = lambda job, ctx: branch(60)
    (run,) = stage.run(["plain"])
    assert run.failure is not None
    assert "in leaf" in run.failure.traceback


def test_a_line_that_is_no_unicode_is_logged_as_far_as_it_is(stage: Stage) -> None:
    def handler(job: Job[Any], ctx: Context[Any]) -> None:
        job.logger("caf\udce9.txt")

    stage.handler = handler
    (run,) = stage.run(["plain"])
    assert run.status == "completed"
    assert [msgspec.msgpack.decode(line)[1] for line in run.lines or ()] == ["caf?.txt"]


def test_what_a_handler_raises_is_tried_again_though_it_is_invalid_payload(stage: Stage) -> None:
    """But its own data, or its result, would not fit the next time either."""

    def handler(job: Job[Any], ctx: Context[Any]) -> object:
        if job.token == 100:
            raise InvalidPayload("of another job")
        return object()

    stage.handler = handler
    raised, returned = stage.run(["plain"] * 2, options=RunOptions(attempts=2))
    assert (raised.status, bool(raised.retry)) == (None, True)
    assert (returned.status, returned.retry) == ("failed", None)


def test_why_a_job_of_an_unknown_task_failed_is_kept_as_long_as_its_call_says(stage: Stage) -> None:
    (run,) = stage.run(["nobody"], options=RunOptions(keep_result=5))
    assert run.failure is not None
    assert (run.failure.type, run.keep_ms) == ("UnknownTask", 5000)
