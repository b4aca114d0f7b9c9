"""What the script promises that settles jobs and hands out the next. One test a promise, on a real server."""

from __future__ import annotations

import pytest
import redis
from play import HOUR, Results, enqueue, hire, results_of, ring, tried_again, turn, waiting, woken

from tempotask.store.records import decode_record
from tempotask.store.store import Store


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
