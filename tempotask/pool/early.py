"""What a worker does before the end of its batch, when one job takes long: its second thread, asleep otherwise.

Each time that it wakes, the interpreter changes threads, which takes a worker of short jobs some tenths of a
millisecond. So it is the supervisor, whose looks cost the worker nothing, that wakes it, by a signal that only this
thread hears. An idle supervisor is not woken for a job that comes alone; for those the thread keeps the time itself.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

from tempotask.pool.control_block import LOOK_SIGNAL
from tempotask.pool.failure import describe
from tempotask.pool.run import Hand
from tempotask.pool.saying import Said, Saying

EARLY = 0.05
"""Seconds between two looks while the supervisor makes none; a job that runs at two of them takes long."""
LINGER = 20
"""Looks in an idle worker after which it sleeps. To be woken by the next batch costs that one some 30 µs."""
_SIGNALS = (LOOK_SIGNAL,)


class Early:
    """Looks at the batch in hand.

    1. settles what was finished before a long job;
    2. tells that it runs, and from then on what it says;
    3. says where its handler awaits, if the supervisor asks (stacks.py).

    `hand` gives the batch in hand, `settle` and `tell` talk to the server, `say` to whoever reads the log; `asked` is
    called at each look. While a handler holds the interpreter, this thread waits too.
    """

    def __init__(
        self,
        hand: Callable[[], Hand | None],
        saying: Saying,
        settle: Callable[[Hand, int], None],
        tell: Callable[[Hand, int, Said], None],
        say: Callable[[str], None],
        asked: Callable[[], None],
    ) -> None:
        self._hand = hand
        self._saying = saying
        self._settle = settle
        self._tell = tell
        self._say = say
        self._asked = asked
        self._wrong = ""
        """What went wrong last, and was said."""
        self._thread = threading.Thread(target=self._watch, name="tempotask-early", daemon=True)
        self._pid = os.getpid()
        self._keeps_time = self._hurried = False

    def start(self) -> int:
        """Begins; it sleeps until it is woken. Returns the number that the system gave the thread."""
        # It has to be born with it: a signal that is not held back, and that nobody handles, ends the process.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            self._thread.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return self._thread.native_id or 0

    def keep_time(self) -> None:
        """To be called when a batch has been taken in hand while the supervisor does not look. Cheap while it does."""
        if not self._keeps_time:
            self._keeps_time = True
            self._wake()

    def leave_time(self) -> None:
        """The supervisor looks, and says when a job takes long."""
        self._keeps_time = False

    def hurry(self) -> None:
        """Settles now what is finished: the process may be killed in a moment. Safe in a signal handler."""
        self._hurried = True
        self._wake()

    def _wake(self) -> None:
        if self._thread.ident is not None:
            signal.pthread_kill(self._thread.ident, LOOK_SIGNAL)

    def _is_told(self) -> bool:
        """Pauses until the next look. Returns whether the supervisor says that a job takes long, or it is to end."""
        told = signal.sigtimedwait(_SIGNALS, EARLY) if self._keeps_time else signal.sigwaitinfo(_SIGNALS)
        by_others = False
        while told is not None:
            by_others = by_others or told.si_pid != self._pid
            # There may be several: of the supervisor, and of our own.
            told = signal.sigtimedwait(_SIGNALS, 0)
        hurried, self._hurried = self._hurried, False
        return by_others or hurried

    def _watch(self) -> None:
        seen: tuple[Hand | None, int] = (None, -1)
        idle = 0
        while True:
            told = self._is_told()
            self._asked()
            hand = self._hand()
            if hand is None:
                idle += 1
                if idle == LINGER:
                    idle = 0
                    self._keeps_time = False
                    # One that was taken in hand just now has found us keeping it.
                    if self._hand() is not None:
                        self._keeps_time = True
                continue
            idle = 0
            finished = len(hand.runs)
            if (told or seen == (hand, finished)) and finished < len(hand.batch.records):
                try:
                    self._one_takes_long(hand, finished)
                except Exception as error:
                    self._goes_wrong(error)
            seen = (hand, finished)

    def _goes_wrong(self, error: Exception) -> None:
        """The next turn carries it again. It is said once: it may go wrong at every look."""
        failure = describe(error)
        wrong = f"{failure.type}: {failure.message}"
        if wrong != self._wrong:
            self._wrong = wrong
            self._say(f"what is finished before a long job is settled with its batch only: {wrong}")

    def _one_takes_long(self, hand: Hand, index: int) -> None:
        if hand.acknowledged < index:
            self._settle(hand, index)
        said = self._saying.look()
        if said is None or said.job.token != hand.batch.token + index:
            return
        told = hand.told.get(index)
        if (
            told is None or not told.sure or said.lines or said.progress != told.progress
            or len(said.children) != told.children
        ):  # fmt: skip
            self._tell(hand, index, said)
