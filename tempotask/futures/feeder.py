"""Feeder: the thread between an executor and its pool. It takes what has gathered, and sends it in bulk.

    submit ──► gathered ──feeder──► the server ──► workers
       ▲                                │
     future ◄──────── listener ◄────────┘

In its life it
 1. starts the pool, when the first call is there;
 2. sends calls by the thousand, the next while the server takes the last, and no more than keep the workers busy for a
    moment: what has not been sent can be cancelled at once, and the server's memory is bounded;
 3. hands on what comes of them: the listener does that, in its own thread (store/outcomes.py);
 4. ends, when it is told to and nothing is left: the pool first, then its connections.

A second thread watches the supervisor. When that ends, or never begins, all futures are told.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from functools import partial

from msgspec import Raw

from tempotask.client import Client
from tempotask.errors import ServerFull, ServerUnavailable, TempoTaskError
from tempotask.futures.answers import QUEUE, Beginning, Reader
from tempotask.futures.own_pool import OwnPool
from tempotask.futures.pending import Pending
from tempotask.producer import SUFFIXES
from tempotask.store.addition import Addition, NewJob
from tempotask.store.lists import Filter
from tempotask.store.numbers import CHUNK
from tempotask.store.records import OUTSIDE_BYTES, Record, encode
from tempotask.store.wait import Ending, Wait

LEAST, MOST = 4, 16_384
"""Calls at the server: for each worker at first, and in all at most."""
FEW = 16
"""Calls that are taken back one by one: more of them by one walk through all that wait."""
UNASKED = 10.0
"""Seconds for which a server that could not take back a call is not asked to take back another."""
REMEMBERED = 5.0
"""Seconds after which the thread looks by itself: the collector may have closed its executor in this very thread, in
the moment before it slept."""
QUICK = 0.2
"""Seconds: when as many as may be at the server are done sooner than that, twice as many may."""


class _Sending:
    """Calls that go to the server together."""

    def __init__(self, ids: list[str]) -> None:
        self.ids = ids
        self.wait: Wait


class Feeder:
    """See the module's page. Knows nothing of the executor, so that this can be let go of without a word."""

    def __init__(self, client: Client, pool: OwnPool, reader: Reader, task: str, workers: int) -> None:
        self._client = client
        self._pool = pool
        self._reader = reader
        self._task = task
        self._pid = os.getpid()
        # One that a thread may take twice: a signal's handler may submit, and the collector let go of an executor,
        # anywhere in a thread that holds it.
        self._news = threading.Condition(threading.RLock())
        self._gathered: deque[Pending] = deque()
        self._in_hand: Sequence[Pending] = ()
        """Those that are being sent."""
        self._sent: dict[str, Pending] = {}
        self._unsettled = 0
        """How many were sent and have not ended."""
        self._window = LEAST * workers
        self._counted, self._since = 0, 0.0
        """How many have ended since when, for the size of the window."""
        self._unasked_until = 0.0
        self._left: deque[tuple[str, Sequence[str]]] = deque()
        """Calls that nobody wants any more: what their ids begin with, and the ids."""
        self._asleep = self._closing = self._withdrawing = False
        self._broken: BaseException | None = None
        self._under_way: _Sending | None = None
        self._stream = client.stream()
        self._thread: threading.Thread | None = None
        self._telling: set[int] = set()
        """Threads that tell futures what came of them, and what else the end needs."""
        self._watcher = threading.Thread(target=self._watch, name="tempotask watch", daemon=True)

    @property
    def broken(self) -> BaseException | None:
        """Why nothing can be sent any more."""
        return self._broken

    @property
    def of_this_process(self) -> bool:
        """False in a fork, where its threads are not."""
        return self._pid == os.getpid()

    @property
    def ended(self) -> bool:
        """Whether nothing of it is left."""
        return not self.of_this_process or (self._thread is not None and not self._thread.is_alive())

    # -- for whoever submits

    def take(self, calls: Iterable[Pending], beginning: Beginning) -> None:
        """Takes calls that are to be made; the first ones start the pool, whose workers begin so.

        Raises:
            RuntimeError: it is closed, or of another process; or the system has no thread for it.
            BrokenExecutor: the pool is gone.
        """
        self.check()
        with self._news:
            self._check()
            if self._thread is None:
                self._start(beginning)
            self._gathered.extend(calls)
            if self._asleep:
                self._news.notify_all()

    def _start(self, beginning: Beginning) -> None:
        """Raises RuntimeError when the system has no thread for it."""
        thread = threading.Thread(target=self._run, args=(beginning,), name="tempotask feeder", daemon=True)
        # A signal's handler may have been here meanwhile.
        if self._thread is None:
            self._thread = thread
            try:
                thread.start()
            except RuntimeError:
                self._thread = None
                raise

    def check(self) -> None:
        """Raises what `take` would."""
        if not self.of_this_process:
            raise RuntimeError("this executor belongs to the process that forked this one; make another one here")
        self._check()

    def _check(self) -> None:
        if self._broken is not None:
            raise _broken(self._broken)
        if self._closing:
            raise RuntimeError("cannot schedule new futures after shutdown")

    def withdraw(self, id: str) -> bool:
        """Whether the server took that call back before a worker had it."""
        if (self._closing and not self._unsettled) or time.monotonic() < self._unasked_until:
            return False
        try:
            return self._client.acting.withdraw(id)
        except (ServerUnavailable, ServerFull):
            # It can't be asked. Who cancels many is not to wait for each.
            self._unasked_until = time.monotonic() + UNASKED
            return False

    def withdraw_all(self, beginning: str, ids: Sequence[str]) -> None:
        """Has the server take back all calls whose ids begin so, these, before a worker has them: soon, in the
        thread."""
        if self.of_this_process:
            with self._news:
                self._left.append((beginning, ids))
                self._news.notify_all()

    def close(self, *, cancel: bool) -> None:
        """Nothing more will come. With `cancel`, what no worker has is cancelled; the rest ends."""
        if not self.of_this_process:
            return
        with self._news:
            self._closing = True
            self._withdrawing = self._withdrawing or cancel
            dropped = list(self._gathered) if cancel else []
            if cancel:
                self._gathered.clear()
            self._news.notify_all()
        for call in dropped:
            call.drop(None)

    def join(self) -> None:
        """Waits until all has ended, but not in what futures call back."""
        thread = self._thread
        # Who is called back by a thread that the end needs can't wait for the end.
        if thread is not None and self.of_this_process and threading.get_ident() not in self._telling:
            thread.join()

    # -- the thread

    def _run(self, beginning: Beginning) -> None:
        with self._needed():
            try:
                self._pool.begin(beginning)
                self._watcher.start()
                while self._feed():
                    pass
                self._await_endings()
            except BaseException as error:
                self._break(error)
            finally:
                self._end()

    def _await_endings(self) -> None:
        asked = False
        while not self._over():
            self._take_back()
            if self._withdrawing and not asked:
                asked = True
                # Where nothing can be cancelled, as the server is gone, nobody is to wait for it either.
                self._client.acting.cancel_all(Filter(QUEUE, "waiting"))
            with self._news:
                if not (self._left or self._over() or self._withdrawing != asked):
                    self._news.wait(REMEMBERED)

    @contextlib.contextmanager
    def _needed(self) -> Iterator[None]:
        """While it lasts, the end of all needs this thread."""
        me = threading.get_ident()
        before = me in self._telling
        self._telling.add(me)
        try:
            yield
        finally:
            if not before:
                self._telling.discard(me)

    def _feed(self) -> bool:
        """Sends what is to be sent now, or reads the answer to what was. Holds nothing when it returns: what has ended
        may be let go of. False when there is nothing left to do, or ever will be."""
        if self._left:
            # What is on its way must be there to be taken back.
            self._confirm()
            self._take_back()
        batch = self._next(block=self._under_way is None)
        if batch:
            self._send(batch)
        elif self._under_way is not None:
            self._confirm()
        elif not self._left:
            return False
        return True

    def _next(self, *, block: bool) -> list[Pending]:
        """What is to be sent now; nothing when that is nothing, or with `block` when there will be no more."""
        gathered = self._gathered
        with self._news:
            while self._broken is None:
                room = self._window - self._unsettled
                # Not one by one, as they end.
                if gathered and room >= min(len(gathered), self._window // 2):
                    batch = [gathered.popleft() for _ in range(min(len(gathered), room, CHUNK))]
                    self._in_hand = batch
                    return batch
                if not block or self._left or (self._closing and not gathered):
                    break
                self._asleep = True
                self._news.wait(REMEMBERED)
                self._asleep = False
        return []

    def _send(self, batch: list[Pending]) -> None:
        store = self._client.store
        call, now, task = store.new_call(), store.now(), self._task
        addition, sent = Addition(call), dict[str, Pending]()
        group = addition.group(QUEUE, "0")
        for pending in batch:
            if (sent_as := pending.send_as(call + SUFFIXES[len(sent)])) is None:
                continue
            id, body = sent_as
            record = Record("", id, QUEUE, "0", task, now, 0, Raw(body))
            if len(body) <= OUTSIDE_BYTES:
                group.append(encode(record))
            else:
                addition.number = len(sent)
                addition.add(NewJob(record, large=True))
                group = addition.group(QUEUE, "0")
            sent[id] = pending
        if not sent:
            self._in_hand = ()
            return
        addition.number = len(sent)
        with self._news:
            # In one step: else nothing would seem to be left (`_ending`).
            self._unsettled += len(sent)
            self._sent.update(sent)
            self._in_hand = ()
        self._confirm()
        self._stream.send(addition)
        self._under_way = _Sending(list(sent))

    def _take_back(self) -> None:
        acting = self._client.acting
        while self._left:
            beginning, ids = self._left.popleft()
            # Where the server can't be asked, they run.
            with contextlib.suppress(TempoTaskError):
                if len(ids) > FEW:
                    acting.cancel_begun_with(f"{beginning}-", QUEUE)
                else:
                    for id in ids:
                        acting.withdraw(id)

    def _confirm(self) -> None:
        """Reads what the server said to what is under way, and asks for the outcomes."""
        sending, self._under_way = self._under_way, None
        if sending is None:
            return
        try:
            self._stream.created()
        except TempoTaskError as error:
            for id in sending.ids:
                self._settle(id, error)
            self._count(len(sending.ids))
            return
        outcomes = self._client.outcomes
        sending.wait = outcomes.begin(sending.ids, partial(self._arrived, sending), True)
        outcomes.ask(sending.wait)

    # -- endings, in whatever thread brings them

    def _arrived(self, sending: _Sending) -> None:
        endings = sending.wait.take()
        if not endings:
            return
        try:
            with self._needed():
                for id, ending in endings.items():
                    self._settle(id, ending)
        finally:
            self._count(len(endings))

    def _settle(self, id: str, ending: Ending) -> None:
        pending = self._sent.pop(id, None)
        if pending is None:
            return
        value, error, breaks = self._reader.read(id, ending)
        if breaks and error is not None:
            self._break(error)
            error = _broken(error)
        pending.end(value, error)

    def _count(self, ended: int) -> None:
        with self._news:
            self._unsettled -= ended
            self._counted += ended
            if self._counted >= self._window:
                now = time.monotonic()
                if now - self._since < QUICK:
                    self._window = min(MOST, 2 * self._window)
                self._counted, self._since = 0, now
            if self._asleep or not self._unsettled:
                self._news.notify_all()

    # -- ends

    def _watch(self) -> None:
        try:
            why: BaseException = TempoTaskError(f"the supervisor of the pool {self._pool.wait()}")
        except BaseException as error:
            why = error
        with self._needed():
            if not self._ending():
                self._break(why)

    def _over(self) -> bool:
        return not self._unsettled or self._broken is not None

    def _ending(self) -> bool:
        return self._closing and not (self._unsettled or self._gathered or self._in_hand)

    def _break(self, why: BaseException) -> None:
        """Tells all futures that nothing will come of them."""
        with self._news:
            if self._broken is None:
                self._broken = why
            lost = [*self._in_hand, *self._gathered, *self._sent.values()]
            self._gathered.clear()
            self._in_hand = ()
            self._news.notify_all()
        self._sent.clear()
        for pending in lost:
            pending.drop(_broken(why))

    def _end(self) -> None:
        self._stream.close()
        try:
            self._pool.end()
            if self._watcher.ident is not None:
                self._watcher.join()
        finally:
            self._client.close()


def _broken(why: BaseException) -> BrokenExecutor:
    """An error of its own for each future, as each gets a traceback of its own."""
    reason = str(why) if isinstance(why, TempoTaskError) else f"{type(why).__name__}: {why}"
    error = BrokenExecutor(f"this executor's pool is gone: {reason}")
    error.__cause__ = why
    return error
