"""The application of a map's workers: one task, which answers spans of inputs by calling the user's function."""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from typing import Any

import msgspec

from tempotask.cli.mapping import rows
from tempotask.cli.mapping.function import Function
from tempotask.cli.mapping.settings import CRASHES, options
from tempotask.cli.mapping.shell import ExitStatus, ShellCommand
from tempotask.cli.mapping.span import HEAVIEST, LONG, Answer
from tempotask.cli.mapping.work import LARGEST, QUEUE, VARIABLE, Work
from tempotask.errors import InvalidPayload, JobTimeout
from tempotask.job import Context, Job
from tempotask.manager import QueueManager
from tempotask.pool.failure import describe
from tempotask.store.records import Failure

OURS = "tempotask.cli.mapping."
SHORT = 1000
"""Characters of a reason of which all would be too much."""
Inputs = tuple[int, list[bytes]]
"""The first index, and the inputs from there on."""


class Answering:
    """Answers spans."""

    def __init__(self, work: Work) -> None:
        self._work = work
        if work.shell:
            self._kind: Function | ShellCommand = ShellCommand(work.shell, bare=work.bare)
        else:
            self._kind = Function(work.function, jsonl=work.jsonl, bare=work.bare)
        self.is_async = self._kind.is_async

    async def answer(self, job: Job[Inputs]) -> Answer:
        """Goes from input to input, until the end, until it has taken long, or until the answer is large."""
        kind, clock, (first, lines) = self._kind, time.monotonic, job.data
        answer, began, me = Answer(0.0, [], {}), clock(), os.getpid()
        until, size = began + LONG, 0
        for index, line in enumerate(lines, first):
            try:
                value: Any = kind.begin(index, line)
                if self.is_async:
                    value = await value
                row = _small(kind.row(index, line, value))
            except BaseException as error:
                # Another try, the end of the job, or a child that the function forked and that came out of it: for
                # others to handle.
                overdue = self._work.timeout is not None and isinstance(error, JobTimeout)
                if job.attempt < self._work.attempts or job.cancelled or overdue or os.getpid() != me:
                    raise
                row, failure = b"", self._failure(index, line, error)
                answer.failures[index - first] = failure
                size += len(failure)
            if os.getpid() != me:
                os._exit(0)
            answer.rows.append(row)
            size += len(row)
            if clock() > until or size > HEAVIEST:
                break
        answer.seconds = clock() - began
        return answer

    def _failure(self, index: int, line: bytes, error: BaseException) -> bytes:
        more = self._kind.more(error)
        if isinstance(error, ExitStatus):
            failure = Failure(f"exit status {error}", "")
        else:
            # Our own frames tell nobody anything.
            frames = error.__traceback__
            while frames is not None and frames.tb_frame.f_globals.get("__name__", "").startswith(OURS):
                frames = frames.tb_next
            failure = describe(error.with_traceback(frames))
        shown = rows.input_of(line, jsonl=self._work.jsonl)
        row = rows.failure_row(index, shown, failure, more)
        if len(row) > LARGEST:
            return rows.failure_row(index, shown, Failure(failure.type, failure.message[:SHORT]))
        return row


def _small(row: bytes) -> bytes:
    if len(row) > LARGEST:
        raise InvalidPayload(
            f"its row is {len(row):,} bytes, and at most {LARGEST:,} are taken; write it to a file, and return its name"
        )
    return row


def application(work: Work) -> QueueManager[None]:
    """The application that does this work. Raises `LoadError` when the function can't be had."""
    answering = Answering(work)
    manager: QueueManager[None] = QueueManager.init(options=options())

    def answer(job: Job[Inputs], ctx: Context[None]) -> Answer:
        steps: Generator[Any, Any, Answer] = answering.answer(job).__await__()
        try:
            # Nothing in it waits, so that one step is all of it.
            next(steps)
        except StopIteration as ended:
            answered: Answer = ended.value
            return answered
        raise RuntimeError("a function that is no coroutine has waited")

    async def wait(job: Job[Inputs], ctx: Context[None]) -> Answer:
        return await answering.answer(job)

    task = manager.task(
        queue=QUEUE,
        name=work.name,
        attempts=work.attempts,
        timeout=work.timeout,
        max_crashes=CRASHES,
    )
    task(wait if answering.is_async else answer)
    return manager


if VARIABLE in os.environ:
    tempotask = application(msgspec.json.decode(os.environ[VARIABLE], type=Work))
