"""Calls that have not ended, as an executor's feeder sees them: futures, and the lighter slots of a `map`."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, InvalidStateError
from concurrent.futures._base import CANCELLED, CANCELLED_AND_NOTIFIED, LOGGER, PENDING, RUNNING
from typing import Any, Protocol

from tempotask.futures.answers import TakenBack, Written
from tempotask.shelf import remove_all

Withdraw = Callable[[str], bool]
"""Asks the server to take a call back: whether it did, before a worker had it."""


class Pending(Protocol):
    """What the feeder does with a call."""

    def send_as(self, id: str, /) -> tuple[str, bytes] | None:
        """Which id it is sent under from here on, this or one that begins so; and the encoded call. None if it was
        cancelled."""

    def end(self, value: Any, error: BaseException | None, /) -> None:
        """What came of it. One that has ended already stays as it is."""

    def cancel(self) -> bool:
        """Whether it will not run: at once if it has not been sent, else the server is asked."""

    def drop(self, error: BaseException | None, /) -> None:
        """It will not be sent any more: since it was cancelled, or for this error."""


class CallFuture(Future[Any]):
    """The future of a call. It is `running` once `cancel` was refused: before, nobody has asked the server."""

    def __init__(self, written: Written, withdraw: Withdraw) -> None:
        super().__init__()
        self._call = written.call
        self._withdraw = withdraw
        self._id = ""
        if written.files:
            self.add_done_callback(lambda _: remove_all(written.files))

    def cancel(self) -> bool:
        """Whether it will not run: at once if it has not been sent, else the server is asked. One that a worker has
        taken goes on."""
        with self._condition:
            if self._state != PENDING:
                return self.cancelled()
            id = self._id
            if not id:
                self._state = CANCELLED
                self._condition.notify_all()
        if not id:
            self._invoke_callbacks()
        elif self._withdraw(id):
            self._withdrawn()
        else:
            with self._condition:
                if self._state == PENDING:
                    self._state = RUNNING
        return self.cancelled()

    def send_as(self, id: str) -> tuple[str, bytes] | None:
        """See `Pending`."""
        with self._condition:
            if self._state == PENDING:
                self._id = id
                call, self._call = self._call, b""
                return id, call
        self._notify_cancelled()
        return None

    def end(self, value: Any, error: BaseException | None) -> None:
        """See `Pending`."""
        with contextlib.suppress(InvalidStateError):
            if isinstance(error, TakenBack):
                self._withdrawn()
            elif error is not None:
                self.set_exception(error)
            else:
                self.set_result(value)

    def drop(self, error: BaseException | None) -> None:
        """See `Pending`."""
        if error is None:
            self.cancel()
        if not self._notify_cancelled():
            self.end(None, error)

    def _notify_cancelled(self) -> bool:
        """Whether it was cancelled; those who wait for several futures hear of it only now. As
        `set_running_or_notify_cancel`, which does not bear two threads that do so."""
        with self._condition:
            if self._state == CANCELLED:
                self._state = CANCELLED_AND_NOTIFIED
                for waiter in self._waiters:
                    waiter.add_cancelled(self)
            return self._state == CANCELLED_AND_NOTIFIED

    def _withdrawn(self) -> None:
        with self._condition:
            if self._state not in (PENDING, RUNNING):
                return
            self._state = CANCELLED_AND_NOTIFIED
            for waiter in self._waiters:
                waiter.add_cancelled(self)
            self._condition.notify_all()
        self._invoke_callbacks()

    def _invoke_callbacks(self) -> None:
        # As a `Future` does, but whatever they raise: what is raised in a thread of ours would end others' calls.
        for callback in self._done_callbacks:  # type: ignore[attr-defined]
            try:
                callback(self)
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
                    raise
                LOGGER.exception("exception calling callback for %r", self)


class Row:
    """What the slots of one `map` share: they are waited for one after the other, so one lock is enough; and what their
    ids begin with, so that one word is enough to cancel them."""

    def __init__(self, withdraw: Withdraw, withdraw_all: Callable[[str, Sequence[str]], None]) -> None:
        self._pid = os.getpid()
        self.withdraw = withdraw
        self._withdraw_all = withdraw_all
        self.ids = ""
        """What the ids begin with of those that were sent."""
        self.sent = 0
        """How many of them: what the ids end with."""
        # One that a thread may take twice: the collector may let go of the map itself wherever memory is asked for.
        self.news = threading.Condition(threading.RLock())
        self.awaited: Slot | None = None

    def leave(self, slots: Sequence[Slot]) -> None:
        """Nobody wants these any more: what no worker has will not run. Waits for nothing."""
        if self._pid != os.getpid():
            # Forked: they are our parent's, and so are their files.
            return
        with self.news:
            # The last ones first: the feeder may be about to send those before them.
            there = [slot for slot in reversed(slots) if not slot.done and not slot.cancel_unsent()]
        if there:
            self._withdraw_all(self.ids, [slot.id for slot in there])


class Slot:
    """A call of a `map`: as a future that only the map itself can see, and made in a tenth of the time."""

    __slots__ = ("_call", "_error", "_files", "_row", "_value", "done", "id")

    def __init__(self, row: Row, written: Written) -> None:
        self._row = row
        self._call, self._files = written
        self.id = ""
        """Its job's, once it has been sent."""
        self.done = False
        self._value: Any = None
        self._error: BaseException | None = None

    def result(self, timeout: float | None) -> Any:
        """The value; raises the error, or `TimeoutError` when so many seconds are over."""
        if not self.done:
            row = self._row
            with row.news:
                row.awaited = self
                ended = row.news.wait_for(lambda: self.done, timeout)
                row.awaited = None
            if not ended:
                raise TimeoutError
        if self._error is not None:
            try:
                raise self._error
            finally:
                # The error holds this frame.
                del self
        return self._value

    def cancel(self) -> bool:
        """See `Pending`."""
        with self._row.news:
            if self.done:
                return isinstance(self._error, CancelledError)
            if self.cancel_unsent():
                return True
        if not self._row.withdraw(self.id):
            return False
        self.end(None, CancelledError())
        return True

    def cancel_unsent(self) -> bool:
        """Who holds the row's lock cancels it if it has not been sent; whether that is so."""
        if self.id:
            return False
        self._error, self.done = CancelledError(), True
        remove_all(self._files)
        self._row.news.notify_all()
        return True

    def send_as(self, id: str) -> tuple[str, bytes] | None:
        """See `Pending`."""
        row = self._row
        with row.news:
            if self.done:
                return None
            row.ids = row.ids or id
            row.sent += 1
            self.id = f"{row.ids}-{row.sent}"
            call, self._call = self._call, b""
            return self.id, call

    def end(self, value: Any, error: BaseException | None) -> None:
        """See `Pending`."""
        if self.done:
            return
        self._value, self._error = value, CancelledError() if isinstance(error, TakenBack) else error
        self.done = True
        remove_all(self._files)
        row = self._row
        if row.awaited is self:
            with row.news:
                row.news.notify_all()

    def drop(self, error: BaseException | None) -> None:
        """See `Pending`."""
        self.end(None, error or CancelledError())
