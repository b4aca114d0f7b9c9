"""How fast is one `enqueue` after the other, against a bare RPUSH by the same client library? Each is waited for."""

from __future__ import annotations

import time

from benchmarks import drain, floors
from benchmarks.harness import Bench, in_turns
from benchmarks.rows import Row, told


def ours(bench: Bench, count: int) -> float:
    """Jobs a second, each by a call of its own."""
    with bench.project("noop") as project:
        producer = project.producer
        producer.enqueue(name="noop", queue="warm")
        began = time.monotonic()
        for number in range(count):
            producer.enqueue(name="noop", queue="q0", data={"path": drain.PATH.format(number)})
        return count / (time.monotonic() - began)


def bare(bench: Bench, count: int) -> float:
    """Records a second, made beforehand."""
    made, send = floors.records(count), floors.client(bench)
    send("PING")
    began = time.monotonic()
    for record in made:
        send("RPUSH", "{limit}:queue", record)
    pace = count / (time.monotonic() - began)
    bench.redis.flushall()
    return pace


def measure(bench: Bench) -> list[Row]:
    count = bench.size(20_000, 4_000)
    mine, others = in_turns(lambda: ours(bench, count), lambda: bare(bench, count), bench.rounds, "jobs/s")
    return [told("enqueue, one at a time, against a bare RPUSH by redis-py", mine, others)]
