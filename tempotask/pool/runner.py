"""Runs one job: decode, call, outcome.

What is the same for all jobs of a task is prepared once, in a `Lane`; what happens to a job is one `Run`, from which
the worker settles.
"""

from __future__ import annotations

import functools
import os
import random
import resource
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from types import CoroutineType
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from msgspec import UNSET, Raw

from tempotask import arrays, payload
from tempotask.errors import InvalidPayload, JobTimeout, UnknownTask
from tempotask.job import Job
from tempotask.options import DEFAULTS, merged
from tempotask.pool.control_block import (
    CANCEL,
    DEADLINE_INDEX,
    DEADLINE_NS,
    HANDED,
    INTERRUPT,
    INTERRUPT_HANDED,
    INTERRUPT_INDEX,
    INTERRUPT_TURN,
    KILL_AFTER_NS,
    LIMIT,
    NONE,
    OVERDUE,
    STARTED,
    TURN,
    ControlBlock,
)
from tempotask.pool.failure import describe, ended_badly, misfit, put_aside
from tempotask.pool.loop import Loop
from tempotask.pool.overdue import OVER
from tempotask.pool.run import Hand, Run, keep_ms
from tempotask.pool.saying import Saying
from tempotask.retry import Retry, asked_pause
from tempotask.shelf import ShelfFile
from tempotask.store.records import NIL, Record, RunOptions, Unreadable, encode
from tempotask.task import Task

if TYPE_CHECKING:
    from tempotask.manager import QueueManager

PILE = 1 << 20
"""Bytes of results after which a batch is settled before it ends."""
NAMED = 20
"""Tasks at most that a message lists."""
FRESH = 0.001
"""Seconds for which short jobs with the same limit share a deadline: to make one takes longer than some of them run."""
MEASURED = 0.001
"""Seconds from which a job's use of processor and memory is measured: doing so takes a thousandth of that."""
MAXRSS_UNIT = 1024
"""Bytes in which the system counts peak memory."""


class Limit(NamedTuple):
    """How long a try may take."""

    seconds: float
    kill_after_ns: int


@functools.cache
def _limit(timeout: float, kill_after: float) -> Limit:
    """One object for all tasks with the same limit: the batches of several queues are interleaved."""
    return Limit(timeout, int(kill_after * 1e9))


class Lane:
    """A task as the hot loop wants it: bound methods, and the bytes with which its outcomes begin."""

    def __init__(self, task: Task[Any, Any], opened: list[ShelfFile]) -> None:
        self.task = task
        self.decode = payload.reader(task.types[0], arrays.opener(opened))
        self.handler = task.handler
        self.is_async = task.is_async
        self.options = task.run_options
        self.keep_ms = keep_ms(task.run_options)
        timeout, kill_after = task.run_options.timeout, task.run_options.kill_after
        self.limit = _limit(float(timeout), float(kill_after or 0)) if timeout else None
        self.endless = task.options.attempts is UNSET
        """Whether a handler that asks for another try gets one, however many there were."""
        tail = encode(task.queue) + encode(task.name)
        self.completed = b"\x94" + encode("completed") + tail
        """An `Outcome` up to its result."""
        self.nothing = self.completed + b"\xc0"


