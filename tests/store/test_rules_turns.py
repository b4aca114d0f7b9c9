"""The protocol's rules 1, 2 and 3: turns are numbered, claims carry the number, what is left comes again (rules.py)."""

from __future__ import annotations

from play import (
    Results,
    crashed,
    enqueue,
    hire,
    results_of,
    tried_again,
    turn,
    waiting,
    woken,
)
from rules import needs

from tempotask.store.store import Store

# -- 1: turns are numbered


@needs("turn", "if number <= last then return { 'stale', last } end")
def test_1_a_late_copy_of_a_turn_claims_nothing(store: Store) -> None:
    hire(store, "w")
    assert turn(store, "w", 1).kind == "idle"
    assert turn(store, "w", 2).kind == "idle"
    turn(store, "w", 1)
    enqueue(store, "a")
    handed = woken(store, "w", 2)
    assert handed, "the worker blocks where it went idle last"


@needs("turn", "if number <= last then return { 'stale', last } end")
def test_1_a_stale_turn_is_told_the_last_number(store: Store) -> None:
    hire(store, "w")
    turn(store, "w", 7)
    enqueue(store, "a")
    assert turn(store, "w", 5) == ("stale", (7,), None)
    assert turn(store, "w", 7) == ("stale", (7,), None)
    assert turn(store, "w", 8).ids == ["a"]


@needs("turn", "    call('HSET', me, 'turn', number)\n    call('INCRBY'", instead="    call('INCRBY'")
def test_1_a_refused_sending_counts_as_a_sending(store: Store) -> None:
    hire(store, "w")
    enqueue(store, *"abcd")
    batch = turn(store, "w", 1, 2).batch
    assert batch
    store.give_back_tail("w", batch.turn, 1)
    assert turn(store, "w", 2, 0, results_of(batch)).kind == "refused"
    assert turn(store, "w", 2, 0, results_of(batch, 0, 1)).kind == "stale"


@needs("turn", "call('ZCARD', P .. 'priorities:' .. queue) - #used", instead="0")
def test_a_queue_with_more_priorities_than_a_claim_looks_at_stays_on_the_ring(store: Store) -> None:
    hire(store, "w")
    for level in (1, 3, 2):
        enqueue(store, f"p{level}", priority=level)
    claimed = [turn(store, "w", 1, 1)]
    while claimed[-1].batch is not None:
        claimed.append(turn(store, "w", len(claimed) + 1, 1, results_of(claimed[-1].batch)))
    assert [reply.ids for reply in claimed] == [["p3"], ["p2"], ["p1"], []]


# -- 2: claims carry the number of the turn that made them


@needs("turn", "local mine = turn ~= '' and turn == open", instead="local mine = turn ~= ''")
def test_2_a_resent_result_does_not_settle_a_retry_that_never_ran(store: Store) -> None:
    hire(store, "w")
    enqueue(store, "a")
    batch = turn(store, "w", 1).batch
    assert batch
    results = results_of(batch, how=tried_again)
    assert turn(store, "w", 2, results=results).ids == ["a"], "the reply is lost"
    again = turn(store, "w", 3, results=results).batch
    assert again
    assert [record.tries for record in again.records] == [1]
    assert store.read("GET", "refused") == b"1"


@needs("give_back", "if open == '' or open ~= turn then return { 0, '0' } end")
def test_2_a_late_steal_takes_nothing_of_a_newer_batch(store: Store) -> None:
    hire(store, "w")
    enqueue(store, *"abcdefgh")
    first = turn(store, "w", 1, 2).batch
    assert first
    second = turn(store, "w", 2, 2, results_of(first)).batch
    assert second
    assert store.give_back_tail("w", first.turn, 1) == 0
    assert turn(store, "w", 3, 2, results_of(second)).kind == "jobs"


@needs("give_back", "local judged, counts = {}, turn ~= '' and turn == open", instead="local judged, counts = {}, true")
def test_2_a_verdict_on_an_older_turn_blames_nobody(store: Store) -> None:
    hire(store, "w")
    enqueue(store, *"abcdefgh")
    first = turn(store, "w", 1, 2).batch
    assert first
    turn(store, "w", 2, 2, results_of(first))
    assert store.give_back_all("w", first.turn, [0], [crashed(first, 0)]) == (2, False)
    assert waiting(store) == list("cdefgh")


@needs("enqueue", "local turn = state[1] .. '@' .. text(now_ms())", instead="local turn = state[1]")
def test_2_the_name_of_a_hand_over_carries_the_time(store: Store) -> None:
    hire(store, "w")
    turn(store, "w", 5)
    before = int(store.now() * 1000)
    enqueue(store, "a", "b")
    handed = woken(store, "w", 5)
    assert handed
    number, _, at = handed.turn.partition("@")
    assert number == "5"
    assert at
    assert before - 1000 <= int(at) <= store.now() * 1000 + 1000


