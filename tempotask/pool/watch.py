"""What the supervisor does about a worker that takes long, or whose job is cancelled.

It peeks at the control block first, which costs nothing. Only when there is something to do is the worker stopped,
looked at, its batch shrunk, and let go on. In a worker's life its watch
 1. steals back what waits behind a long job, and has the worker settle what it finished before (early.py);
 2. keeps the time limit of the job that runs, and has a cancelled one end: first it tells the worker, then it kills;
 3. has the worker end, gently or at once;
 4. says, when the worker is dead, whose fault that was.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from tempotask import linux
from tempotask.pool.control_block import (
    BEGAN,
    CANCEL,
    IDLE,
    INTERRUPT,
    INTERRUPT_HANDED,
    INTERRUPT_INDEX,
    INTERRUPT_SIGNAL,
    INTERRUPT_TURN,
    NONE,
    OVERDUE,
    SETTLED,
    SPENT,
    STACK_SIGNAL,
    STACKS,
    STARTING,
    STATE,
    STOP,
    STOP_SIGNAL,
    Look,
)
from tempotask.pool.deaths import Cause, Death
from tempotask.pool.orders import Cancel
from tempotask.pool.pool import WorkerProcess
from tempotask.store.records import Record

STEAL_AFTER = 0.05
"""Seconds after which a job that still runs costs its worker what stands behind it, and is told of."""
OVERLONG = 0.2
"""Seconds after which a batch that has not ended is shrunk, whatever runs: it was to take 0.1."""
RESIGNAL_AFTER = 0.02
"""Seconds after which a signal is sent again: one that comes just before a system call, or just before a stopped one
goes on, does not wake it."""
DEAF = 3.0
"""Seconds after which an idle worker that was told to end is killed: a handler made it deaf to signals."""
STEALING = 0.1
"""Seconds for which all is stolen back when a queue was paused: what was claimed before may still be on its way."""
SPARE = 0.2
"""Seconds that a process which is to be killed lives on so that it can settle what it had finished before, which would
be run again otherwise. A worker needs a millisecond, and for ever when its handler holds the interpreter."""
TRIED_AGAIN = 0.2
"""Seconds until a worker that did not stand still is to be looked at again: to try takes some time."""
SOON, SLOWLY = 0.001, 1.0
"""Seconds between two looks at a worker that settles, and, at most, at one that has not got to a cancelled job."""


@dataclass(frozen=True)
class Termination:
    """A job that is to end: its process is killed at `kill_at` (monotonic), unless its handler has ended by then."""

    cause: Cause
    turn: str
    index: int
    kill_at: float
    spare_until: float = 0.0
    """Until then what is finished may be settled first."""
    job: Record | None = None
    how: str = ""
    """In words, where the signal does not tell."""
    ended: bool = False
    """Whether its handler was seen to have ended."""


class Watch:
    """The supervisor's eye on one worker. `give_back(worker, turn, from)` is told what was taken away."""

    def __init__(self, worker: WorkerProcess, give_back: Callable[[str, str, int], None]) -> None:
        self.worker = worker
        self.asked_at = time.monotonic()
        self.ready_at = 0.0
        """When it was first seen to be through its start; 0.0: it has not been."""
        self.lives = False
        """Whether it has lived for a while since."""
        self.pid = 0
        """The worker's, from the first look at it after its birth."""
        self.last_state = STARTING
        """What the worker said of itself last, for when its block is gone."""
        self.leaving = False
        """Whether its place is another one's already: see recycling.py."""
        self.last_weighed_state = STARTING
        self._give_back = give_back
        self._turn, self._job = "", -1
        """The batch that it had at the last look, and the index that it had come to."""
        self._turn_since = self._job_since = self._looked = worker.born_at
        self._shown = 0.0
        """When the worker was told last that its job takes long."""
        self._cancels: list[Cancel] = []
        self._cancels_since = self._obeyed = self._stealing_until = 0.0
        self._termination: Termination | None = None
        self._executed: Termination | None = None
        self._killed = False
        self._retired = 0.0
        self._told = 0.0
        """When the worker was told last to end, or that its job is to end."""
        self._not_before = 0.0
        """When the next try is to end the job that runs: the worker did not stand still, a debugger may have it."""

    def peek(self) -> Look:
        """The control block as it is, while the worker runs: its words need not belong together."""
        return self.worker.block.read()

    @property
    def state(self) -> int:
        """STARTING, IDLE, BUSY or SPENT."""
        self.last_state = self.worker.block.words[STATE]
        return self.last_state

    @property
    def retired(self) -> bool:
        """Whether it was told to end."""
        return self.worker.block.words[STOP] != 0

    def tick(self, now: float) -> None:
        """Looks once; `now` is of the monotonic clock. Called every 50 ms or so while the worker is busy."""
        if self._killed and self.worker.pid and not self.pid:
            # It was not born yet when it was to be killed.
            self.worker.kill_group()
        self.pid = self.worker.pid or self.pid
        if not self.worker.pid or self.worker.state == "ending":
            return
        peek = self.peek()
        self._looked = now
        if not self.ready_at and peek.state != STARTING:
            self.ready_at = now
        if peek.name != self._turn:
            self._turn, self._turn_since, self._job = peek.name, now, -1
        if peek.started != self._job:
            self._job, self._job_since = peek.started, now
        if peek.running is not None and now - max(self._job_since, self._shown) > STEAL_AFTER:
            self._shown = now
            self.worker.have_look()
        if self.retired and peek.state == STARTING:
            self._end_start()
        elif self.retired and peek.state in (IDLE, SPENT) and now - self._told >= RESIGNAL_AFTER:
            if now - self._retired >= DEAF:
                self.kill()
            self._tell(STOP_SIGNAL)
        if self._cancels and now >= self._next_obedience():
            self._obey(now)
        if self._termination is not None:
            self._execute(now, peek)
        elif peek.running is None:
            return
        elif peek.deadline_index == peek.started and now * 1e9 >= peek.deadline_ns:
            if now >= self._not_before:
                self._time_is_over()
        elif peek.unstarted and self._is_late(now):
            self._steal()

    def _is_late(self, now: float) -> bool:
        """Whether what has not started had better be run by others."""
        if now - self._job_since > STEAL_AFTER or now - self._turn_since > OVERLONG:
            return True
        return now < self._stealing_until

    def next_deadline(self) -> float | None:
        """When the next tick must not be missed (monotonic)."""
        if self.worker.state == "ending":
            return None
        times = [self._next_obedience()] if self._cancels else []
        peek = self.peek()
        if self._termination is not None:
            # What is late waits for the worker to settle.
            times.append(max(self._termination.kill_at, self._not_before, time.monotonic() + SOON))
        elif peek.running is not None and peek.deadline_index == peek.started:
            times.append(max(peek.deadline_ns / 1e9, self._not_before))
        if self.retired and peek.state in (IDLE, SPENT):
            times.append(self._told + RESIGNAL_AFTER)
        return min(times, default=None)

    # -- taking away

    def steal(self) -> None:
        """Takes away what has not started, and what comes in a moment."""
        self._stealing_until = time.monotonic() + STEALING
        self._steal()

    def _steal(self) -> None:
        """Stops the worker, takes away what has not started, and lets it go on."""
        with self.worker.look() as look:
            if look is None:
                return
            taken = self.worker.block.shrink()
        if taken:
            self._give_back(self.worker.id, look.name, taken.start)

    # -- cancelling

    def cancel(self, order: Cancel) -> None:
        """Has a job end, or not start. An order for a turn that the worker has not got to yet is kept until it has."""
        if self.worker.state == "ending":
            return
        newest = max([order.number, *(kept.number for kept in self._cancels)])
        # The server opens a turn when all before it have ended: orders for those are past.
        self._cancels = [each for each in (*self._cancels, order) if each.number == newest]
        self._cancels_since = time.monotonic()
        self._obey(self._cancels_since)

    def _next_obedience(self) -> float:
        """Often at first. The turn may never come, when its batch was taken back from a worker that is idle."""
        return self._obeyed + min(SLOWLY, max(RESIGNAL_AFTER / 2, self._obeyed - self._cancels_since))

    def _obey(self, now: float) -> None:
        """Takes what is cancelled out of the batch in hand; the one that runs is told to end."""
        self._obeyed = now
        if self.peek().turn < self._cancels[0].number:
            return
        with self.worker.look() as look:
            if look is None:
                return
            here = [order for order in self._cancels if order.turn == look.name]
            self._cancels = [order for order in self._cancels if order.number > look.turn]
            running = next((order for order in here if order.index == look.running), None)
            ahead = [order.index for order in here if order.index in look.unstarted]
            taken = range(0)
            if running is not None or ahead:
                taken = self.worker.block.shrink(0 if running is not None else min(ahead))
            if running is not None:
                self._sentence_to_end(running, look, now)
        if self._termination is not None and running is not None:
            self._tell(INTERRUPT_SIGNAL)
        if taken:
            self._give_back(self.worker.id, look.name, taken.start)

    def _sentence_to_end(self, order: Cancel, look: Look, now: float) -> None:
        """In a stopped worker: the job that runs is cancelled."""
        kill_at = now + order.grace
        if look.deadline_index == look.started:
            # No grace is longer than its time limit.
            kill_at = min(kill_at, (look.deadline_ns + look.kill_after_ns) / 1e9)
        termination = Termination(Cause.CANCEL, look.name, order.index, kill_at, now + SPARE, order.job)
        if not order.grace and self._has_settled(termination):
            self._carry_out(termination)
            return
        self._termination = termination
        self._write_interrupt(CANCEL, look)

    # -- ending the job that runs

    def _time_is_over(self) -> None:
        """Asks the handler to end, and sets the time at which it is ended otherwise."""
        with self.worker.look() as look:
            if look is None:
                self._not_before = time.monotonic() + TRIED_AGAIN
                return
            if look.running is None or look.deadline_index != look.started:
                return
            if time.monotonic_ns() < look.deadline_ns:
                return
            taken = self.worker.block.shrink()
            self._write_interrupt(OVERDUE, look)
        # Not while it stands still: the kernel would leave the signal to any of its threads. Should the job have ended
        # by now, the signal finds no interrupt on the one that runs.
        self._tell(INTERRUPT_SIGNAL)
        kill_at, spare_until = (look.deadline_ns + look.kill_after_ns) / 1e9, time.monotonic() + SPARE
        self._termination = Termination(Cause.TIMEOUT, look.name, look.started, kill_at, spare_until)
        if taken:
            self._give_back(self.worker.id, look.name, taken.start)

    def _write_interrupt(self, interrupt: int, look: Look) -> None:
        words = self.worker.block.words
        words[INTERRUPT_INDEX], words[INTERRUPT_TURN], words[INTERRUPT_HANDED] = look.started, look.turn, look.handed
        words[INTERRUPT] = interrupt

    def _execute(self, now: float, peek: Look) -> None:
        termination = self._termination
        assert termination is not None
        if (peek.name, peek.running) != (termination.turn, termination.index):
            self._release(now, termination)
        elif now >= termination.kill_at and (now >= termination.spare_until or self._has_settled(termination)):
            if now < self._not_before:
                return
            with self.worker.look() as look:
                if look is None:
                    self._not_before = time.monotonic() + TRIED_AGAIN
                elif (look.name, look.running) == (termination.turn, termination.index):
                    self._carry_out(termination)
        elif self.worker.block.words[INTERRUPT] and now - self._told >= RESIGNAL_AFTER:
            self._tell(INTERRUPT_SIGNAL)

    def _release(self, now: float, termination: Termination) -> None:
        """Its handler has ended in time, and what that started must have ended too. The worker stands by until it is
        told that we have looked; should it not have waited, what is there may be another job's, and is let live."""
        if not termination.ended:
            self._termination = termination = replace(termination, ended=True, spare_until=now + SPARE)
        words = self.worker.block.words
        if self.peek().name == termination.turn:
            if words[SETTLED] <= termination.index and now < termination.spare_until:
                return
            if now < self._not_before:
                return
            if self._has_left_processes():
                with self.worker.look() as look:
                    if look is None:
                        self._not_before = now + TRIED_AGAIN
                        return
                    # Behind that job none of its batch can have started.
                    if look.name == termination.turn:
                        self._carry_out(replace(termination, how="was killed with processes that its job left behind"))
                        return
        self._termination = None
        words[INTERRUPT] = NONE
        words[INTERRUPT_TURN] = 0

    def _has_settled(self, termination: Termination) -> bool:
        """Whether all that was finished before that job is settled."""
        return self.worker.block.words[SETTLED] >= termination.index

    def end_running_job(self, look: Look, cause: Cause, how: str) -> None:
        """Kills the worker at once, because of the job that runs. While it is being looked at."""
        assert look.running is not None
        self._carry_out(Termination(cause, look.name, look.running, 0.0, how=how))

    def _tell(self, number: int) -> None:
        self._told = time.monotonic()
        self.worker.signal(number)

    def _carry_out(self, termination: Termination) -> None:
        self._executed, self._termination = termination, None
        self.worker.kill_group()

    def _has_left_processes(self) -> bool:
        """Whether the worker has children that are no older than the batch in hand."""
        began = self.worker.block.words[BEGAN]
        children = linux.children(self.worker.pid)
        # A process is dated by the tick of the clock before it came.
        return any(
            linux.state(pid) not in ("", "Z", "X") and linux.born_ns(pid) + linux.TICK_NS > began for pid in children
        )

    # -- ending the worker

    def retire(self) -> None:
        """Has the worker end after the job that it runs; at once if it has not been through its start."""
        self.worker.block.words[STOP] = 1
        self._retired = time.monotonic()
        if not self._end_start():
            self._steal()
            self._tell(STOP_SIGNAL)

    def resume(self) -> bool:
        """Has the worker go on if somebody has stopped it; says whether it was stopped."""
        stopped = self.worker.pid != 0 and self.worker.state == "alive" and linux.state(self.worker.pid) == "T"
        if stopped:
            self.worker.signal(signal.SIGCONT)
        return stopped

    def _end_start(self) -> bool:
        """Ends a worker that has not been through its start: it has claimed nothing, knows no signals yet, and may
        start for as long as it likes."""
        with self.worker.look() as look:
            if look is None or look.state != STARTING:
                return False
            self.kill()
            return True

    def kill(self) -> None:
        """Ends the worker at once, for reasons that are not its job's."""
        self._killed = True
        self.worker.kill_group()

    def death(self, how: str, *, signal: int | None = None, nursery_died: bool = False) -> Death:
        """What is known of this worker's end, now that it is dead; `signal` is what killed it, if it was one, and
        `nursery_died` says that it went with its nursery."""
        look, done = self.peek(), self._executed
        self.last_state = look.state
        termination = self._termination
        if (
            done is None
            and termination is not None
            and (look.name, look.running) == (termination.turn, termination.index)
        ):
            # It may also end of itself when it is cancelled; and by our signal, where a handler had reset that.
            done = termination if termination.cause is Cause.CANCEL or signal == INTERRUPT_SIGNAL else None
        if done is not None:
            since = self._began(look)
            return Death(self.worker.id, done.cause, done.turn, done.index, since, done.how or how, done.job)
        stopped = self._killed or (self.retired and look.running is None) or self._died_of_a_message(signal)
        cause = Cause.STOP if stopped else Cause.NURSERY if nursery_died else Cause.CRASH
        ended = range(self.worker.block.words[SETTLED], max(0, min(look.started, look.limit)))
        return Death(self.worker.id, cause, look.name, look.running, self._began(look), how, ended=ended)

    def _began(self, look: Look) -> float:
        """From when, of the monotonic clock, it was at the job that it had come to: the first of a batch from its
        beginning, another since it was seen first, or since the last look if it never was."""
        began = self.worker.block.words[BEGAN]
        if not began:
            return self.worker.born_at
        taken = time.monotonic() - (linux.now_ns() - began) / 1e9
        if look.started <= 0:
            return taken
        seen = (look.name, look.started) == (self._turn, self._job)
        return max(taken, self._job_since if seen else self._looked)

    def _died_of_a_message(self, signal: int | None) -> bool:
        """Whether what the supervisor had to say killed it: a handler, not the one that runs, had reset the signal."""
        return (signal == STOP_SIGNAL and self.retired) or (
            signal == STACK_SIGNAL and self.worker.block.words[STACKS] != 0
        )
