"""The protocol's rules (docs/design.md), each with a test that fails when the rule is left out.

Each scenario runs twice: on the scripts as they are, where it must pass, and on a script that lacks the rule's line,
where it must not. Rules 7 and 16 (cancelling, pausing) have no scripts yet; of 8, 10 and 11, the store's half is here.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from play import (
    HOUR,
    Results,
    completed,
    crashed,
    enqueue,
    failed,
    hire,
    new_job,
    results_of,
    ring,
    settlement,
    tried_again,
    turn,
    waiting,
    woken,
)

from tempotask.store.records import decode_outcome, decode_record, encode, raised
from tempotask.store.script import SCRIPTS, Script
from tempotask.store.store import Store

Scenario = Callable[[Store], None]


def needs(script: str, *lines: str, instead: str = "") -> Callable[[Scenario], Callable[..., None]]:
    """The scenario passes with these lines of a script, and fails with others instead."""

    def decorate(scenario: Scenario) -> Callable[..., None]:
        @pytest.mark.parametrize("kept", [True, False], ids=["with the rule", "without it"])
        def test(store: Store, monkeypatch: pytest.MonkeyPatch, kept: bool) -> None:
            if kept:
                scenario(store)
                return
            text = SCRIPTS[script].text
            for line in lines:
                assert text.count(line) == 1, f"{script}.lua has no such line (any more): {line}"
                text = text.replace(line, instead)
            sha = store.server.client().script_load(text)
            monkeypatch.setitem(SCRIPTS, script, Script(sha, text))
            with pytest.raises(AssertionError):
                scenario(store)

        test.__name__ = scenario.__name__
        return test

    return decorate


def lease_of(store: Store, supervisor: str) -> str:
    return (store.read("HGET", "leases", supervisor) or b"").decode()


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
    "local name, batch, payloads = text(number), left, {}",
    instead="local name = open ~= '' and open or text(number)\nlocal batch, payloads = left, {}",
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


@needs("turn", "for i = first, math.min(stop, length) - 1 do call('LSET', claims, i, '') end")
def test_3_what_an_early_settle_took_is_not_delivered_again(store: Store) -> None:
    hire(store, "w")
    enqueue(store, *"abcdef")
    batch = turn(store, "w", 1, 3).batch
    assert batch
    turn(store, "w", 2, 0, results_of(batch, 0, 1))
    assert turn(store, "w", 3).ids == ["b", "c"]


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
    assert store.ask("", ["a"]) == [None]
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
    (outcome,) = store.ask("", ["a"])
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
    assert store.ask("", ["a"]) == [None]


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
    assert store.ask("", ["a"]) != [None]


@needs("enqueue", "call('PEXPIRE', remembered, ARGV[3], 'NX')")
def test_12_calls_are_forgotten_after_producers_have_stopped_trying(store: Store) -> None:
    enqueue(store, "a")
    (key,) = store.server.client().keys(f"{store.prefix}calls:*")
    assert 60_000 < store.server.client().pttl(key) <= 120_000


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


# -- 14: asking and registering as a waiter is one script


@needs("ask", "call('HSET', P .. 'waiters', ARGV[i], others .. ' ' .. client)")
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


@needs("turn", "store_outcomes(told, 1, #told, 60000, now, most, most_bytes)")
def test_14_an_outcome_that_is_not_kept_is_kept_a_while_if_somebody_waits(store: Store) -> None:
    hire(store, "w")
    enqueue(store, "a", "b")
    store.ask("me", ["a"])
    for number in (1, 3):
        batch = turn(store, "w", number).batch
        assert batch
        turn(store, "w", number + 1, 0, results_of(batch, how=lambda record: completed(record, keep=0)))
    store.server.client().delete(f"{store.prefix}waits:me")
    first, second = store.ask("", ["a", "b"])
    assert first, "the push was lost, and asking again finds it"
    assert second is None


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


@needs("turn", "call((ended and total > 0) and 'LPUSH' or 'RPUSH', ring, queue)", instead="call('RPUSH', ring, queue)")
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
