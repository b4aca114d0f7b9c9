"""What a server keeps that loses its process, its power or its machine, under each of its settings.

Each test is a row of docs/reliability.md. Where the power is cut, the disk is one that can be cut off (power.py).
"""

from __future__ import annotations

import functools
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from pool.running import LONG, Bench, wait_until
from power import Disk, NoDisk
from sentinel import DOWN_MS, ReplicatedServer, Sentinels
from servers import OwnServer, wait_until_written

from tempotask import JobHandle, QueueManager, ResultExpired
from tempotask.store.durability import Kind

Start = Callable[..., OwnServer]
MakeBench = Callable[[str], Bench]
MakeManager = Callable[..., QueueManager[Any]]
EVERY_SECOND = ("--appendonly", "yes", "--appendfsync", "everysec")
ALWAYS = ("--appendonly", "yes", "--appendfsync", "always")
PATIENT_MS = int(LONG * 1000)


@pytest.fixture
def disk() -> Iterator[Disk]:
    """One whose power can be cut."""
    with tempfile.TemporaryDirectory(prefix="tempotask-", dir="/dev/shm") as place:
        try:
            made = Disk(Path(place))
        except NoDisk as error:
            pytest.skip(str(error))
        yield made
        made.close()


@pytest.fixture
def start_on(disk: Disk) -> Iterator[Start]:
    """Starts a server whose data are on that disk."""
    started: list[OwnServer] = []

    def start(*options: str) -> OwnServer:
        started.append(OwnServer(disk.folder, *options))
        return started[-1]

    yield start
    for server in started:
        server.kill()


@pytest.fixture
def make_manager(namespace: str) -> Iterator[MakeManager]:
    """Makes producers."""
    made: list[QueueManager[Any]] = []

    def make(url: str, durability: Kind = "memory") -> QueueManager[Any]:
        options = {"durability": durability, "connect_timeout": LONG}
        made.append(QueueManager.init(url, namespace=namespace, options=options))
        return made[-1]

    yield make
    for manager in made:
        manager.close()


def add(manager: QueueManager[Any], number: int = 1) -> list[JobHandle[Any]]:
    """Jobs, one call for each."""
    return [manager.enqueue(name="enter", queue="q", data=0) for _ in range(number)]


def lost(manager: QueueManager[Any], handles: list[JobHandle[Any]]) -> int:
    """How many of these jobs, none of which has begun, the server does not know any more."""
    known = {job.id for job in manager.get_jobs(limit=100_000)}
    return sum(handle.id not in known for handle in handles)


def wait_until_synced(disk: Disk, handle: JobHandle[Any], server: OwnServer) -> None:
    """Until that job is on the disk, and with it all before it."""
    wait_until(lambda: handle.id.encode() in disk.image.read_bytes(), "it is not written down")
    with redis.Redis.from_url(server.url) as client:
        wait_until(lambda: client.info("persistence")["aof_pending_bio_fsync"] == 0, "it is not synced")


def test_a_server_that_keeps_nothing_forgets_all_when_it_ends_and_who_waits_is_told(
    start_server: Start, make_manager: MakeManager
) -> None:
    server = start_server()
    manager = make_manager(server.url)
    handles = add(manager, 3)
    server.kill()
    server.start()
    assert lost(manager, handles) == 3
    with pytest.raises(ResultExpired, match="or the server has lost its data"):
        handles[0].result(timeout=LONG)


def test_a_server_that_syncs_once_a_second_loses_nothing_that_it_has_written_when_only_its_process_is_killed(
    start_server: Start, make_manager: MakeManager
) -> None:
    server = start_server(*EVERY_SECOND)
    manager = make_manager(server.url)
    for _ in range(5):
        handles = add(manager, 20)
        with redis.Redis.from_url(server.url) as client:
            wait_until_written(client)
        server.kill()
        server.start()
        assert lost(manager, handles) == 0


def test_a_server_that_syncs_once_a_second_loses_the_last_second_with_its_power_and_no_more(
    disk: Disk, start_on: Start, make_manager: MakeManager
) -> None:
    server = start_on(*EVERY_SECOND)
    manager = make_manager(server.url)
    before, last = [], []
    for _ in range(10):
        before += add(manager, 5)
        wait_until_synced(disk, before[-1], server)
        last = add(manager, 5)
        disk.cut_power(server)
        server.start()
        assert lost(manager, before) == 0
        if lost(manager, last):
            break
    assert lost(manager, last), "the power was cut, and nothing is lost: this shows nothing"


@pytest.mark.parametrize("durability", ["memory", "disk"])
def test_a_server_that_syncs_always_loses_no_acknowledged_job_with_its_power(
    durability: Kind, disk: Disk, start_on: Start, make_manager: MakeManager
) -> None:
    server = start_on(*ALWAYS)
    manager = make_manager(server.url, durability)
    for number in (1, 7, 40):
        handles = add(manager, number)
        handles += manager.enqueue_many({"name": "enter", "queue": "q", "data": 0} for _ in range(1500))
        disk.cut_power(server)
        server.start()
        assert lost(manager, handles) == 0


