"""The worker processes of one imported application, as a set: ask for, watch, end.

    supervisor ── UnifiedWorkerPool ══ channel ══ nursery ── worker, worker, worker …
                        └── pidfds, control blocks ────────────┘

Deaths are seen twice: as `Dying` within milliseconds, when the worker's pidfd says so, and as `Died` when the nursery
has ended all that the worker left behind. Two pools may live side by side, one taking over from the other.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import selectors
import signal
import socket
import subprocess
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from tempotask import interpreter, linux
from tempotask.pool import nursery
from tempotask.pool.channel import Channel
from tempotask.pool.control_block import LOOK, LOOK_SIGNAL, LOOKER, ControlBlock, Look, Stopped
from tempotask.pool.report import (
    ExitStatus,
    Fork,
    Import,
    Imported,
    ImportFailed,
    Message,
    Warned,
    WorkerBorn,
    WorkerDied,
    WorkerSpec,
)

_MARK = "TEMPOTASK_NURSERY"  # tells what came from a nursery, after its death, from the supervisor's other children
_SPARE_FDS = 12
_MOST_UNBORN = 32
"""Workers that the nursery is asked for at a time. If more were asked for than a socket holds, each side could wait for
the other to read; and the kernel limits how many descriptors are on their way."""
_GONE_WITHIN = 5.0
"""Seconds at most for processes that were told to end, or were killed, to be gone: their ends are waited for as events,
so that only one that the kernel holds up, for a disk say, is given up. More than the nursery waits (nursery.py)."""


class WorkerProcess:
    """One worker, from when it is asked for.

    `pid` is 0 and `pidfd` -1 until it is born (`pidfd` also where there are none). `state` is "alive", and "ending"
    from when its death is seen. `born_at` is of the monotonic clock. The block can be read after the death, as long as
    somebody holds this object or until `close`.
    """

    def __init__(self, spec: WorkerSpec) -> None:
        self.id = spec.worker
        self.spec = spec
        self.pid = 0
        self.pidfd = -1
        self.block = ControlBlock.create()
        self.state: Literal["alive", "ending"] = "alive"
        self.born_at = time.monotonic()
        self._gone = False

    def fileno(self) -> int:
        return self.pidfd

    @contextlib.contextmanager
    def look(self) -> Iterator[Look | None]:
        """Hold the worker still, read its block, and let it go on when the `with` is left.

        Gives `None` when it does not stop in time or is no more: touch nothing then, and look again later. Inside,
        `worker.block.shrink()` takes away what has not started.
        """
        if self.pid == 0 or self._gone:
            yield None
            return
        with Stopped(self.pid, self.pidfd) as ok:
            yield self.block.read() if ok else None

    def kill_group(self) -> None:
        """SIGKILL to the worker and its whole process group; nobody else is ever hit."""
        if not self._gone:
            linux.kill_group(self.pid, self.pidfd)

    def signal(self, number: int) -> None:
        """Signal the worker's main thread alone. One that is gone already is no error."""
        if not self._gone:
            linux.signal_main_thread(self.pid, self.pidfd, number)

    def have_look(self) -> None:
        """Has the worker's second thread look at the batch in hand. It is not told again before it does: a handler may
        hold the interpreter for hours, and signals would pile up."""
        words = self.block.words
        if not self._gone and words[LOOKER] and not words[LOOK]:
            words[LOOK] = 1
            if not linux.signal_thread(self.pid, self.pidfd, words[LOOKER], LOOK_SIGNAL):
                words[LOOK] = 0

    def release(self) -> None:
        """The process is gone: its pid, kept for the log, may be someone else's."""
        self._gone = True
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1

    def close(self) -> None:
        """Lets go of the pidfd and the block."""
        self.release()
        self.block.close()


@dataclass(frozen=True)
class Born:
    """A worker that was asked for is there."""

    worker: WorkerProcess


@dataclass(frozen=True)
class Dying:
    """A worker has just died; how, `Died` will tell. May be left out when that comes first."""

    worker: WorkerProcess


@dataclass(frozen=True)
class Died:
    """A worker is gone with all that it had started (or could not be born), and is no longer one of the pool's."""

    worker: WorkerProcess
    status: ExitStatus
    nursery_died: bool = False
    """Whether it went with its nursery."""


@dataclass(frozen=True)
class NurseryDied:
    """The nursery is gone, and so are its workers: a `Died` for each comes first. The pool can only be ended."""

    status: ExitStatus


Event = Imported | ImportFailed | Warned | Born | Dying | Died | NurseryDied


