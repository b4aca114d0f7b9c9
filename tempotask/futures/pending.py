"""Calls that have not ended, as an executor's feeder sees them: futures, and the lighter slots of a `map`."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, InvalidStateError
from concurrent.futures._base import CANCELLED, CANCELLED_AND_NOTIFIED, LOGGER, PENDING, RUNNING
from typing import Any, Protocol

from tempotask.errors import JobCancelled
from tempotask.futures.answers import Written, let_go

Withdraw = Callable[[str], bool]
"""Asks the server to take a call back: whether it did, before a worker had it."""


class Pending(Protocol):
    """What the feeder does with a call."""

    def send_as(self, id: str, /) -> bytes | None:
        """The encoded call, which is sent under this id from here on; None if it was cancelled."""

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
            self.add_done_callback(lambda _: let_go(written.files))

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

    def send_as(self, id: str) -> bytes | None:
        """See `Pending`."""
        with self._condition:
            if self._state == PENDING:
                self._id = id
                call, self._call = self._call, b""
                return call
            cancelled = self._state == CANCELLED
        if cancelled:
            self.set_running_or_notify_cancel()
        return None

    def end(self, value: Any, error: BaseException | None) -> None:
        """See `Pending`."""
        with contextlib.suppress(InvalidStateError):
            if isinstance(error, JobCancelled):
                self._withdrawn()
            elif error is not None:
                self.set_exception(error)
            else:
                self.set_result(value)

    def drop(self, error: BaseException | None) -> None:
        """See `Pending`."""
        if error is None:
            self.cancel()
        if self._state == CANCELLED:
            # Those who wait for several futures hear of it only now.
            self.set_running_or_notify_cancel()
        else:
            self.end(None, error)

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
    """What the slots of one `map` share: they are waited for one after the other, so one lock is enough."""

    def __init__(self, withdraw: Withdraw) -> None:
        self.withdraw = withdraw
        # One that a thread may take twice: the collector may let go of the map itself wherever memory is asked for.
        self.news = threading.Condition(threading.RLock())
        self.awaited: Slot | None = None


class Slot:
    """A call of a `map`: as a future that only the map itself can see, and made in a tenth of the time."""

    __slots__ = ("_call", "_error", "_files", "_id", "_row", "_value", "done")

    def __init__(self, row: Row, written: Written) -> None:
        self._row = row
        self._call, self._files = written
        self._id = ""
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
            id = self._id
            if not id:
                self._error, self.done = CancelledError(), True
                let_go(self._files)
                self._row.news.notify_all()
                return True
        if not self._row.withdraw(id):
            return False
        self.end(None, CancelledError())
        return True

    def send_as(self, id: str) -> bytes | None:
        """See `Pending`."""
        with self._row.news:
            if self.done:
                return None
            self._id = id
            call, self._call = self._call, b""
            return call

    def end(self, value: Any, error: BaseException | None) -> None:
        """See `Pending`."""
        if self.done:
            return
        self._value, self._error = value, CancelledError() if isinstance(error, JobCancelled) else error
        self.done = True
        let_go(self._files)
        row = self._row
        if row.awaited is self:
            with row.news:
                row.news.notify_all()

    def drop(self, error: BaseException | None) -> None:
        """See `Pending`."""
        self.end(None, error or CancelledError())
