"""Fencing tokens: whatever has a job start again, its later start has the higher one."""

from __future__ import annotations

from play import enqueue, hire, results_of, tried_again, turn, woken

from tempotask.store.store import Store


def token_of(store: Store, worker: str, number: int) -> int:
    """That of the one job that a turn brings."""
    batch = turn(store, worker, number, 1).batch
    assert batch is not None
    assert [record.id for record in batch.records] == ["a"]
    return batch.token


def test_a_start_after_a_lost_reply_a_steal_a_death_a_lost_host_and_a_try_has_a_higher_token(store: Store) -> None:
    hire(store, "w1", "w2", supervisor="lost", lease=0)
    hire(store, "v1", "v2", supervisor="s")
    enqueue(store, "a")
    tokens = [token_of(store, "w1", 1), token_of(store, "w1", 2)]
    assert store.give_back_tail("w1", "2", 0) == 1  # stolen
    tokens.append(token_of(store, "w2", 1))
    assert store.give_back_all("w2")[0] == 1  # died
    tokens.append(token_of(store, "w1", 3))
    assert store.sweep("s", 10, "lost", store.read("HGET", "leases", "lost").decode()) == ["w1"]
    assert store.give_back_all("w1")[0] == 1
    batch = turn(store, "v1", 1, 1).batch
    assert batch is not None
    tokens.append(batch.token)
    assert turn(store, "v1", 2, 0, results_of(batch, how=tried_again)).kind == "settled"
    tokens.append(token_of(store, "v2", 1))
    assert tokens == sorted(set(tokens))


def test_a_start_that_is_handed_over_has_a_higher_token_too(store: Store) -> None:
    hire(store, "w", "v")
    enqueue(store, "a")
    first = token_of(store, "w", 1)
    assert turn(store, "v", 1, 1).kind == "idle"
    assert store.give_back_tail("w", "1", 0) == 1
    handed = woken(store, "v", 1)
    assert handed is not None
    assert handed.token > first
