"""What all benchmarks share: one server, what is started on it, and turns with the reference.

A benchmark is a file whose name says what it asks, with one function, `measure(bench)`, that returns its rows. It
works in namespaces of its own on the bench's server, which is emptied after it.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import msgspec
import psutil
import redis

from benchmarks.rows import Row, Spread
from tempotask import QueueManager, launch, linux
from tempotask.process import environment
from tempotask.store.connect import Server, resolve
from tempotask.store.embedded import find_server
from tempotask.store.store import Store

ROOT = Path(__file__).parents[1]
WORKERS = 2
"""All comparisons are made on two workers."""
KEEPS_NOTHING = ("--appendonly", "no")
PATIENCE = 120.0
"""Seconds after which something that should happen at once is taken to have failed."""

LONGEST_DRAIN = 600.0
"""Likewise, of what takes long."""
LOOKED_AT = 16
"""Queues whose lengths are asked for, to tell how much waits in all."""


class Failed(Exception):
    """A benchmark could not be carried out, or what it did is wrong."""


class Known(Protocol):
    """What we are measured against, as far as the harness knows it."""

    @property
    def commands(self) -> dict[str, list[str]]:
        """How it is set up: by setting, the commands of its processes."""

    @property
    def installed(self) -> bool:
        """Whether it need not be installed."""

    def install(self) -> str:
        """Returns its version; raises `Failed` when it can't be had."""


P = TypeVar("P", bound=Known)
M = TypeVar("M")


def in_turns(
    ours: Callable[[], float], reference: Callable[[], float], rounds: int, unit: str
) -> tuple[Spread, Spread]:
    """Measures both in turns, the reference first and last, so that a machine that changes its pace changes both."""
    mine, others = [], [reference()]
    for _ in range(rounds):
        mine.append(ours())
        others.append(reference())
    return Spread(mine, unit), Spread(others, unit)


def each_in_turn(measures: Mapping[str, Callable[[], M]], rounds: int) -> dict[str, list[M]]:
    """As `in_turns`, for more than two: each measure once in each round."""
    found: dict[str, list[M]] = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            found[name].append(measure())
    return found


def until(
    what: str, look: Callable[[], Any], every: float | Callable[[], float] = 0.001, within: float = PATIENCE
) -> Any:
    """Looks until there is something to see, and returns it; raises `Failed` when there is nothing for too long."""
    end = time.monotonic() + within
    while not (seen := look()):
        if time.monotonic() > end:
            raise Failed(f"waited {within:.0f} s for {what}")
        time.sleep(every if isinstance(every, float) else every())
    return seen


