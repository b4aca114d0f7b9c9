"""The protocol's rules 7, 8 and 16, and holes: what people act on while others are at work (see rules.py)."""

from __future__ import annotations

from play import act, crashed, enqueue, hire, new_job, results_of, revision, ring, tried_again, turn, waiting, woken
from rules import needs

from tempotask.store.records import Batch, decode_outcome, decode_record, encode
from tempotask.store.store import Store


def claimed(store: Store, *ids: str) -> Batch:
    """What the worker `w` holds: the first half of these jobs."""
    hire(store, "w")
    enqueue(store, *ids)
    batch = turn(store, "w", 1).batch
    assert batch
    return batch


def cancel(store: Store, *ids: str) -> None:
    """Cancels jobs that wait."""
    for id in ids:
        assert act(store, "cancel", "list", "queue:0:q", 0, 100, id=id)[0] == 1


def status(store: Store, id: str) -> str:
    """How a job ended; empty if it has not."""
    (outcome,) = store.outcomes_of([id])
    return decode_outcome(outcome).status if outcome else ""


# -- 7: cancel and delete take the claim away in the same script


@needs("act", "call('LSET', claims, i - 1, '')")
def test_7_the_result_of_a_job_that_was_cancelled_while_it_ran_is_refused(store: Store) -> None:
    batch = claimed(store, *"abcd")
    assert act(store, "cancel", "claims", "w", id="a") == (1, "")
    assert turn(store, "w", 2, 0, results_of(batch)) == ("refused", (0,), None)
    assert status(store, "a") == "cancelled"


@needs("act", "call('HINCRBY', me, 'holes', #taken)")
def test_7_the_hole_that_a_cancelled_claim_leaves_is_counted(store: Store) -> None:
    batch = claimed(store, *"abcdef")
    act(store, "delete", "claims", "w", id="b")
    assert turn(store, "w", 2, 0, results_of(batch)) == ("refused", (1,), None)


@needs("act", "call('LSET', claims, i - 1, '')")
def test_7_what_was_cancelled_does_not_come_back_when_its_worker_dies(store: Store) -> None:
    batch = claimed(store, *"abcd")
    act(store, "cancel", "claims", "w", id="a")
    assert store.give_back_all("w", batch.turn, [0], [crashed(batch, 0)]) == (1, False)
    assert waiting(store) == list("bcd")


@needs("act", "      call('DEL', wake)\n")
def test_7_a_job_that_was_handed_over_and_not_taken_is_replaced_by_a_nudge(store: Store) -> None:
    hire(store, "w")
    turn(store, "w", 1)
    enqueue(store, *"abcd")
    assert act(store, "cancel", "claims", "w", id="a") == (1, "")
    assert store.read("LRANGE", "wake:w:1", 0, -1) == [b""]
    assert turn(store, "w", 2).ids == ["b"]


@needs("act", "call('RPUSH', wake, '')")
def test_7_who_was_nudged_takes_a_turn_though_nothing_is_left_for_it(store: Store) -> None:
    hire(store, "w")
    turn(store, "w", 1)
    enqueue(store, "a")
    assert act(store, "delete", "claims", "w", id="a") == (1, "")
    assert store.read("LRANGE", "wake:w:1", 0, -1) == [b""]
    assert turn(store, "w", 2).kind == "idle"


@needs("act", "finish(taken, terms)\n  end\n  return #taken, ''", instead="end\n  return #taken, ''")
def test_7_who_waits_for_a_job_is_told_that_it_was_deleted(store: Store) -> None:
    claimed(store, *"abcd")
    store.ask("me", ["a"])
    act(store, "delete", "claims", "w", id="a")
    assert (store.read("LINDEX", "waits:me", 0) or b"").startswith(b"a ")


def test_7_a_second_cancel_finds_nothing(store: Store) -> None:
    claimed(store, *"abcd")
    assert act(store, "cancel", "claims", "w", id="a") == (1, "")
    assert act(store, "cancel", "claims", "w", id="a") == (0, "")
    assert store.read("HGET", "counts:q", "cancelled") == b"1"


@needs("give_back", "if holes > 0 then call('HINCRBY', me, 'holes', -holes) end")
def test_7_holes_that_are_stolen_with_the_rest_are_counted_no_longer(store: Store) -> None:
    batch = claimed(store, *"abcdef")
    act(store, "cancel", "claims", "w", id="c")
    assert store.give_back_tail("w", batch.turn, 1) == 1
    assert store.read("HGET", "worker:w", "holes") == b"0"
    assert waiting(store) == list("bdef")


@needs("revise", "if call('HEXISTS', P .. 'ids', id) == 1 then return { -1, id } end")
def test_7_a_finished_job_does_not_wait_again_while_a_newer_run_of_its_id_has_not_finished(store: Store) -> None:
    enqueue(store, "a", given_id=True)
    cancel(store, "a")
    (page,) = store.read("LRANGE", "history:q:cancelled", 0, -1)
    enqueue(store, "a", given_id=True)
    assert store.change("revise", *revision("q", "cancelled", page, 0, again=True)) == [-1, b"a"]
    assert waiting(store) == ["a"]


