"""Namespaces of one program's own: nothing of them stays, whatever the server does meanwhile."""

from __future__ import annotations

from collections.abc import Callable

import redis
from servers import OwnServer

from tempotask import QueueManager
from tempotask.pool import namespaces


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
