"""That a queue on the ring with nothing in it, or with a name that is none, keeps nobody from their jobs."""

from __future__ import annotations

import pytest
from play import enqueue, hire, turn, woken

from tempotask.store.check import check
from tempotask.store.repair import repair
from tempotask.store.store import Store

NO_TEXT = b"\xff junk"


def put_on_the_ring(store: Store, name: bytes) -> None:
    store.server.client().lpush(store.ring, name)


@pytest.mark.parametrize("name", [b"gone", NO_TEXT])
def test_turns_pass_over_it_and_take_it_off_the_ring(store: Store, name: bytes) -> None:
    hire(store, "w")
    enqueue(store, "a", queue="other")
    put_on_the_ring(store, name)
    assert turn(store, "w", 1).ids == ["a"]
    assert store.read("EXISTS", "ring") == 0


def test_jobs_are_handed_over_behind_a_queue_whose_list_was_deleted(store: Store) -> None:
    enqueue(store, "a", "b", "c", queue="gone")
    store.server.client().delete(f"{store.prefix}queue:0:gone")
    hire(store, "w")
    assert turn(store, "w", 1).kind == "idle"
    assert store.read("EXISTS", "ring") == 0
    enqueue(store, "d", queue="other")
    batch = woken(store, "w", 1)
    assert batch is not None
    assert [record.id for record in batch.records] == ["d"]


@pytest.mark.parametrize("name", [b"gone", NO_TEXT])
def test_check_names_it_and_repair_mends_it(store: Store, name: bytes) -> None:
    enqueue(store, "a", queue="other", given_id=True)
    put_on_the_ring(store, name)
    shown = name.decode(errors="backslashreplace")
    assert [one[:2] for one in check(store)] == [("ring", f"has {shown}, in which nothing waits")]
    assert len(repair(store)) == 1
    assert check(store) == []
    assert store.read("LRANGE", "ring", 0, -1) == [b"other"]
