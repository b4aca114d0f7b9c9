"""Memory: a store without a server. It keeps the jobs of an inline manager, and runs them as they come.

    Producer ──Addition──► enqueue ──► waiting ──Runner──► processing ──Settling──► outcome, history
                                          ▲                    │
                                          └──── next try ◄─────┘

Above and below it is the code of the real thing: jobs come as the script `enqueue` gets them, run in a worker's
`Runner`, and are settled from what a worker's `Settling` writes. Only what lies between, the server, is this file.

Jobs that a handler adds wait until the job that runs has ended, as they do when one worker does all the work; who asks
for one of them has it run there and then. So a chain of jobs, however long, needs no deep stack.
"""

from __future__ import annotations

import contextlib
import math
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec

from tempotask.inline.runners import Runners
from tempotask.inline.stand_ins import NoServer, additions, refusal
from tempotask.pool.run import Run
from tempotask.pool.settling import Settling
from tempotask.store.look import Found
from tempotask.store.pages import Page, decode_page
from tempotask.store.records import (
    DELETED,
    FINISHED,
    NIL,
    Finished,
    Outcome,
    Record,
    Status,
    decode_outcome,
    decode_record,
    encode,
    flag,
    level,
)
from tempotask.store.script import Argument
from tempotask.store.store import Store

if TYPE_CHECKING:
    from tempotask.manager import QueueManager

MOST_TRIES = 10_000
"""Tries of a job after which nobody goes on. One that asks for another try may wait for what only others can do."""
SPARE_CALLS = 200
"""Calls that the stack must have room for where a job is run within another: what is ours takes some dozens."""
WORKER = "inline"
"""What stands where a worker's id would."""


class _Running(NamedTuple):
    record: Record
    started: float
    """Unix seconds."""