class Runner:
    """Runs jobs in this process, one at a time, for one worker."""

    def __init__(
        self,
        manager: QueueManager[Any],
        block: ControlBlock,
        others_may_run: Callable[[str, str], bool],
        watched: Callable[[], None],
    ) -> None:
        self.context = manager.context()
        self._opened: list[ShelfFile] = []
        """The files of large arrays that the running job came with."""
        self.lanes: Mapping[tuple[str, str], Lane] = {
            key: Lane(task, self._opened) for key, task in manager.tasks.items()
        }
        self._sender = arrays.Sender(lambda: manager._client.shelf, "result")
        self._largest = manager.options.max_payload_bytes
        self._words = block.words
        self._others_may_run = others_may_run
        self._watched = watched
        self.saying = Saying(self.context)
        self._mark = 0.0
        self._pid = os.getpid()
        self.loop = Loop()
        """For `async def` handlers."""

    def run_batch(self, hand: Hand, full: Callable[[], None]) -> None:
        """Runs a batch, job by job, until its end or until the supervisor has taken the rest away.

        `full` is called when results have piled up. This is the hot loop: what most jobs need is done here, on local
        names, and all else in `_run`.
        """
        words, lanes, context, append, saying, clock = (
            self._words, self.lanes, self.context, hand.runs.append, self.saying, time.monotonic,
        )  # fmt: skip
        records, payloads, token, largest = hand.batch.records, hand.batch.payloads, hand.batch.token, self._largest
        children, alone, held_back = context._children.ids, len(records) == 1, 0
        sender, opened = self._sender, self._opened
        limited, fresh_until = None, 0.0
        words[DEADLINE_INDEX] = -1
        started = self._measured_from()
        for index, record in enumerate(records):
            words[STARTED] = index
            if index >= words[LIMIT]:
                break
            lane = lanes.get((record.queue, record.name))
            if lane is None or lane.is_async or record.options is not None or record.flags:
                run = self._run(lane, index, record, payloads.pop(index, None), token + index, started)
                held_back += run.size
                limited = None
            else:
                if (limit := lane.limit) is not None:
                    if limit is not limited or started > fresh_until:
                        limited, fresh_until = limit, self._share_deadline(limit, started, alone)
                    words[DEADLINE_INDEX] = index
                job = None
                try:
                    data = lane.decode(record.payload)
                    # From here until it is taken away again, an interrupt can strike.
                    job = context._job = Job(
                        record.id, record.name, record.queue, data, record.tries + 1, int(record.priority),
                        record.parent, token + index, False, record.enqueued_at, saying,
                    )  # fmt: skip
                    value = lane.handler(job, context)
                    if type(value) is CoroutineType:
                        value = self._finish(value, job)
                    context._job = None
                    if value is None:
                        result, outcome = NIL, lane.nothing
                    else:
                        encoded = payload.encode(value, largest, "result", sender, record.id)
                        result, outcome = Raw(encoded), lane.completed + encoded
                except BaseException as error:
                    # Nothing is called before this, so that no signal is looked at before it.
                    raised, context._job = context._job is not None, None
                    error = misfit(error) if job is None else error
                    run = self._failed(lane, record, lane.options, started, error, raised=raised)
                    held_back += run.size
                else:
                    run = Run(record, started, clock(), outcome, lane.keep_ms, "completed", result)
                    if saying.news or children:
                        self._take(run)
                        held_back += run.size
                    elif result is not NIL:
                        held_back += len(outcome)
            append(run)
            if opened:
                hand.opened[index] = opened[:]
                opened.clear()
            if run.ended - started > MEASURED:
                self._measure(run)
            started = run.ended
            if held_back > PILE:
                # This takes as long as the server does, and none of it is the time of the job that has ended.
                words[DEADLINE_INDEX], words[STARTED] = -1, index + 1
                full()
                held_back, started = 0, self._measured_from()
        words[STARTED] = len(records)

    def _measured_from(self) -> float:
        """Now, by the monotonic clock: from here on the processor's time is that of jobs."""
        now = time.monotonic()
        self._mark = time.process_time() - now
        return now

    def _share_deadline(self, limit: Limit, started: float, alone: bool) -> float:
        """A deadline for the jobs of this limit that start within `FRESH`; until when they may. See `_set_deadline`."""
        words, until = self._words, started + FRESH
        words[DEADLINE_NS] = int((until + limit.seconds) * 1e9)
        words[KILL_AFTER_NS] = limit.kill_after_ns
        if alone:
            self._watched()
        return until

    def _run(
        self, lane: Lane | None, index: int, record: Record, outside: bytes | None, token: int, started: float
    ) -> Run:
        """Runs a job that needs more than the call. Never raises for what the handler does."""
        if isinstance(record, Unreadable):
            return put_aside(record, started)
        if lane is None:
            return self._unknown(record, started)
        options = lane.options if record.options is None else merged(record.options, lane.options)
        raised = False
        try:
            try:
                data = lane.decode(record.payload if outside is None else outside)
            except BaseException as error:
                raise misfit(error) from None
            job: Job[Any] = Job(
                record.id, record.name, record.queue, data, record.tries + 1, int(record.priority),
                record.parent, token, False, record.enqueued_at, self.saying,
            )  # fmt: skip
            if options.timeout:
                self._set_deadline(index, options)
            raised = True
            value = self._call(lane, job)
            raised = False
            encoded = payload.encode(value, self._largest, "result", self._sender, record.id)
        except BaseException as error:
            return self._failed(lane, record, options, started, error, raised=raised)
        outcome = lane.completed + encoded
        run = Run(record, started, time.monotonic(), outcome, keep_ms(options), "completed", Raw(encoded))
        self._take(run)
        return run

    def on_interrupt(self, number: int, frame: object) -> None:
        """The supervisor's signal: the time of the running job is over, or it was cancelled. Raises in the handler,
        nowhere else."""
        words, job = self._words, self.context._job
        # Not (yet) the job that is meant: while the interrupt stands and its job is there, the signal comes again.
        if job is None or words[INTERRUPT_INDEX] != words[STARTED]:
            return
        if words[INTERRUPT_TURN] != words[TURN] or words[INTERRUPT_HANDED] != words[HANDED]:
            return
        interrupt, words[INTERRUPT] = words[INTERRUPT], NONE
        if interrupt == CANCEL:
            job.cancelled = True
        if self.loop.runs and interrupt:
            # Raised inside the loop, it would hit whatever the loop does just then.
            self.loop.interrupt(interrupt)
        elif interrupt == OVERDUE:
            raise JobTimeout(message=OVER)

    def _set_deadline(self, index: int, options: RunOptions) -> None:
        """For a job with options of its own; of the others `run_batch` does it."""
        words = self._words
        words[DEADLINE_NS] = time.monotonic_ns() + int(float(options.timeout or 0) * 1e9)
        words[KILL_AFTER_NS] = int(float(options.kill_after or 0) * 1e9)
        words[DEADLINE_INDEX] = index
        self._watched()

    def _call(self, lane: Lane, job: Job[Any]) -> Any:
        context = self.context
        try:
            context._job = job
            if lane.is_async:
                return self.loop.run(lambda: lane.handler(job, context), job)
            value = lane.handler(job, context)
            return self._finish(value, job) if type(value) is CoroutineType else value
        finally:
            context._job = None

    def _finish(self, coroutine: CoroutineType[Any, Any, Any], job: Job[Any]) -> Any:
        """What a coroutine comes to that a `def` has returned, as decorators of `async def` handlers do."""
        try:
            return self.loop.run(lambda: coroutine, job)
        finally:
            coroutine.close()

    def _measure(self, run: Run) -> None:
        """Adds what a long job used. The short ones since the last measurement are taken to have used the processor
        all the time, so that they need not be measured."""
        cpu = time.process_time()
        run.cpu_seconds = max(0.0, cpu - run.started - self._mark)
        run.peak_memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_UNIT
        self._mark = cpu - run.ended

    def _failed(
        self, lane: Lane, record: Record, options: RunOptions, started: float, error: BaseException, *, raised: bool
    ) -> Run:
        """`raised`: by the handler, and not where its data or its result are looked at."""
        self._end_if_child(error)
        children, _ = self.context._children.take(completed=False)
        # Not isinstance, which asks the exception itself.
        if issubclass(type(error), Retry):
            endless = lane.endless and (record.options is None or record.options.attempts is UNSET)
            after = asked_pause(cast(Retry, error))
            run = ended_badly(record, options, describe(error), started, children, endless=endless, after=after)
        else:
            unfit = issubclass(type(error), InvalidPayload) and not raised
            final = unfit or not lane.task.tries_again(type(error))
            run = ended_badly(record, options, describe(error), started, children, final=final)
        run.lines, run.progress = self.saying.take()
        return run

    def _take(self, run: Run) -> None:
        """Adds to a completed run what its handler said, and its children."""
        run.lines, run.progress = self.saying.take()
        run.children, run.held = self.context._children.take(completed=True)

    def _end_if_child(self, error: BaseException) -> None:
        """Ends a child that a handler forked and that came out of it: the job is its parent's."""
        if os.getpid() == self._pid:
            return
        code = error.code if isinstance(error, SystemExit) else 1
        if isinstance(error, ValueError) and "released memoryview" in str(error):
            code = 0  # it returned, and found that the control block is not its own
        elif not isinstance(error, SystemExit):
            traceback.print_exception(error)
        sys.stdout.flush()
        os._exit(code if isinstance(code, int) else 0 if code is None else 1)

    def _unknown(self, record: Record, started: float) -> Run:
        if self._others_may_run(record.queue, record.name):
            # A rolling deploy: whoever declares it will come to it, a moment later. A random one: two workers must not
            # be handed each other's jobs again and again.
            later = random.randint(100, 300)
            return Run(record, started, time.monotonic(), b"", 0, None, retry=(later, encode(record)))
        declared = sorted(f"{queue}/{name}" for queue, name in self.lanes)
        more = f" and {len(declared) - NAMED:,} more" if len(declared) > NAMED else ""
        known = (", ".join(declared[:NAMED]) or "nothing, as no module that declares tasks was imported") + more
        error = UnknownTask(
            f"no task {record.name!r} in queue {record.queue!r}; registered are: {known}; a supervisor takes up "
            "changed code on HUP, and another application needs a namespace of its own; then retry this job"
        )
        return ended_badly(record, merged(record.options, DEFAULTS), describe(error), started, final=True)
