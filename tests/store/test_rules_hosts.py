"""The protocol's rules 9, 10, 11, 13 and 15: leases, sweeps, lost hosts, what is due while nobody works (rules.py)."""

from __future__ import annotations

import time

from play import (
    enqueue,
    hire,
    results_of,
    ring,
    turn,
    waiting,
    woken,
)
from rules import lease_of, needs

from tempotask.store.records import decode_record, encode, raised
from tempotask.store.store import Store

# -- 9: the order of a sweep


@needs("sweep", "call('HDEL', P .. 'worker:' .. worker, 'supervisor')")
def test_9_a_swept_workers_turn_is_told_that_it_is_gone(store: Store) -> None:
    hire(store, "w", supervisor="lost", lease=0)
    hire(store, supervisor="s")
    enqueue(store, "a", "b")
    batch = turn(store, "w", 1).batch
    assert batch
    store.sweep("s", 10, "lost", lease_of(store, "lost"))
    assert turn(store, "w", 2, results=results_of(batch)).kind == "gone"
    assert store.outcomes_of(["a"]) == [None]


@needs("sweep", "call('ZREM', P .. 'idle', worker)\n      call", instead="call")
def test_9_nothing_is_handed_over_to_a_swept_worker(store: Store) -> None:
    hire(store, "w", supervisor="lost", lease=0)
    hire(store, supervisor="s")
    turn(store, "w", 1)
    store.sweep("s", 10, "lost", lease_of(store, "lost"))
    enqueue(store, "a")
    assert waiting(store) == ["a"]


@needs("sweep", "call('HSET', P .. 'leases', lost, 'swept')")
def test_9_from_the_sweep_on_renewing_and_registering_are_refused(store: Store) -> None:
    hire(store, "w", supervisor="lost", lease=0)
    hire(store, supervisor="s")
    store.sweep("s", 10, "lost", lease_of(store, "lost"))
    assert store.renew("lost", 10, tidy=False) is None
    assert not store.register("lost", 10, workers=["w3"])
    assert not store.register("lost", 10, b"{}", ["w3"]), "nor with what it said of itself before"


@needs("sweep", "call('HSET', P .. 'leases', me, text(now + tonumber(ARGV[2])))")
def test_9_a_sweep_renews_the_callers_own_lease(store: Store) -> None:
    hire(store, supervisor="lost", lease=0)
    hire(store, supervisor="s", lease=0)
    seen = lease_of(store, "s")
    store.sweep("s", 100, "lost", lease_of(store, "lost"))
    assert int(lease_of(store, "s")) > int(seen) + 90_000


@needs("sweep", "if not mine or mine == 'swept' or not theirs", instead="if not theirs")
def test_9_who_is_swept_sweeps_nobody(store: Store) -> None:
    hire(store, "w", supervisor="a", lease=0)
    hire(store, "w2", supervisor="b")
    store.sweep("b", 10, "a", lease_of(store, "a"))
    assert store.sweep("a", 10, "b", lease_of(store, "b"), dead=True) is None


@needs("sweep", "call('HSET', P .. 'lost', worker, lost)")
def test_9_anyone_may_go_on_with_a_half_done_sweep(store: Store) -> None:
    hire(store, "w1", "w2", supervisor="lost", lease=0)
    hire(store, supervisor="s1")
    hire(store, supervisor="s2")
    enqueue(store, *"abcd")
    turn(store, "w1", 1)
    turn(store, "w2", 1)
    store.sweep("s1", 10, "lost", lease_of(store, "lost"))
    store.give_back_all("w1")
    renewal = store.renew("s2", 10, tidy=False)
    assert renewal
    assert renewal.leases.get("lost") == "swept"
    assert store.sweep("s2", 10, "lost", "swept") == ["w2"]
    store.give_back_all("w2")
    assert sorted(waiting(store)) == list("abcd")
    assert store.sweep("s2", 10, "lost", "swept") == []
    assert lease_of(store, "lost") == ""


# -- 10: the lease that was seen


@needs("sweep", "theirs ~= seen or ")
def test_10_a_lease_that_changed_since_it_was_seen_is_not_swept(store: Store) -> None:
    hire(store, "w", supervisor="lost", lease=0)
    hire(store, supervisor="s")
    seen = lease_of(store, "lost")
    end = time.monotonic() + 60
    while lease_of(store, "lost") == seen and time.monotonic() < end:
        store.renew("lost", 0, tidy=False)
    assert store.sweep("s", 10, "lost", seen) is None


