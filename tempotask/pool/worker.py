"""Worker: the hot loop. Turn, run, run, run, turn.

In its life a worker
 1. takes a turn: what it has finished is settled, what it is to do next comes back, one round trip a batch;
 2. runs the batch, job by job, and says in its control block which one, so that its supervisor can take away what has
    not started, and knows whom to blame when the process dies;
 3. settles early what is finished when one job takes long, and tells what that one says (a second thread, asleep
    otherwise);
 4. blocks, when nothing waits, on a list of its own until work is handed over;
 5. ends when its supervisor says so, or when the server does not know it any more.

It renews no lease and keeps no time limit: it runs code that may hold the interpreter for minutes. Those are its
supervisor's.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from tempotask import linux
from tempotask.pool.control_block import (
    AWAITS,
    BUSY,
    HANDED,
    HELD,
    IDLE,
    INTERRUPT,
    INTERRUPT_HANDED,
    INTERRUPT_SIGNAL,
    INTERRUPT_TURN,
    JOBS,
    LOOK,
    LOOKER,
    SETTLED,
    SPENT,
    STATE,
    STOP,
    STOP_SIGNAL,
    TURN,
    WEIGHT,
    ControlBlock,
)
from tempotask.pool.early import Early
from tempotask.pool.failure import unsendable
from tempotask.pool.others import Others
from tempotask.pool.outage import NO_ANSWER, Outage
from tempotask.pool.pace import Pace
from tempotask.pool.report import WorkerSpec
from tempotask.pool.run import Hand, Told
from tempotask.pool.runner import Runner
from tempotask.pool.saying import Said
from tempotask.pool.settling import Settling
from tempotask.pool.voice import speak_for
from tempotask.pool.whereabouts import write_awaits
from tempotask.store.records import encode
from tempotask.store.said import Live
from tempotask.store.turns import ROOM, Results, Turns
from tempotask.store.wire import IDLE_SECONDS, Lost, file_of

if TYPE_CHECKING:
    from tempotask.manager import QueueManager

LISTENED = 10.0
"""Seconds for which results bring their events after it was seen that somebody listens."""
ALWAYS_TAKEN = 1 << 20
"""Bytes of an argument that every server takes: Redis and Valkey know no lower `proto-max-bulk-len`."""
SOME = 10
"""Tries after which a large result that does not get through is worth a line; it goes alone by then."""
STAND_BY = 1.0
"""The most seconds for which a worker waits for its supervisor when its job was to be ended."""


class Gone(Exception):
    """The server does not know this worker any more: what it holds has been given to others."""


class Stopping(BaseException):
    """Raised out of an idle wait by the supervisor's signal."""