class Bench:
    """The server that all benchmarks use, and what is started on it. `quick` makes everything small; without `peers`
    those that are installed are meant."""

    def __init__(self, *, quick: bool = False, program: Path | None = None, peers: Sequence[str] | None = ()) -> None:
        self.quick = quick
        self.rounds = self.size(5, 1)
        self._peers = peers
        self.absent: list[str] = []
        """The peers that are not installed, when those that are were meant."""
        self.missing: list[str] = []
        """Why peers that were asked for are not in the table."""
        self.peers: dict[str, dict[str, Any]] = {}
        """The versions and settings of those that are."""
        self.program = program or _find_program()
        self.folder = Path(tempfile.mkdtemp(prefix="tempotask-bench-"))
        self._path = self.folder / "s.sock"
        self.url = f"unix://{self._path}"
        self._namespaces = 0
        self._keeps: tuple[str, ...] = KEEPS_NOTHING
        self._server: subprocess.Popen[bytes] | None = None
        self.redis = redis.Redis.from_url(self.url)
        self.version = ""

    def __enter__(self) -> Self:
        try:
            self.start_server()
            self.version = _version(self.redis)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Ends the server; nothing of it is left."""
        self.redis.close()
        self.kill_server()
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextlib.contextmanager
    def durable(self, sync: str = "always") -> Iterator[None]:
        """Meanwhile the server keeps all that it acknowledges in its append-only file: it may be killed and started.

        `sync` is what it is told by `appendfsync`.
        """
        try:
            self._restart("--appendonly", "yes", "--appendfsync", sync)
            yield
        finally:
            shutil.rmtree(self.folder / "appendonlydir", ignore_errors=True)
            self._restart(*KEEPS_NOTHING)

    def _restart(self, *keeps: str) -> None:
        self.kill_server()
        self._keeps = keeps
        self.start_server()

    def kill_server(self) -> None:
        """Kills it with -9."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()

    def start_server(self) -> None:
        command = [str(self.program), "--port", "0", "--unixsocket", str(self._path), "--dir", str(self.folder)]
        me = os.getpid()
        server = self._server = subprocess.Popen(
            [*command, "--save", "", *self._keeps, "--loglevel", "warning"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            # Ends with this process, however that ends; and a Ctrl-C is for this process, which ends it last.
            preexec_fn=lambda: linux.die_with(me),
            process_group=0,
        )

        def listening() -> bool:
            if server.poll() is not None:
                raise Failed(f"{self.program} ended with status {server.returncode}")
            with socket.socket(socket.AF_UNIX) as probe:
                return probe.connect_ex(str(self._path)) == 0

        until("the server", listening)

    def for_each_peer(self, known: Mapping[str, P], measure: Callable[[P], list[Row]]) -> list[Row]:
        """The rows of the peers that are meant; those of them that can't be had are said to be missing."""
        rows = []
        for name in known if self._peers is None else self._peers:
            if name not in known:
                continue
            if self._peers is None and not known[name].installed:
                if name not in self.absent:
                    self.absent.append(name)
                continue
            try:
                told = self.peers.setdefault(name, {"version": known[name].install(), "settings": {}})
                told["settings"].update(known[name].commands)
                rows += measure(known[name])
            except Failed as error:
                if (why := f"{name}: {error}") not in self.missing:
                    self.missing.append(why)
        return rows

    def size(self, full: int, quick: int) -> int:
        """A number that depends on whether it is to be quick."""
        return quick if self.quick else full

    def measure(self, name: str) -> list[Row]:
        """The rows of a benchmark, which finds the server empty."""
        self.empty()
        rows: list[Row] = importlib.import_module(f"benchmarks.{name}").measure(self)
        return rows

    def empty(self) -> None:
        """Forgets all jobs on the server, and the server's counts of commands."""
        self.redis.flushall()
        self.redis.config_resetstat()

    @contextlib.contextmanager
    def project(self, application: str, **environment: str) -> Iterator[Project]:
        """A namespace of its own for one of `benchmarks.apps`; what was started in it is ended, its keys are gone."""
        self._namespaces += 1
        project = Project(self, f"benchmarks.apps.{application}:tempotask", f"b{self._namespaces}", environment)
        try:
            yield project
        finally:
            project.close()
            self.redis.flushall()


class Project:
    """One namespace: an application, its supervisors, and a producer."""

    def __init__(self, bench: Bench, application: str, namespace: str, environment: Mapping[str, str]) -> None:
        self.bench = bench
        self.redis = bench.redis
        self.application = application
        self.namespace = namespace
        self.folder = bench.folder / namespace
        """For what handlers leave behind; they find it in $BENCHMARK_FOLDER."""
        self.folder.mkdir()
        self._own_environment = {**environment, "BENCHMARK_FOLDER": str(self.folder)}
        self.environment = {**os.environ, **self._own_environment}
        self.producer: QueueManager[Any] = QueueManager.init(bench.url, namespace=namespace)
        self._server: Server = resolve(bench.url)
        self.store = Store(self._server, namespace)
        self._supervisors: list[Supervisor] = []

    def key(self, name: str) -> str:
        return self.store.prefix + name

    def supervisor(self, *, workers: int = WORKERS, db: str = "", lease: float | None = None) -> Supervisor:
        """Starts a supervisor; returns before it is ready. `db`: another way to the server."""
        start = launch.Start(
            self.application,
            db=db or self.bench.url,
            namespace=self.namespace,
            concurrency=workers,
            lease=lease,
            environment=self._own_environment,
        )
        self._supervisors.append(Supervisor(self, start))
        return self._supervisors[-1]

    def wait_idle(self, workers: int = WORKERS) -> None:
        """Waits until so many workers are idle."""
        until(f"{workers} idle workers", lambda: self.redis.zcard(self.key("idle")) >= workers)

    def first_claim(self) -> float:
        """Waits for the first claim ever; when it was, on the monotonic clock, to a millisecond."""
        tokens = self.key("tokens")
        until("the first claim", lambda: self.redis.exists(tokens), every=0.0005)
        return time.monotonic()

    def all_settled(self) -> float:
        """Waits until nothing waits and nothing is claimed; when that was, to some milliseconds.

        Where both cores work, each look takes something away from what is measured: the next one is made when some of
        what is left should be done. Not most of it: what is left goes twice as fast when a long job has ended, and a
        look that comes after the end is counted as work.
        """
        began, most = time.monotonic(), 0.0
        while left := self._backlog():
            most, elapsed = max(most, left), time.monotonic() - began
            if elapsed > LONGEST_DRAIN:
                raise Failed(f"{left:,.0f} jobs were left after {elapsed:.0f} s")
            to_go = elapsed * left / (most - left) if most > left else elapsed
            time.sleep(min(max(0.001, to_go * 0.4), max(0.001, elapsed)))
        until("the last job to be settled", self.store.quiet, every=0.002, within=LONGEST_DRAIN)
        return time.monotonic()

    def _backlog(self) -> float:
        """About how many jobs wait: more than none if any do, and exact where there are few queues."""
        prefix, ring = self.store.prefix, self.store.ring
        with self.redis.pipeline(transaction=False) as pipe:
            pipe.llen(ring)
            pipe.lrange(ring, 0, LOOKED_AT - 1)
            queues, names = pipe.execute()
            for name in names:
                pipe.llen(f"{prefix}queue:0:{name.decode()}")
            waiting = sum(pipe.execute()) * queues / max(1, len(names))
        return max(float(waiting), float(queues))

    def drain(self) -> float:
        """Starts a supervisor on what has been enqueued; seconds from its first claim until all is settled."""
        supervisor = self.supervisor()
        began = self.first_claim()
        seconds = self.all_settled() - began
        supervisor.end()
        return seconds

    def close(self) -> None:
        for supervisor in self._supervisors:
            supervisor.end()
        self.producer.close()
        self._server.close()


class Supervisor:
    """A supervisor, started as `QueueManager.start` does it: it says when all workers are ready, and ends with us."""

    def __init__(self, project: Project, start: launch.Start) -> None:
        self._log = project.folder / "supervisor.log"
        read_end, write_end = os.pipe()
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tempotask.launched", str(write_end), *sys.argv],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=(write_end,),
                process_group=0,
                cwd=ROOT,
                env=environment(),
            )
        os.close(write_end)
        assert self.process.stdin is not None
        self.process.stdin.write(msgspec.json.encode(start) + b"\n")
        self.process.stdin.flush()
        self._report: int | None = read_end

    @property
    def pid(self) -> int:
        return self.process.pid

    def ready(self) -> Self:
        """Waits until all workers are ready."""
        assert self._report is not None
        with os.fdopen(self._report, "rb") as pipe:
            self._report = None
            line = pipe.readline()
        if not line or not json.loads(line).get("ready"):
            raise Failed(f"the supervisor did not start: {line.decode()}\n{self.log()}")
        return self

    def tree(self) -> list[psutil.Process]:
        """The supervisor, its nursery, its workers, and what they have started."""
        try:
            top = psutil.Process(self.process.pid)
            return [top, *top.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def workers(self) -> list[psutil.Process]:
        return [each for each in self.tree() if title(each).startswith("tempotask: worker")]

    def log(self) -> str:
        return self._log.read_text()

    def end(self) -> None:
        """Ends it with all its workers: gently, at once if that takes long. Ending twice does nothing."""
        if self._report is not None:
            os.close(self._report)
            self._report = None
        if self.process.poll() is None:
            tree = self.tree()
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                for process in tree:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        process.kill()
                self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()


def title(process: psutil.Process) -> str:
    """What `ps` shows of it; empty when it is gone."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _find_program() -> Path:
    found = shutil.which("redis-server")
    if found:
        told = subprocess.run([found, "--version"], capture_output=True, text=True).stdout
        version = next((word[2:] for word in told.split() if word.startswith("v=")), "0")
        if int(version.split(".")[0]) >= 7:
            return Path(found)
    return find_server()


def _version(client: redis.Redis) -> str:
    info: dict[str, Any] = client.info("server")
    return f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {info['redis_version']}"