@needs("sweep", "(ARGV[5] ~= 'dead' and tonumber(theirs) > now)", instead="false")
def test_10_a_lease_that_has_not_run_out_is_swept_only_if_its_process_is_gone(store: Store) -> None:
    hire(store, "w", supervisor="lost")
    hire(store, supervisor="s")
    assert store.sweep("s", 10, "lost", lease_of(store, "lost")) is None
    assert store.sweep("s", 10, "lost", lease_of(store, "lost"), dead=True) == ["w"]


# -- 11: what the server holds for nobody


@needs("give_back", "local holes = to_front(call('LRANGE', claims, from, -1))", instead="local holes = 0")
def test_11_claims_that_a_worker_does_not_have_can_be_given_back_by_their_turn(store: Store) -> None:
    hire(store, "w")
    enqueue(store, *"abcd")
    turn(store, "w", 1)
    assert store.give_back_tail("w", "1", 0) == 2
    assert waiting(store) == list("abcd")
    assert turn(store, "w", 2).ids == ["a", "b"]


# -- 13: supervisors promote too


@needs("renew", "if promote(now) then hand_over() end")
def test_13_a_due_job_reaches_an_idle_worker_through_a_supervisor(store: Store) -> None:
    hire(store, "w")
    turn(store, "w", 1)
    enqueue(store, "a", due=store.now() - 1)
    assert store.renew("s", 10, tidy=True)
    assert woken(store, "w", 1)


@needs("enqueue", "order_all('due ' .. text(due))")
def test_13_supervisors_are_told_when_an_earlier_time_is_added(store: Store) -> None:
    hire(store, supervisor="s1")
    hire(store, supervisor="s2")
    due = int(store.now()) + 50
    enqueue(store, "a", due=due)
    for supervisor in ("s1", "s2"):
        assert store.read("LRANGE", f"orders:{supervisor}", 0, -1) == [f"due {due}000".encode()]


@needs("turn", "if promote(now) then waiting = true end")
def test_13_a_turn_promotes_what_is_due(store: Store) -> None:
    hire(store, "w")
    enqueue(store, "a", due=store.now() - 1)
    assert turn(store, "w", 1).ids == ["a"]


# -- 15: lost hosts count


@needs("turn", "alone = string.find(flags, '[ch]') ~= nil", instead="alone = false")
def test_15_what_was_on_a_lost_host_is_claimed_alone(store: Store) -> None:
    hire(store, "w", supervisor="lost", lease=0)
    hire(store, "w2", supervisor="s")
    enqueue(store, *(f"j{i}" for i in range(40)))
    assert turn(store, "w", 1, 2).ids == ["j0", "j1"]
    store.sweep("s", 10, "lost", lease_of(store, "lost"))
    open_turn, records = store.opened("w")
    marked = [(i, encode(raised(decode_record(record), "h"))) for i, record in enumerate(records)]
    assert store.give_back_all("w", open_turn, range(len(records)), marked) == (2, True)
    first = turn(store, "w2", 1).batch
    assert first
    assert [(record.id, record.flags) for record in first.records] == [("j0", "h1")]
    second = turn(store, "w2", 2, results=results_of(first)).batch
    assert second
    assert [record.id for record in second.records] == ["j1"]
    assert len(turn(store, "w2", 3, results=results_of(second)).ids) == 10


@needs("turn", "call('LPUSH', ring, cursor)", instead="call('RPUSH', ring, cursor)")
def test_15_a_turn_that_comes_to_such_a_job_leaves_the_cursor_on_its_queue(store: Store) -> None:
    hire(store, "w")
    enqueue(store, "a0", "a1", "a2", queue="a")
    enqueue(store, "killer", "b1", queue="b", flags="h1")
    enqueue(store, "c0", "c1", queue="c")
    batch = turn(store, "w", 1, 9).batch
    assert batch
    assert {record.queue for record in batch.records} == {"a"}
    assert ring(store)[0] == "b"
    assert turn(store, "w", 2, 9, results_of(batch)).ids == ["killer"]
