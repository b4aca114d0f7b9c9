"""The control block: what a worker and its supervisor share about the batch in hand.

It is one page of shared memory without a lock. The worker stores the index it is about to start, then
reads the limit. The supervisor, when it wants to take jobs away, stops the worker, reads, shrinks the limit, lets the
worker go on, and only then gives back:

    worker                                     supervisor
    words[STARTED] = i                         with Stopped(pid) as ok:
    if i >= words[LIMIT]: break                    if ok: taken = block.shrink()
    run job i                                  give back taken

Without the stop, a store and the load after it may pass each other, and a job would be both started and given back.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import time
from types import TracebackType
from typing import NamedTuple

from tempotask import linux

# The words of the block. The worker's main thread writes a word, unless its line says that it is the supervisor's. Both
# write LIMIT, INTERRUPT and STOP; the worker's second thread writes SETTLED too, and AWAITS and LOOK back to 0.
TURN = 0  # the number of the turn whose batch is in hand; 63 bits; 0 before the first
STARTED = 1  # the index that is running or about to; -1 between taking a batch and its first job
LIMIT = 2  # jobs from this index on are not the worker's (any more). The supervisor lowers it, in a stopped worker
DEADLINE_INDEX = 3  # the index of the job that the deadline is for; one that runs under another has no time limit
DEADLINE_NS = 4  # when that job's time is over, in nanoseconds of the monotonic clock
KILL_AFTER_NS = 5  # how long after the deadline the process group is killed
INTERRUPT = 6  # the supervisor's: why it signals: OVERDUE or CANCEL; the worker puts NONE there when it has heard it
INTERRUPT_INDEX = 7  # the supervisor's: the index of the job that the interrupt is on
STATE = 8  # what the worker does: STARTING, IDLE, BUSY or SPENT
HANDED = 9  # when the batch in hand was handed over, in the server's milliseconds; 0: claimed by a turn
STOP = 10  # not 0 when the worker is to end after the job that runs; the supervisor's, or its own when it is broken
INTERRUPT_TURN = 11  # the supervisor's: the number of the turn in which that job runs; 0 when its end has been seen to
INTERRUPT_HANDED = 12  # the supervisor's: what HANDED said of it
JOBS = 13  # how many jobs the worker has run, as of its last batch
SETTLED = 14  # all before this index of the batch in hand is settled
STACKS = 15  # not 0 when STACK_SIGNAL has the worker write its stack
WEIGHT = 16  # bytes that the worker held before its first job; 0 if nobody wants to know
HELD = 17  # bytes that the worker held when it took the batch in hand, likewise
BEGAN = 18  # when the batch in hand was taken, in nanoseconds of the clock that dates processes
AWAITS = 19  # the supervisor's: not 0 when the second thread is to write where an `async def` handler awaits
LOOKER = 20  # the second thread, as the system numbers it; 0 before it has begun
LOOK = 21  # the supervisor's: not 0 from when it wakes the second thread until that looks

STARTING, IDLE, BUSY, SPENT = 0, 1, 2, 3  # what STATE says; SPENT: it has run as many jobs as it may

NONE, OVERDUE, CANCEL = 0, 1, 2  # what INTERRUPT says

INTERRUPT_SIGNAL, STOP_SIGNAL = signal.SIGUSR1, signal.SIGUSR2  # the supervisor points to a word that it has written
STACK_SIGNAL = signal.SIGRTMIN + 11  # see stacks.py
LOOK_SIGNAL = signal.SIGRTMIN + 12  # see early.py

_LONGEST_WAIT = 0.05  # a process that does not stop in this time waits for a disk: the next look finds it


class Look(NamedTuple):
    """The first words of the block, in their order. They belong together only if the worker was stopped, or dead."""

    turn: int
    started: int
    limit: int
    deadline_index: int
    deadline_ns: int
    kill_after_ns: int
    interrupt: int
    interrupt_index: int
    state: int
    handed: int

    @property
    def name(self) -> str:
        """The name of the turn whose batch is in hand, as the store knows it."""
        return f"{self.turn}@{self.handed}" if self.handed else str(self.turn)

    @property
    def running(self) -> int | None:
        """The index of the job that runs, if one does."""
        return self.started if 0 <= self.started < self.limit else None

    @property
    def unstarted(self) -> range:
        """The indices that the worker has in hand and has not started."""
        return range(self.started + 1, max(self.limit, self.started + 1))


class ControlBlock:
    """One page of shared memory between a worker and its supervisor, as 64-bit words; see the module's page.

    `words` may be stored to and read from directly: that is what the hot loop does. The descriptor of its memory is the
    block's from now on.
    """

    words: memoryview

    def __init__(self, fd: int) -> None:
        self.fd = fd
        try:
            self._memory = mmap.mmap(fd, mmap.PAGESIZE)
        except BaseException:
            os.close(fd)
            raise
        self._bytes = memoryview(self._memory)
        self.words = self._bytes.cast("q")

    @classmethod
    def create(cls) -> ControlBlock:
        """A new block: no turn, nothing running."""
        block = cls(linux.anonymous_file("tempotask-block", bytes(mmap.PAGESIZE)))
        block.words[STARTED] = -1
        block.words[DEADLINE_INDEX] = -1
        return block

    def begin(self, turn: int, size: int, handed: int = 0) -> None:
        """The worker takes a new batch in hand.

        The turn comes last: a look in between tells of the turn before, which nobody can give back any more, and
        never of a new turn with less in hand than it has.
        """
        words = self.words
        words[STARTED] = -1
        words[SETTLED] = 0
        words[BEGAN] = linux.now_ns()
        words[LIMIT] = size
        words[HANDED] = handed
        words[TURN] = turn

    def read(self) -> Look:
        """These words at once. They belong together only while the worker is stopped, or dead."""
        return Look(*self.words[: len(Look._fields)])

    def shrink(self, start: int = 0) -> range:
        """Takes away what has not started, from index `start` on; returns its indices. Only in a stopped worker."""
        unstarted = self.read().unstarted
        taken = range(max(start, unstarted.start), unstarted.stop)
        if taken:
            self.words[LIMIT] = taken.start
        return taken

    def close(self) -> None:
        """Lets go of the memory and the descriptor. Twice does no harm."""
        self.words.release()
        self._bytes.release()
        self._memory.close()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError, BufferError, OSError):
            self.close()


class Stopped:
    """`with Stopped(pid) as ok:` holds a process still.

    `ok` says whether its main thread stands still; if not (it did not stop within 50 ms, or is gone), touch nothing.
    It goes on afterwards in any case, unless somebody else had stopped it before.
    """

    def __init__(self, pid: int, pidfd: int = -1) -> None:
        self._pid = pid
        self._pidfd = pidfd
        self._ours = False

    def __enter__(self) -> bool:
        before = linux.state(self._pid)
        if before in ("", "Z", "X", "t"):  # gone, or in the hands of a debugger that may let it go at any time
            return False
        if before == "T":
            return True
        self._ours = True
        try:
            linux.send_signal(self._pid, self._pidfd, signal.SIGSTOP)
            return self._has_stopped()
        except BaseException:
            linux.send_signal(self._pid, self._pidfd, signal.SIGCONT)
            raise

    def _has_stopped(self) -> bool:
        until = time.monotonic() + _LONGEST_WAIT
        pause = 0.0
        while (now := linux.state(self._pid)) != "T":
            if now in ("", "Z", "X") or time.monotonic() >= until:
                return False
            time.sleep(pause)  # 0 gives the processor away: the process may need it to come to its stop
            pause = min(pause + 0.000002, 0.001)
        return True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._ours:
            linux.send_signal(self._pid, self._pidfd, signal.SIGCONT)
