"""That a namespace knows the format it is written in: a newer one is left alone, an older one is read."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from fuzz.calls import held
from pool.running import Bench, wait_until
from servers import OwnServer
from store.stored import load

from tempotask import QueueManager, ServerUnavailable
from tempotask.store import lists
from tempotask.store.check import check
from tempotask.store.format import FORMAT
from tempotask.store.store import Store

SNAPSHOTS = Path(__file__).parent / "snapshots"
_PLACES = {
    "waiting": ("waiting-1", "waiting-2", "large", "urgent", "low", "parked", "in-paused"),
    "delayed": ("retries", "due", "parked-due"),
    "processing": ("claimed",),
    "completed": ("completed",),
    "failed": ("failed",),
    "cancelled": ("cancelled", "hole"),
}
WHERE = {id: status for status, ids in _PLACES.items() for id in ids}
"""Where the jobs of the snapshots are, but for those with automatic ids: one waits, and from the second format on one
that has ended is in a sheet."""


@pytest.mark.parametrize("number", ["1", "", "2"], ids=["first", "from before there were numbers", "second"])
def test_a_namespace_of_an_earlier_format_is_read_and_worked_off(bench: Bench, admin: Store, number: str) -> None:
    store, manager = bench.store, bench.manager
    load(admin, SNAPSHOTS / f"format-{number or 1}.jsonl")
    if not number:
        admin.server.client().delete(f"{admin.prefix}format")
    assert check(store) == []
    found = {one.id: one.status for one in lists.jobs(store, limit=100)[0]}
    assert {id: found[id] for id in WHERE} == WHERE
    others = {found[id]: id for id in found.keys() - WHERE.keys()}
    automatic = others.pop("waiting")
    assert list(others) == (["completed"] if number == "2" else [])
    assert [manager.handle(id).result() for id in others.values()] == [None] * len(others)
    assert manager.handle("completed").result() is None
    assert manager.handle("yearly").status() == "delayed"
    bench.start("--lease", "0.5")
    for id in ("claimed", "waiting-1", "waiting-2", "due"):
        assert manager.handle(id).result(timeout=60) == id
    assert manager.handle(automatic).result(timeout=60) == "of an automatic id"
    assert manager.handle("large").result(timeout=60) == "y" * 5000
    assert manager.handle("urgent").result(timeout=60) == {"a": [1, 2.5, None, b"bytes"]}
    assert manager.handle("low").result(timeout=60) is None
    assert manager.handle("retries").result(timeout=60) == "x" * 5000
    for id in ("parked", "parked-due"):
        assert manager.resume_job_by_id(id)
        assert manager.handle(id).result(timeout=60) == "parked"
    assert manager.retry_job_by_id("failed")
    assert manager.handle("failed").result(timeout=60) == "x" * 5000
    assert manager.get_jobs(queue="paused")[0].status == "waiting"
    assert store.read("GET", "format") == str(FORMAT).encode()


USES: dict[str, Callable[[QueueManager[None]], object]] = {
    "enqueue": lambda manager: manager.enqueue(name="echo", queue="q"),
    "enqueue_many": lambda manager: manager.enqueue_many([{"name": "echo", "queue": "q"}] * 3),
    "result": lambda manager: manager.handle("a").result(timeout=5),
    "get_jobs": lambda manager: manager.get_jobs(),
    "get_job_by_id": lambda manager: manager.get_job_by_id("a"),
    "get_sorted_jobs": lambda manager: manager.get_sorted_jobs(),
    "cancel": lambda manager: manager.cancel_job_by_id("a"),
    "delete_all_jobs": lambda manager: manager.delete_all_jobs(),
    "retry_jobs": lambda manager: manager.retry_jobs(),
    "pause_queue": lambda manager: manager.pause_queue("q"),
    "schedule": lambda manager: manager.enqueue(name="echo", queue="q", options={"repeat": "* * * * *"}),
    "on": lambda manager: manager.on("completed", print),
}


@pytest.mark.parametrize("number", [str(FORMAT + 1), "12345678901", "next"])
@pytest.mark.parametrize("use", USES)
def test_a_namespace_of_a_newer_format_is_left_alone_by_whoever_uses_it(
    server_url: str, admin: Store, number: str, use: str
) -> None:
    admin.server.client().set(f"{admin.prefix}format", number)
    before = held(admin)
    with QueueManager.init(server_url, namespace=admin.namespace) as manager:
        with pytest.raises(ServerUnavailable, match=re.escape(number[:20])) as error:
            USES[use](manager)
        assert admin.namespace in str(error.value)
        assert "upgrade" in str(error.value)
    assert held(admin) == before


def test_a_supervisor_does_not_start_on_a_namespace_of_a_newer_format(bench: Bench) -> None:
    client, key = bench.store.server.client(), f"{bench.store.prefix}format"
    client.set(key, FORMAT + 1)
    supervisor = bench.begin()
    assert supervisor.end() == 2
    assert f"format {FORMAT + 1}" in supervisor.lines[-1]
    assert list(client.scan_iter(f"{bench.store.prefix}*")) == [key.encode()]
    client.delete(key)


def test_the_format_is_noted_by_the_first_who_changes_something_and_by_nobody_who_looks(
    server_url: str, admin: Store
) -> None:
    with QueueManager.init(server_url, namespace=admin.namespace) as manager:
        assert manager.get_jobs() == []
        assert manager.get_job_by_id("a") is None
        assert held(admin) == {}
        manager.enqueue(name="echo", queue="q")
    assert admin.read("GET", "format") == str(FORMAT).encode()


def test_who_comes_back_after_an_outage_looks_at_the_format_again(start_server: Callable[..., OwnServer]) -> None:
    server = start_server()
    with QueueManager.init(server.url) as manager:
        manager.enqueue(name="echo", queue="q")
        server.kill()
        server.start()
        client = manager._client.store.server.client()
        wait_until(client.ping, "the server is back")
        client.set("{tempotask}:format", FORMAT + 1)
        with pytest.raises(ServerUnavailable, match=f"format {FORMAT + 1}"):
            manager.enqueue(name="echo", queue="q")
