"""A server at its `maxmemory`: it takes no new jobs, and what it has goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis
from pool.running import LONG, Bench

from tempotask.errors import ServerFull

Make = Callable[[str], Bench]


def test_a_full_server_refuses_new_jobs_by_name_and_still_drains(
    start_server: Callable[..., Any], make_bench: Make
) -> None:
    server = start_server()
    bench = make_bench(server.url)
    handles = bench.manager.enqueue_many({"name": "echo", "queue": "q", "data": n} for n in range(500))
    with redis.Redis.from_url(server.url) as client:
        client.config_set("maxmemory", client.info("memory")["used_memory"] // 2)
        with pytest.raises(ServerFull, match="maxmemory"):
            bench.manager.enqueue(name="echo", queue="q", data=1)
        bench.start(workers=2)
        assert handles.results(timeout=LONG) == list(range(500))
        client.config_set("maxmemory", 0)
    assert bench.manager.enqueue(name="echo", queue="q", data=1).result(timeout=LONG) == 1
    assert bench.supervisors[0].stop() == 0
