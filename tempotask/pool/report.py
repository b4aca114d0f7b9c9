"""What the supervisor, its nursery and its workers tell each other: MessagePack structs."""

from __future__ import annotations

import os
import signal

import msgspec

from tempotask.pool.places import Place


class Private(msgspec.Struct, array_like=True):
    """What holds the server's URL, and with it a password: its text says no more than what it is."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class TaskReport(msgspec.Struct, array_like=True):
    """One task that the application declares. `options` is MessagePack.

    `time_outs_final`: a try whose time was over is the last one, whatever attempts are left.
    """

    queue: str
    name: str
    options: bytes
    time_outs_final: bool = False


class AppReport(Private, array_like=True):
    """What a supervisor has to know about an application, which it never imports itself.

    `options` is MessagePack, and so are `schedules` (store/schedules.py). `why_not_handed_over` names what keeps the
    application's server from being handed to other processes.
    """

    db: str | None
    namespace: str
    concurrency: int | None
    options: bytes
    tasks: list[TaskReport]
    why_not_handed_over: str | None = None
    schedules: bytes = b""


class WorkerSpec(Private, array_like=True):
    """What a worker is told at birth.

    `wake_fd` (-1: none) is an eventfd or a pipe's end that it writes to whenever its supervisor may have something to
    do about it. Its number is the supervisor's in the supervisor and the worker's in the worker.
    """

    worker: str
    supervisor: str
    db: str
    namespace: str
    wake_fd: int = -1
    place: Place = Place()


class ExitStatus(msgspec.Struct, array_like=True, frozen=True):
    """How a process ended: by `code` or by `signal`, one of them `None`; both when nobody could find out."""

    code: int | None = None
    signal: int | None = None
    dumped_core: bool = False

    @classmethod
    def of(cls, status: int | None) -> ExitStatus:
        """From a wait status, or from none."""
        if status is None:
            return cls()
        if os.WIFSIGNALED(status):
            return cls(None, os.WTERMSIG(status), os.WCOREDUMP(status))
        return cls(os.WEXITSTATUS(status))

    def __str__(self) -> str:
        if self.signal is not None:
            try:
                name = signal.Signals(self.signal).name
            except ValueError:
                name = f"signal {self.signal}"
            return f"was killed by {name}" + (" and dumped core" if self.dumped_core else "")
        if self.code is not None:
            return f"exited with {self.code}"
        return "ended, nobody knows how"


# From the supervisor to its nursery.


class Import(msgspec.Struct, tag=True, array_like=True):
    """The first message. `parent` is the supervisor's pid, or 0 if the import need not die with the supervisor."""

    application: str
    parent: int
    arguments: list[bytes]
    """The program's `sys.argv`."""


class Fork(msgspec.Struct, tag=True, array_like=True):
    """Makes a worker. With it come the descriptor of its control block and, if the spec has one, its `wake_fd`."""

    spec: WorkerSpec


# From the nursery to its supervisor.


class Imported(msgspec.Struct, tag=True, array_like=True):
    """The application is there; workers may be asked for."""

    report: AppReport


class ImportFailed(msgspec.Struct, tag=True, array_like=True):
    """The application can't be had. `traceback` holds the user's own frames, or nothing; `summary` is one line."""

    traceback: str
    summary: str


class Warned(msgspec.Struct, tag=True, array_like=True):
    """Something that whoever reads the log should know."""

    text: str


class WorkerBorn(msgspec.Struct, tag=True, array_like=True):
    """A worker was started. With it comes its pidfd, where there are any."""

    worker: str
    pid: int


class WorkerDied(msgspec.Struct, tag=True, array_like=True):
    """A worker, and all that it had started, was ended."""

    worker: str
    status: ExitStatus


class Spawn(msgspec.Struct, array_like=True):
    """From the nursery to a worker that is spawned, in a file that the worker is given."""

    application: str
    arguments: list[bytes]
    """The program's `sys.argv`."""
    parent: int
    spec: WorkerSpec
    block_fd: int


Message = Import | Fork | Imported | ImportFailed | Warned | WorkerBorn | WorkerDied
