"""The world: a server, a way to it, a ledger, supervisors, a producer, in a folder of its own."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import psutil
import redis
from pool.running import LONG, Supervisor, wait_until
from sentinel import ReplicatedServer, Sentinels
from servers import OwnServer

from tempotask import JobHandles, QueueManager
from tempotask.store.connect import Server
from tempotask.store.store import Store
from torture.chore import MAX_CRASHES, Chore
from torture.chores import QUEUES
from torture.debts import COMPLETED, Debts, Owed
from torture.fault import Overtaken, Setting
from torture.ledger import PATH, Ledger
from torture.proxy import Proxy
from torture.receipts import Receipts

T = TypeVar("T")
TESTS = Path(__file__).parent.parent
NEVER_MS = 600_000
CHORES = ("short", "busy", "ashort", "poison")
"""Names of tasks that are in each of the queues and take a `Chore`."""


class World:
    """What a fault breaks. Closing it leaves nothing, but the folder when `keep` says so."""

    def __init__(self, setting: Setting | None = None, seed: int = 0) -> None:
        self.setting = setting or Setting()
        self.seed = seed
        self.folder = Path(tempfile.mkdtemp(prefix="torture-"))
        self.namespace = f"torture-{uuid.uuid4().hex[:8]}"
        self.supervisors: list[Supervisor] = []
        self.gone: list[Supervisor] = []
        """Those in whose place others are."""
        self._doomed: set[Supervisor] = set()
        """Those that a fault ends, gone or not."""
        self._dooming = threading.Lock()
        self._randoms = threading.local()
        self._heard: dict[Supervisor, int] = {}
        self._counted = 0
        for name, text in self.setting.files.items():
            (self.folder / name).write_text(text)
        self.ledger = Ledger(self._subfolder("ledger"))
        self.replicas: list[ReplicatedServer] = []
        self.sentinels: Sentinels | None = None
        self.server = self._start_server()
        self.proxy = Proxy(self.server.path, f"{self.folder}/p.sock", seed)
        self.way = self.sentinels.url if self.sentinels else self.proxy.url
        """The URL by which supervisors and producers get to the server."""
        self.direct = redis.Redis(unix_socket_path=self.server.path)
        self.manager: QueueManager[Any] = QueueManager.init(
            db=self.way, namespace=self.namespace, options={"connect_timeout": self.setting.patience}
        )
        self.store = Store(Server(self.server.url), self.namespace)
        self.debts = Debts(self.manager)
        self.receipts = Receipts()

    def _start_server(self) -> OwnServer:
        options = ("--logfile", "log", *self.setting.server)
        if not self.setting.replicas:
            return OwnServer(self._subfolder("server"), *options)
        primary = ReplicatedServer(self._subfolder("server"), *options)
        for number in range(self.setting.replicas):
            self.replicas.append(ReplicatedServer(self._subfolder(f"replica-{number}"), *options, primary=primary))
        self.sentinels = Sentinels(self._subfolder("sentinels"), primary)
        self.sentinels.wait_until_ready(self.setting.replicas)
        # On a busy machine a server may be silent for long. That is for faults to bring about.
        self.sentinels.down_after(NEVER_MS)
        return primary

    def _subfolder(self, name: str) -> Path:
        (self.folder / name).mkdir()
        return self.folder / name

    # -- chance

    @property
    def random(self) -> random.Random:
        """Chance, by the seed: each injection has its own, so that what others do at the same time changes nothing."""
        if not hasattr(self._randoms, "own"):
            self._randoms.own = random.Random(self.seed)
        own: random.Random = self._randoms.own
        return own

    def seed_thread(self, seed: int) -> None:
        """From here on `random` in this thread begins with that seed."""
        self._randoms.own = random.Random(seed)

    # -- supervisors

    def start(self) -> None:
        """Starts the supervisors of the setting; returns when all are ready."""
        begun = [self.begin_supervisor() for _ in range(self.setting.supervisors)]
        for supervisor in begun:
            supervisor.wait_for("ready: ")

    def begin_supervisor(
        self,
        *options: str,
        environment: Mapping[str, str] | None = None,
        application: str = "",
        through: Sequence[str] = (),
    ) -> Supervisor:
        """Starts a supervisor and does not wait for it. `through` is a command that runs it in its own place."""
        setting = self.setting
        arguments = [application or setting.application, "--db", self.way, "--namespace", self.namespace]
        arguments += ["--concurrency", str(setting.workers), "--lease", str(setting.lease), "--log-format", "json"]
        known = {**os.environ, **self.environment(), **setting.environment, **(environment or {})}
        supervisor = Supervisor([*arguments, *setting.options, *options], self.folder, known, through)
        self.supervisors.append(supervisor)
        return supervisor

    def environment(self) -> dict[str, str]:
        """What handlers need, and a folder of the world's own for what is temporary."""
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        path = os.pathsep.join(filter(None, (str(TESTS), os.environ.get("PYTHONPATH"))))
        return {PATH: self.ledger.server.path, "PYTHONPATH": path, "TMPDIR": str(temporary)}

    def start_supervisor(
        self,
        *options: str,
        environment: Mapping[str, str] | None = None,
        application: str = "",
        through: Sequence[str] = (),
    ) -> Supervisor:
        """Starts one more; returns when its workers are ready."""
        supervisor = self.begin_supervisor(*options, environment=environment, application=application, through=through)
        supervisor.wait_for("ready: ")
        return supervisor

    def replace(self, supervisor: Supervisor, *options: str) -> Supervisor:
        """Starts another in the place of one that is gone, or about to go."""
        supervisor.end()
        self.supervisors.remove(supervisor)
        self.gone.append(supervisor)
        return self.start_supervisor(*options)

    def victim(self, *, ends: bool = False) -> Supervisor:
        """A supervisor that is ready and that no fault ends; with `ends`, the caller's does."""

        def free() -> Supervisor | None:
            with self._dooming:
                left = [one for one in self.supervisors if one not in self._doomed and one.about("ready: ")]
                victim = self.random.choice(left) if left else None
                if victim is not None and ends:
                    self._doomed.add(victim)
                return victim

        found = wait_until(free, "no supervisor is ready and left alone")
        assert found is not None
        return found

    def wait_about(self, supervisor: Supervisor, what: Callable[[], T], why: str) -> T:
        """The first true answer to what is asked about a supervisor. Raises `Overtaken` if a fault ends that one."""

        def look() -> T:
            ended = supervisor.process.poll() is not None
            if not (answer := what()) and ended and supervisor in self._doomed:
                raise Overtaken(f"supervisor {supervisor.process.pid} was ended by another fault: {why}")
            return answer

        return wait_until(look, why)

    def victim_worker(self) -> tuple[psutil.Process, Supervisor]:
        """A worker, and whose it is."""
        worker = self.random.choice(wait_until(self.workers, "no worker is there"))
        return worker, self.owner(worker)

    def workers(self) -> list[psutil.Process]:
        """The live workers of all supervisors, without what handlers have forked: that is called like its worker."""
        found: dict[str, psutil.Process] = {}
        for supervisor in list(self.supervisors):
            for process in supervisor.workers():
                with contextlib.suppress(psutil.Error):
                    title = " ".join(process.cmdline())
                    found[title] = min(process, found.get(title, process), key=psutil.Process.create_time)
        return list(found.values())

    def owner(self, worker: psutil.Process) -> Supervisor:
        """Whose worker it is. Raises `Overtaken` if it is gone."""
        for supervisor in self.supervisors:
            if worker in supervisor.workers():
                return supervisor
        raise Overtaken(f"no supervisor has worker {worker.pid} any more")

    def lines(self, text: str) -> list[str]:
        """The lines of all supervisors' logs that have this text in them."""
        return [line for supervisor in (*self.gone, *self.supervisors) for line in supervisor.about(text)]

    # -- jobs

    def add(
        self, name: str, number: int = 1, *, expect: Sequence[str] = COMPLETED, data: object = None, **options: Any
    ) -> JobHandles[Any]:
        """Adds jobs that are owed, through the proxy, and returns their handles. `expect` are the outcomes that are
        right. A chore gets its data here; of other tasks, which are in the queue `nasty`, the data are as given.

        Raises what `enqueue_many` raises; those that may be in nevertheless are not owed, but looked at.
        """
        return self.debts.add(self._job(name, tuple(expect), data, options) for _ in range(number))

    def _job(
        self, name: str, expect: tuple[str, ...], data: object, given: Mapping[str, Any]
    ) -> tuple[Owed, dict[str, Any]]:
        mark, chance, options = self.debts.mark(), self.random, dict(given)
        queue = options.pop("queue", "") or (chance.choice(QUEUES) if name in CHORES else "nasty")
        if isinstance(data, Chore):
            data = Chore(mark, data.seconds, data.fails)
        elif name in CHORES:
            data = Chore(mark, float(data) if isinstance(data, int | float) else 0.0)
        item = {"name": name, "queue": queue, "data": data, "options": options}
        most = int(options.get("max_crashes", MAX_CRASHES))
        return Owed(mark, expect, name in CHORES, most, options.get("timeout") is not None), item

    def add_mixed(self, number: int) -> JobHandles[Any]:
        """Adds short jobs of many kinds: most take no time, a few so long that what is behind them is stolen."""
        return self.debts.add(self._mixed() for _ in range(number))

    def _mixed(self) -> tuple[Owed, dict[str, Any]]:
        chance = self.random
        name = chance.choices(("short", "busy", "ashort"), (90, 5, 5))[0]
        seconds = chance.choices((0.0, 0.002, 0.02, 0.15), (900, 80, 18, 2))[0]
        options: dict[str, Any] = {}
        if chance.random() < 0.03:
            options["delay"] = chance.uniform(0.01, 0.5)
        if chance.random() < 0.05:
            options["priority"] = chance.randint(-2, 2)
        if chance.random() < 0.02:
            options["retry_delay"] = chance.uniform(0.0, 0.1)
        owed, item = self._job(name, COMPLETED, Chore("", seconds, int(chance.random() < 0.01)), options)
        if chance.random() < 0.03:
            item["options"]["id"] = f"own-{owed.mark}"
        return owed, item

    def wait_busy(self, within: float = LONG) -> int:
        """Returns when a worker is inside a handler: its pid."""
        return next(iter(wait_until(self.ledger.busy, "no worker is inside a handler", within)))

    def outstanding(self) -> int:
        """How many jobs that are owed have not ended, by the ledger."""
        self.ledger.entries()
        return len(self.debts.owed.keys() - self.ledger.ended)

    # -- judgement

    def new_lines(self) -> list[str]:
        """What supervisors have said since this was asked last."""
        new = []
        for supervisor in (*self.gone, *self.supervisors):
            first, count = self._heard.get(supervisor, 0), len(supervisor.lines)
            new += supervisor.lines[first:count]
            self._heard[supervisor] = count
        return new

    def newly_completed(self) -> int | None:
        """By how much the counters of completed jobs have grown since this was asked last; None when they shrank."""
        counted = 0
        for key in self.direct.scan_iter(f"{{{self.namespace}}}:counts:*", count=10_000):
            counted += int(self.direct.hget(key, "completed") or 0)
        before, self._counted = self._counted, counted
        return counted - before if counted >= before else None

    def forget(self) -> None:
        """Begins the next part, after a judgement."""
        self.ledger.forget()
        self.debts.forget()

    def slots(self) -> int:
        """How many workers there should be."""
        return sum(_concurrency(supervisor) for supervisor in self.supervisors)

    # -- the server

    def turn_to(self, server: OwnServer) -> None:
        """From now on that is the server."""
        self.direct.close()
        self.store.close()
        self.server = server
        self.direct = redis.Redis(unix_socket_path=server.path)
        self.store = Store(Server(server.url), self.namespace)

    # -- the end

    def stop(self) -> None:
        """Stops the supervisors gently, those that do not end by force."""
        for supervisor in self.supervisors:
            if supervisor.process.poll() is None:
                supervisor.signal(signal.SIGCONT)
                supervisor.signal()
        end = time.monotonic() + LONG
        for supervisor in (*self.gone, *self.supervisors):
            try:
                supervisor.end(max(1.0, end - time.monotonic()))
            except Exception:
                supervisor.signal(signal.SIGKILL)
                supervisor.end()
            assert supervisor.process.stderr is not None
            supervisor.process.stderr.close()

    def close(self, keep: bool = False) -> None:
        """Ends all that belongs to it."""
        try:
            self.manager.close()
            self.stop()
        finally:
            self.store.close()
            self.direct.close()
            self.proxy.close()
            if self.sentinels:
                self.sentinels.kill()
            for server in (self.server, *self.replicas):
                if server.process.poll() is None:
                    server.kill()
            self.ledger.close()
            if not keep:
                shutil.rmtree(self.folder, ignore_errors=True)


def _concurrency(supervisor: Supervisor) -> int:
    """What it was told to have; the last word counts."""
    words: list[str] = list(supervisor.process.args)  # type: ignore[arg-type]
    return int(words[len(words) - words[::-1].index("--concurrency")])