@needs(
    "enqueue",
    "local turn, batch = number .. '@' .. text(now_ms()), { record }",
    instead="local turn, batch = number, { record }",
)
def test_2_the_name_of_a_direct_hand_over_carries_the_time(store: Store) -> None:
    hire(store, "w")
    turn(store, "w", 5)
    before = int(store.now() * 1000)
    enqueue(store, "a")
    handed = woken(store, "w", 5)
    assert handed
    number, _, at = handed.turn.partition("@")
    assert number == "5"
    assert at
    assert before - 1000 <= int(at) <= store.now() * 1000 + 1000


@needs(
    "turn",
    "call('RPUSH', P .. 'wake:' .. worker .. ':' .. state[1], message",
    instead="call('RPUSH', P .. 'awake:' .. worker, message",
)
def test_2_a_retry_that_is_handed_over_comes_under_the_number_that_went_idle(store: Store) -> None:
    hire(store, "w", "w2")
    enqueue(store, "a")
    batch = turn(store, "w", 1).batch
    assert batch
    turn(store, "w2", 1)
    turn(store, "w2", 2)
    turn(store, "w", 2, 0, results_of(batch, how=tried_again))
    assert woken(store, "w2", 1) is None
    assert woken(store, "w2", 2)


# -- 3: every turn delivers again what is left, under its own number


@needs("turn", "if record ~= '' and not settled then left[#left + 1] = record end")
def test_3_what_a_lost_reply_claimed_is_delivered_again(store: Store) -> None:
    hire(store, "w")
    enqueue(store, *"abcd")
    assert turn(store, "w", 1).ids == ["a", "b"], "the reply is lost"
    assert turn(store, "w", 2).ids == ["a", "b"]


@needs(
    "turn",
    "local name, batch, payloads, more = text(number), left, nil, nil",
    instead="local name = open ~= '' and open or text(number)\nlocal batch, payloads, more = left, nil, nil",
)
def test_3_a_steal_in_flight_beside_a_resent_turn_takes_nothing(store: Store) -> None:
    hire(store, "w")
    enqueue(store, *"abcd")
    batch = turn(store, "w", 1).batch
    assert batch
    again = turn(store, "w", 2, results=results_of(batch, 0, 1)).batch
    assert again
    assert [record.id for record in again.records] == ["b"]
    assert store.give_back_tail("w", batch.turn, 0) == 0
    assert turn(store, "w", 3, results=results_of(again)).ids == ["c"]


@needs("turn", "payloads[#payloads + 1] = { record, payload_key(flags, id) }")
def test_3_what_is_delivered_again_has_its_payload(store: Store) -> None:
    hire(store, "w")
    enqueue(store, "a", payload=b"x" * 5000)
    assert turn(store, "w", 1).ids == ["a"]
    batch = turn(store, "w", 2).batch
    assert batch
    assert len(batch.payloads.get(0, b"")) > 5000


@needs("turn", "if not known[i] then call('LSET', claims, i, '') end")
def test_3_what_an_early_settle_took_is_not_delivered_again(store: Store) -> None:
    hire(store, "w")
    enqueue(store, *"abcdef")
    batch = turn(store, "w", 1, 3).batch
    assert batch
    turn(store, "w", 2, 0, results_of(batch, 0, 1))
    assert turn(store, "w", 3).ids == ["b", "c"]


@needs("turn", "if known[i - 1] and record ~= '' then all = false end")
def test_3_a_claim_that_only_its_worker_takes_for_gone_runs_again(store: Store) -> None:
    hire(store, "w")
    enqueue(store, *"abcdef")
    batch = turn(store, "w", 1, 3).batch
    assert batch
    # As when the server has come back with a state from before it was taken away.
    results = Results(batch.turn, 0, 3, (0,), results_of(batch, 1, 3).endings)
    assert turn(store, "w", 2, 2, results).ids == ["a"]


@needs("turn", "call('HINCRBY', me, 'holes', stop - first - missing)")
def test_3_results_that_an_early_settle_brought_do_not_count_twice(store: Store) -> None:
    hire(store, "w")
    enqueue(store, *"abcd")
    batch = turn(store, "w", 1).batch
    assert batch
    assert turn(store, "w", 2, 0, results_of(batch, 0, 1)).kind == "settled", "the reply is lost"
    whole = results_of(batch)
    assert turn(store, "w", 3, 0, whole) == ("refused", (0,), None)
    assert turn(store, "w", 4, 0, Results(batch.turn, 0, 2, (0,), whole.endings[1:])).kind == "settled"
    assert store.read("HGET", "counts:q", "completed") == b"2"