class Worker:
    """One worker process of the pool; see the module's page."""

    def __init__(self, manager: QueueManager[Any], spec: WorkerSpec, block: ControlBlock) -> None:
        self.id = spec.worker
        self._client = manager._client
        self._store = self._client.store
        self._turns = Turns(self._store, self.id)
        self._block = block
        self._words = block.words
        self._runner = Runner(manager, block, Others(self._store).may_run, self._wake_supervisor)
        self._settling = Settling(self.id, manager.options.max_jobs_per_status)
        self._pid = os.getpid()
        self._wake_fd = spec.wake_fd
        self._wake_file = file_of(spec.wake_fd)
        self._pace = Pace(ROOM)
        self._max_jobs = manager.options.max_jobs_per_worker
        self._weighed = manager.options.max_memory is not None
        self._hand: Hand | None = None
        self._turning = threading.Lock()
        self._early = Early(lambda: self._hand, self._runner.saying, self._settle, self._tell, _say, self._look_is_made)
        self._listened = -LISTENED
        self._waiting = False
        self._unwatched = True
        """Whether the supervisor may have stopped looking: it does when it sees us idle."""
        self._no_turn = Outage(f"a turn of worker {self.id}", _say)
        self._no_wait = Outage(f"the wait of worker {self.id} for jobs", _say)

    def run(self) -> int:
        """Works until told to end. Returns the exit code."""
        signal.signal(STOP_SIGNAL, self._on_stop)
        signal.signal(INTERRUPT_SIGNAL, self._on_interrupt)
        os.register_at_fork(after_in_child=self._forked)
        context = self._runner.context
        self._client.running = lambda: context._job
        speak_for(self._client.running)
        self._words[LOOKER] = self._early.start()
        if self._weighed:
            self._words[WEIGHT] = linux.resident(self._pid)
        self._words[STATE] = BUSY
        self._wake_supervisor()
        try:
            while not self._words[STOP] and self._is_whole():
                want = self._want()
                if not want:
                    self._end_spent()
                hand = self._take_turn(want) or self._wait()
                if hand is not None and not self._words[STOP]:
                    self._work_off(hand)
            if self._hand is not None:
                self._take_turn(0)
        except Stopping:
            # It has heard, and may take a while to end: nobody is to take it for deaf.
            self._words[STATE] = BUSY
        except Gone:
            _say(f"worker {self.id} is not known any more and ends")
            return 0
        except BaseException:
            if os.getpid() != self._pid:
                # A child that a handler forked and that came back from it: its work is done.
                return 0
            raise
        self._runner.loop.close()
        return 0

    # -- 1. turns

    def _take_turn(self, want: int) -> Hand | None:
        """Settles what is finished, and claims up to `want` jobs (0: none). None when nothing waits."""
        self._no_turn.over()
        while True:
            try:
                reply = self._send_turn(want)
            except NO_ANSWER as error:
                if self._words[STOP] and self._hand is None:
                    return None
                # Whether it took effect is not known: the next one, under a higher number, will show.
                self._no_turn.sit_out(error)
                self._settle_part()
                continue
            match reply[0]:
                case b"jobs":
                    if (brought := self._brought(reply[1])) is not None:
                        return brought
                    if self._words[STOP]:
                        return None
                    self._no_turn.sit_out()
                case b"idle" | b"settled":
                    return None
                case b"gone":
                    raise Gone
                case b"again":
                    continue
                case _:
                    self._note(reply)

    def _note(self, reply: list[Any]) -> None:
        """Of a turn in which nothing was done: what is to be different when it is sent again."""
        match reply[0]:
            case b"refused":
                assert self._hand is not None
                self._hand.missing.update(map(int, reply[1:]))
            case b"listened":
                self._listened = time.monotonic()
            case b"stale":
                self._turns.pass_by(int(reply[1]))

    def _want(self) -> int:
        """How many jobs the next turn asks for; 0 when this worker has run as many as it may."""
        want = self._pace.want()
        # A server that came back with an older state delivers again what is counted already.
        return want if self._max_jobs is None else max(0, min(want, self._max_jobs - self._words[JOBS]))

    def _send_turn(self, want: int) -> list[Any]:
        with self._turning:
            hand = self._hand
            if hand is None or hand.acknowledged == len(hand.runs):
                reply = self._turns.take(want)
            else:
                reply = self._turns.take(want, self._results(hand, len(hand.runs)))
            if reply[0] in (b"jobs", b"idle", b"settled", b"again"):
                if hand is not None and hand.opened:
                    hand.let_go(len(hand.runs))
                self._hand = None
            return reply

    def _results(self, hand: Hand, stop: int) -> Results:
        first = hand.acknowledged
        for index, told in hand.told.items():
            if first <= index < stop:
                hand.runs[index].told = told
        runs = hand.runs[first:stop]
        missing = [index for index in sorted(hand.missing) if first <= index < stop]
        for index in reversed(missing):
            del runs[index - first]
        events = time.monotonic() - self._listened < LISTENED
        settlement = self._settling.settlement(runs, events)
        return Results(hand.batch.turn, first, stop, missing, settlement, events)

    def _brought(self, message: bytes) -> Hand | None:
        """The batch that a message brings, taken in hand. None if it is none, or was taken back: take a turn."""
        with contextlib.suppress(Lost):
            batch = self._turns.batch(message)
            if batch is not None:
                return self._take_in_hand(Hand(batch, len(message)))
        return None

    def _take_in_hand(self, hand: Hand) -> Hand:
        turn, _, handed = hand.batch.turn.partition("@")
        # Also of one that a turn brought to who was idle, whose wait broke: the supervisor looks at who is busy.
        self._words[STATE] = BUSY
        self._block.begin(int(turn), len(hand.batch.records), int(handed or 0))
        if hand.batch.listened:
            self._listened = time.monotonic()
        self._hand = hand
        return hand

    def _look_is_made(self) -> None:
        """In the second thread, at each of its looks: answers to what the supervisor has written."""
        self._words[LOOK] = 0
        if self._words[AWAITS]:
            write_awaits(self._block, self._runner.loop.task, self._runner.loop.coroutine)

    # -- 2. running

    def _work_off(self, hand: Hand) -> None:
        if self._weighed:
            self._words[HELD] = linux.resident(self._pid)
        hand.began = time.monotonic()
        if self._unwatched:
            self._have_watched(hand)
        self._runner.run_batch(hand, lambda: self._settle(hand, len(hand.runs)))
        self._pace.took(len(hand.runs), time.monotonic() - hand.began, hand.size)
        self._words[JOBS] += len(hand.runs)
        if self._is_interrupted():
            self._stand_by(hand)

    def _have_watched(self, hand: Hand) -> None:
        """Sees to it that somebody notices when a job takes long."""
        if self._weighed or len(hand.batch.records) > 1:
            self._unwatched = False
            self._early.leave_time()
            self._wake_supervisor()
        else:
            # It has nothing behind it that could be stolen: not worth waking another process.
            self._early.keep_time()

    def _is_interrupted(self) -> bool:
        """Whether the last job that this batch came to was to be ended, and the supervisor has not seen to it yet."""
        words = self._words
        return words[INTERRUPT_TURN] == words[TURN] and words[INTERRUPT_HANDED] == words[HANDED]

    def _stand_by(self, hand: Hand) -> None:
        """Runs nothing until the supervisor has looked for processes that the interrupted job left behind: those of
        the next one would be taken for them. It may kill this one for them."""
        self._settle(hand, len(hand.runs))
        self._wake_supervisor()
        end = time.monotonic() + STAND_BY
        while self._is_interrupted() and time.monotonic() < end:
            time.sleep(0.0005)

    # -- 3. settling before the end of the batch

    def _settle(self, hand: Hand, stop: int) -> None:
        """Settles the runs up to `stop`. What is not acknowledged, the next turn carries again."""
        with self._turning:
            if self._hand is not hand or hand.acknowledged >= stop:
                return
            with contextlib.suppress(*NO_ANSWER):
                while (reply := self._turns.take(0, self._results(hand, stop)))[0] in (b"refused", b"listened"):
                    self._note(reply)
                if reply[0] == b"settled":
                    hand.acknowledged = self._words[SETTLED] = stop
                    hand.let_go(stop)

    def _settle_part(self) -> None:
        """Of results that do not go through as a whole settles a part, a smaller one each time: together they may be
        more than the server takes in one message. One that it refuses alone fails, or it would be sent for ever.
        """
        hand, outage = self._hand, self._no_turn
        first = 0 if hand is None else hand.acknowledged
        if hand is None or first == len(hand.runs):
            return
        part = max(1, len(hand.runs) - first >> outage.tries)
        self._settle(hand, first + part)
        if hand.acknowledged > first:
            outage.over()
        elif part == 1:
            with self._turning:
                run, size = hand.runs[first], self._results(hand, first + 1).largest
                if size <= ALWAYS_TAKEN:
                    return
                if self._turns.refused(size):
                    _say(f"the server refuses {size:,} bytes of job {run.record.id}, which lacks its log or its result")
                    hand.runs[first] = unsendable(run, size)
                elif outage.tries == SOME:
                    _say(f"{size:,} bytes of job {run.record.id} do not get through to the server, and are sent again")

    def _on_interrupt(self, number: int, frame: object) -> None:
        if self._words[INTERRUPT]:
            self._early.hurry()
        self._runner.on_interrupt(number, frame)

    def _tell(self, hand: Hand, index: int, said: Said) -> None:
        """Tells what a job that runs long has said."""
        record, saying = hand.batch.records[index], self._runner.saying
        began = time.time() - time.monotonic() + (hand.runs[index - 1].ended if index else hand.began)
        attempt = record.tries + 1
        known = encode(Live(self.id, attempt, began, said.progress, said.children or None))
        with self._turning:
            if self._hand is not hand:
                return
            told = hand.told.setdefault(index, Told())
            started, progress = self._settling.started(record, began), b""
            if said.progress not in (None, told.progress):
                progress = self._settling.progressed(record, time.time(), said.progress)
            told.logged, told.sure = told.logged or bool(said.lines), False
            told.started = True
            try:
                lines = map(bytes, said.lines)
                reply = self._turns.say(hand.batch.turn, index, record.id, started, progress, known, lines)
            except NO_ANSWER:
                # Whether it took effect is not known: it is told again, if the job still runs then. Until that is
                # answered, a start that nobody hears of is better than one that is heard of twice.
                return
            told.sure, told.children = True, len(said.children)
            if reply:
                told.started, told.progress = reply == 2, said.progress
                saying.told(said)

    # -- 4. waiting

    def _wait(self) -> Hand | None:
        """Blocks until a batch is handed over. None: take a turn instead, never wait again under the same number."""
        words = self._words
        # What a thread says from now on, that a handler has left behind, is of no job.
        self._runner.context._job = None
        words[STATE], self._unwatched = IDLE, True
        try:
            self._waiting = True
            if words[STOP]:
                raise Stopping
            message = self._turns.wait()
            self._no_wait.over()
        except NO_ANSWER as error:
            # Told to end meanwhile, it does.
            self._no_wait.sit_out(error)
            return None
        finally:
            self._waiting = False
        # Nothing, or a nudge: what was handed over was taken back.
        return self._brought(message) if message else None

    def _wake_supervisor(self) -> None:
        """It looks at its workers only while there may be something to do about one: to be called when that begins."""
        if self._wake_fd >= 0 and file_of(self._wake_fd) == self._wake_file:
            # It may have been told often enough, or be gone: then this process ends in a moment.
            with contextlib.suppress(BlockingIOError, BrokenPipeError):
                os.write(self._wake_fd, b"\1\0\0\0\0\0\0\0")

    # -- 5. ending

    def _is_whole(self) -> bool:
        """Whether no handler has closed what this worker needs. Otherwise it ends: it could not call its supervisor,
        nor run a coroutine, and by now the numbers may be those of a handler's own files."""
        if file_of(self._wake_fd) == self._wake_file:
            return True
        _say(f"a handler has closed descriptors of worker {self.id}, which ends")
        # Nobody is to blame, unless something runs.
        self._words[STOP] = 1
        return False

    def _forked(self) -> None:
        """In a child that a handler forked: it is no worker, even if it returns from the handler. The next store into
        the control block raises."""
        self._turns.abandon()
        self._words.release()

    def _on_stop(self, number: int, frame: object) -> None:
        if self._waiting:
            self._waiting = False
            raise Stopping

    def _end_spent(self) -> None:
        """Settles what is left, and waits for its end: the supervisor sees to it that another worker is there."""
        self._take_turn(0)
        self._words[STATE] = SPENT
        self._wake_supervisor()
        self._waiting = True
        while not self._words[STOP]:
            time.sleep(IDLE_SECONDS)
        # Told again, it is on its way already.
        self._waiting = False
        raise Stopping


def _say(text: str) -> None:
    # A handler may have closed it. Line and end in one write, or another process may write between them.
    with contextlib.suppress(OSError, ValueError):
        if sys.__stderr__ is not None:
            sys.__stderr__.write(f"tempotask: {text}\n")


def work(manager: QueueManager[Any], spec: WorkerSpec, block: ControlBlock) -> int:
    """A worker's life, in a process that has imported the application."""
    return Worker(manager, spec, block).run()
