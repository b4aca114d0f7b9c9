"""That a worker, a supervisor and who waits get over what they can't read: real ones, on a real server."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from pool.running import Bench, wait_until

from tempotask import JobFailed
from tempotask.store import lists
from tempotask.store.records import UNREADABLE_QUEUE, decode_record, encode
from tempotask.store.shown import row
from tempotask.store.store import Store

SPOILT: dict[str, Callable[[bytes], bytes]] = {
    "cut off": lambda record: record[:-3],
    "cut off in its head": lambda record: record[:4],
    "with something behind it": lambda record: record + b"\x01",
    "no MessagePack": lambda record: b"\xc1" * 10,
    "another type": lambda record: b"\x2a",
    "a longer array than there is": lambda record: b"\xdd\xff\xff\xff\xff" + record[1:],
    "nested too deeply": lambda record: record[:-6] + b"\x91" * 5000,
    "with a time that no clock can say": lambda record: _with(record, 5, float("nan")),
    "with a name that is none": lambda record: _with(record, 4, 7),
    "with options of a version to come": lambda record: _with(record, 8, {"backoff": "sometimes"}),
    "with a timeout below zero": lambda record: _with(record, 8, {"timeout": -1.0}),
    "with bytes that are no text": lambda record: record.replace(b"echo", b"\xff\xfe\xfd\xfc"),
}


def _with(record: bytes, index: int, value: object) -> bytes:
    fields = msgspec.msgpack.decode(record)
    fields[index] = value
    return encode(fields)


def spoil(admin: Store, id: str, how: Callable[[bytes], bytes]) -> bytes:
    """Spoils the record of a job that waits in queue `q`; what it is now."""
    client, key = admin.server.client(), f"{admin.prefix}queue:0:q"
    (index,) = [i for i, one in enumerate(client.lrange(key, 0, -1)) if decode_record(one).id == id]
    spoilt = how(client.lindex(key, index))
    client.lset(key, index, spoilt)
    return spoilt


def test_a_record_that_cannot_be_read_is_put_aside_as_failed_with_the_reason_and_its_neighbours_run(
    bench: Bench, admin: Store
) -> None:
    ids = [f"good-{number}" for number in range(30)]
    for how in SPOILT:
        ids.insert(3 * len(ids) // 4, how.replace(" ", "-"))
    jobs = [{"name": "echo", "queue": "q", "data": id, "options": {"id": id}} for id in ids]
    handles = dict(zip(ids, bench.manager.enqueue_many(jobs), strict=True))
    spoilt = {how.replace(" ", "-"): spoil(admin, how.replace(" ", "-"), do) for how, do in SPOILT.items()}
    supervisor = bench.start(workers=1)
    workers = supervisor.workers()
    for id in ids:
        if id not in spoilt:
            assert handles[id].result(timeout=60) == id
    wait_until(lambda: bench.store.quiet(), "all is worked off")
    put_aside = {one.id: one for one in lists.jobs(bench.store, status="failed")[0]}
    assert len(put_aside) == len(spoilt)
    for id, record in spoilt.items():
        known = decode_record(record)
        shown = row(put_aside[known.id])
        assert shown.error is not None
        assert shown.error.startswith("UnreadableRecord: its record can't be read here: "), id
        assert (known.id, known.queue) == (id, "q") or known.queue == UNREADABLE_QUEUE
        info = bench.manager.get_job_by_id(known.id)
        assert info is not None
        assert info.data == record, "its bytes are not lost"
        if known.id == id:
            with pytest.raises(JobFailed, match="can't be read"):
                handles[id].result(timeout=60)
        else:
            # Nobody knows any more whose record this was; that its id is let go of is for `check --repair`.
            bench.store.run("mend", "id", id)
    assert supervisor.workers() == workers, "nobody died of it"


def test_a_job_that_was_put_aside_runs_when_it_can_be_read_and_is_tried_again(bench: Bench, admin: Store) -> None:
    handle = bench.manager.enqueue(name="echo", queue="q", data="whole", options={"id": "j"})
    client, key = admin.server.client(), f"{admin.prefix}queue:0:q"
    whole = client.lindex(key, 0)
    spoil(admin, "j", lambda record: record + b"\x01")
    bench.start(workers=1)
    with pytest.raises(JobFailed, match="can't be read"):
        handle.result(timeout=60)
    bench.manager.pause_queue("q")
    assert bench.manager.retry_job_by_id("j")
    assert client.lrange(key, 0, -1) == [whole + b"\x01"], "it waits as it was"
    # As if an upgraded supervisor came, that can read it.
    client.lset(key, 0, whole)
    assert bench.store.read("HGET", "ids", "j") == b"q", "nobody can add another one under its id"
    bench.manager.resume_queue("q")
    assert bench.manager.handle("j").result(timeout=60) == "whole"


def test_a_delayed_or_paused_job_that_cannot_be_read_is_put_aside_when_its_turn_comes(
    bench: Bench, admin: Store
) -> None:
    client, prefix = admin.server.client(), admin.prefix
    bench.manager.enqueue(name="echo", queue="q").cancel()

    def broken(id: str) -> bytes:
        client.hset(f"{prefix}ids", id, "q")
        return b"\x9c\xa0" + encode(id) + b"\xa1q\xa10\xa4echo\xc1"

    for place, counted in (("due", "delayed"), ("retries", "retries")):
        client.hincrby(f"{prefix}counts:q", counted, 1)
        client.zadd(f"{prefix}{place}", {broken(f"broken-{place}"): 1})
    client.hincrby(f"{prefix}counts:q", "parked", 1)
    client.hset(f"{prefix}parked", "broken-parked", b"W " + broken("broken-parked"))
    assert bench.manager.resume_job_by_id("broken-parked")
    bench.start(workers=1)
    for place in ("due", "retries", "parked"):
        with pytest.raises(JobFailed, match="can't be read"):
            bench.manager.handle(f"broken-{place}").result(timeout=60)


MESSAGES = [
    *(b"\xff", b"nonsense", b"\x95", b"\x95\xa11\x01\xdd", b"\x90" * 99),
    b"\x95\xa3abc\x01\xdd\0\0\0\1\xc0\x80\xc2",
    encode(["abc", 1, [], {}, False]),
    encode(["1@1", 1, [], {}, False]),
]
ORDERS = (
    *(b"", b"\xff\xff", b"due", b"due nan", b"due inf", b"due -1e400", b"cancel", b"cancel a b c d", b"what"),
    *(b"cancel w 1 99999999999999999999 \xc1", b"steal", b"stacks \xff", b"stacks ring"),
)


def test_a_worker_gets_over_a_wake_message_that_it_cannot_read(bench: Bench, admin: Store) -> None:
    client, prefix = admin.server.client(), admin.prefix
    supervisor = bench.start(workers=1)
    (worker,) = supervisor.workers()
    (idle,) = (name.decode() for name in wait_until(lambda: client.zrange(f"{prefix}idle", 0, -1), "it is idle"))

    def number() -> str:
        return (client.hget(f"{prefix}worker:{idle}", "idle") or b"").decode()

    for message in MESSAGES:
        before = wait_until(number, "it is idle")
        client.rpush(f"{prefix}wake:{idle}:{before}", message)
        wait_until(lambda before=before: number() not in ("", before), "it takes a turn, and is idle again")
    assert bench.manager.enqueue(name="say", queue="q", data="still").result(timeout=60) == worker.pid


def test_a_supervisor_gets_over_orders_registrations_leases_and_schedules_that_it_cannot_read(
    bench: Bench, admin: Store
) -> None:
    client, prefix = admin.server.client(), admin.prefix
    supervisor = bench.start("--lease", "0.5", workers=1)
    (me,) = bench.store.registrations()
    for order in ORDERS:
        client.rpush(f"{prefix}orders:{me}", order)
    hostile: dict[str, dict[Any, Any]] = {
        "supervisors": {"other": b"\xc1", "negative": encode(["h", "b", -1, 0.0, [], 1])},
        "leases": {"other": b"\xff\xfe", "negative": b"nan"},
        "schedules": {"broken": b"\xff", "empty": b"", "far": b"a1 9999999999999999 0 0 0 \xc1", "spaces": b"     "},
    }
    for key, fields in hostile.items():
        client.hset(f"{prefix}{key}", mapping=fields)
    client.zadd(f"{prefix}firings", {"broken": 1, "empty": 1, "far": 1, "spaces": 1, "nothing": float("-inf")})
    client.zadd(f"{prefix}due", {b"\xc1": float("inf")})
    client.rpush(f"{prefix}orders:{me}", b"due 1")
    renewed = bench.store.read("HGET", "leases", me)
    for _ in range(3):
        renewed = wait_until(
            lambda before=renewed: (lease := bench.store.read("HGET", "leases", me)) != before and lease,
            "it goes on renewing its lease",
        )
    assert bench.manager.enqueue(name="echo", queue="q", data=1).result(timeout=60) == 1
    assert supervisor.process.poll() is None
    wait_until(lambda: len(supervisor.about("an order that this version can't read")) >= 8, "it does not say so")
    assert not supervisor.about("Traceback")
    for key, fields in hostile.items():
        client.hdel(f"{prefix}{key}", *fields)
    client.delete(f"{prefix}firings", f"{prefix}due")


def test_who_waits_gets_over_what_it_cannot_read(bench: Bench, admin: Store) -> None:
    """The lists on which a program is told endings, and the outcomes themselves."""
    client, prefix = admin.server.client(), admin.prefix
    handle = bench.manager.enqueue(name="echo", queue="q", data=1, options={"id": "waited"})
    told: list[object] = []
    waiting = threading.Thread(target=lambda: told.append(handle.result(timeout=60)))
    waiting.start()
    (name,) = wait_until(lambda: client.hvals(f"{prefix}waiters"), "it is waited for")
    for message in (b"", b"\xff\xff", b"nobody \xc1", b" ", b"\xff \xff"):
        client.rpush(f"{prefix}waits:{name.decode()}", message)
    bench.start(workers=1)
    waiting.join(60)
    assert told == [1]
    (bucket,) = client.scan_iter(f"{prefix}outcomes:*")
    good = client.hget(bucket, "waited")
    client.hset(bucket, "waited", b"\xc1" * len(good))
    with pytest.raises(JobFailed, match="can't be read"):
        bench.manager.handle("waited").result(timeout=60)
    client.hset(bucket, "waited", good)


def test_a_waiting_record_that_cannot_be_read_is_found_by_the_id_that_it_is_listed_under(
    bench: Bench, admin: Store
) -> None:
    handle = bench.manager.enqueue(name="echo", queue="q", data="lost")
    spoil(admin, handle.id, SPOILT["no MessagePack"])
    (listed,) = lists.jobs(bench.store)[0]
    assert listed.id.startswith("unreadable-")
    (queue,) = (one for one in lists.queues(bench.store) if one.name == "q")
    assert queue.oldest_seconds is None, "nobody knows when it was added"
    found = bench.manager.get_job_by_id(listed.id)
    assert found is not None
    assert bench.manager.cancel_job_by_id(listed.id)
    assert not lists.jobs(bench.store, status="waiting")[0]
