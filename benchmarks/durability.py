"""What does it cost to enqueue when the call waits for the disk, or for a replica?

Bulk calls wait once for each thousand jobs. It is a matter of the disk and the network, so it is only told. The server
is the one that comes with the project: Redis 7.0 can't say when its disk has something.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.harness import Bench, until
from benchmarks.rows import Row, Spread
from tempotask import QueueManager, linux
from tempotask.store.durability import Kind
from tempotask.store.embedded import find_server


def one_at_a_time(producer: QueueManager[Any], count: int) -> float:
    """Jobs a second."""
    began = time.monotonic()
    for number in range(count):
        producer.enqueue(name="noop", queue="q", data=number)
    return count / (time.monotonic() - began)


def in_bulk(producer: QueueManager[Any], count: int) -> float:
    """Jobs a second."""
    began = time.monotonic()
    producer.enqueue_many({"name": "noop", "queue": "q", "data": number} for number in range(count))
    return count / (time.monotonic() - began)


@contextlib.contextmanager
def replica(bench: Bench) -> Iterator[None]:
    """Meanwhile the server has a replica, on this machine."""
    folder = bench.folder / "replica"
    folder.mkdir()
    port, me = _free_port(), os.getpid()
    bench.redis.config_set("port", port)
    command = [str(bench.program), "--port", "0", "--unixsocket", str(folder / "s.sock"), "--dir", str(folder)]
    follower = subprocess.Popen(
        [*command, "--save", "", "--replicaof", "127.0.0.1", str(port), "--loglevel", "warning"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        preexec_fn=lambda: linux.die_with(me),
        process_group=0,
    )
    try:
        until("the replica", lambda: bench.redis.info("replication")["connected_slaves"] and bench.redis.wait(1, 100))
        yield
    finally:
        follower.kill()
        follower.wait()
        bench.redis.config_set("port", 0)
        shutil.rmtree(folder)


def measure(bench: Bench) -> list[Row]:
    with Bench(quick=bench.quick, program=find_server()) as own:
        return measured(own)


def measured(bench: Bench) -> list[Row]:
    """The rows, on a server of Valkey."""
    server = bench.version
    rows = rows_of(bench, "memory", f"{server} that keeps nothing")
    with bench.durable():
        rows += rows_of(bench, "memory", f"{server} that syncs always")
        rows += rows_of(bench, "disk", f"{server} that syncs always")
    with replica(bench):
        rows += rows_of(bench, "replica", f"{server} with a replica beside it")
    return rows


def rows_of(bench: Bench, durability: Kind, server: str) -> list[Row]:
    few, many = bench.size(1_000, 200), bench.size(100_000, 10_000)
    single, bulk = Spread([], "jobs/s"), Spread([], "jobs/s")
    for _ in range(bench.rounds):
        with QueueManager.init(bench.url, namespace="durable", options={"durability": durability}) as producer:
            producer.enqueue(name="noop", queue="q")
            single.values.append(one_at_a_time(producer, few))
            bulk.values.append(in_bulk(producer, many))
        bench.empty()
    what = f'durability="{durability}", {server}'
    return [
        Row(f"{call}, {what}", spread, spread.median, None, None, True)
        for call, spread in (("enqueue", single), ("enqueue_many", bulk))
    ]


def _free_port() -> int:
    """Below those that the kernel gives to connections."""
    while True:
        port = random.randrange(10_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