class UnifiedWorkerPool:
    """The nursery of one application and the workers that were asked of it; see the module's page.

    In its life it
     1. starts the nursery, which imports `application` (`module:attribute` or `path/to/script.py:attribute`);
     2. turns what its descriptors tell into events, in the loop of whoever owns it;
     3. asks for workers, once the application is imported;
     4. kills all that was left behind when the nursery dies, or at the end.

    `workers` are those asked for that have not died. For 4., the process should be a subreaper (`become_subreaper`).
    """

    def __init__(self, application: str, *, environment: Mapping[str, str] | None = None) -> None:
        self.application = application
        self.workers: dict[str, WorkerProcess] = {}
        self.imported = False
        self.pid = 0  # the nursery's
        self._environment = os.environ if environment is None else environment
        self._mark = f"{_MARK}={uuid.uuid4().hex}"
        self._channel: Channel | None = None
        self._unasked: deque[WorkerProcess] = deque()
        self._unborn = 0
        """How many the nursery was asked for that are not born yet."""
        self._pidfd = -1
        self._selector: selectors.BaseSelector | None = None

    def start(self, fork_marked: str = "") -> None:
        """Starts the nursery and has it import the application, unless that is done.

        It is a program of its own, with the `environment`. Or it is a fork of this process, which is sooner, if this
        has no threads, and was started with `fork_marked`, an entry `NAME=value` of its environment that nobody else
        has.

        Raises `OSError` when the system refuses.
        """
        if self._channel is not None:
            return
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                if fork_marked:
                    self._mark = fork_marked
                    self.pid = nursery.fork(theirs, fork_marked)
                else:
                    self.pid = self._execute(theirs)
            except OSError:
                ours.close()
                raise
        self._pidfd = linux.open_pidfd(self.pid)
        self._channel = Channel(ours)
        # The kernel watches the thread that starts it: only a main thread is sure to last as long as the process.
        parent = os.getpid() if threading.current_thread() is threading.main_thread() else 0
        self._send(Import(self.application, parent, interpreter.arguments()))

    def _execute(self, end: socket.socket) -> int:
        name, _, value = self._mark.partition("=")
        process = subprocess.Popen(
            [*interpreter.command(), "-m", "tempotask.pool.nursery", str(end.fileno())],
            stdin=subprocess.DEVNULL,
            pass_fds=[end.fileno()],
            env={**self._environment, name: value},
        )
        process.returncode = 0  # reaped here, by the pool
        return process.pid

    def register(self, selector: selectors.BaseSelector) -> None:
        """Watch all descriptors, those of workers to come too, in `selector`; the keys' `data` is this pool."""
        self._selector = selector
        assert self._channel is not None, "start the pool first"
        selector.register(self._channel, selectors.EVENT_READ, self)
        if self._pidfd >= 0:
            selector.register(self._pidfd, selectors.EVENT_READ, self)
        for worker in self.workers.values():
            if worker.pidfd >= 0:
                selector.register(worker, selectors.EVENT_READ, self)

    def events(self, key: selectors.SelectorKey) -> list[Event]:
        """What a ready key of this pool has to tell, in the order in which it happened."""
        if isinstance(key.fileobj, WorkerProcess):
            worker = key.fileobj
            if self.workers.get(worker.id) is not worker:
                return []  # its `Died` came in the same round
            self._forget(worker)
            worker.state = "ending"
            return [Dying(worker)]
        if self._channel is None:
            return []
        told = []
        with contextlib.suppress(EOFError):
            while received := self._channel.receive():
                told.append(self._event(*received))
            if key.fileobj is self._channel:
                return told
        return told + self._bury_nursery()

    def ask_for(self, spec: WorkerSpec) -> None:
        """Asks the nursery for a worker, after `Imported`. It is one of `workers` from now on, until its `Died`.

        Raises `OSError` when the system refuses what is needed for it, descriptors for one.
        """
        worker = WorkerProcess(spec)
        # The lowest free number is taken, so it tells how many are. Each worker that is not born yet brings a pidfd;
        # what is done for one needs some more, for a moment each, and must not fail.
        to_come = 1 + sum(not other.pid for other in self.workers.values())
        if worker.block.fd > resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _SPARE_FDS - to_come:
            worker.close()
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        self.workers[worker.id] = worker
        self._unasked.append(worker)
        self._ask()

    def _ask(self) -> None:
        while self._unasked and self._unborn < _MOST_UNBORN:
            worker = self._unasked.popleft()
            self._unborn += 1
            spec, block = worker.spec, worker.block.fd
            self._send(Fork(spec), [block] if spec.wake_fd < 0 else [block, spec.wake_fd])

    def resume_nursery(self) -> bool:
        """Has the nursery go on if somebody has stopped it; says whether it was stopped."""
        stopped = linux.state(self.pid) == "T"
        if stopped:
            linux.send_signal(self.pid, self._pidfd, signal.SIGCONT)
        return stopped

    def end(self) -> None:
        """Kills everything, waits until it is gone (not longer than some seconds), closes all descriptors."""
        if self._channel is None:
            return
        self._let_go()
        if self.imported:
            # It knows best what belongs to its workers. One that was stopped just now may not say so yet.
            linux.send_signal(self.pid, self._pidfd, signal.SIGCONT)
        if not self.imported or linux.reap(self.pid, _GONE_WITHIN) is None:
            linux.kill([self.pid])  # during an import it hears nothing
            linux.reap(self.pid, _GONE_WITHIN)
        self._end_orphans()
        for worker in self.workers.values():
            worker.close()
        self.workers.clear()

    def _send(self, message: Message, fds: list[int] | None = None) -> None:
        if self._channel is not None:
            with contextlib.suppress(OSError):  # a nursery that is gone says so by its own event
                self._channel.send(message, fds or ())

    def _event(self, message: Message, fds: list[int]) -> Event:
        # No `match`: for each class pattern with values Python 3.11 makes a new string, "__match_args__", and its cache
        # of attributes keeps up to 4,096 of them.
        if isinstance(message, WorkerBorn):
            worker = self.workers[message.worker]
            self._answered()
            worker.pid, worker.pidfd = message.pid, fds[0] if fds else -1
            worker.born_at = time.monotonic()
            if self._selector is not None and worker.pidfd >= 0:
                self._selector.register(worker, selectors.EVENT_READ, self)
            return Born(worker)
        if isinstance(message, WorkerDied):
            worker = self.workers[message.worker]
            if not worker.pid:
                self._answered()
            return self._died(worker, message.status)
        if isinstance(message, Imported | ImportFailed | Warned):
            self.imported |= isinstance(message, Imported)
            return message
        raise AssertionError(f"a nursery does not send {message}")

    def _answered(self) -> None:
        """The nursery has borne one, or could not."""
        self._unborn -= 1
        self._ask()

    def _died(self, worker: WorkerProcess, status: ExitStatus, *, nursery_died: bool = False) -> Died:
        self._forget(worker)
        worker.release()
        worker.state = "ending"
        del self.workers[worker.id]
        return Died(worker, status, nursery_died)

    def _forget(self, watched: WorkerProcess | Channel | int) -> None:
        if self._selector is not None:
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(watched)

    def _let_go(self) -> None:
        """Closes what leads to the nursery, which thereby learns that it is to end."""
        assert self._channel is not None
        self._unasked.clear()
        for worker in self.workers.values():
            self._forget(worker)
        self._forget(self._channel)
        self._channel.close()
        self._channel = None
        if self._pidfd >= 0:
            self._forget(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    def _bury_nursery(self) -> list[Event]:
        self._let_go()
        linux.kill([self.pid])  # it may only have closed its socket
        status = ExitStatus.of(linux.reap(self.pid, _GONE_WITHIN))
        ends = self._end_orphans()
        deaths: list[Event] = [
            self._died(worker, ends.get(worker.pid, ExitStatus()), nursery_died=True)
            for worker in list(self.workers.values())
        ]
        return [*deaths, NurseryDied(status)]

    def _end_orphans(self) -> dict[int, ExitStatus]:
        """Kills and reaps what the nursery has left behind and this process has adopted; how each of them ended."""
        leaders = {worker.pid for worker in self.workers.values() if worker.pid}
        for worker in self.workers.values():
            worker.kill_group()
        ends: dict[int, ExitStatus] = {}
        until = time.monotonic() + _GONE_WITHIN
        # Of one that has ended, and was not reaped in time, nothing tells any more whose it is.
        known: set[int] = set()
        while (orphans := [pid for pid in linux.children() if pid in known or self._is_ours(pid, leaders)]) and (
            time.monotonic() < until
        ):
            known.update(orphans)
            linux.kill(orphans)
            for pid in orphans:
                if (reaped := linux.reap(pid, linux.NEXT_LOOK)) is not None:
                    ends[pid] = ExitStatus.of(reaped)
        return ends

    def _is_ours(self, pid: int, leaders: set[int]) -> bool:
        return linux.group(pid) in leaders or linux.environment_holds(pid, self._mark)
