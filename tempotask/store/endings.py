"""The endings of some jobs, in the order that the caller wants them in."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import Counter
from collections.abc import AsyncGenerator, Generator, Sequence

from tempotask.durations import Duration, patience
from tempotask.store.outcomes import ANSWER, Outcomes
from tempotask.store.wait import Ending, Wait

SILENCE = 1.0
"""Seconds of silence after which a job is looked for before its waiting is given up: it may be nowhere any more."""


def in_order(
    outcomes: Outcomes, ids: Sequence[str], timeout: Duration | None, known: bool, *, again: bool = False
) -> Generator[Ending, None, None]:
    """The endings of these jobs, in their order, each as soon as it and those before it are there.

    `known`: whether this process saw them being added; `again`: whether it has also seen them end, so that they may be
    kept no longer.

    Raises:
        TimeoutError: `timeout` seconds are over.
    """
    ready, timeout = threading.Event(), patience(timeout)
    deadline = None if timeout is None else time.monotonic() + timeout
    # What has been yielded is let go, as results may be large.
    arrived: dict[str, Ending] = {}
    repeated, looked = _repeated(ids), not is_silence(timeout)
    wait = outcomes.begin(ids, ready.set, known)
    try:
        wait.seeks |= again
        outcomes.ask_within(wait, timeout)
        for id in ids:
            while id not in arrived:
                ready.clear()
                arrived.update(wait.take())
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                if id not in arrived and not ready.wait(left):
                    if looked:
                        raise _late(id, timeout)
                    looked = wait.seeks = True
                    outcomes.ask_within(wait, 0.0)
            yield arrived[id] if id in repeated else arrived.pop(id)
    finally:
        outcomes.end(wait)


async def ain_order(
    outcomes: Outcomes, ids: Sequence[str], timeout: Duration | None, known: bool, *, again: bool = False
) -> AsyncGenerator[Ending, None]:
    """`in_order`, for `async for`."""
    loop, ready, timeout = asyncio.get_running_loop(), asyncio.Event(), patience(timeout)
    deadline = None if timeout is None else loop.time() + timeout
    # What has been yielded is let go, as results may be large.
    arrived: dict[str, Ending] = {}
    repeated, looked = _repeated(ids), not is_silence(timeout)
    wait = outcomes.begin(ids, lambda: loop.call_soon_threadsafe(ready.set), known)
    try:
        wait.seeks |= again
        await aask_within(outcomes, wait, timeout)
        for id in ids:
            while id not in arrived:
                ready.clear()
                arrived.update(wait.take())
                if id not in arrived:
                    try:
                        async with asyncio.timeout_at(deadline):
                            await ready.wait()
                    except TimeoutError:
                        if looked:
                            raise _late(id, timeout) from None
                        looked = wait.seeks = True
                        await aask_within(outcomes, wait, 0.0)
            yield arrived[id] if id in repeated else arrived.pop(id)
    finally:
        outcomes.end(wait)


async def aask_within(outcomes: Outcomes, wait: Wait, timeout: float | None) -> None:
    """Has the server asked, and waits for its answer, `ANSWER` at most, if the caller hardly waits for the jobs: what
    has ended by now is told even to those who do not wait at all."""
    if timeout is None or timeout >= ANSWER:
        outcomes.ask_soon(wait)
        return
    loop, asked = asyncio.get_running_loop(), asyncio.Event()

    def tell() -> None:
        # The event loop may have been closed while its task waited.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(asked.set)

    wait.asked = tell
    outcomes.ask_soon(wait)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(ANSWER):
            await asked.wait()


def is_silence(seconds: float | None) -> bool:
    """Whether to hear nothing for so long is reason to look for a job."""
    return seconds is not None and seconds >= SILENCE


def _repeated(ids: Sequence[str]) -> set[str]:
    """The ids that are there more than once: as a rule, none."""
    return set() if len(set(ids)) == len(ids) else {id for id, times in Counter(ids).items() if times > 1}


def _late(id: str, timeout: float | None) -> TimeoutError:
    return TimeoutError(
        f"job {id} has not finished within {timeout} s; it goes on where a supervisor runs, and may be asked for again"
    )
