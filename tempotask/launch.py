"""Starting the pool from a program: which application it is, and a supervisor as a child process.

The child runs launched.py. Three things bind the two: the child's standard input is a pipe that ends when this program
ends, however that comes, and then the pool goes too; the child writes one line of JSON when all workers are ready, or
why they will not be; and signals tell it to stop.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import uuid
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, ModuleType
from typing import BinaryIO

import msgspec

from tempotask import errors, interpreter
from tempotask.errors import NotImportable, TempoTaskError

HOW_TO_GO_ON = (
    "put the application (QueueManager.init and the tasks) in a file of its own, and start the pool from there, "
    "or with: tempotask-supervisor app:tempotask"
)
STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
STOP_WITHIN = 15.0
"""Seconds that a supervisor may take beyond `grace` until it is stopped harder."""


START = "TEMPOTASK_START"
"""The environment variable by which the supervisor is told its `Start`."""
MARK = "TEMPOTASK_LAUNCHED"
"""The one by which what comes from it is told from all else, since its value is nobody else's."""


class Start(msgspec.Struct, omit_defaults=True):
    """What only the program that starts a pool knows; what is left out, the application says."""

    db: str | None = None
    namespace: str | None = None
    concurrency: int | None = None
    lease: float | None = None
    tasks: list[tuple[str, str]] = []
    """Those that it declares, as queue and name."""
    allow_pickle: bool = False
    quiet: bool = False
    """Whether only warnings and worse are logged, and the program tells by itself why the pool did not start."""


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

    def __init__(
        self, application: str, start: Start, grace: float, output: int | None = None, **environment: str
    ) -> None:
        """`output`: where its standard output goes, if not where ours does. `environment`: what it alone is told."""
        self._application = application
        self._start = start
        self._grace = grace
        self._output = output
        self._own_environment = environment
        self._child: subprocess.Popen[bytes] | None = None
        self._report: int | None = None
        self._lock = threading.Lock()
        self._told = False
        """Whether a signal of the user's was passed on."""

    def begin(self) -> None:
        """Starts the child; `ready` says how that went."""
        read_end, write_end = os.pipe()
        # -P: what lies in the working directory is imported only if this program would.
        command = [*interpreter.command(), "-P", "-m"]
        # A child is born with what its parent holds back, and lets it in when it listens: before, it would end by it.
        held_back = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        try:
            self._child = subprocess.Popen(
                [*command, "tempotask.launched", self._application, str(write_end), *sys.argv],
                stdin=subprocess.PIPE,
                stdout=self._output,
                pass_fds=(write_end,),
                # Out of the terminal's foreground group: a Ctrl-C comes to this program, and it decides what follows.
                process_group=0,
                env=environment(self._start, **self._own_environment),
            )
            self._report = read_end
            _ours_alone(self._child)
        except BaseException:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
            # Last, as what was held back may be raised here.
            self._let_in(held_back)

    def _let_in(self, held_back: set[signal.Signals | int]) -> None:
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, held_back)
        except BaseException:
            self.stop()
            raise

    def ready(self) -> None:
        """Waits until every worker is ready; ends the child and raises what it reported, if they will not be."""
        assert self._report is not None
        with os.fdopen(self._report, "rb") as pipe:
            self._report = None
            line = pipe.readline()
        try:
            report = msgspec.json.decode(line, type=Report) if line else None
        except msgspec.MsgspecError:
            report = Report(error=line.decode(errors="replace").strip())
        if report is not None and report.ready:
            return
        status = self.stop()
        if report is None and self._told and status in (0, 1):
            return  # told to stop before it was ready: no error, and nothing to wait for
        if report is None:
            raise TempoTaskError(f"the pool {how_ended(status)} before it was ready; see its log above")
        kind = getattr(errors, report.kind, None)
        raise (kind if isinstance(kind, type) and issubclass(kind, TempoTaskError) else TempoTaskError)(report.error)

    @property
    def pid(self) -> int | None:
        """The child's process id, once it was started."""
        return None if self._child is None else self._child.pid

    def ended(self) -> int | None:
        """The child's exit status, if it has ended."""
        return None if self._child is None else self._child.poll()

    def wait(self) -> int:
        """Waits for the end of the child; its exit status."""
        assert self._child is not None
        return self._child.wait()

    def signal(self, number: int = signal.SIGTERM) -> None:
        """Tells the child to stop: gently at first, at once when it is told again."""
        # Popen looks first whether the child has been reaped, so that no other process is hit.
        if self._child is not None:
            self._child.send_signal(number)

    def tell(self) -> None:
        """Passes on that the user wants it to stop, so that its end is no failure."""
        self._told = True
        self.signal()

    def stop(self, patience: float | None = None) -> int:
        """Stops the pool gently, harder when that takes longer than it may; the child's exit status.

        `patience`: seconds, if not what the application's `grace` needs.
        """
        child = self._child
        if child is None:
            return 0
        with self._lock:
            for seconds in (self._grace + STOP_WITHIN if patience is None else patience, STOP_WITHIN):
                child.send_signal(signal.SIGTERM)
                try:
                    child.wait(seconds)
                    break
                except subprocess.TimeoutExpired:
                    continue
            else:
                child.kill()
                child.wait()
            if child.stdin is not None:
                child.stdin.close()
            if self._report is not None:
                os.close(self._report)
                self._report = None
        return child.returncode

    @contextmanager
    def passing_on_signals(self) -> Iterator[None]:
        """While it lasts, Ctrl-C and TERM go to the child instead of this program."""
        if threading.current_thread() is not threading.main_thread():
            # Only the main thread may set handlers.
            yield
            return

        def pass_on(number: int, frame: FrameType | None) -> None:
            self.tell()

        before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def how_ended(status: int) -> str:
    """How a supervisor with that exit status has ended, in words; as `Popen` tells it, negative for a signal."""
    return f"was killed by signal {-status}" if status < 0 else f"has ended with status {status}"


def environment(start: Start, **own: str) -> dict[str, str]:
    """The child's environment, with what is its own: it imports from where this program does, and learns what only this
    program knows."""
    path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
    told = {START: msgspec.json.encode(start).decode(), MARK: uuid.uuid4().hex}
    # The mark comes behind the rest, which may hold passwords, and which the title of the process takes the place of.
    others = {name: value for name, value in os.environ.items() if name not in told}
    return {**others, "PYTHONPATH": path, **own, **told}


def _ours_alone(child: subprocess.Popen[bytes]) -> None:
    """Closes the pipe to the child in every fork of this program, or the pool would outlive the program with them."""
    _children.add(child)


def _close_all() -> None:
    for child in list(_children):
        if child.stdin is not None:
            child.stdin.close()


_children: weakref.WeakSet[subprocess.Popen[bytes]] = weakref.WeakSet()
os.register_at_fork(after_in_child=_close_all)


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
