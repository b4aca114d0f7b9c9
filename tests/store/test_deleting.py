"""That jobs can be deleted wherever they are, one by one, by filter and all at once."""

from __future__ import annotations

import threading
from typing import Any

import msgspec
import pytest
from play import completed, failed, hire, results_of, tried_again, turn, waiting
from store.acted import IDS, LARGE, add, everywhere, outcome, run, status

from tempotask.store import lists
from tempotask.store.acting import Acting
from tempotask.store.lists import Filter
from tempotask.store.store import Store


@pytest.mark.parametrize("id", IDS)
def test_nobody_knows_a_deleted_job(store: Store, acting: Acting, id: str) -> None:
    before = everywhere(store)
    assert acting.delete(id) is True
    assert status(store, id) is None
    assert outcome(store, id) is None
    assert acting.delete(id) is False
    assert {other: status(store, other) for other in IDS if other != id} == {
        other: known for other, known in before.items() if other != id
    }


@pytest.mark.parametrize(
    "delete",
    [
        lambda acting: acting.delete("a"),
        lambda acting: acting.delete_all(Filter("q", "waiting")),
        lambda acting: acting.delete_everything(),
    ],
    ids=["by id", "by filter", "with all"],
)
def test_nobody_knows_a_deleted_job_also_when_somebody_waits_for_it(store: Store, acting: Acting, delete: Any) -> None:
    add(store, "a")
    store.ask("client", ["a"])
    assert delete(acting)
    assert status(store, "a") is None
    # What was pushed to who waits may be lost, and then it asks again.
    assert outcome(store, "a") == "cancelled"
    assert add(store, "a") == [True]
    assert outcome(store, "a") is None


def test_all_runs_of_a_deleted_id_go(store: Store, acting: Acting) -> None:
    for number, how in enumerate((failed, completed, failed)):
        add(store, "a", payload=LARGE)
        run(store, how, worker=f"w{number}")
    assert acting.delete("a")
    assert status(store, "a") is None
    assert list(store.server.client().scan_iter(f"{store.prefix}payload:*")) == []
    assert add(store, "a") == [True]


def test_a_job_of_which_only_its_outcome_is_left_is_deleted(store: Store, acting: Acting) -> None:
    add(store, "a")
    run(store)
    store.server.client().delete(f"{store.prefix}history:q:completed")
    store.server.client().hset(f"{store.prefix}counts:q", "completed:kept", 0)
    assert acting.delete("a") is True
    assert status(store, "a") is None


@pytest.mark.parametrize("wanted", ["waiting", "delayed", "processing", "completed", "failed"])
def test_jobs_are_deleted_by_status_paused_ones_with_the_others(store: Store, acting: Acting, wanted: Any) -> None:
    before = everywhere(store)
    going = {id for id, known in before.items() if known == wanted}
    assert acting.delete_all(Filter(status=wanted)) == len(going)
    assert {id for id in IDS if status(store, id) is None} == going


def test_a_queue_is_deleted_with_all_its_jobs_and_no_other(store: Store, acting: Acting) -> None:
    everywhere(store)
    add(store, *(f"x{n}" for n in range(10)), queue="other")
    add(store, *(f"many{n}" for n in range(1000)))
    add(store, *(f"urgent{n}" for n in range(1000)), priority=7, payload=LARGE)
    assert acting.delete_all(Filter("q")) == 2000 + len(IDS)
    assert lists.jobs(store, "q")[0] == []
    assert len(waiting(store, "other")) == 10
    assert list(store.server.client().scan_iter(f"{store.prefix}payload:*")) == []


def test_everything_is_deleted(store: Store, acting: Acting) -> None:
    everywhere(store, "a")
    assert acting.delete_everything() == len(IDS)
    assert lists.jobs(store) == ([], None)
    assert acting.delete_everything() == 0


def test_jobs_that_move_all_the_time_are_deleted_all_the_same(store: Store, acting: Acting) -> None:
    add(store, *(f"a{n}" for n in range(200)))
    stop, errors = threading.Event(), list[BaseException]()
    hire(store, "w")

    def toss() -> None:
        try:
            number = 0
            while not stop.is_set():
                number += 1
                batch = turn(store, "w", number, 50).batch
                if batch:
                    number += 1
                    turn(store, "w", number, 0, results_of(batch, how=lambda record: tried_again(record)))
                    store.give_back_tail("w", str(number), 0)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=toss)
    thread.start()
    try:
        for n in range(0, 200, 10):
            assert acting.delete(f"a{n}") is True
    finally:
        stop.set()
        thread.join()
    assert errors == []
    store.give_back_all("w")
    left = {msgspec.msgpack.decode(r)[1] for r in store.read("LRANGE", "queue:0:q", 0, -1) if r}
    assert left == {f"a{n}" for n in range(200) if n % 10}


@pytest.mark.parametrize("wanted", [Filter(queue="q1"), Filter(name="one")])
def test_deleting_an_older_run_leaves_the_outcome_of_a_newer_one_of_another_queue_or_task(
    store: Store, acting: Acting, wanted: Filter
) -> None:
    for queue, name in (("q1", "one"), ("q2", "other")):
        add(store, "again", queue=queue, name=name)
        run(store)
    assert acting.delete_all(wanted) == 1
    assert outcome(store, "again") == "completed"
    assert status(store, "again") == "completed"
