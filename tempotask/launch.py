"""Starting the pool from a program: which application it is, and what its supervisor (process.py) is told and says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, ModuleType
from typing import BinaryIO

import msgspec

from tempotask import errors, linux
from tempotask.errors import NotImportable, TempoTaskError
from tempotask.process import AT_ONCE, GENTLY, SupervisorProcess

HOW_TO_GO_ON = (
    "put the application (QueueManager.init and the tasks) in a file of its own, and start the pool from there, "
    "or with: tempotask-supervisor app:tempotask"
)
STOP_WITHIN = 15.0
"""Seconds that a supervisor may take beyond `grace` until it is stopped harder."""


class Start(msgspec.Struct, omit_defaults=True):
    """What only the program that starts a pool knows; what is left out, the application says."""

    application: str
    db: str | None = None
    namespace: str | None = None
    concurrency: int | None = None
    lease: float | None = None
    tasks: list[tuple[str, str]] = []
    """Those that it declares, as queue and name."""
    allow_pickle: bool = False
    quiet: bool = False
    """Whether only warnings and worse are logged, and the program tells by itself why the pool did not start."""
    environment: dict[str, str] = {}
    """Variables that the pool alone is to have."""

    @classmethod
    def read(cls, pipe: BinaryIO) -> Start | None:
        """In the child: waits for it. None if the program has ended, or wants no pool after all."""
        line = pipe.readline()
        return msgspec.json.decode(line, type=cls) if line.endswith(b"\n") else None


class Report(msgspec.Struct, omit_defaults=True):
    """The line that the supervisor writes."""

    ready: bool = False
    error: str = ""
    kind: str = ""

    def write(self, pipe: BinaryIO) -> None:
        """Writes it and closes the pipe; nothing, if that was done before."""
        if not pipe.closed:
            with pipe:
                pipe.write(msgspec.json.encode(self) + b"\n")


class Launch:
    """A supervisor as a child of this program: started, waited for, stopped."""

    def __init__(self, start: Start, grace: float) -> None:
        self._start = start
        self._grace = grace
        self._process: SupervisorProcess | None = None
        self._lock = threading.Lock()
        self._told = False
        """Whether the user wants it to stop."""
        self._runs = False
        """Whether every worker was ready once."""
        self._reload = False
        """Whether changed code is to be taken up as soon as that is so."""

    def begin(self, process: SupervisorProcess | None = None) -> None:
        """Has the child begin, which is started now if it was not started before; `ready` says how that went.

        Raises:
            TempoTaskError: the system refuses to start it, or is none that a pool can run on.
        """
        linux.insist()
        told = msgspec.json.encode(self._start)
        try:
            self._process = process or SupervisorProcess()
        except OSError as error:
            raise TempoTaskError(f"the pool can't be started: {error.strerror}") from error
        self._process.tell(told)

    def ready(self) -> None:
        """Waits until every worker is ready; ends the child and raises what it reported, if they will not be."""
        assert self._process is not None
        with self._process.report as pipe:
            line = pipe.readline()
        try:
            report = msgspec.json.decode(line, type=Report) if line else None
        except msgspec.MsgspecError:
            report = Report(error=line.decode(errors="replace").strip())
        if report is not None and report.ready:
            self._runs = True
            if self._reload:
                self.signal(signal.SIGHUP)
            return
        status = self.stop()
        if report is None and self._told and status in (0, 1):
            return  # told to stop before it was ready: no error, and nothing to wait for
        if report is None:
            where = "" if self._start.quiet else "; see its log above"
            raise TempoTaskError(f"the pool {how_ended(status)} before it was ready{where}")
        kind = getattr(errors, report.kind, None)
        raise (kind if isinstance(kind, type) and issubclass(kind, TempoTaskError) else TempoTaskError)(report.error)

    @property
    def pid(self) -> int | None:
        """The child's process id, once it was started."""
        return None if self._process is None else self._process.child.pid

    def ended(self) -> int | None:
        """The child's exit status, if it has ended."""
        return None if self._process is None else self._process.child.poll()

    def wait(self) -> int:
        """Waits for the end of the child; its exit status."""
        assert self._process is not None
        return self._process.child.wait()

    def signal(self, number: int) -> None:
        """Sends the child a signal: `GENTLY`, `AT_ONCE`, or one that supervisors know."""
        # Popen looks first whether the child has been reaped, so that no other process is hit.
        if self._process is not None:
            self._process.child.send_signal(number)

    def tell(self) -> None:
        """The user wants it to stop, so that its end is no failure: gently at first, at once when he says so again."""
        number = AT_ONCE if self._told else GENTLY
        self._told = True
        self.signal(number)

    def stop(self, patience: float | None = None) -> int:
        """Stops the pool gently, harder when that takes longer than it may; the child's exit status.

        `patience`: seconds, if not what the application's `grace` needs.
        """
        if self._process is None:
            return 0
        child = self._process.child
        with self._lock:
            gently = self._grace + STOP_WITHIN if patience is None else patience
            for number, seconds in ((GENTLY, gently), (AT_ONCE, STOP_WITHIN)):
                child.send_signal(number)
                try:
                    child.wait(seconds)
                    break
                except subprocess.TimeoutExpired:
                    continue
            else:
                child.kill()
                child.wait()
            self._process.close()
        return child.returncode

    @contextmanager
    def passing_on_signals(self) -> Iterator[None]:
        """While it lasts, Ctrl-C, TERM and HUP go to the child instead of this program."""
        if threading.current_thread() is not threading.main_thread():
            # Only the main thread may set handlers.
            yield
            return

        terminal = linux.has_terminal()

        def pass_on(number: int, frame: FrameType | None) -> None:
            if number != signal.SIGHUP:
                self.tell()
            elif terminal and not linux.has_terminal():
                # The shell may say so, and the kernel.
                if not self._told:
                    self.tell()
            elif self._runs:
                # It takes up changed code, and goes on.
                self.signal(number)
            else:
                # It is not to begin anew before it has begun.
                self._reload = True

        passed = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
        if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
            # As under nohup.
            passed.remove(signal.SIGHUP)
        before = {number: signal.signal(number, pass_on) for number in passed}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def how_ended(status: int) -> str:
    """How a supervisor with that exit status has ended, in words; as `Popen` tells it, negative for a signal."""
    return f"was killed by signal {-status}" if status < 0 else f"has ended with status {status}"


