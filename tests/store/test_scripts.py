"""What holds for all scripts that move jobs, on a real server."""

from __future__ import annotations

import redis
from play import enqueue, hire, results_of, turn, waiting

from tempotask.store.store import Store


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
