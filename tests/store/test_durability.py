"""Durability: calls return when what they changed is on disk, or at a replica; servers that can't are refused."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from sentinel import ReplicatedServer
from servers import OwnServer

from tempotask import InvalidOptions, NotDurable, Options, QueueManager, ServerUnavailable
from tempotask.store.addition import named
from tempotask.store.connect import Server
from tempotask.store.durability import Kind
from tempotask.store.store import Store

LONG, SOON, LATER = 60.0, 2.0, 6.0
"""Seconds that nothing takes, on however busy a machine; that are waited for what does not come; and that many jobs are
waited for, which a busy machine may take a while to add."""
Start = Callable[..., OwnServer]
Make = Callable[..., QueueManager[Any]]
ALWAYS = ("--appendonly", "yes", "--appendfsync", "always")


@pytest.fixture
def replicated(short_path: Path) -> Iterator[tuple[ReplicatedServer, ReplicatedServer]]:
    """A primary and its replica."""
    folders = [Path(tempfile.mkdtemp(dir=short_path)) for _ in range(2)]
    primary = ReplicatedServer(folders[0])
    replica = ReplicatedServer(folders[1], primary=primary)
    primary.wait_for_replicas()
    yield primary, replica
    for server in (replica, primary):
        server.kill()


@pytest.fixture
def manager_on(namespace: str) -> Iterator[Make]:
    """Makes managers of one namespace."""
    made: list[QueueManager[Any]] = []

    def make(url: str | None, durability: Kind, patience: float = LONG) -> QueueManager[Any]:
        options = {"durability": durability, "connect_timeout": patience}
        made.append(QueueManager.init(url, namespace=namespace, options=options))
        return made[-1]

    yield make
    for manager in made:
        manager.close()


class Stopped:
    """A replica that answers nothing for a while."""

    def __init__(self, server: OwnServer) -> None:
        self.server = server

    def __enter__(self) -> None:
        self.server.process.send_signal(signal.SIGSTOP)

    def __exit__(self, *exception: object) -> None:
        self.server.process.send_signal(signal.SIGCONT)


def confirmed(manager: QueueManager[Any]) -> bool:
    """Adds jobs until a replica, which lives, has one in time."""
    end = time.monotonic() + LONG
    while time.monotonic() < end:
        with contextlib.suppress(NotDurable):
            return manager.enqueue(name="n", queue="q").created
    return False


CHANGES: dict[str, Callable[[QueueManager[Any]], object]] = {
    "enqueue": lambda manager: manager.enqueue(name="n", queue="q"),
    "publish": lambda manager: manager.publish(name="n", queues=["q", "r"]),
    "enqueue_many": lambda manager: manager.enqueue_many({"name": "n", "queue": "q"} for _ in range(1500)),
    "a schedule": lambda manager: manager.enqueue(name="n", queue="q", options={"repeat": "* * * * *"}),
    "cancel": lambda manager: manager.cancel_job_by_id("waits"),
    "cancel a schedule": lambda manager: manager.cancel_job_by_id("daily"),
    "delete": lambda manager: manager.delete_jobs(queue="given"),
    "pause a queue": lambda manager: manager.pause_queue("given"),
    "resume a queue": lambda manager: manager.resume_queue("paused"),
    "pause a job": lambda manager: manager.pause_job_by_id("waits"),
    "retry": lambda manager: manager.retry_job_by_id("ended"),
}


def prepare(manager: QueueManager[Any]) -> None:
    """What the changes need."""
    manager.enqueue(name="n", queue="given", options={"id": "waits"})
    manager.enqueue(name="n", queue="given", options={"id": "daily", "repeat": "0 0 * * *"})
    manager.enqueue(name="n", queue="given", options={"id": "ended"})
    manager.cancel_job_by_id("ended")
    manager.pause_queue("paused")


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_returns_only_when_a_replica_has_it(
    change: str, replicated: tuple[ReplicatedServer, ReplicatedServer], manager_on: Make
) -> None:
    primary, replica = replicated
    manager = manager_on(primary.url, "replica")
    prepare(manager)
    done = threading.Event()

    def act() -> None:
        assert CHANGES[change](manager)
        done.set()

    acting = threading.Thread(target=act)
    with Stopped(replica):
        acting.start()
        assert not done.wait(0.2), "the replica has nothing, and the call has returned"
    assert done.wait(LONG)
    acting.join()


@pytest.mark.parametrize("change", ["cancel", "cancel a schedule", "pause a queue"])
def test_a_change_that_no_replica_confirms_in_time_says_so(
    change: str, replicated: tuple[ReplicatedServer, ReplicatedServer], manager_on: Make
) -> None:
    primary, replica = replicated
    prepare(manager_on(primary.url, "memory"))
    manager = manager_on(primary.url, "replica", SOON)
    with Stopped(replica), pytest.raises(NotDurable, match=r"has it, but no replica said so too within 2 s"):
        CHANGES[change](manager)


@pytest.mark.parametrize("make", ["enqueue", "publish", "enqueue_many", "a schedule"])
def test_the_error_holds_the_jobs_that_are_in_all_the_same(
    make: str, replicated: tuple[ReplicatedServer, ReplicatedServer], manager_on: Make
) -> None:
    primary, replica = replicated
    manager = manager_on(primary.url, "replica", LATER if make == "enqueue_many" else SOON)
    with Stopped(replica), pytest.raises(NotDurable) as told:
        CHANGES[make](manager)
    assert isinstance(told.value, ServerUnavailable), "who waits for a server need not know of this one"
    assert told.value.handles
    assert all(handle.created for handle in told.value.handles)
    assert {handle.status() for handle in told.value.handles} == {"delayed" if make == "a schedule" else "waiting"}
    if make != "a schedule":
        assert {handle.id for handle in told.value.handles} == {job.id for job in manager.get_jobs(limit=10_000)}


def test_in_the_memory_of_the_server_a_job_is_at_once(
    replicated: tuple[ReplicatedServer, ReplicatedServer], manager_on: Make
) -> None:
    primary, replica = replicated
    with Stopped(replica):
        assert manager_on(primary.url, "memory").enqueue(name="n", queue="q").created


def test_the_awaitable_twins_wait_likewise(
    replicated: tuple[ReplicatedServer, ReplicatedServer], manager_on: Make
) -> None:
    primary, replica = replicated
    assert asyncio.run(manager_on(primary.url, "replica").aenqueue(name="n", queue="q")).created
    manager = manager_on(primary.url, "replica", SOON)
    with Stopped(replica), pytest.raises(NotDurable) as told:
        asyncio.run(manager.aenqueue(name="n", queue="q"))
    assert len(told.value.handles) == 1


def test_a_call_that_is_made_again_on_another_connection_waits_for_what_the_first_one_wrote(
    replicated: tuple[ReplicatedServer, ReplicatedServer], namespace: str
) -> None:
    """It writes nothing new itself, and a server waits for nothing but the last write of the same connection."""
    primary, replica = replicated
    first, again = (
        Store(Server(primary.url, connect_timeout=SOON), namespace, durability=durability)
        for durability in ("memory", "replica")
    )
    call = named(first.new_call())
    with Stopped(replica):
        assert first.run("pause", *call, "pause", "q") == 1
        with pytest.raises(NotDurable):
            again.durably("pause", *call, "pause", "q")
    patient = Store(Server(primary.url, connect_timeout=LONG), namespace, durability="replica")
    assert patient.durably("pause", *call, "pause", "q") == 1
    for store in (first, again, patient):
        store.close()


def test_a_job_whose_id_is_taken_is_durable_too(
    replicated: tuple[ReplicatedServer, ReplicatedServer], manager_on: Make
) -> None:
    primary, replica = replicated
    hasty, careful = manager_on(primary.url, "memory"), manager_on(primary.url, "replica", SOON)
    with Stopped(replica):
        assert hasty.enqueue(name="n", queue="q", options={"id": "x"}).created
        with pytest.raises(NotDurable) as told:
            careful.enqueue(name="n", queue="q", options={"id": "x"})
    (handle,) = told.value.handles
    assert not handle.created


def test_a_schedule_whose_id_is_taken_is_not_told_of_as_created(
    replicated: tuple[ReplicatedServer, ReplicatedServer], manager_on: Make
) -> None:
    primary, replica = replicated
    hasty, careful = manager_on(primary.url, "memory"), manager_on(primary.url, "replica", SOON)
    hourly: Any = {"id": "x", "repeat": "0 * * * *"}
    with Stopped(replica):
        assert hasty.enqueue(name="n", queue="q", options=hourly).created
        with pytest.raises(NotDurable) as told:
            careful.enqueue(name="n", queue="q", options=hourly)
    (handle,) = told.value.handles
    assert not handle.created


def test_a_replica_that_went_is_waited_for_and_one_that_never_was_is_refused(
    replicated: tuple[ReplicatedServer, ReplicatedServer], manager_on: Make, start_server: Start
) -> None:
    primary, replica = replicated
    manager = manager_on(primary.url, "replica", SOON)
    assert confirmed(manager)
    replica.kill()
    with primary.client() as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    with pytest.raises(NotDurable):
        manager.enqueue(name="n", queue="q")
    replica.start()
    primary.wait_for_replicas()
    assert confirmed(manager)
    with pytest.raises(InvalidOptions, match="it has no replica; attach one"):
        manager_on(start_server().url, "replica").enqueue(name="n", queue="q")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "it has no append-only file; while it runs, `CONFIG SET appendonly yes` and `CONFIG SET"),
        (
            ("--appendonly", "yes", "--appendfsync", "no"),
            "it syncs its append-only file not at all; while it runs, `CONFIG SET appendfsync always`",
        ),
        (("--appendonly", "yes", "--appendfsync", "everysec"), "it syncs its append-only file only once a second"),
    ],
)
def test_a_server_that_has_no_disk_to_wait_for_is_refused_before_anything_is_added(
    options: tuple[str, ...], says: str, start_server: Start, manager_on: Make
) -> None:
    server = start_server(*options)
    manager = manager_on(server.url, "disk")
    for add in ("enqueue", "enqueue_many", "pause a queue"):
        with pytest.raises(InvalidOptions, match=says) as told:
            CHANGES[add](manager)
        assert "\n" not in str(told.value)
        if add == "enqueue_many":
            assert getattr(told.value, "handles", None) == []
            assert told.value.__context__ is None
        assert "durability='disk'" in str(told.value)
        assert str(told.value).endswith("set another durability (memory, replica)")
    assert manager.get_jobs() == []
    assert manager_on(server.url, "memory").enqueue(name="n", queue="q").created


def test_a_redis_that_can_not_wait_for_its_disk_is_refused_by_its_version(
    start_server: Start, manager_on: Make
) -> None:
    old = shutil.which("redis-server")
    if old is None:
        pytest.skip("there is no redis-server on the PATH")
    server = start_server(*ALWAYS, program=old)
    with redis.Redis.from_url(server.url) as client:
        version = client.info("server")["redis_version"]
    if not version.startswith("7.0"):
        pytest.skip(f"redis-server is {version}, and not 7.0")
    with pytest.raises(InvalidOptions, match=rf"Redis {version} has no WAITAOF; use Redis 7\.2 or newer, or Valkey"):
        manager_on(server.url, "disk").enqueue(name="n", queue="q")


@pytest.mark.parametrize("asked", ["memory", "disk"])
def test_the_embedded_server_syncs_each_write_for_who_asks_for_it(
    asked: Kind, short_path: Path, manager_on: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMPOTASK_HOME", str(short_path / "home"))
    manager = manager_on(None, asked)
    manager.enqueue(name="n", queue="q")
    with redis.Redis.from_url(str(manager._client.server.url)) as client:
        setting = client.config_get("appendfsync")["appendfsync"]
    assert setting == ("always" if asked == "disk" else "everysec")


def test_a_user_who_may_not_ask_for_the_settings_is_told_what_is_missing(start_server: Start, manager_on: Make) -> None:
    server = start_server(*ALWAYS)
    with redis.Redis.from_url(server.url) as client:
        client.acl_setuser("u", enabled=True, passwords=["+p"], keys=["*"], commands=["+@all", "-config"])
    with pytest.raises(InvalidOptions, match=r"allow that user `\+config\|get`"):
        manager_on(server.url.replace("unix://", "unix://u:p@"), "disk").enqueue(name="n", queue="q")


def test_a_file_that_is_given_up_meanwhile_is_noticed(start_server: Start, manager_on: Make) -> None:
    server = start_server(*ALWAYS)
    manager = manager_on(server.url, "disk")
    assert manager.enqueue(name="n", queue="q").created
    with redis.Redis.from_url(server.url) as client:
        client.config_set("appendonly", "no")
    with pytest.raises(InvalidOptions, match="it has no append-only file"):
        manager.enqueue(name="n", queue="q")


def test_a_server_that_is_away_at_the_first_change_is_waited_for(start_server: Start, namespace: str) -> None:
    server = start_server(*ALWAYS)
    store = Store(Server(server.url, connect_timeout=SOON), namespace, durability="disk")
    store.now()
    server.kill()
    with pytest.raises(ServerUnavailable, match="after waiting for it"):
        store.pause_queue("q")
    store.server.connect_timeout = LONG
    coming = threading.Timer(0.2, server.start)
    coming.start()
    assert store.pause_queue("q")
    coming.join()
    store.close()


def test_a_server_that_forgot_its_scripts_is_told_them_again(start_server: Start, manager_on: Make) -> None:
    server = start_server(*ALWAYS)
    manager = manager_on(server.url, "disk")
    for add in ("enqueue", "enqueue_many"):
        with redis.Redis.from_url(server.url) as client:
            client.script_flush()
        CHANGES[add](manager)
    assert len(manager.get_jobs(limit=2000)) == 1501


def test_the_end_of_a_schedule_that_is_sent_twice_says_twice_that_it_ended(server_url: str, namespace: str) -> None:
    manager = QueueManager.init(server_url, namespace=namespace)
    manager.enqueue(name="n", queue="q", options={"id": "daily", "repeat": "0 0 * * *"})
    store = manager._client.store
    call = named(store.new_call())
    assert [store.run("unschedule", *call, "daily") for _ in range(2)] == [b"1", b"1"]
    assert store.change("unschedule", "daily") == b"0"
    manager.close()


def test_jobs_that_run_at_once_in_the_caller_have_nothing_to_wait_for(namespace: str) -> None:
    manager = QueueManager.init(namespace=namespace, options={"durability": "disk"}, inline=True)
    manager.register_job(name="n", queue="q", handler=lambda job, ctx: 1)
    assert manager.enqueue(name="n", queue="q").result() == 1


def test_durability_is_one_of_three() -> None:
    assert Options().durability == "memory"
    assert Options(durability="disk").durability == "disk"
    with pytest.raises(InvalidOptions, match='give "memory", "disk" or "replica"'):
        Options(durability="high")  # type: ignore[arg-type]
