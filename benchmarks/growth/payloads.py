"""What do payloads of 0 bytes to 1 MiB cost the server, the wire and the memory?

A payload is as large as it is encoded. One of 4 KiB still stands in its record; a larger one has a key of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.growth.driven import Driven
from benchmarks.growth.server import Work, spent
from benchmarks.harness import Bench, Failed, Project
from benchmarks.memory_waiting import used
from benchmarks.rows import Row, Spread
from tempotask.store.records import encode

KIB, MIB = 1 << 10, 1 << 20
SIZES = {"0 B": 0, "100 B": 100, "1 KiB": KIB, "4 KiB": 4 * KIB, "64 KiB": 64 * KIB, "1 MiB": MIB}
QUICKLY = ("0 B", "4 KiB", "1 MiB")
CALL = 16 * MIB
"""Payloads in one call."""
WANT = 1000
"""Jobs that a turn asks for: it is the bytes that bound a batch."""


def data(size: int) -> bytes:
    """Bytes that are about `size` when they are encoded, and never more but for an empty one."""
    return b"x" * max(0, 2 * size - len(encode(b"x" * size)))


def measure(bench: Bench) -> list[Row]:
    rows = []
    for name in QUICKLY if bench.quick else SIZES:
        size = SIZES[name]
        count = min(bench.size(20_000, 4_000), bench.size(128, 16) * MIB // max(1, size))
        rows += of_size(bench, name, data(size), count)
    return rows


def of_size(bench: Bench, name: str, payload: bytes, count: int) -> list[Row]:
    rounds = bench.size(3, 1)
    lives, bytes_held, paces = list[Work](), list[float](), list[float]()
    for _ in range(rounds):
        with bench.project("payloads") as project:
            life, held = driven(project, payload, count)
            lives.append(life)
            bytes_held.append(held)
        with bench.project("payloads") as project:
            enqueue(project, payload, count)
            paces.append(count / project.drain())
            if int(project.redis.hget(project.key("counts:work"), "completed") or 0) != count:
                raise Failed(f"not all of {count:,} jobs completed")
    each = f"{count:,} jobs of {name}: "
    return [
        alone(each + "server's processor time, enqueue to settle", Spread([life.processor for life in lives], "µs")),
        alone(each + "on the wire, enqueue to settle", Spread([life.wire for life in lives], "B")),
        alone(each + "server memory per waiting job", Spread(bytes_held, "B")),
        Row(
            each + "drained by a supervisor with 2 workers",
            *(pace := Spread(paces, "jobs/s"), pace.median, None, None, True),
        ),
    ]


def alone(what: str, spread: Spread) -> Row:
    return Row(what, spread, spread.median, None, None, False)


def driven(project: Project, payload: bytes, count: int) -> tuple[Work, float]:
    """What one job costs, enqueued, claimed and settled, and its bytes of the server's memory while it waits."""
    worker = Driven(project, "driven")
    before = used(project)
    enqueued = spent(project.redis, lambda: enqueue(project, payload, count))
    held = (used(project) - before) / count

    def work_off() -> None:
        while worker.turn(WANT):
            pass

    worked = spent(project.redis, work_off)
    return Work(*map(sum, zip(enqueued, worked, strict=True))).per(count), held


def enqueue(project: Project, payload: bytes, count: int) -> None:
    a_call = min(count, CALL // max(1, len(payload)))
    for first in range(0, count, a_call):
        project.producer.enqueue_many(jobs(payload, min(a_call, count - first)))


def jobs(payload: bytes, count: int) -> Iterator[dict[str, Any]]:
    return ({"name": "length", "queue": "work", "data": payload} for _ in range(count))
