"""One who owns a pool, as a supervisor does, over the applications in the folder `apps`."""

from __future__ import annotations

import contextlib
import os
import selectors
import time
from collections import Counter
from pathlib import Path
from typing import TypeVar

import psutil
from pool.running import LONG

from tempotask.pool.pool import Born, Event, UnifiedWorkerPool, WorkerProcess
from tempotask.pool.report import WorkerSpec

APPS = Path(__file__).parent / "apps"
T = TypeVar("T", bound=Event)


class Owner:
    """Owns a pool as a supervisor does: one loop, and all that the pool has told."""

    def __init__(self, application: str, environment: dict[str, str] | None = None) -> None:
        self.pool = UnifiedWorkerPool(application, environment={**os.environ, **(environment or {})})
        self.selector = selectors.DefaultSelector()
        self.told: list[Event] = []
        self.answers, self.wake_fd = os.pipe()
        self._born = 0
        self.pool.start()
        self.pool.register(self.selector)

    def wait_for(self, kind: type[T], worker: WorkerProcess | None = None, within: float = LONG) -> T:
        """The first event of a kind (of a worker) that has not been waited for yet."""
        until = time.monotonic() + within
        while True:
            for event in self.told:
                if isinstance(event, kind) and worker in (None, getattr(event, "worker", None)):
                    self.told.remove(event)
                    return event
            assert time.monotonic() < until, f"no {kind.__name__}, but {self.told}"
            for key, _ in self.selector.select(0.1):
                assert key.data is self.pool
                self.told += self.pool.events(key)

    def ask(self, mode: str) -> WorkerProcess:
        self._born += 1
        spec = WorkerSpec(f"w{self._born}", "s1", "redis://h/1", mode, self.wake_fd)
        self.pool.ask_for(spec)
        return self.wait_for(Born).worker

    def answer(self) -> str:
        text = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self.answers, selectors.EVENT_READ)
            while not text.endswith(b"\n"):
                assert selector.select(LONG), "the worker does not answer"
                text += os.read(self.answers, 65536)
        return text.decode().strip()

    def close(self) -> None:
        self.pool.end()
        self.selector.close()
        os.close(self.answers)
        os.close(self.wake_fd)


def ready(owner: Owner, mode: str) -> WorkerProcess:
    worker = owner.ask(mode)
    assert owner.answer() == "ready"
    return worker


def title(process: psutil.Process) -> str:
    return " ".join(process.cmdline()).strip()


def descriptors(pid: int) -> Counter[str]:
    """What the open descriptors of a process lead to, and how many to each."""
    folder = f"/proc/{pid}/fd"
    led: Counter[str] = Counter()
    for number in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):  # that of the listing is closed by now
            led[os.readlink(f"{folder}/{number}")] += 1
    return led


def living(process: psutil.Process) -> list[psutil.Process]:
    """All below a process that have not ended."""
    return [one for one in process.children(recursive=True) if one.status() != psutil.STATUS_ZOMBIE]


def gone(processes: list[psutil.Process], within: float) -> bool:
    return not psutil.wait_procs(processes, timeout=within)[1]