def locate(manager: object, module: str) -> str:
    """How another process finds this manager: `module:attribute` or `script.py:attribute`.

    `module` is where it was made; it may have been handed on.

    Raises:
        NotImportable: when no other process can.
    """
    first = sys.modules.get(module)
    others = [other for name, other in list(sys.modules.items()) if name != module]
    for candidate in (first, *others):
        attribute = _attribute(candidate, manager)
        if candidate is not None and attribute is not None:
            return f"{_spelt(candidate)}:{attribute}"
    raise NotImportable(
        f"no module has this QueueManager (made in {module}) as an attribute, so that no worker can import it; "
        "assign it at the top level of a module: tempotask = QueueManager.init(…)"
    )


def _attribute(module: ModuleType | None, manager: object) -> str | None:
    # Modules that load their attributes when asked are not asked.
    values = getattr(module, "__dict__", None) or {}
    return next((name for name, value in list(values.items()) if value is manager), None)


def _spelt(module: ModuleType) -> str:
    if module.__name__ not in ("__main__", "__mp_main__"):
        return module.__name__
    if module.__name__ == "__main__" and module.__spec__ is not None and module.__spec__.name != "__main__":
        # Started with `python -m`; a folder that is started has no other name.
        return str(module.__spec__.name)
    file = getattr(module, "__file__", None)
    if file is None or not os.path.isfile(file):
        raise NotImportable(f"what is typed at a prompt, in a notebook or after -c can't be imported: {HOW_TO_GO_ON}")
    path = os.path.abspath(str(file))
    try:
        path.encode()
    except UnicodeEncodeError:
        raise NotImportable(f"the path {path!r} is no UTF-8, and workers can't be told of it: {HOW_TO_GO_ON}") from None
    return path
