"""Interrupts on the job that runs: what the signal does, and to whom. A runner alone, with real signals."""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import msgspec
import pytest

from tempotask import Context, InvalidOptions, Job, JobTimeout, QueueManager
from tempotask.pool.batch import (
    CANCEL,
    HANDED,
    INTERRUPT,
    INTERRUPT_HANDED,
    INTERRUPT_INDEX,
    INTERRUPT_SIGNAL,
    INTERRUPT_TURN,
    NONE,
    OVERDUE,
    TURN,
    ControlBlock,
)
from tempotask.pool.run import Hand, Run
from tempotask.pool.runner import Runner
from tempotask.store.records import Batch, Record, RunOptions, decode_outcome, encode

Handler = Callable[[Job[Any], Context[Any]], Any]


class Stage:
    """A runner with two tasks, `plain` and `limited`, that call what the test gives; and the supervisor's half."""

    def __init__(self, url: str, namespace: str) -> None:
        self.manager = QueueManager.init(db=url, namespace=namespace)
        self.handler: Handler = lambda job, ctx: None
        for name, options in (("plain", {}), ("limited", {"timeout": 600})):
            self.manager.register_job(
                name=name, queue="q", handler=lambda job, ctx: self.handler(job, ctx), options=options
            )
        self.watched = self.full = 0
        self.block = ControlBlock.create()
        self.runner: Runner | None = None
        self.turn = 0
        self.left: asyncio.Task[None] | None = None

    def register(self, handler: Handler) -> None:
        self.manager.register_job(name="coroutine", queue="q", handler=handler)

    def run(self, names: list[str], *, options: RunOptions | None = None, handed: int = 0) -> list[Run]:
        """Runs a batch of these tasks; the data of each job is its index."""
        if self.runner is None:
            self.runner = Runner(self.manager, self.block, lambda queue, name: False, self._watched)
            signal.signal(INTERRUPT_SIGNAL, self.runner.on_interrupt)
        self.turn += 1
        records = [
            Record("", f"{self.turn}-{n}", "q", "0", name, 0.0, 0, options=options) for n, name in enumerate(names)
        ]
        hand = Hand(Batch(str(self.turn), 100, records, {}), 0)
        self.block.begin(self.turn, len(records), handed)
        self.runner.run_batch(hand, self._full)
        return hand.runs

    def sentence(self, interrupt: int, index: int, turn: int | None = None, handed: int = 0) -> None:
        """What the supervisor does in a stopped worker, and the signal after it."""
        words = self.block.words
        words[INTERRUPT_INDEX], words[INTERRUPT_TURN], words[INTERRUPT_HANDED] = index, turn or words[TURN], handed
        words[INTERRUPT] = interrupt
        os.kill(os.getpid(), INTERRUPT_SIGNAL)

    def _watched(self) -> None:
        self.watched += 1

    def _full(self) -> None:
        self.full += 1


@pytest.fixture
def stage(server_url: str, namespace: str) -> Iterator[Stage]:
    before = signal.getsignal(INTERRUPT_SIGNAL)
    stage = Stage(server_url, namespace)
    yield stage
    signal.signal(INTERRUPT_SIGNAL, before)
    if stage.runner is not None:
        stage.runner.loop.close()
    stage.manager.close()


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


async def begun(closed: list[str]) -> AsyncIterator[int]:
    try:
        yield 1
        yield 2
    finally:
        await asyncio.sleep(0)
        closed.append("closed")


@pytest.mark.parametrize("way", ["let go of", "held", "raised"])
def test_a_generator_that_is_left_half_way_is_closed_with_its_job(stage: Stage, way: str) -> None:
    closed: list[str] = []
    held = begun(closed)

    async def handler(job: Job[Any], ctx: Context[Any]) -> int:
        async for number in held if way == "held" else begun(closed):
            if way == "raised":
                raise LookupError
            return number
        return 0

    stage.register(handler)
    (run,) = stage.run(["coroutine"])
    assert run.status == ("failed" if way == "raised" else "completed")
    assert closed == ["closed"]


def test_a_generator_is_closed_in_the_context_of_its_job(stage: Stage) -> None:
    var: contextvars.ContextVar[int] = contextvars.ContextVar("var")
    closed: list[int] = []
    kept: list[AsyncIterator[int]] = []

    async def rows() -> AsyncIterator[int]:
        token = var.set(1)
        try:
            yield 1
        finally:
            closed.append(var.get())
            var.reset(token)

    async def handler(job: Job[Any], ctx: Context[Any]) -> int:
        kept.append(generator := rows())
        return await anext(generator)

    stage.register(handler)
    assert [run.status for run in stage.run(["coroutine"])] == ["completed"]
    assert closed == [1]


def test_what_is_begun_as_tasks_are_cancelled_does_not_hold_up_the_worker(stage: Stage) -> None:
    async def endless() -> None:
        await asyncio.Event().wait()

    async def first() -> None:
        try:
            await endless()
        finally:
            stage.left = asyncio.create_task(endless())

    async def handler(job: Job[Any], ctx: Context[Any]) -> None:
        stage.left = asyncio.create_task(first())
        await asyncio.sleep(0)

    stage.register(handler)
    assert [run.status for run in stage.run(["coroutine"] * 2)] == ["completed"] * 2


def test_what_happens_as_the_rest_is_ended_changes_nothing_of_a_job_nor_of_the_next(stage: Stage) -> None:
    kept: list[Any] = []

    async def rows() -> AsyncIterator[int]:
        other = asyncio.create_task(asyncio.sleep(600))
        try:
            yield 1
        finally:
            other.cancel()
            await other

    async def leaves(how: str) -> None:
        me = asyncio.current_task()
        assert me is not None

        async def left() -> None:
            try:
                await asyncio.sleep(600)
            finally:
                if how == "exits":
                    raise SystemExit(3)
                if how == "stops":
                    asyncio.get_running_loop().stop()
                me.cancel()

        kept.append(asyncio.create_task(left()))
        await asyncio.sleep(0)

    async def handler(job: Job[Any], ctx: Context[Any]) -> str:
        how = ["generator", "exits", "", "stops", "cancels", "", "next", "stops at once", ""][job.token - 100]
        if how == "generator":
            kept.append(generator := rows())
            await anext(generator)
        elif how == "next":
            kept.append(asyncio.ensure_future(rows().__anext__()))
        elif how == "stops at once":
            asyncio.get_running_loop().stop()
        elif how:
            await leaves(how)
        else:
            await asyncio.sleep(0.01)
        return "done"

    stage.register(handler)
    runs = stage.run(["coroutine"] * 9)
    assert [(run.status, msgspec.msgpack.decode(run.result)) for run in runs] == [("completed", "done")] * 9


def test_a_loop_that_a_plain_handler_has_closed_is_no_matter_of_the_next_jobs(stage: Stage) -> None:
    async def handler(job: Job[Any], ctx: Context[Any]) -> int:
        await asyncio.sleep(0)
        return 1

    def legacy(job: Job[Any], ctx: Context[Any]) -> None:
        asyncio.get_event_loop().close()

    stage.register(handler)
    stage.handler = legacy
    runs = stage.run(["coroutine", "plain", "coroutine", "coroutine", "plain", "coroutine"])
    assert [run.status for run in runs] == ["completed"] * 6
