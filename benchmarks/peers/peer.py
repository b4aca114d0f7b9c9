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
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import redis

from benchmarks.harness import ROOT, Bench, Failed, until

APPS = Path(__file__).parent / "apps"
HOME = ROOT / ".peers"
"""Where the environments are; git ignores it."""
PAYLOAD = "/srv/images/2024/"
"""What a payload begins with; six digits follow, and all together are 30 bytes as JSON."""


class NotInstalled(Failed):
    """A peer can't be had on this machine."""


@dataclass(frozen=True)
class Peer:
    """One peer. In commands, `{bin}` is its environment's folder of programs, and `{url}` the server's."""

    name: str
    packages: tuple[str, ...]
    """For pip, or for npm if `node`."""
    add: tuple[str, ...]
    """Adds jobs: it is given their number and PAYLOAD, and prints how many seconds it took, as JSON."""
    settings: dict[str, tuple[tuple[str, ...], ...]]
    """Ways to work: for each the commands of its processes. The fastest counts."""
    waiting: Callable[[redis.Redis], int]
    """How many jobs have not been taken yet."""
    jobs: int
    """So many take some seconds."""
    node: bool = False

    @property
    def home(self) -> Path:
        return HOME / self.name

    def install(self) -> str:
        """Installs it unless it is installed, and returns its version. Raises NotInstalled."""
        done = self.home / "installed"
        if not done.exists():
            self.home.mkdir(parents=True, exist_ok=True)
            for command in self._installing():
                _run(command, self.home)
            done.touch()
        if self.node:
            found = json.loads((self.home / "node_modules" / self.packages[0] / "package.json").read_text())["version"]
            return str(found)
        name = self.packages[0].partition("[")[0]
        code = f"import importlib.metadata as m; print(m.version({name!r}))"
        return _run([str(self.home / "bin" / "python"), "-c", code], self.home).strip()

    def _installing(self) -> list[list[str]]:
        if self.node:
            return [["npm", "install", "--no-audit", "--no-fund", *self.packages]]
        pip = [str(self.home / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        return [[sys.executable, "-m", "venv", str(self.home)], [*pip, *self.packages]]

    def enqueue(self, bench: Bench, count: int) -> float:
        """Adds so many no-op jobs; seconds that this took."""
        told = _run([*self._command(bench, self.add), str(count), PAYLOAD], APPS, self._environment(bench))
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
                    environment = self._environment(bench)
                    started = subprocess.Popen(
                        self._command(bench, command),
                        cwd=APPS,
                        env=environment,
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
        return [part.format(bin=self.home / "bin", url=bench.url) for part in command]

    def _environment(self, bench: Bench) -> dict[str, str]:
        modules = str(self.home / "node_modules")
        return {**os.environ, "BENCHMARK_SOCKET": str(bench.folder / "s.sock"), "NODE_PATH": modules}


def _run(command: list[str], cwd: Path, environment: dict[str, str] | None = None) -> str:
    try:
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=600)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalled(f"{command[0]}: {error}") from error
    if done.returncode:
        raise NotInstalled(f"{' '.join(command[:4])} failed: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout


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
