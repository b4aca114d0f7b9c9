"""That jobs can be cancelled wherever they are, one by one and by filter."""

from __future__ import annotations

import msgspec
import pytest
from play import hire, new_job, results_of, ring, tried_again, turn, woken
from store.acted import IDS, add, claimed, everywhere, outcome, run, status

from tempotask.store import lists, look, shown
from tempotask.store.acting import Acting
from tempotask.store.check import check
from tempotask.store.lists import Filter
from tempotask.store.records import Registration, decode_outcome, encode
from tempotask.store.said import Live
from tempotask.store.store import Store


def orders(store: Store, supervisor: str = "s") -> list[bytes]:
    """What a supervisor was told and has not read."""
    return store.server.client().lrange(f"{store.prefix}orders:{supervisor}", 0, -1)


@pytest.mark.parametrize("id", ["retries", "running", "late", "late-paused", "here", "here-paused"])
def test_a_job_that_has_not_finished_is_cancelled_wherever_it_is(store: Store, acting: Acting, id: str) -> None:
    before = everywhere(store)
    assert acting.cancel(id) is True
    assert (status(store, id), outcome(store, id)) == ("cancelled", "cancelled")
    assert acting.cancel(id) is False
    assert {other: status(store, other) for other in IDS} == {**before, id: "cancelled"}
    assert id not in run(store)


@pytest.mark.parametrize("by", ["id", "filter"])
def test_of_a_job_that_is_cancelled_while_it_runs_all_stays_known(store: Store, acting: Acting, by: str) -> None:
    registration = Registration("far", "boot", 1, 5.0, [], 1)
    assert store.register("s", 3600, msgspec.msgpack.encode(registration), ["c", "d"])
    store.enqueue(store.new_call(), [new_job("a", given_id=True, enqueued_at=8.0, tries=300)])
    batch = claimed(store, "a")
    add(store, "behind")
    claimed(store, "behind", worker="d")
    known = encode(Live("c", 301, 10.0, (1.0, None, "half")))
    assert store.run("say", "c", batch.turn, 0, "a", b"", b"", known) == 1
    assert acting.cancel("a") if by == "id" else acting.cancel_all(Filter("q")) == 2
    found = look.find(store, "a")
    assert found is not None
    row = shown.row(found)
    assert (row.tries, row.started_at, row.wait_seconds) == (301, 10.0, 2.0)
    assert (row.worker, row.host, row.status) == ("c", "far", "cancelled")
    assert shown.details(store, [found])[0].progress == (1.0, None, "half")
    assert acting.cancel("behind") is (by == "id")
    found = look.find(store, "behind")
    assert found is not None
    row = shown.row(found)
    assert (row.tries, row.started_at, row.worker, row.host) == (1, None, "d", "far"), "it may have begun"


def test_what_was_told_of_an_earlier_try_is_not_taken_for_the_one_that_is_cancelled(
    store: Store, acting: Acting
) -> None:
    add(store, "a")
    batch = claimed(store, "a")
    assert store.run("say", "c", batch.turn, 0, "a", b"", b"", encode(Live("c", 1, 10.0))) == 1
    again = results_of(batch, how=lambda record: tried_again(record, -1000))
    batch = turn(store, "c", 2, 1, again).batch
    assert batch is not None
    assert acting.cancel("a")
    found = look.find(store, "a")
    assert found is not None
    assert (shown.row(found).tries, found.started, found.worker) == (2, None, "c")


def test_a_job_that_no_worker_has_taken_yet_was_never_begun(store: Store, acting: Acting) -> None:
    hire(store, "c")
    assert turn(store, "c", 1).batch is None
    add(store, "a")
    assert acting.cancel("a")
    found = look.find(store, "a")
    assert found is not None
    assert (shown.row(found).tries, found.worker) == (0, None)


@pytest.mark.parametrize("id", ["done", "bad", "nobody"])
def test_a_job_that_has_finished_or_never_was_is_not_cancelled(store: Store, acting: Acting, id: str) -> None:
    everywhere(store)
    before = status(store, id)
    assert acting.cancel(id) is False
    assert status(store, id) == before


def test_a_cancelled_job_shows_that_it_never_started(store: Store, acting: Acting) -> None:
    add(store, "a", payload={"path": "a.png"})
    acting.cancel("a")
    found = look.find(store, "a")
    assert found is not None
    row = shown.row(found)
    assert (row.status, row.started_at, row.run_seconds, row.tries, row.worker) == ("cancelled", None, None, 0, None)
    assert row.finished_at == pytest.approx(store.now(), abs=60)
    assert found.record is not None
    assert shown.details(store, [found])[0].data == {"path": "a.png"}


def test_the_result_of_a_job_cancelled_while_it_ran_is_refused_and_its_neighbours_count(
    store: Store, acting: Acting
) -> None:
    add(store, *"abcdef")
    hire(store, "c")
    batch = turn(store, "c", 1).batch
    assert batch is not None
    assert [record.id for record in batch.records] == ["a", "b", "c"]
    assert acting.cancel("b")
    assert orders(store)[-1].startswith(f"cancel c {batch.turn} 1 ".encode())
    reply = turn(store, "c", 2, 0, results_of(batch))
    assert reply.kind == "refused"
    assert [status(store, id) for id in "abc"] == ["processing", "cancelled", "processing"]


def test_a_job_cancelled_between_its_hand_over_and_its_worker_is_not_delivered(store: Store, acting: Acting) -> None:
    hire(store, "w")
    assert turn(store, "w", 1).kind == "idle"
    add(store, "a", "b")
    assert acting.cancel("a")
    assert woken(store, "w", 1) is None  # a nudge: there is something, and it is empty
    assert [record.id for record in turn(store, "w", 2).batch.records] == ["b"]


def test_who_waits_for_a_job_is_told_that_it_was_cancelled_or_deleted(store: Store, acting: Acting) -> None:
    add(store, "a", "b")
    store.ask("client", ["a", "b"])
    acting.cancel("a")
    acting.delete("b")
    told = store.server.client().lrange(f"{store.prefix}waits:client", 0, -1)
    endings = {line.partition(b" ")[0]: decode_outcome(line.partition(b" ")[2]) for line in told}
    assert [endings[id].status for id in (b"a", b"b")] == ["cancelled", "cancelled"]
    assert endings[b"b"].failure is not None


def test_jobs_are_cancelled_by_queue_status_and_name(store: Store, acting: Acting) -> None:
    add(store, *(f"a{n}" for n in range(300)), queue="a", name="x")
    add(store, *(f"b{n}" for n in range(300)), queue="a", name="y")
    add(store, *(f"c{n}" for n in range(300)), queue="b", name="x")
    add(store, "late", queue="a", name="x", due=store.now() + 900)
    assert acting.cancel_all(Filter("a", "waiting", "x")) == 300
    assert (status(store, "a7"), status(store, "b7"), status(store, "c7")) == ("cancelled", "waiting", "waiting")
    assert acting.cancel_all(Filter("a", None, "x")) == 1
    assert acting.cancel_all(Filter(name="x")) == 300
    assert acting.cancel_all(Filter("a")) == 300
    assert [row.waiting + row.delayed for row in lists.queues(store)] == [0, 0]
    assert ring(store) == []


def test_no_more_cancelled_jobs_are_remembered_than_history_keeps(store: Store) -> None:
    add(store, *(f"a{n}" for n in range(50)))
    Acting(store, 5).cancel_all(Filter("q"))
    (row,) = lists.queues(store)
    assert row.cancelled == 50
    assert len(lists.jobs(store, status="cancelled")[0]) == 5
    assert check(store) == []
