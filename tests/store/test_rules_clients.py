"""The protocol's rules 12 and 14: calls that are sent twice, and those who wait (see rules.py)."""

from __future__ import annotations

from play import (
    completed,
    enqueue,
    failed,
    hire,
    new_job,
    results_of,
    settlement,
    turn,
    waiting,
)
from rules import needs

from tempotask.store.store import Store

# -- 12: an enqueue call has an id


@needs("enqueue", "if answer then return answer end")
def test_12_a_call_sent_twice_adds_once(store: Store) -> None:
    call = store.new_call()
    jobs = [new_job(f"{call}-0"), new_job(f"{call}-1", due=store.now() + 3600)]
    assert store.enqueue(call, jobs) == store.enqueue(call, jobs) == [True, True]
    assert waiting(store) == [f"{call}-0"]


@needs("enqueue", "if answer then return answer end")
def test_12_a_call_sent_again_after_its_job_has_finished_does_not_make_it_again(store: Store) -> None:
    hire(store, "w")
    call = store.new_call()
    assert store.enqueue(call, [new_job("a", given_id=True)]) == [True]
    batch = turn(store, "w", 1).batch
    assert batch
    turn(store, "w", 2, 0, results_of(batch))
    assert store.enqueue(call, [new_job("a", given_id=True)]) == [True]
    assert waiting(store) == []
    assert store.outcomes_of(["a"]) != [None]


@needs(
    "enqueue",
    "  call('HSET', remembered, ARGV[1], text)\n  call('PEXPIRE', remembered, ARGV[3])",
    instead="  call('HSET', remembered, ARGV[1], text)",
)
def test_12_calls_are_forgotten_after_producers_have_stopped_trying(store: Store) -> None:
    enqueue(store, "a")
    (key,) = store.server.client().scan_iter(f"{store.prefix}calls:*")
    assert 60_000 < store.server.client().pttl(key) <= 120_000


# -- 14: asking and registering as a waiter is one script


@needs("ask", "others = others .. ' ' .. client")
def test_14_every_waiter_of_a_job_is_told(store: Store) -> None:
    hire(store, "w")
    enqueue(store, "a")
    for client in ("me", "you", "them"):
        assert store.ask(client, ["a"]) == [None]
    batch = turn(store, "w", 1).batch
    assert batch
    turn(store, "w", 2, 0, results_of(batch, how=lambda record: completed(record, keep=0)))
    for client in ("me", "you", "them"):
        assert (store.read("LINDEX", f"waits:{client}", 0) or b"").startswith(b"a ")


@needs("give_back", "settle(take, now_ms(), most, most_bytes)\nend\nto_front", instead="end\nto_front")
def test_14_who_waits_is_told_of_an_ending_by_verdict(store: Store) -> None:
    hire(store, "w")
    enqueue(store, "a")
    store.ask("me", ["a"])
    batch = turn(store, "w", 1).batch
    assert batch
    store.give_back_all("w", batch.turn, [0], (), settlement([failed(batch.records[0])]))
    assert (store.read("LINDEX", "waits:me", 0) or b"").startswith(b"a ")


@needs("turn", "elseif #told > 0 then", instead="elseif false then")
def test_14_an_outcome_that_is_not_kept_is_kept_a_while_if_somebody_waits(store: Store) -> None:
    hire(store, "w")
    enqueue(store, "a", "b")
    store.ask("me", ["a"])
    for number in (1, 3):
        batch = turn(store, "w", number).batch
        assert batch
        turn(store, "w", number + 1, 0, results_of(batch, how=lambda record: completed(record, keep=0)))
    store.server.client().delete(f"{store.prefix}waits:me")
    first, second = store.outcomes_of(["a", "b"])
    assert first, "the push was lost, and asking again finds it"
    assert second is None
