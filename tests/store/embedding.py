"""An embedded server, looked at from outside."""

from __future__ import annotations

import psutil
import redis

from tempotask.store.embedded import EmbeddedServer

LIMIT = 60.0


def client(server: EmbeddedServer) -> redis.Redis:
    return redis.Redis.from_url(server.url, protocol=2)


def server_process(server: EmbeddedServer) -> psutil.Process:
    with client(server) as talk:
        return psutil.Process(talk.info("server")["process_id"])


def wait_until_gone(*processes: psutil.Process) -> None:
    _, alive = psutil.wait_procs(processes, timeout=LIMIT)
    assert not alive
