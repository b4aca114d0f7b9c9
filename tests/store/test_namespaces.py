"""Namespaces of one program's own: nothing of them stays, whatever the server does meanwhile."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable

import redis
from servers import OwnServer

from tempotask import QueueManager, linux, machine
from tempotask.store import namespaces
from tempotask.store.records import Registration, encode
from tempotask.store.store import Store


def test_a_namespace_is_cleared_though_connections_break(start_server: Callable[..., OwnServer]) -> None:
    server = start_server()
    name = namespaces.new("mine")
    with QueueManager.init(server.url, namespace=name) as manager, redis.Redis.from_url(server.url) as admin:
        manager.enqueue(name="a", queue="q")
        manager.get_jobs()
        store = manager._client.store
        for clear in (lambda: namespaces.clear_left_behind(store, "mine"), lambda: namespaces.clear(store, name)):
            admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")  # type: ignore[no-untyped-call]
            clear()
        assert admin.dbsize() == 0


def _register(store: Store, lease: float, *, pid: int, born_ns: int, boot: str = "") -> None:
    registration = Registration("host", boot or machine.boot_id(), pid, 0.0, [], 1, born_ns=born_ns)
    store.register("s", lease, encode(registration))


def test_who_works_in_a_namespace_is_told_and_a_process_that_is_gone_works_nowhere(store: Store) -> None:
    assert namespaces.occupant(store) is None
    _register(store, 3600, pid=os.getpid(), born_ns=linux.born_ns(os.getpid()))
    assert namespaces.occupant(store, 0.0) == "host"
    with subprocess.Popen(["true"]) as gone:
        born_ns = linux.born_ns(gone.pid)
    _register(store, 3600, pid=gone.pid, born_ns=born_ns)
    assert namespaces.occupant(store) is None


def test_a_lost_host_works_in_a_namespace_until_its_lease_has_run_out(store: Store) -> None:
    _register(store, 0.3, pid=1, born_ns=1, boot="another")
    assert namespaces.occupant(store, 3600) is None


def test_a_host_that_renews_its_lease_works_in_a_namespace(store: Store) -> None:
    _register(store, 60, pid=1, born_ns=1, boot="another")
    over = threading.Event()

    def renew() -> None:
        while not over.wait(0.01):
            store.renew("s", 60, tidy=False)

    renewing = threading.Thread(target=renew)
    renewing.start()
    try:
        assert namespaces.occupant(store, 3600) == "host"
    finally:
        over.set()
        renewing.join()
