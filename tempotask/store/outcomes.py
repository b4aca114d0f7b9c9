"""Waiting for outcomes, on the client's side.

Who wants outcomes begins a `Wait` for some ids, asks the server for them, and is notified as they arrive. Asking also
makes this process a waiter for those that have not ended: the script that settles a job pushes its outcome to a list
of this process, which one thread takes from there (pushes.py).

A push can get lost (a connection breaks, a server restarts with older state). So each wait is asked for again after
growing pauses, and after every broken connection. And since an absent job proves nothing by itself, what stays silent
is looked for: found nowhere and still without an outcome, it has `ResultExpired` or is a `JobNotFound`.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import random
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from typing import TYPE_CHECKING

from tempotask.errors import ServerUnavailable, TempoTaskError
from tempotask.store import lost
from tempotask.store.connect import BROKEN
from tempotask.store.owed import Owed, Told
from tempotask.store.pushes import Pushes
from tempotask.store.script import chunked
from tempotask.store.wait import FIRST_PAUSE, Ending, Wait

if TYPE_CHECKING:
    from tempotask.store.attendance import Attendance
    from tempotask.store.connect import Server
    from tempotask.store.store import Store

LONGEST_PAUSE = 60.0
"""The most seconds of silence after which a wait is asked for again."""
ANSWER = 1.0
"""Seconds that even those who do not wait for a job give the server to answer."""
LIVING = 3
"""So many jobs that are found alive end the search for lost ones, until the next pause: looking for one is dear."""


class Outcomes:
    """The outcomes that this process waits for.

    1. keeps, for each id, who waits for it;
    2. asks the server, a thousand at a time;
    3. listens for what the server tells, and wakes those who wait;
    4. asks again after silence or a broken connection, and finds out when there is nothing to wait for.
    """

    def __init__(
        self, server: Server, store: Store, submit: Callable[..., object], attendance: Attendance | None = None
    ) -> None:
        self._server = server
        self._store = store
        self._submit = submit
        """Calls in another thread."""
        self._attendance = attendance
        """Is to look whether anybody works, when nothing is heard."""
        self._client = uuid.uuid4().hex
        """Under this name the server knows this process as a waiter."""
        # One that a thread may take twice: the collector may let go of who waits wherever memory is asked for.
        self._lock = threading.RLock()
        self._waiting: dict[str, tuple[Wait, ...]] = {}
        self._owed = Owed()
        self._checks: list[tuple[float, int, Wait]] = []
        """A heap: when which wait is to be asked for again."""
        self._numbers = itertools.count()
        self._soon: list[Wait] = []
        self._pushes = Pushes(server, store, self._client, self, self._lock)
        self._pid = os.getpid()

    def begin(self, ids: Sequence[str], notify: Callable[[], object], known: bool) -> Wait:
        """Begins to wait; `ask` or `ask_soon` must follow, and `end` at the end."""
        wait = Wait(ids, notify, known, self._lock)
        if self._attendance is not None:
            self._attendance.waits()
        with self._lock:
            if self._waiting.keys().isdisjoint(ids):
                self._waiting.update(dict.fromkeys(ids, (wait,)))
            else:
                for id in ids:
                    others = self._waiting.get(id, ())
                    if wait not in others:
                        self._waiting[id] = (*others, wait)
        return wait

    def end(self, wait: Wait) -> None:
        """Ends the waiting; what arrives later is let go, and the server is told so if it can be."""
        if self._pid != os.getpid():
            # Forked: who waits is our parent, whose lock and connections these are.
            return
        alone = []
        with self._lock:
            wait.ended = True
            for id in self._missing(wait):
                others = tuple(other for other in self._waiting[id] if other is not wait)
                if others:
                    self._waiting[id] = others
                else:
                    del self._waiting[id]
                    alone.append(id)
            if wait.registered:
                self._owed.add(alone)
            # The next check may be a minute away, and would hold them until then.
            wait.ids = ()
        self._unwait_soon(alone)

    def ask(self, wait: Wait) -> None:
        """Asks the server for all that this wait misses, in the calling thread.

        Raises:
            ServerUnavailable: when the server can't be reached and nothing shows that it ever could be.
        """
        try:
            self._ask_for(self._to_ask_for(wait), [wait])
            if wait.seeks:
                self._find_lost(wait)
        except BROKEN:
            # The server took these jobs, so it will be back; otherwise this may be the wrong address.
            if not wait.known:
                raise
        self.ask_later(wait)

    def ask_within(self, wait: Wait, timeout: float | None) -> None:
        """`ask`, for a caller who waits so many seconds for the jobs, and hardly longer than that for the server."""
        if timeout is None or timeout >= self._server.connect_timeout:
            self.ask(wait)
            return
        asked = threading.Event()
        wait.asked = asked.set
        self.ask_soon(wait)
        # What has ended by now is told even to those who do not wait at all.
        asked.wait(max(timeout, ANSWER))

    def ask_soon(self, wait: Wait) -> None:
        """`ask`, in a thread of the executor; many calls that come together become one question.

        Raises RuntimeError when there is no thread for it, and what a signal's handler raises; the others are then
        asked for later.
        """
        try:
            with self._lock:
                self._soon.append(wait)
                first = len(self._soon) == 1
            if first:
                self._submit(self._ask_all)
        except BaseException:
            with self._lock:
                left, self._soon = self._soon, []
            for other in left:
                if other is not wait:
                    self.ask_later(other)
            raise

    def ask_later(self, wait: Wait) -> None:
        """Asks, after a pause and in the thread that takes the pushes, for what this wait still misses by then."""
        with self._lock:
            waiting = self._waiting
            if wait.ended or not any(wait in waiting.get(id, ()) for id in wait.ids):
                return
            if not self._pushes.closed:
                heapq.heappush(self._checks, (time.monotonic() + wait.pause, next(self._numbers), wait))
                self._pushes.expect()
                return
            missing = self._missing(wait)
        # It began to wait when `close` had looked who waits.
        self._cut_off(missing)

    def rest(self, seconds: float) -> None:
        """`Pushes.rest`, for a process whose every wait has time."""
        self._pushes.rest(seconds)

    def close(self) -> None:
        """Ends every wait with `ServerUnavailable`, and listens no more."""
        with self._lock:
            self._pushes.close()
            waiting = list(self._waiting)
        self._cut_off(waiting)
        self._pushes.join()

    def _unwait_soon(self, ids: list[str]) -> None:
        if ids and not self._pushes.closed:
            # When the interpreter ends no thread takes it any more; the server forgets who waits when the job ends.
            with contextlib.suppress(RuntimeError):
                self._submit(self._unwait, ids)

    def _unwait(self, ids: list[str]) -> None:
        with self._lock:
            if self._pushes.closed:
                # The server would be opened anew, and nobody would close it.
                return
            ids = [id for id in ids if id not in self._waiting]
        # A server that can't be told now forgets who waits when the job ends.
        with contextlib.suppress(*BROKEN):
            waited_for = self._store.unwait(self._client, ids)
            with self._lock:
                again = [id for id in ids if id in self._waiting]
                # Of these nothing had been pushed, and nothing will be; but for who has begun to wait meanwhile, whose
                # asking it may be that was taken back.
                for id in waited_for:
                    if id not in self._waiting:
                        self._owed.pay(id)
            # Somebody has begun to wait for these meanwhile, and may have asked before we took it back.
            self._ask(again, pushed=True)
            self._look_who_works()

    def _look_who_works(self) -> None:
        if self._attendance is not None:
            self._attendance.look(self._store)

    def _missing(self, wait: Wait) -> list[str]:
        waiting = self._waiting
        # A dict, since ids may come twice.
        return [id for id in dict.fromkeys(wait.ids) if wait in waiting.get(id, ())]

    def _to_ask_for(self, wait: Wait) -> Sequence[str]:
        """What to ask for: all at first, later what is missing."""
        with self._lock:
            return self._missing(wait) if wait.registered else wait.ids

    def _ask(self, ids: Iterable[str], *, pushed: bool = False, new: Set[Wait] = frozenset()) -> None:
        """Asks the server for these jobs, and delivers what has ended. `pushed`: none of them can still be pushed for
        an earlier question, so no late push is noted; `new`: waits that ask for the first time, for which none is
        noted either."""
        for chunk in chunked(ids):
            outages = self._server.outages
            with self._lock:
                asking = {id: self._waiting.get(id, ()) for id in chunk}
            endings = self._store.ask(self._client, chunk)
            if self._server.outages != outages:
                # An answer may have been lost, after which something was pushed for what this one tells as ended.
                with self._lock:
                    self._owed.add(id for id, ending in zip(chunk, endings, strict=True) if ending is not None)
            ended = ((id, ending) for id, ending in zip(chunk, endings, strict=True) if ending is not None)
            self._deliver(ended, pushed=pushed, asking=asking, new=new)
            unknown = (id for id, ending in zip(chunk, endings, strict=True) if ending is None)
            # Told while we asked, and maybe let go of before: of its end the server would never tell again.
            unneeded = [id for id in unknown if id not in self._waiting]
            with self._lock:
                self._owed.add(unneeded)
            self._unwait_soon(unneeded)

    def _ask_for(self, ids: Iterable[str], waits: Collection[Wait]) -> None:
        new = {wait for wait in waits if not wait.registered}
        # Before it is asked: the reply may be lost, or come when another thread was told of the end.
        for wait in new:
            wait.registered = True
        self._ask(ids, new=new)

    def _ask_all(self) -> None:
        with self._lock:
            waits, self._soon = self._soon, []
        try:
            self._ask_for(dict.fromkeys(id for wait in waits for id in self._to_ask_for(wait)), waits)
            for wait in waits:
                if wait.seeks:
                    self._find_lost(wait)
        except BROKEN as error:
            for wait in waits:
                if not wait.known:
                    self._give_up(wait, error)
        except Exception as error:  # whoever waits must hear of it, or would wait for ever
            for wait in waits:
                self._give_up(wait, error)
        for wait in waits:
            self.ask_later(wait)
            if wait.asked is not None:
                wait.asked()

    def _give_up(self, wait: Wait, error: Exception) -> None:
        told = error if isinstance(error, TempoTaskError) else ServerUnavailable(f"the server can't be asked: {error}")
        missing = self._missing(wait)
        # Others who wait for the same jobs may know that the server comes back.
        self._deliver(((id, told) for id in missing), asking=dict.fromkeys(missing, (wait,)))

    def _deliver(
        self,
        endings: Iterable[tuple[str, Ending]],
        *,
        pushed: bool = False,
        asking: Mapping[str, tuple[Wait, ...]] | None = None,
        new: Set[Wait] = frozenset(),
    ) -> None:
        """Hands out what has arrived. Unless it came by a push (`pushed`), one may still follow for each job that a
        wait which is not among the `new` ones had asked for: that is noted.

        `asking`: who waited when the server was asked, if it was. Who has begun since asks by himself: he may
        wait for a later run of the job.
        """
        touched: dict[Wait, None] = {}
        with self._lock:
            pop = self._waiting.pop
            for id, ending in endings:
                registered = False
                waits = pop(id, ())
                if asking is not None and waits is not asking[id]:
                    if later := tuple(wait for wait in waits if wait not in asking[id]):
                        self._waiting[id] = later
                    waits = tuple(wait for wait in waits if wait in asking[id])
                for wait in waits:
                    wait.add(id, ending)
                    touched[wait] = None
                    registered = registered or (wait.registered and wait not in new)
                if registered and not pushed:
                    self._owed.add((id,))
        if touched and self._attendance is not None:
            self._attendance.heard()
        for wait in touched:
            try:
                wait.notify()
            except RuntimeError:
                # An event loop that was closed while its task waited.
                continue

    def _cut_off(self, ids: Iterable[str]) -> None:
        self._deliver((id, ServerUnavailable(f"job {id} was waited for when its manager was closed")) for id in ids)

    # -- what the thread that takes the pushes calls

    def anybody_waits(self) -> bool:
        """Whether there is anything to listen for."""
        return bool(self._waiting)

    def hear(self, told: Told) -> None:
        """Delivers what was pushed, and asks for what is only announced."""
        with self._lock:
            # In one step: who begins to wait in between may wait for a later run.
            known = self._owed.checked(told)
            self._deliver(((id, ending) for id, ending in known if ending), pushed=True)
        # Who asks for a job that nobody waits for would wait for it.
        hints = [
            (id, was) for (id, ending), (_, was) in zip(known, told, strict=True) if not ending and id in self._waiting
        ]
        self._ask([id for id, was in hints if not was], pushed=True)
        # An ending that may be an earlier run's: that of this one is still to be pushed.
        self._ask([id for id, was in hints if was])
        self._check()

    def ask_for_all(self) -> None:
        """Asks for everything again."""
        with self._lock:
            ids, asking = list(self._waiting), list(self._waiting.values())
        self._ask_for(ids, {wait: None for waits in asking for wait in waits})

    def until_check(self) -> float:
        """Seconds until some wait is to be asked for again."""
        with self._lock:
            return self._checks[0][0] - time.monotonic() if self._checks else FIRST_PAUSE

    def break_down(self, error: Exception) -> None:
        """Nobody would ever be told again: better an error in the hands of all who wait."""
        with self._lock:
            waiting = list(self._waiting)
        told = TempoTaskError(f"the thread that listens for outcomes broke down: {error!r}")
        self._deliver((id, told) for id in waiting)

    def _check(self) -> None:
        """Asks again for every wait whose pause is over."""
        while True:
            with self._lock:
                if not self._checks or self._checks[0][0] > time.monotonic():
                    return
                wait = heapq.heappop(self._checks)[2]
                missing = self._missing(wait)
            if wait.ended or not missing:
                continue
            try:
                self._ask_for(missing, [wait])
                self._find_lost(wait)
                self._look_who_works()
            finally:
                wait.pause = min(LONGEST_PAUSE, wait.pause * 2)
                self.ask_later(wait)

    def _find_lost(self, wait: Wait) -> None:
        """Ends the waiting for jobs that are nowhere; looks at some of them, others' turn comes at the next check."""
        if wait.coming:
            return
        with self._lock:
            missing = self._missing(wait)
        random.shuffle(missing)
        alive = 0
        for id in missing:
            ending = lost.ending_of(self._store, self._client, id, wait.known)
            if ending is None:
                alive += 1
                if alive == LIVING:
                    return
            else:
                self._deliver([(id, ending)])
                if not isinstance(ending, bytes):
                    self._unwait([id])
