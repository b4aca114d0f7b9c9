"""Real supervisors, started by the command, and what a test wants to know of them."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import psutil

from tempotask import QueueManager
from tempotask.store.check import check
from tempotask.store.connect import Server
from tempotask.store.store import Store

APPS = Path(__file__).parent / "apps"
LONG = 60.0
"""Seconds that nothing takes, on however busy a machine."""
T = TypeVar("T")


def wait_until(what: Callable[[], T], why: str, within: float = LONG) -> T:
    """For what only can be looked at: the first true answer."""
    end = time.monotonic() + within
    while not (answer := what()):
        assert time.monotonic() < end, why
        time.sleep(0.005)
    return answer


class Supervisor:
    """A supervisor and the tree under it. `through` is a command that runs it, as `prlimit` does, in its own place."""

    def __init__(
        self, arguments: Sequence[str], folder: Path, environment: dict[str, str], through: Sequence[str] = ()
    ) -> None:
        self.process = subprocess.Popen(
            [*through, sys.executable, "-m", "tempotask.cli.supervisor", *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.lines: list[str] = []
        self._read = 0
        self._news = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._listen)
        self._reader.start()
        self._me = psutil.Process(self.process.pid)

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._news:
                self.lines.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def wait_for(self, text: str, within: float = LONG) -> str:
        """The next line of the log that has this text in it; lines before it count as read."""
        end = time.monotonic() + within
        with self._news:
            while True:
                while self._read < len(self.lines):
                    self._read += 1
                    if text in self.lines[self._read - 1]:
                        return self.lines[self._read - 1]
                left = end - time.monotonic()
                assert left > 0, f"no {text!r} in {self.log}"
                assert not self._ended, f"it ended without {text!r}: {self.log}"
                self._news.wait(left)

    def about(self, text: str) -> list[str]:
        """All lines so far that have this text in them."""
        return [line for line in self.lines if text in line]

    @property
    def log(self) -> str:
        return "\n".join(self.lines)

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def end(self, within: float = LONG) -> int:
        """Waits for the end; the exit status. All of the log is there then."""
        status = self.process.wait(within)
        self._reader.join(within)
        return status

    def stop(self) -> int:
        self.signal()
        return self.end()

    def halt(self) -> int:
        """Stops it by force."""
        self.signal()
        self.wait_for("stopping")
        self.signal()
        return self.end()

    def tree(self) -> list[psutil.Process]:
        """All processes under it, and itself first."""
        try:
            return [self._me, *self._me.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def titled(self, title: str) -> list[psutil.Process]:
        """The processes under it whose title begins so."""
        found = []
        for process in self.tree()[1:]:
            try:
                if " ".join(process.cmdline()).startswith(f"tempotask: {title}"):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def workers(self) -> list[psutil.Process]:
        return self.titled("worker")

    def nursery(self) -> psutil.Process:
        (found,) = self.titled("nursery")
        return found

    def kill_tree(self) -> None:
        """As a machine does that loses its power: all at once, nobody sees another die."""
        processes = self.tree()
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGSTOP)
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.end()
        psutil.wait_procs(processes, timeout=LONG)


class Bench:
    """What a test works with: supervisors on one namespace, a producer, and a wire to the handlers of `chores`."""

    def __init__(self, folder: Path, url: str, namespace: str) -> None:
        self.folder = folder
        self.url = url
        self.namespace = namespace
        self.ledger = folder / "ledger"
        self.ledger.touch()
        self.supervisors: list[Supervisor] = []
        self.manager = QueueManager.init(db=url, namespace=namespace, options={"connect_timeout": LONG})
        self.store = Store(Server(url), namespace)
        self._told, self._gate = (self._pipe(name) for name in ("told", "gate"))
        self._heard = b""

    def _pipe(self, name: str) -> int:
        os.mkfifo(self.folder / name)
        return os.open(self.folder / name, os.O_RDWR | os.O_NONBLOCK)

    def begin(
        self,
        *options: str,
        app: str = "chores:tempotask",
        folder: Path = APPS,
        workers: int = 2,
        through: Sequence[str] = (),
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> Supervisor:
        """Starts a supervisor and does not wait for it."""
        names = {name: str(self.folder / name.removeprefix("TEST_").lower()) for name in PIPES}
        arguments = (app, "--db", self.url, "--namespace", self.namespace)
        count = ("--concurrency", str(workers)) if workers else ()
        environment = {**os.environ, **names, **environment}
        self.supervisors.append(Supervisor([*arguments, *count, *options], folder, environment, through))
        return self.supervisors[-1]

    def start(self, *options: str, app: str = "chores:tempotask", folder: Path = APPS, workers: int = 2) -> Supervisor:
        """Starts a supervisor; returns when its workers are ready."""
        supervisor = self.begin(*options, app=app, folder=folder, workers=workers)
        supervisor.wait_for("ready: ")
        return supervisor

    def hear(self, within: float = LONG) -> list[str]:
        """The next thing that a handler tells, in words."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._told, selectors.EVENT_READ)
            while b"\n" not in self._heard:
                assert selector.select(within), "no handler tells anything"
                self._heard += os.read(self._told, 65536)
        line, _, self._heard = self._heard.partition(b"\n")
        return line.decode().split()

    def hear_no_more(self) -> bool:
        """Whether everything that was told so far has been heard."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._told, selectors.EVENT_READ)
            return not self._heard and not selector.select(0)

    def open_gate(self, number: int = 1) -> None:
        """Lets so many jobs of `hold` go on."""
        os.write(self._gate, b"." * number)

    def entries(self) -> list[list[str]]:
        """What `enter` has written down: id, start or end, token, pid."""
        return [line.split() for line in self.ledger.read_text().splitlines()]

    def close(self) -> None:
        """Stops what still runs, and proves the namespace."""
        try:
            for supervisor in self.supervisors:
                if supervisor.process.poll() is None:
                    supervisor.signal(signal.SIGCONT)
                    supervisor.signal(signal.SIGKILL)
                supervisor.end()
        finally:
            self.manager.close()
            for fd in (self._told, self._gate):
                os.close(fd)
        wrong = check(self.store)
        self.store.close()
        assert not wrong, wrong


PIPES = ("TEST_TOLD", "TEST_GATE", "TEST_LEDGER")
