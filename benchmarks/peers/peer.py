"""A peer: another job queue, in an environment of its own, set up as its own documentation advises for throughput.

What there is to say about one is in its application (apps/) and in a few lines of queues.py: how it is installed and
started, and how many jobs wait.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psutil
import redis

from benchmarks import drain
from benchmarks.harness import Bench, Failed, until
from benchmarks.peers.environment import APPS, Environment, run

PAYLOAD = drain.PATH.partition("{")[0]
"""What a payload begins with; six digits follow."""


@dataclass(frozen=True)
class Peer:
    """One peer. In commands, `{bin}` is its environment's folder of programs, and `{url}` the server's."""

    environment: Environment
    add: tuple[str, ...]
    """Adds jobs: it is given their number and PAYLOAD, and prints how many seconds it took, as JSON."""
    settings: dict[str, tuple[tuple[str, ...], ...]]
    """Ways to work: for each the commands of its processes. The fastest counts."""
    waiting: Callable[[redis.Redis], int]
    """How many jobs have not been taken yet."""
    jobs: int
    """So many take some seconds."""

    @property
    def name(self) -> str:
        return self.environment.name

    @property
    def commands(self) -> dict[str, list[str]]:
        """How it is set up, for the file of results."""
        processes = {"add": (self.add,), **self.settings}
        return {what: [" ".join(command) for command in commands] for what, commands in processes.items()}

    @property
    def installed(self) -> bool:
        return self.environment.installed

    def install(self) -> str:
        """Installs it unless it is installed, and returns its version. Raises NotInstalled."""
        return self.environment.install()

    def enqueue(self, bench: Bench, count: int) -> float:
        """Adds so many no-op jobs; seconds that this took."""
        told = run([*self._command(bench, self.add), str(count), PAYLOAD], APPS, self._variables(bench))
        return float(json.loads(told.splitlines()[-1])["seconds"])

    def drain(self, bench: Bench, setting: str, count: int) -> float:
        """Jobs a second, from when the first was taken until the last was. What is in hand then is given to it."""
        self.enqueue(bench, count)
        if self.waiting(bench.redis) != count:
            raise Failed(f"of {count:,} jobs that {self.name} added, {self.waiting(bench.redis):,} wait")
        with self._working(bench, setting):
            until(f"{self.name} to begin", lambda: self.waiting(bench.redis) < count)
            began, first = time.monotonic(), self.waiting(bench.redis)
            until(f"{self.name} to take all", lambda: not self.waiting(bench.redis), within=600)
            return first / (time.monotonic() - began)

    @contextlib.contextmanager
    def _working(self, bench: Bench, setting: str) -> Iterator[None]:
        log = bench.folder / f"{self.name}.log"
        processes: list[subprocess.Popen[bytes]] = []
        try:
            for command in self.settings[setting]:
                with log.open("ab") as file:
                    started = subprocess.Popen(
                        self._command(bench, command),
                        cwd=APPS,
                        env=self._variables(bench),
                        stdout=file,
                        stderr=file,
                        process_group=0,
                    )
                processes.append(started)
            yield
        except Failed as error:
            raise Failed(f"{error}\n{log.read_text(errors='replace')[-2000:]}") from error
        finally:
            for process in processes:
                _end(process)
            bench.empty()

    def _command(self, bench: Bench, command: tuple[str, ...]) -> list[str]:
        return [part.format(bin=self.environment.home / "bin", url=bench.url) for part in command]

    def _variables(self, bench: Bench) -> dict[str, str]:
        modules = str(self.environment.home / "node_modules")
        return {**os.environ, "BENCHMARK_SOCKET": str(bench.folder / "s.sock"), "NODE_PATH": modules}


def _end(process: subprocess.Popen[Any]) -> None:
    """Kills it with all that it has started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        children = psutil.Process(process.pid).children(recursive=True)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        psutil.wait_procs(children, 10)
    process.wait()
