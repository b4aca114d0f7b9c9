"""That whatever lies in a namespace, nobody who looks at it fails, and who acts comes to an end: what can be shown is
shown, and `check` names the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fuzz.calls import Held, held, put
from fuzz.hostile import damaged, hostile_bytes, tries
from hypothesis import given
from hypothesis import strategies as st
from store.filled import fill
from store.play import hire

from tempotask import QueueManager
from tempotask.pool import firing
from tempotask.pool.deaths import Cause, Death, Recovery
from tempotask.pool.leases import Leases
from tempotask.store.check import check
from tempotask.store.connect import Server
from tempotask.store.lists import Filter
from tempotask.store.records import FINISHED
from tempotask.store.repair import repair
from tempotask.store.store import Store

RECORDS = ("queue:0:q", "queue:0:other", "queue:7:other", "claims:w1:4", "due", "retries", "parked")
OTHERS = (
    *("history:other:failed", "history:q:failed", "history:large:failed", "outcomes", "live", "log:late"),
    *("supervisors", "leases", "schedules", "orders:s", "payload"),
    *("queues", "workers", "priorities:other", "ids", "paused", "ring"),
)
LOOKED_AT = ("counts:other", "worker:w1")
"""Numbers that scripts add to: with one that is none, who acts is told so."""


class World:
    """A namespace that has something of everything, and who looks at it."""

    def __init__(self, url: str, admin_url: str) -> None:
        self.manager = QueueManager.init(url, namespace="t-fuzz-places", options={"connect_timeout": 60.0})
        self.store = Store(Server(admin_url, connect_timeout=60), "t-fuzz-places")
        put(self.store, {})
        fill(self.store)
        self.store.server.client().rpush(f"{self.store.prefix}log:late", b"\x92\x01\xa4line")
        self.store.server.client().expire(f"{self.store.prefix}log:late", 3600)
        self.filled: Held = held(self.store)

    def key(self, place: str) -> bytes:
        """The key of that name, or the first that begins so."""
        name = f"{self.store.prefix}{place}".encode()
        return next((key for key in self.filled if key == name or key.startswith(name + b":")), name)

    def close(self) -> None:
        put(self.store, {})
        self.manager.close()
        self.store.close()


@pytest.fixture(scope="module")
def world(server_url: str, admin_url: str) -> Iterator[World]:
    made = World(server_url, admin_url)
    yield made
    made.close()


def elements(client: Any, key: bytes) -> tuple[str, list[Any]]:
    """What is under a key: its kind, and elements, or fields, or the text."""
    kind = client.type(key).decode()
    if kind == "list":
        return kind, client.lrange(key, 0, -1)
    if kind == "hash":
        return kind, list(client.hgetall(key).items())
    if kind == "zset":
        return kind, client.zrange(key, 0, -1)
    if kind == "set":
        return kind, sorted(client.smembers(key))
    return kind, [client.get(key) or b""]


def spoil(world: World, data: st.DataObject, place: str) -> None:
    """Puts something hostile in the place of something good."""
    client, key = world.store.server.client(), world.key(place)
    kind, there = elements(client, key)
    at = data.draw(st.integers(0, max(0, len(there) - 1)), label="element")
    if kind == "list":
        good = there[at] if there else b""
        client.lset(key, at, data.draw(damaged(good), label="bytes"))
    elif kind == "zset":
        score = data.draw(st.sampled_from((0.0, -1e300, 1e300, float("inf"), 1.5)), label="score")
        client.zrem(key, there[at])
        client.zadd(key, {data.draw(damaged(there[at]), label="bytes"): score})
    elif kind == "set":
        client.srem(key, there[at])
        client.sadd(key, data.draw(damaged(there[at]), label="bytes"))
    elif kind == "hash":
        field, good = there[at]
        if data.draw(st.booleans(), label="field"):
            client.hdel(key, field)
            client.hset(key, data.draw(damaged(field), label="bytes"), good)
        else:
            client.hset(key, field, data.draw(damaged(good), label="bytes"))
    else:
        client.set(key, data.draw(hostile_bytes, label="bytes"))


def records(store: Store) -> int:
    """How many there are, wherever jobs may be."""
    client, number = store.server.client(), 0
    for first in ("queue:", "claims:"):
        for key in client.scan_iter(f"{store.prefix}{first}*"):
            number += sum(record != b"" for record in client.lrange(key, 0, -1))
    return number + sum(store.read("ZCARD", name) for name in ("due", "retries")) + int(store.read("HLEN", "parked"))


LOOKS: dict[str, Callable[[QueueManager[None]], object]] = {
    "get_jobs": lambda manager: [manager.get_jobs(status=status) for status in ("waiting", "failed", None)],
    "pages": lambda manager: manager.get_jobs(limit=3, cursor=manager.get_jobs(limit=3).cursor),
    "get_sorted_jobs": lambda manager: manager.get_sorted_jobs(),
    "get_job_by_id": lambda manager: [manager.get_job_by_id(id) for id in ("late", "fails", "given-1", "parked-0")],
    "logs": lambda manager: manager.get_job_by_id("late") and manager.handle("late").logs(),
    "queues": lambda manager: manager.get_queues_list(),
}


@tries(30)
@given(data=st.data(), places=st.lists(st.sampled_from(RECORDS + OTHERS + LOOKED_AT), min_size=1, max_size=3))
def test_what_cannot_be_read_is_passed_over_by_whoever_looks(
    world: World, data: st.DataObject, places: list[str]
) -> None:
    put(world.store, world.filled)
    for place in places:
        spoil(world, data, place)
    for look in LOOKS.values():
        look(world.manager)
    check(world.store)


def test_check_names_a_record_that_cannot_be_read_wherever_it_is(world: World) -> None:
    client = world.store.server.client()
    for place in RECORDS:
        put(world.store, world.filled)
        key = world.key(place)
        kind, there = elements(client, key)
        if kind == "list":
            client.lset(key, 0, there[0][:-1])
        elif kind == "zset":
            client.zrem(key, there[0])
            client.zadd(key, {there[0][:-1]: 9e15})
        else:
            client.hset(key, there[0][0], there[0][1][:-1])
        told = [violation for violation in check(world.store) if "can't read" in violation.text]
        assert [violation.key for violation in told] == [place.partition(":w")[0]], place


@pytest.mark.parametrize("place", ["queues", "paused", "priorities:other", "workers", "parked", "ids", "supervisors"])
def test_a_name_that_is_no_text_is_passed_over_and_check_names_its_place(world: World, place: str) -> None:
    put(world.store, world.filled)
    client, key = world.store.server.client(), world.key(place)
    kind, there = elements(client, key)
    if kind == "set":
        client.sadd(key, b"\xff")
    elif kind == "zset":
        client.zadd(key, {b"\xff": 1.0})
    else:
        client.hset(key, b"\xff", there[0][1])
    for look in LOOKS.values():
        look(world.manager)
    assert (place, "holds 1 names that this version can't read") in {one[:2] for one in check(world.store)}


@tries(30)
@given(
    data=st.data(),
    places=st.lists(st.sampled_from(RECORDS + OTHERS), min_size=1, max_size=3),
    how=st.sampled_from(("cancel", "delete", "retry", "delete all", "one by one", "pause", "repair")),
)
def test_acting_on_what_cannot_be_read_comes_to_an_end(
    world: World, data: st.DataObject, places: list[str], how: str
) -> None:
    put(world.store, world.filled)
    for place in places:
        spoil(world, data, place)
    if how == "cancel":
        world.manager._client.acting.cancel_all(Filter())
    elif how == "delete":
        world.manager.delete_jobs(queue="other")
    elif how == "retry":
        world.manager.retry_jobs()
    elif how == "delete all":
        world.manager.delete_all_jobs()
    elif how == "pause":
        world.manager.pause_queue("other")
        world.manager.resume_queue("other")
    elif how == "repair":
        repair(world.store)
    else:
        for id in ("late", "given-2", "fails", "parked-0", "parked-late"):
            world.manager.toggle_pause_job_by_id(id)
            world.manager.retry_job_by_id(id)
            world.manager.cancel_job_by_id(id)
    check(world.store)


@tries(30)
@given(data=st.data(), places=st.lists(st.sampled_from(RECORDS + OTHERS), min_size=1, max_size=3))
def test_a_supervisors_housekeeping_gets_over_what_it_cannot_read(
    world: World, data: st.DataObject, places: list[str]
) -> None:
    put(world.store, world.filled)
    for place in places:
        spoil(world, data, place)
    store = world.store
    before = records(store)
    hire(store, supervisor="me")
    recovery = Recovery(store, (), dict.fromkeys(FINISHED, 10))
    Leases(store, "me", 10, recovery).renew(tidy=True)
    firing.declare(store, [])
    firing.fire(store, [])
    turn, _ = store.opened("w1")
    recovery.recover(Death("w1", Cause.CRASH, turn, 0, 0.0, "was killed"))
    recovery.lost_host("w2")
    # One may have been on too many hosts, or have crashed too often, by what its record says now.
    assert records(store) >= before - 1
