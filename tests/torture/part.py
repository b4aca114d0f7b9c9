"""A part of a campaign: some faults at random moments, alone or together, and a judgement at the quiet point after."""

from __future__ import annotations

import random
import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass

import psutil
from pool.running import LONG

from tempotask import TempoTaskError
from tempotask.errors import ServerUnavailable
from torture.fault import WAY, Fault, Injection, Overtaken, Violation
from torture.judge import OTHER, Found, Verdict, judge
from torture.load import Load
from torture.world import World

SETTLED = 60.0
"""Seconds without a job that ends, after which what is left never will."""
APART = 1.5
"""Faults that are mixed begin within so many seconds."""


@dataclass
class Attempt:
    """One injection, and what came of it."""

    fault: Fault
    seed: int
    delay: float
    thread: threading.Thread | None = None
    injection: Injection | None = None
    back: float | None = None
    error: BaseException | None = None
    trace: str = ""
    overtaken: bool = False


class Part:
    """Runs once. At least `number` short jobs are added, and `backlog` of them always wait."""

    def __init__(self, world: World, faults: Sequence[Fault], seed: int, number: int, backlog: int) -> None:
        self.world = world
        self.seed = seed
        self._number = number
        self._backlog = backlog
        chance = random.Random(seed)
        self.attempts = [
            Attempt(fault, chance.randrange(1 << 31), chance.uniform(0.0, APART) if index else 0.0)
            for index, fault in enumerate(faults)
        ]
        self.found: list[Found] = []

    def run(self) -> Verdict:
        """Injects, waits until all is quiet, and judges."""
        load = Load(self.world, self.seed, self._number, self._backlog) if self.world.setting.load else None
        try:
            if load is not None:
                load.wait_for_backlog()
                self.world.wait_busy()
            for attempt in self.attempts:
                attempt.thread = threading.Thread(target=self._inject, args=(attempt,), daemon=True)
                attempt.thread.start()
            self._join(max(attempt.fault.within for attempt in self.attempts))
            if load is not None:
                load.finish()
                if load.error:
                    text = f"a producer met with: {load.error.splitlines()[-1]}"
                    self.found.append(Found(OTHER, text, "", load.error.splitlines()))
        except BaseException:
            if load is not None:
                load.abandon()
            raise
        return self._judge()

    def _join(self, within: float) -> None:
        end = time.monotonic() + within
        for attempt in self.attempts:
            if attempt.thread is None:
                continue
            attempt.thread.join(max(0.0, end - time.monotonic()))
            if attempt.thread.is_alive():
                attempt.error = TimeoutError(f"{attempt.fault.name} is not over after {within:.0f} s")

    def abandon(self) -> None:
        """Waits until no injection is under way, before the world goes."""
        self._join(LONG)

    def _inject(self, attempt: Attempt) -> None:
        self.world.seed_thread(attempt.seed)
        time.sleep(attempt.delay)
        try:
            injection = attempt.fault.inject(self.world)
            since = injection.at or time.monotonic()
            attempt.injection = injection
            if self.world.setting.load:
                attempt.back = back_at_work(self.world, since)
                if attempt.back is None:
                    text = f"after {attempt.fault.name} not every slot was back at work within {LONG:.0f} s"
                    self.found.append(Found(OTHER, text))
        except Violation as violation:
            attempt.injection = Injection()
            self.found.append(Found(OTHER, f"{attempt.fault.name}: {violation}"))
        except BaseException as error:
            attempt.error, attempt.trace = error, traceback.format_exc()
            attempt.overtaken = self._overtaken(attempt, error)

    def _overtaken(self, attempt: Attempt, error: BaseException) -> bool:
        """Whether another fault of this part may have brought that error about."""
        others = {other.fault.group for other in self.attempts if other is not attempt}
        if isinstance(error, ServerUnavailable):
            return bool(others & WAY)
        return bool(others) and isinstance(error, (Overtaken, psutil.NoSuchProcess))

    def _judge(self) -> Verdict:
        world = self.world
        kinds = [attempt.injection.allows for attempt in self.attempts if attempt.injection]
        allows = frozenset[str]().union(*kinds)
        self.found += settle(world)
        verdict = judge(world, world.receipts.collect(SETTLED / 2), allows)
        verdict.found = [*self.found, *verdict.found]
        if not verdict.found:
            world.forget()
        return verdict


def back_at_work(world: World, since: float) -> float | None:
    """Seconds until every slot has begun a job again, by the ledger; None if that takes too long."""
    first: dict[int, float] = {}
    seen = max(0, len(world.ledger.entries()) - 20_000)
    end = time.monotonic() + LONG
    while time.monotonic() < end:
        entries = world.ledger.entries()
        for entry in entries[seen:]:
            if entry.what == "start" and entry.at > since:
                first.setdefault(entry.pid, entry.at)
        seen = len(entries)
        if len(first) >= world.slots():
            pids = {worker.pid for worker in world.workers()}
            if len(pids) == world.slots() and pids <= first.keys():
                return max(first[pid] for pid in pids) - since
        time.sleep(0.01)
    return None


def settle(world: World) -> list[Found]:
    """Returns when everything has been worked off and every worker is there; what is missing if that never comes."""
    ended = -1
    reason, end = "", 0.0
    while not end or time.monotonic() < end:
        try:
            reason = _unrest(world)
        except TempoTaskError as error:
            reason = str(error)
        if not reason:
            return []
        if len(world.ledger.ended) > ended:
            # A job that runs again and again is no progress.
            ended, end = len(world.ledger.ended), time.monotonic() + SETTLED
        time.sleep(0.02)
    text = f"no quiet point, and nothing more done for {SETTLED:.0f} s: {reason}"
    return [Found(OTHER, text, "", last_lines(world))]


def _unrest(world: World) -> str:
    """What is still going on."""
    if not world.store.quiet(delayed=True):
        return f"jobs are left, {world.outstanding()} of those that are owed"
    workers = {worker.pid for worker in world.workers()}
    if len(workers) != world.slots():
        return f"{len(workers)} of {world.slots()} workers are there"
    if busy := world.ledger.busy() & workers:
        return f"{len(busy)} workers are inside of a handler"
    # What moves is nowhere for a moment, but not twice.
    return "" if world.store.quiet(delayed=True) else "jobs are left"


def last_lines(world: World) -> list[str]:
    """What each supervisor said last."""
    return [line for supervisor in (*world.gone[-2:], *world.supervisors) for line in supervisor.lines[-15:]]
