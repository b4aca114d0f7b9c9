"""That the proof of the invariants sees what is wrong, keeps silent about what is right, and mends what it may."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from filled import LARGE, fill
from play import act, completed, enqueue, failed, hire, new_job, results_of, tried_again, turn, waiting

from tempotask.store.check import check
from tempotask.store.records import encode, head
from tempotask.store.repair import repair
from tempotask.store.snapshot import MOST
from tempotask.store.store import Store

PIECES = 0
"""As the most elements that are read at one moment: everything is read in pieces."""


def drain(store: Store) -> None:
    """Runs what waits."""
    store.resume_queue("paused")
    act(store, "resume", "parked", "0", 100, "WDR")
    hire(store, "drainer")
    number, batch = 1, turn(store, "drainer", 1, 100).batch
    while batch:
        number, batch = number + 1, turn(store, "drainer", number + 1, 100, results_of(batch, how=completed)).batch


@pytest.mark.parametrize("most", [MOST, PIECES])
def test_a_namespace_with_something_of_everything_is_right(store: Store, most: int) -> None:
    assert check(store, most) == []
    fill(store)
    assert check(store, most) == []
    drain(store)
    assert check(store, most) == []


Damage = Callable[[Store], object]


def command(*parts: object) -> Damage:
    """A command on a key, named without its prefix."""
    name, key, *rest = parts
    return lambda store: store.server.client().execute_command(name, f"{store.prefix}{key}", *rest)


def moved(key: str, name: str, target: str, push: str) -> Damage:
    """Takes the first record of a list, or leaves it there too, and puts it somewhere else."""

    def damage(store: Store) -> None:
        client = store.server.client()
        record = client.execute_command(name, store.prefix + key, *([0] if name == "LINDEX" else []))
        client.execute_command(push, store.prefix + target, record)

    return damage


def claim(*parts: object) -> Damage:
    """A command on the claims of the worker that has some."""
    return lambda store: command(parts[0], f"claims:w1:{_open(store)}", *parts[1:])(store)


def _open(store: Store) -> str:
    return str(store.read("HGET", "worker:w1", "open").decode())


MENDED: dict[str, tuple[Damage, str]] = {
    "a queue that is not on the ring": (command("DEL", "ring"), "ring"),
    "a queue that is twice on the ring": (command("RPUSH", "ring", "large"), "ring"),
    "an empty queue on the ring": (command("RPUSH", "ring", "low"), "ring"),
    "an unknown queue on the ring": (command("RPUSH", "ring", "nobody"), "ring"),
    "a priority that nobody looks at": (command("DEL", "priorities:other"), "priorities:other"),
    "a priority without jobs": (command("ZADD", "priorities:large", 5, "5", 0, "0"), "priorities:large"),
    "a queue that nobody knows": (command("SREM", "queues", "large"), "queues"),
    "a wrong number of delayed jobs": (command("HINCRBY", "counts:other", "delayed", 3), "counts:other"),
    "a counter that is no number": (command("HSET", "counts:other", "delayed", "x"), "counts:other"),
    "a wrong length of the history": (command("HINCRBY", "counts:large", "failed:kept", -1), "counts:large"),
    "a wrong total of outcomes": (command("HINCRBY", "results", "n", 2), "results"),
    "a wrong total of bytes": (command("HINCRBY", "results", "b", -2), "results"),
    "no count of outcomes at all": (command("DEL", "results"), "results"),
    "a bucket that is not looked at": (command("DEL", "buckets"), "buckets"),
    "the counter of a bucket that is gone": (command("HSET", "results", "n:1.99", 0, "b:1.99", 0), "results"),
    "a wrong number of holes": (command("HINCRBY", "worker:w1", "holes", 1), "worker:w1"),
    "the id of a job that is gone": (command("HSET", "ids", "nobody", "low"), "ids"),
    "a given id that is not kept": (command("HDEL", "ids", "late"), "ids"),
    "a payload of nobody": (command("SET", "payload:1:nobody", "x"), "payload:1:nobody"),
    "a payload of another run": (command("SET", "payload:1:again", "x"), "payload:1:again"),
    "what a job that is gone tells": (command("HSET", "live", "nobody", "x"), "live"),
    "listeners that never go": (
        lambda store: [command("DEL", "listeners")(store), command("ZADD", "listeners", 1 << 42, "x")(store)],
        "listeners",
    ),
    "events that never go": (command("XADD", "events", "*", "k", "waiting"), "events"),
    "a paused queue on the ring": (command("SADD", "paused", "large"), "ring"),
    "a wrong number of retries": (command("HINCRBY", "counts:other", "retries", 3), "counts:other"),
    "a wrong number of parked jobs": (command("HINCRBY", "counts:other", "parked", -1), "counts:other"),
    "a wrong number of holes in a queue": (command("HINCRBY", "counts:large", "holes", 2), "counts:large"),
    "a hole that nobody counted": (command("RPUSH", "queue:0:large", ""), "counts:large"),
    "a schedule that never fires": (command("ZREM", "firings", "daily"), "firings"),
    "a firing of nothing": (command("ZADD", "firings", 1, "nobody"), "firings"),
    "one who waits for nothing": (command("HSET", "waiters", "nobody", "gone"), "waiters"),
    "a call remembered for ever": (command("HSET", "calls:1", "a", ""), "calls:1"),
    "a list for a client that stays for ever": (command("RPUSH", "waits:gone", "a", "b"), "waits:gone"),
    "an idle worker that nobody registered": (command("ZADD", "idle", 1, "nobody"), "idle"),
    "an idle worker that holds claims": (command("ZADD", "idle", 1, "w1"), "idle"),
    "a wake list of nobody": (command("RPUSH", "wake:nobody:1", "x"), "wake:nobody:1"),
    "the state of a worker that is gone": (command("HSET", "worker:nobody", "turn", 1), "worker:nobody"),
    "the claims of a worker that is gone": (
        lambda store: [
            moved("queue:0:large", "LPOP", "claims:nobody:1", "RPUSH")(store),
            command("DEL", "ring")(store),
        ],
        "claims:nobody:1",
    ),
    "orders to nobody": (command("RPUSH", "orders:nobody", "x"), "orders:nobody"),
    "workers that nobody will sweep": (command("HDEL", "leases", "s"), "leases"),
}

LEFT: dict[str, tuple[Damage, str]] = {
    "a key of somebody else": (command("SET", "mine", "x"), "mine"),
    "a key of another kind": (
        lambda store: [command("DEL", "wanted")(store), command("SET", "wanted", 1)(store)],
        "wanted",
    ),
    "a job in two places": (moved("queue:0:large", "LINDEX", "queue:0:other", "RPUSH"), "queue:0:other"),
    "a job twice in a queue": (moved("queue:0:large", "LINDEX", "queue:0:large", "RPUSH"), "queue:0:large"),
    "something that is no record": (command("RPUSH", "queue:0:large", "?"), "queue:0:large"),
    "a payload that is gone": (
        lambda store: store.server.client().delete(*store.server.client().scan_iter(f"{store.prefix}payload:*:again")),
        "queue:0:large",
    ),
    "a parked job under another id": (
        lambda store: command("HSET", "parked", "x", b"W " + encode(new_job("y", "other").record))(store),
        "parked",
    ),
    "a parked job that waits as well": (
        lambda store: command("HSET", "parked", "again", b"W " + store.read("LINDEX", "queue:0:large", 0))(store),
        "parked",
    ),
    "a parked job of a kind that there is not": (
        lambda store: command("HSET", "parked", "x", b"X1 " + encode(new_job("x", "other").record))(store),
        "parked",
    ),
    "a schedule whose id may be given again": (command("HDEL", "ids", "daily"), "ids"),
    "a supervisor that nobody knows": (command("HDEL", "supervisors", "s"), "supervisors"),
    "a worker of another supervisor": (command("HSET", "worker:w2", "supervisor", "other"), "worker:w2"),
    "a worker that is registered and lost": (command("HSET", "lost", "w2", "s"), "lost"),
    "claims that are gone": (claim("DEL"), "worker:w1"),
}


@pytest.mark.parametrize("most", [MOST, PIECES])
@pytest.mark.parametrize("damage", [*MENDED, *LEFT])
def test_what_is_wrong_is_found_under_its_key(store: Store, damage: str, most: int) -> None:
    fill(store)
    do, key = (MENDED | LEFT)[damage]
    do(store)
    assert key in {violation.key for violation in check(store, most)}


@pytest.mark.parametrize("damage", MENDED)
def test_what_can_be_mended_without_guessing_is_mended(store: Store, damage: str) -> None:
    fill(store)
    do, key = MENDED[damage]
    do(store)
    assert any(line.startswith(key) for line in repair(store))
    assert check(store) == []
    assert repair(store) == []


@pytest.mark.parametrize("damage", LEFT)
def test_what_would_need_guessing_is_left_as_it_is(store: Store, damage: str) -> None:
    fill(store)
    do, key = LEFT[damage]
    do(store)
    repair(store)
    assert key in {violation.key for violation in check(store)}


def test_a_log_that_never_expires_is_found_and_mended(store: Store) -> None:
    command("RPUSH", "log:a", "x")(store)
    assert [violation.key for violation in check(store)] == ["log:a"]
    assert repair(store)
    assert check(store) == []


def test_jobs_run_again_after_the_ring_was_lost(store: Store) -> None:
    enqueue(store, "a", "b", given_id=True)
    command("DEL", "ring")(store)
    hire(store, "w1")
    assert turn(store, "w1", 1, 1).kind == "idle"
    repair(store)
    assert store.read("LLEN", "claims:w1:" + _open(store)) == 1
    assert waiting(store) == ["b"]
    assert check(store) == []


def test_the_job_in_the_claims_of_a_worker_that_is_gone_runs_again(store: Store) -> None:
    enqueue(store, "a", given_id=True)
    moved("queue:0:q", "LPOP", "claims:nobody:1", "RPUSH")(store)
    command("DEL", "ring")(store)
    repair(store)
    assert waiting(store) == ["a"]
    assert check(store) == []


def interfere(store: Store, number: int) -> None:
    """What people do to jobs that wait or run."""
    (store.pause_queue if number % 7 < 3 else store.resume_queue)("q1")
    act(store, ("pause", "cancel", "delete")[number % 3], "list", "queue:0:q2", 0, 5, name="n")
    act(store, "resume", "parked", "0", 3, "WDR")
    if number % 5 == 0:
        act(store, "cancel", "claims", "w1")


@pytest.mark.parametrize("most", [MOST, PIECES])
def test_a_namespace_at_work_is_not_accused(store: Store, most: int) -> None:
    ended = threading.Event()
    errors: list[BaseException] = []

    def work() -> None:
        try:
            hire(store, "w1")
            batch, number = None, 0
            while not ended.is_set():
                number += 1
                ids = [f"{number}-{n}" for n in range(3)]
                added = [new_job(id, f"q{n}", given_id=True, payload=LARGE[: n * 4999]) for n, id in enumerate(ids)]
                added.append(new_job(f"{number}-late", "q0", due=store.now() + 0.01, given_id=True))
                store.enqueue(store.new_call(), added)
                ways = (completed, failed, lambda record: tried_again(record, 5))
                done = results_of(batch, how=ways[number % 3]) if batch else None
                batch = turn(store, "w1", number, 5, done).batch
                interfere(store, number)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(30):
            assert check(store, most) == []
    finally:
        ended.set()
        thread.join()
    assert errors == []


def test_one_who_lives_may_wait_for_a_job_that_nobody_knows(store: Store) -> None:
    store.ask("client", ["nobody"])
    assert check(store) == []
    store.server.client().delete(f"{store.prefix}client:client")
    assert [violation.key for violation in check(store)] == ["waiters"]


def test_who_died_while_waiting_waits_no_more_when_a_supervisor_has_looked(store: Store) -> None:
    hire(store, "w")
    for client in ("dead", "living"):
        store.ask(client, ["nobody", "nothing"])
    store.server.client().delete(f"{store.prefix}client:dead")
    assert store.renew("s", 3600, tidy=True)
    assert store.read("HGETALL", "waiters") == {b"nobody": b"living", b"nothing": b"living"}
    store.server.client().delete(f"{store.prefix}client:living")
    assert store.renew("s", 3600, tidy=True)
    assert check(store) == []


def test_heads_are_read_from_records_that_were_cut(store: Store) -> None:
    id = "é" * 100
    enqueue(store, id, queue="q" * 200, given_id=True)
    (record,) = store.read("LRANGE", f"queue:0:{'q' * 200}", 0, -1)
    assert head(record[:500]) == ("", id, "q" * 200, "0")