class Memory(Store):
    """Keeps and runs the jobs of one inline manager; see the module's page. Safe to use from several threads.

    `tell` is called with the id and the encoded outcome of each job that ends.
    """

    def __init__(self, manager: QueueManager[Any], tell: Callable[[str, bytes], None]) -> None:
        super().__init__(NoServer(), manager.namespace)
        self._manager = manager
        self._tell = tell
        # One that a thread may take twice: the collector may let go of a map wherever memory is asked for.
        self._lock = threading.RLock()
        self._queues: dict[str, None] = {}
        self._waiting: dict[str, Record] = {}
        self._processing: dict[str, _Running] = {}
        self._outcomes: dict[str, bytes] = {}
        """The newest run's, oldest first."""
        self._logs: dict[str, list[bytes]] = {}
        """What tries before the last one logged."""
        self._paused: set[str] = set()
        """Queues."""
        self._parked: set[str] = set()
        """Ids of jobs that wait, and are paused."""
        self._history: dict[tuple[str, Status], deque[Found]] = {}
        self.runners = Runners(manager)
        self._settling = Settling(WORKER, manager.options.max_jobs_per_status)
        self._has_levels = False
        """Whether there was ever a job with a priority."""

    # -- what the real store does on the server

    def run(self, name: str, *arguments: Argument) -> Any:
        """Does what a script does, as far as that makes sense here; else raises `InvalidOptions`."""
        if name == "enqueue":
            return self._enqueue(arguments[3:])
        if name == "ask":
            return [0, *(self._ask(str(id)) for id in arguments[1:])]
        if name == "pause":
            what, queue = map(str, arguments[3:])
            return self._pause(queue) if what == "pause" else self._resume(queue)
        if name == "unwait":
            # Whoever waited is never told late.
            return [str(id).encode() for id in arguments[1:]]
        if name == "forget":
            for id in arguments:
                self._outcomes.pop(str(id), None)
            return 0
        raise refusal(f"there is no {name} here")

    def try_once(self, name: str, *arguments: Argument, durable: bool = False) -> Any:
        """As `run`."""
        return self.run(name, *arguments)

    def read(self, command: str, key: str, *rest: Argument) -> Any:
        """Reads what lies outside of records and pages: there is little."""
        if key in ("queues", "paused"):
            return {name.encode() for name in (self._queues if key == "queues" else self._paused)}
        if key.startswith("log:"):
            return list(self._logs.get(key.removeprefix("log:"), ()))
        return [] if command == "LRANGE" else {} if command == "HGETALL" else None

    def read_many(self, commands: Sequence[tuple[str, str, *tuple[Argument, ...]]]) -> list[Any]:
        """`read`, for each of them."""
        return [self.read(*command) for command in commands]

    def now(self, within: float = math.inf) -> float:
        """Unix seconds, by this process's clock."""
        return time.time()

    def quiet(self, *, delayed: bool = False) -> bool:
        """Whether nothing waits or runs."""
        return not (self._waiting or self._processing)

    def close(self) -> None:
        """Ends the loops of `async def` handlers. Jobs stay."""
        self.runners.close()

    # -- looking

    def found(self, id: str) -> Found | None:
        """The newest run of a job."""
        with self._lock:
            unfinished, encoded = self._unfinished(id), self._outcomes.get(id)
            if unfinished is not None:
                return unfinished
            outcome = decode_outcome(encoded) if encoded is not None else None
            runs = [run for runs in self._history.values() for run in runs if run.id == id]
        if runs:
            return max(runs, key=lambda run: run.at)._replace(outcome=outcome)
        return Found(id, outcome.status, outcome=outcome) if outcome is not None else None

    def jobs(self) -> list[Found]:
        """All jobs, newest first, finished ones as far as history keeps them."""
        with self._lock:
            ids = [*self._waiting, *self._processing]
            there = [one for id in ids if (one := self._unfinished(id)) is not None]
            ended = [run for runs in self._history.values() for run in reversed(runs)]
        # The order among equals, which a coarse clock makes, is kept: the last to be added or to end comes first.
        return sorted([*reversed(there), *ended], key=lambda one: one.at, reverse=True)

    def _unfinished(self, id: str) -> Found | None:
        if (record := self._waiting.get(id)) is not None:
            return Found(id, "waiting", record, paused=id in self._parked)
        if (running := self._processing.get(id)) is not None:
            return Found(id, "processing", running.record, WORKER, running.started)
        return None

    def queues(self) -> list[tuple[str, bool]]:
        """The queues that ever had a job, or are paused, by name, and whether they are."""
        return [(name, name in self._paused) for name in sorted({*self._queues, *self._paused})]

    # -- acting

    def park(self, id: str) -> bool:
        """Has a job that waits go on waiting. Whether that changed anything."""
        with self._lock:
            changed = id in self._waiting and id not in self._parked
            if changed:
                self._parked.add(id)
        return changed

    def unpark(self, id: str) -> bool:
        """The reverse of `park`."""
        with self._lock:
            if id not in self._parked:
                return False
            self._parked.remove(id)
        self._work_off([id])
        return True

    def cancel(self, id: str, *, forgotten: bool = False) -> bool:
        """Ends a job that waits; `forgotten`: nobody knows it then. False if it does not wait."""
        with self._lock:
            record = self._waiting.pop(id, None)
            self._parked.discard(id)
            if record is None:
                return False
        failure = DELETED if forgotten else None
        outcome = encode(Outcome("cancelled", record.queue, record.name, failure=failure))
        if forgotten:
            self._tell(id, outcome)
        else:
            # It does not run, and no worker has it.
            ended = Finished(record, None, 0.0)
            found = Found(id, "cancelled", record, finished=ended, page=Page("", "", time.time(), [ended]))
            self._end(outcome, found, self._manager.options.max_jobs_per_status["cancelled"])
        return True

    def rerun(self, id: str) -> bool:
        """Runs a finished job again, with fresh tries. False when there is none, or its record is not kept."""
        found = self.found(id)
        if found is None or found.status not in FINISHED or found.record is None or _let_go_of_payload(found):
            return False
        # "g": a server keeps its payload elsewhere.
        flags = "g" if flag(found.record, "g") else ""
        record = msgspec.structs.replace(found.record, flags=flags, tries=0, errors=None, children=None)
        with self._lock:
            for runs in self._history.values():
                for run in [run for run in runs if run.finished is found.finished]:
                    runs.remove(run)
            self._add(record)
        self._work_off([id])
        return True

    def drop(self, id: str) -> bool:
        """Forgets all finished runs of a job. Whether there were any."""
        known = self.forget(lambda run: run.id == id) > 0
        return self._outcomes.pop(id, None) is not None or known

    def forget(self, wanted: Callable[[Found], bool]) -> int:
        """Forgets finished jobs, and their outcomes. Returns how many."""
        gone = 0
        with self._lock:
            runs_by_end = sorted((run for runs in self._history.values() for run in runs), key=lambda run: run.at)
            newest = {run.id: run for run in runs_by_end}
            for runs in self._history.values():
                chosen = [run for run in runs if wanted(run)]
                for run in chosen:
                    runs.remove(run)
                    # The outcome is that of the newest run.
                    if run is newest[run.id]:
                        self._outcomes.pop(run.id, None)
                gone += len(chosen)
        return gone

    # -- running

    def _enqueue(self, flat: Sequence[Argument]) -> bytes:
        answer, added = bytearray(), list[str]()
        with self._lock:
            for record, single, given in additions(flat):
                new = not given or self._unfinished(record.id) is None
                if single:
                    answer += b"1" if new else b"0"
                if new:
                    self._add(record)
                    added.append(record.id)
        self._work_off(added)
        return bytes(answer)

    def _add(self, record: Record) -> None:
        self._queues[record.queue] = None
        self._outcomes.pop(record.id, None)
        self._logs.pop(record.id, None)
        self._waiting[record.id] = record
        self._has_levels = self._has_levels or level(record.priority) != 0

    def _ask(self, id: str) -> bytes | None:
        """A job that waits is run for who asks: when nobody waits for it, its turn would come later. If it is to be
        tried again, others of the asker's family have their turn before; what it adds comes after the asker."""
        if id in self._waiting:
            _insist_on_stack()
            own = self.runners.here.family is None
            family = deque[str]() if self.runners.here.family is None else self.runners.here.family
            with contextlib.suppress(ValueError):
                family.remove(id)
            family.appendleft(id)
            with self.runners.within(self.runners.here._replace(family=family)):
                self._run_family(family, lambda: own or id in self._waiting)
        return self._outcomes.get(id)

    def _pause(self, queue: str) -> int:
        changed = queue not in self._paused
        self._paused.add(queue)
        return int(changed)

    def _resume(self, queue: str) -> int:
        if queue not in self._paused:
            return 0
        with self._lock:
            self._paused.remove(queue)
            waiting = [id for id, record in self._waiting.items() if record.queue == queue]
        self._work_off(sorted(waiting, key=self._turn))
        return 1

    def _work_off(self, ids: list[str]) -> None:
        if (family := self.runners.here.family) is not None:
            self._line_up(family, ids)
            return
        family = deque(ids)
        with self.runners.within(self.runners.here._replace(family=family)):
            self._run_family(family, lambda: True)

    def _line_up(self, family: deque[str], ids: Sequence[str]) -> None:
        family.extend(ids)
        if self._has_levels:
            first = sorted(family, key=self._turn)
            family.clear()
            family.extend(first)

    def _turn(self, id: str) -> int:
        """The higher a job's priority, the lower."""
        record = self._waiting.get(id)
        return 0 if record is None else -level(record.priority)

    def _run_family(self, family: deque[str], goes_on: Callable[[], bool]) -> None:
        while goes_on():
            try:
                id = family.popleft()
            except IndexError:  # also when another thread of the family was faster
                return
            self._run(id, family)

    def _run(self, id: str, family: deque[str]) -> None:
        """One try. If another one follows, the job waits for its turn among its family, behind its children."""
        with self._lock:
            record = self._waiting.get(id)
            if record is None or record.queue in self._paused or id in self._parked:
                return
            del self._waiting[id]
            self._processing[id] = _Running(record, time.time())
        again: Record | None = record
        try:
            again = self._settle(self.runners.run(record))
        finally:
            # Also when it was cut off, as by a Ctrl-C: it has not ended.
            if again is not None:
                with self._lock:
                    self._processing.pop(id, None)
                    self._waiting[id] = again
        if again is not None:
            if again.tries % MOST_TRIES == 0:
                raise refusal(f"job {id} was tried {again.tries:,} times, and what it waits for does not come")
            self._line_up(family, [id])

    def _settle(self, run: Run) -> Record | None:
        """Keeps what became of a try. Returns the record of the next one, if there is one."""
        settled = self._settling.settlement([run])
        if settled.said:
            self._logs.setdefault(run.record.id, []).extend(cast("list[bytes]", settled.said[2:]))
        if settled.retries:
            return decode_record(cast(bytes, settled.retries[1]))
        limit, page = cast(int, settled.pages[3]), cast(bytes, settled.pages[4])
        status = cast(Status, run.status)
        found = _ended(decode_page(page), status) if page else Found(run.record.id, status, run.record)
        self._end(run.outcome, found, limit)
        self._enqueue(settled.children)
        return None

    def _end(self, outcome: bytes, found: Found, limit: int) -> None:
        """Keeps how a job has ended, and what lists show of it: of the last so many of its queue and status."""
        assert found.record is not None
        with self._lock:
            self._processing.pop(found.id, None)
            self._outcomes[found.id] = outcome
            while len(self._outcomes) > self._manager.options.max_results:
                del self._outcomes[next(iter(self._outcomes))]
            if limit:
                self._history.setdefault((found.record.queue, found.status), deque(maxlen=limit)).append(found)
        self._tell(found.id, outcome)


def _insist_on_stack() -> None:
    """Refuses to run one job within another where that could fill the stack at any step, and leave things half done."""
    depth, frame = 0, sys._getframe()
    while (above := frame.f_back) is not None:
        depth, frame = depth + 1, above
    if sys.getrecursionlimit() - depth < SPARE_CALLS:
        raise refusal("jobs wait for jobs that wait for jobs, until the stack is full: give sys.setrecursionlimit more")


def _let_go_of_payload(found: Found) -> bool:
    """Whether it had a payload that a server would have let go of, when it completed."""
    return found.status == "completed" and found.record is not None and bool(flag(found.record, "g"))


def _ended(page: Page[Finished], status: Status) -> Found:
    (job,) = page.jobs
    if status == "completed" and flag(job.record, "g"):
        job = msgspec.structs.replace(job, record=msgspec.structs.replace(job.record, payload=NIL))
    started = None if job.started is None else job.started + page.epoch
    return Found(job.record.id, status, job.record, page.worker, started, page.host, finished=job, page=page)
