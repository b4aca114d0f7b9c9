"""The protocol's rules 4, 5, 6 and 8: who is registered, dies, is handed something over, is judged (rules.py)."""

from __future__ import annotations

from play import (
    HOUR,
    crashed,
    enqueue,
    failed,
    hire,
    new_job,
    results_of,
    settlement,
    tried_again,
    turn,
    waiting,
    woken,
)
from rules import needs

from tempotask.store.records import decode_outcome, decode_record, encode
from tempotask.store.store import Store

# -- 4: a turn never registers


@needs("turn", "if not supervisor then return { 'gone' } end")
def test_4_a_turn_of_a_worker_that_nobody_registered_claims_nothing(store: Store) -> None:
    hire(store, "w")
    enqueue(store, "a")
    assert turn(store, "ghost", 1).kind == "gone"
    assert waiting(store) == ["a"]


@needs("turn", "if not supervisor then return { 'gone' } end")
def test_4_a_dead_workers_turn_still_in_a_socket_settles_and_claims_nothing(store: Store) -> None:
    hire(store, "w", "w2")
    enqueue(store, *"abcd")
    batch = turn(store, "w", 1).batch
    assert batch
    store.give_back_all("w")
    assert turn(store, "w", 2, results=results_of(batch)).kind == "gone"
    assert store.outcomes_of(["a"]) == [None]
    assert waiting(store) == list("abcd")


# -- 5: a death gives back all that the server holds


@needs(
    "give_back",
    "local claims = P .. 'claims:' .. worker .. ':' .. open",
    instead="local claims = P .. 'claims:' .. worker .. ':' .. ARGV[5]",
)
def test_5_a_death_gives_back_what_the_server_holds_and_not_what_the_supervisor_saw(store: Store) -> None:
    hire(store, "w")
    enqueue(store, *"abcdefgh")
    batch = turn(store, "w", 1, 2).batch
    assert batch
    turn(store, "w", 2, 2, results_of(batch))
    store.give_back_all("w", batch.turn, [1], [crashed(batch, 1)])
    assert waiting(store) == list("cdefgh")


@needs("give_back", "call('ZREM', P .. 'idle', worker)")
def test_5_a_dead_worker_is_idle_no_longer(store: Store) -> None:
    hire(store, "w")
    turn(store, "w", 1)
    store.give_back_all("w")
    assert store.read("ZCARD", "idle") == 0
    enqueue(store, "a")
    assert waiting(store) == ["a"]


@needs("give_back", "if idle then call('DEL', P .. 'wake:' .. worker .. ':' .. idle) end")
def test_5_what_was_handed_over_to_a_worker_that_died_is_given_back(store: Store) -> None:
    hire(store, "w")
    turn(store, "w", 1)
    enqueue(store, "a")
    assert store.give_back_all("w") == (1, False)
    assert waiting(store) == ["a"]
    assert woken(store, "w", 1) is None


# -- 6: a hand-over is a claim


@needs("enqueue", "call('HSET', P .. 'worker:' .. worker, 'open', turn, 'holes', 0)")
def test_6_a_hand_over_that_was_popped_and_lost_is_delivered_by_the_next_turn(store: Store) -> None:
    hire(store, "w")
    turn(store, "w", 1)
    enqueue(store, "a", "b")
    assert woken(store, "w", 1), "a half-open connection swallows it"
    assert turn(store, "w", 2).ids == ["a"]


@needs("enqueue", "call('HSET', me, 'open', turn, 'holes', 0)")
def test_6_a_direct_hand_over_that_was_popped_and_lost_is_delivered_by_the_next_turn(store: Store) -> None:
    hire(store, "w")
    turn(store, "w", 1)
    enqueue(store, "a")
    assert woken(store, "w", 1), "a half-open connection swallows it"
    assert turn(store, "w", 2).ids == ["a"]


@needs("turn", "call('DEL', P .. 'wake:' .. worker .. ':' .. idle)\nend", instead="end")
def test_6_what_a_turn_delivers_again_is_not_also_on_the_wake_list(store: Store) -> None:
    hire(store, "w")
    turn(store, "w", 1)
    enqueue(store, "a")
    assert turn(store, "w", 2).ids == ["a"]
    assert woken(store, "w", 1) is None


@needs("turn", "'want', 'room')\n  call('ZREM', P .. 'idle', worker)", instead="'want', 'room')")
def test_6_a_worker_that_took_a_turn_is_idle_no_longer(store: Store) -> None:
    hire(store, "w")
    turn(store, "w", 1)
    store.server.client().zadd(f"{store.prefix}retries", {encode(new_job("a").record): 1})
    assert turn(store, "w", 2).ids == ["a"]
    assert store.read("ZCARD", "idle") == 0


# -- 8: a verdict counts only for a job that is held


@needs("give_back", "if (records[judged[i]] or '') == '' then counts = false end")
def test_8_a_time_limit_does_not_undo_what_was_settled_before_it(store: Store) -> None:
    hire(store, "w")
    enqueue(store, *"abcd")
    batch = turn(store, "w", 1).batch
    assert batch
    turn(store, "w", 2, 0, results_of(batch, 0, 1))
    late = settlement([failed(batch.records[0], "JobTimeout")])
    assert store.give_back_all("w", batch.turn, [0], (), late)[1] is False
    (outcome,) = store.outcomes_of(["a"])
    assert outcome
    assert decode_outcome(outcome).status == "completed"


@needs("give_back", "for _, i in ipairs(judged) do records[i] = '' end")
def test_8_a_kill_with_a_verdict_is_no_crash(store: Store) -> None:
    hire(store, "w")
    enqueue(store, *"abcd")
    batch = turn(store, "w", 1).batch
    assert batch
    verdict = settlement([tried_again(batch.records[0], HOUR)])
    assert store.give_back_all("w", batch.turn, [0], (), verdict) == (1, True)
    assert waiting(store) == list("bcd")
    (record,) = store.read("ZRANGE", "retries", 0, -1)
    assert (decode_record(record).flags, decode_record(record).tries) == ("", 1)