def test_under_a_server_that_syncs_always_no_job_that_was_settled_runs_again(
    disk: Disk, start_on: Start, make_bench: MakeBench
) -> None:
    server = start_on(*ALWAYS)
    bench = make_bench(server.url)
    supervisor = bench.start(workers=2)
    handles = bench.manager.enqueue_many({"name": "enter", "queue": "q", "data": 0.001} for _ in range(600))
    wait_until(lambda: len(bench.entries()) > 400, "nothing runs")
    results = {handle.id: handle.result(timeout=LONG) for handle in handles[:100]}
    disk.cut_power(server)
    server.start()
    assert handles.results(timeout=LONG)[:100] == list(results.values()), "a result that was told stays"
    starts = [(id, int(token)) for id, what, token, _ in bench.entries() if what == "start"]
    assert all(token <= results[id] for id, token in starts if id in results), "it ran again"
    assert supervisor.stop() == 0


def test_a_job_that_runs_again_since_the_server_has_older_state_has_a_higher_token(
    disk: Disk, start_on: Start, make_bench: MakeBench
) -> None:
    server = start_on(*EVERY_SECOND)
    bench = make_bench(server.url)
    for _ in range(10):
        handle = bench.manager.enqueue(name="enter", queue="q", data=0)
        wait_until_synced(disk, handle, server)
        supervisor = bench.start("--lease", "1", workers=1)
        first = handle.result(timeout=LONG)
        disk.cut_power(server)
        server.start()
        again = wait_until(functools.partial(handle.result, timeout=LONG), "it has no result")
        assert again >= first
        assert supervisor.stop() in (0, 1)
        if again > first:
            break
    assert again > first, "it never ran again: this shows nothing"
    tokens = [int(token) for id, what, token, _ in bench.entries() if id == handle.id and what == "start"]
    assert tokens == sorted(set(tokens)), "a later start has a higher token"


class Group:
    """A primary, a replica and three Sentinels, which fail over only when the primary is lost: on a busy machine one
    that was promoted a moment ago might be held to be down too, and the empty one that is back take its place."""

    def __init__(self, folder: Path) -> None:
        self.primary = ReplicatedServer(Path(tempfile.mkdtemp(dir=folder)))
        self.replica = ReplicatedServer(Path(tempfile.mkdtemp(dir=folder)), primary=self.primary)
        self.primary.wait_for_replicas()
        self.sentinels = Sentinels(folder, self.primary)
        self.sentinels.wait_until_ready(replicas=1)
        self.sentinels.down_after(PATIENT_MS)

    def lose_primary(self) -> None:
        """Its machine is gone, and the replica takes its place."""
        self.primary.kill()
        self.sentinels.down_after(DOWN_MS)
        wait_until(lambda: self.sentinels.primary() == self.replica.port, "there is no failover")
        self.sentinels.down_after(PATIENT_MS)

    def close(self) -> None:
        self.sentinels.kill()
        for server in (self.primary, self.replica):
            server.kill()


@pytest.fixture
def group(short_path: Path) -> Iterator[Group]:
    made = Group(short_path)
    yield made
    made.close()


@pytest.mark.slow
def test_a_job_that_a_replica_has_outlives_the_machine_of_the_primary(group: Group, make_manager: MakeManager) -> None:
    manager = make_manager(group.sentinels.url, "replica")
    acknowledged: list[JobHandle[Any]] = []
    enough = threading.Event()

    def produce() -> None:
        while not enough.is_set():
            acknowledged.extend(add(manager))

    producing = threading.Thread(target=produce)
    producing.start()
    try:
        wait_until(lambda: len(acknowledged) > 50, "nothing is added")
        group.lose_primary()
        group.primary.start()  # until it is the replica now, no job is acknowledged
        before = len(acknowledged)
        wait_until(lambda: len(acknowledged) > before + 50, "the producer does not come back")
    finally:
        enough.set()
        producing.join(LONG)
    assert lost(manager, acknowledged) == 0


def test_a_job_that_no_replica_has_yet_goes_with_the_primary(group: Group, make_manager: MakeManager) -> None:
    manager = make_manager(group.sentinels.url)
    add(manager)
    group.replica.process.send_signal(signal.SIGSTOP)
    with group.primary.client() as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "replica")
    handles = add(manager)
    group.primary.kill()
    group.replica.process.send_signal(signal.SIGCONT)
    group.lose_primary()
    assert lost(manager, handles) == 1


def test_supervisor_workers_and_who_waits_go_on_at_a_replica_that_is_promoted(
    group: Group, make_bench: MakeBench
) -> None:
    bench = make_bench(group.sentinels.url)
    handles = bench.manager.enqueue_many({"name": "enter", "queue": "q", "data": 0.002} for _ in range(600))
    group.primary.wait_for_replicas()
    supervisor = bench.start(workers=2)
    wait_until(lambda: len(bench.entries()) > 200, "nothing runs")
    group.lose_primary()
    results = handles.results(timeout=LONG)
    ended = {(id, int(token)) for id, what, token, _ in bench.entries() if what == "end"}
    assert all((handle.id, token) in ended for handle, token in zip(handles, results, strict=True))
    assert bench.manager.enqueue(name="echo", queue="q", data=1).result(timeout=LONG) == 1
    assert supervisor.stop() == 0