@needs("revise", "if old ~= '' and not index then return { 0 } end")
def test_7_a_finished_job_waits_again_once_however_often_that_is_sent(store: Store) -> None:
    enqueue(store, "a")
    cancel(store, "a")
    (page,) = store.read("LRANGE", "history:q:cancelled", 0, -1)
    call = revision("q", "cancelled", page, 0, again=True)
    assert store.change("revise", *call) == [1]
    assert store.change("revise", *call) == [0]
    assert waiting(store) == ["a"]


# -- 8: an order to cancel names turn, index and job


@needs("act", "if supervisor and not handed then", instead="if false then")
def test_8_the_supervisor_is_told_which_job_of_which_turn_is_cancelled(store: Store) -> None:
    batch = claimed(store, *"abcd")
    act(store, "cancel", "claims", "w", id="b")
    assert store.read("LRANGE", "orders:s", 0, -1) == [b"cancel w 1 1 " + encode(batch.records[1])]


@needs("act", "if supervisor and not handed then", instead="if supervisor then")
def test_8_nobody_is_ended_for_a_job_that_no_worker_has_taken(store: Store) -> None:
    hire(store, "w")
    turn(store, "w", 1)
    enqueue(store, *"abcd")
    act(store, "cancel", "claims", "w", id="a")
    assert store.read("LLEN", "orders:s") == 0


# -- 16: nothing is handed over from a paused queue


@needs("pause", "call('LREM', KEYS[1], 0, queue)")
def test_16_nothing_is_claimed_from_a_paused_queue(store: Store) -> None:
    hire(store, "w")
    enqueue(store, "a", "b")
    assert store.pause_queue("q")
    assert turn(store, "w", 1).kind == "idle"
    assert waiting(store) == ["a", "b"]


@needs("enqueue", " or paused(queue)")
def test_16_a_job_that_comes_alone_to_a_paused_queue_is_not_handed_over(store: Store) -> None:
    hire(store, "w")
    turn(store, "w", 1)
    store.pause_queue("q")
    enqueue(store, "a")
    assert woken(store, "w", 1) is None
    assert waiting(store) == ["a"]


@needs("enqueue", " and not paused(queue)")
def test_16_jobs_that_come_to_a_paused_queue_are_not_handed_over(store: Store) -> None:
    hire(store, "w")
    turn(store, "w", 1)
    store.pause_queue("q")
    enqueue(store, "a", "b")
    assert woken(store, "w", 1) is None
    assert waiting(store) == ["a", "b"]


@needs("give_back", " and not paused(queue)")
def test_16_what_is_given_back_to_a_paused_queue_stays_off_the_ring(store: Store) -> None:
    claimed(store, "a")
    hire(store, "w2")
    turn(store, "w2", 1)
    store.pause_queue("q")
    assert store.give_back_tail("w", "1", 0) == 1
    assert woken(store, "w2", 1) is None
    assert ring(store) == []
    assert waiting(store) == ["a"]


@needs("turn", " and not paused(queue)")
def test_16_what_is_tried_again_waits_in_a_paused_queue(store: Store) -> None:
    batch = claimed(store, "a")
    store.pause_queue("q")
    assert turn(store, "w", 2, results=results_of(batch, how=tried_again)).kind == "idle"
    assert waiting(store) == ["a"]


@needs("turn", " and not paused(queue)")
def test_16_delayed_jobs_of_a_paused_queue_wait_too(store: Store) -> None:
    hire(store, "w")
    store.pause_queue("q")
    enqueue(store, "a", due=store.now() - 1)
    assert turn(store, "w", 1).kind == "idle"
    assert waiting(store) == ["a"]


@needs("act", " and not paused(queue)")
def test_16_a_job_that_is_resumed_in_a_paused_queue_waits_there(store: Store) -> None:
    hire(store, "w")
    store.pause_queue("q")
    enqueue(store, "a")
    assert act(store, "pause", "list", "queue:0:q", 0, 10, id="a") == (1, "")
    turn(store, "w", 1)
    assert act(store, "resume", "parked", "", 10, "WDR", id="a") == (1, "")
    assert woken(store, "w", 1) is None
    assert waiting(store) == ["a"]


@needs("pause", "  hand_over(true)\n")
def test_16_resuming_hands_over(store: Store) -> None:
    hire(store, "w")
    store.pause_queue("q")
    enqueue(store, "a", "b")
    turn(store, "w", 1)
    assert store.resume_queue("q")
    batch = woken(store, "w", 1)
    assert batch
    assert [record.id for record in batch.records] == ["a"]


@needs("pause", "order_all('steal')")
def test_16_supervisors_are_told_to_give_back_what_has_not_started(store: Store) -> None:
    hire(store, supervisor="s1")
    hire(store, supervisor="s2")
    store.pause_queue("q")
    assert [store.read("LRANGE", f"orders:{name}", 0, -1) for name in ("s1", "s2")] == [[b"steal"], [b"steal"]]


def test_16_pausing_and_resuming_twice_changes_nothing(store: Store) -> None:
    enqueue(store, "a")
    assert [store.pause_queue("q"), store.pause_queue("q")] == [True, False]
    assert [store.resume_queue("q"), store.resume_queue("q")] == [True, False]
    assert ring(store) == ["q"]


# -- holes


def many_holes(store: Store) -> None:
    """A queue in which a job stands behind more holes than a turn lets go of."""
    enqueue(store, "a")
    client, key = store.server.client(), f"{store.prefix}queue:0:q"
    client.lpush(key, *[""] * 30_000)
    client.hset(f"{store.prefix}counts:q", "holes", 30_000)


@needs("turn", "return { 'again' }", instead="call('DEL', KEYS[1])")
def test_a_turn_that_meets_only_holes_asks_again_and_never_goes_idle(store: Store) -> None:
    hire(store, "w")
    many_holes(store)
    kinds, number = [], 0
    while not kinds or kinds[-1] == "again":
        number += 1
        kinds.append(turn(store, "w", number).kind)
    assert len(kinds) > 1
    assert kinds[-1] == "jobs"
    assert store.read("HGET", "counts:q", "holes") == b"0"


@needs("pause", "call('RPUSH', P .. 'wake:' .. worker .. ':' .. state[1], '')")
def test_who_is_idle_while_only_holes_are_seen_is_nudged(store: Store) -> None:
    hire(store, "w")
    turn(store, "w", 1)
    store.pause_queue("q")
    many_holes(store)
    store.resume_queue("q")
    assert store.read("LRANGE", "wake:w:1", 0, -1) == [b""]
    assert store.read("ZCARD", "idle") == 0


@needs("turn", "for _ = 1, 10 do", instead="for _ = 1, 1 do")
def test_a_few_holes_cost_no_turn(store: Store) -> None:
    hire(store, "w")
    enqueue(store, *"abc")
    cancel(store, "b")
    batch = turn(store, "w", 1, 1).batch
    assert batch
    assert [record.id for record in batch.records] == ["a"]
    assert turn(store, "w", 2, 1, results_of(batch)).ids == ["c"]


@needs("turn", "waiting - kept - holes", instead="waiting - kept")
def test_a_queue_of_which_all_is_taken_leaves_the_ring_holes_or_not(store: Store) -> None:
    hire(store, "w")
    enqueue(store, *"abc")
    enqueue(store, *(f"j{i}" for i in range(20)), queue="other")
    cancel(store, "b")
    assert turn(store, "w", 1, 8).ids[:4] == ["a", "j0", "c", "j1"]
    assert ring(store) == ["other"]


@needs("act", "dropped = drop_last_holes(key)", instead="dropped = 0")
def test_the_last_holes_of_a_queue_are_let_go_and_an_empty_queue_leaves_the_ring(store: Store) -> None:
    enqueue(store, *"abc")
    cancel(store, "b", "c")
    assert store.read("LLEN", "queue:0:q") == 1
    cancel(store, "a")
    assert ring(store) == []
    assert store.quiet()


def test_the_first_holes_of_a_queue_are_let_go(store: Store) -> None:
    enqueue(store, *"abc")
    cancel(store, "b", "a")
    assert waiting(store) == ["c"]
    assert store.read("HGET", "counts:q", "holes") == b"0"


@needs("act", "not holds_any(own_queue)", instead="true")
def test_a_queue_stays_on_the_ring_while_jobs_of_another_priority_wait(store: Store) -> None:
    hire(store, "w")
    enqueue(store, "a")
    enqueue(store, "b", priority=5)
    cancel(store, "a")
    assert turn(store, "w", 1).ids == ["b"]


@needs("enqueue", "queues > taken", instead="#names > taken")
def test_all_who_are_idle_get_work_however_many_queues_there_are(store: Store) -> None:
    hire(store, "w", "w2")
    turn(store, "w", 1, 100)
    turn(store, "w2", 1, 100)
    store.enqueue(store.new_call(), [new_job(f"j{i}", f"q{i}") for i in range(64)])
    assert woken(store, "w", 1)
    assert woken(store, "w2", 1)


def test_a_look_that_meets_holes_goes_on(store: Store) -> None:
    enqueue(store, *"abc")
    cancel(store, "b")
    assert decode_record(store.run("find", "a", "list", "queue:0:q", -10, -1)).id == "a"
    assert store.run("find", "b", "list", "queue:0:q", -10, -1) == b""
