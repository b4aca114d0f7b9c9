"""That a job is found wherever it is, also while it moves."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from play import enqueue, failed, hire, new_job, results_of, tried_again, turn
from store.acted import run
from store.finished import EPOCH, finish

from tempotask.store import lists, look, shown
from tempotask.store.acting import Acting
from tempotask.store.records import Registration, TryError, encode
from tempotask.store.store import Store


def test_a_waiting_job_is_found_in_whatever_priority_and_however_long_its_queue(store: Store) -> None:
    enqueue(store, *(f"many-{n}" for n in range(1000)), queue="long")
    for part in range(5):
        enqueue(store, *(f"more-{part}-{n}" for n in range(1000)), queue="long")
    enqueue(store, "high", queue="long", priority=3, given_id=True)
    for id in ("many-0", "more-1-500", "more-4-999", "high"):
        found = look.find(store, id)
        assert found is not None
        assert (found.id, found.status, found.worker) == (id, "waiting", None)
        assert found.record is not None
        assert found.record.id == id


def test_a_job_is_found_among_many_queues_long_and_short(store: Store) -> None:
    for number in range(3):
        ids = [f"{number}-{n}" for n in range(1000)]
        for part in range(3):
            enqueue(store, *(f"{id}-{part}" for id in ids), queue=f"long-{number}")
    store.enqueue(store.new_call(), [new_job(f"one-{n}", f"short-{n}") for n in range(40)])
    for id, queue in (("0-0-0", "long-0"), ("2-999-2", "long-2"), ("one-0", "short-0"), ("one-39", "short-39")):
        found = look.find(store, id)
        assert found is not None
        assert found.record is not None
        assert (found.status, found.record.queue) == ("waiting", queue)
    assert look.find(store, "one-40") is None


@pytest.mark.parametrize("given", [True, False], ids=["a user's id", "an automatic id"])
def test_a_job_that_is_tried_again_while_it_is_looked_for_is_found_waiting(
    store: Store, acting: Acting, monkeypatch: pytest.MonkeyPatch, given: bool
) -> None:
    id = "a" if given else f"{store.new_call()}-0"
    store.enqueue(store.new_call(), [new_job(id, given_id=given)])
    run(store, failed)
    store.outcomes_of([id])
    read = look.pages

    def retry_then(store: Store, key: str) -> Iterator[bytes]:
        monkeypatch.undo()
        assert acting.retry(id)
        return read(store, key)

    # Behind its outcome.
    monkeypatch.setattr(look, "pages", retry_then)
    found = look.find(store, id)
    assert found is not None
    assert found.status == "waiting"


def test_the_status_of_a_job_that_waits_leaves_the_outcomes_of_others_in_one_piece(store: Store) -> None:
    store.enqueue(store.new_call(), [new_job(f"{store.new_call()}-{number}") for number in range(3)])
    hire(store, "w")
    batch = turn(store, "w", 1, 3).batch
    assert batch is not None
    turn(store, "w", 2, 0, results_of(batch))
    (bucket,) = map(bytes.decode, store.read("ZRANGE", "buckets", 0, -1))
    assert store.read("LLEN", f"sheets:{bucket}") == 1
    store.enqueue(store.new_call(), [new_job(waits := f"{store.new_call()}-0", "later")])
    assert look.status_of(store, waits) == "waiting"
    assert store.read("LLEN", f"sheets:{bucket}") == 1


def test_a_look_that_takes_long_keeps_its_mark(store: Store, admin: Store) -> None:
    enqueue(store, "a")
    mark = store.run("find", "b", "mark")
    wanted = f"{store.prefix}wanted"
    admin.server.client().pexpire(wanted, 5000)
    store.run("find", "b", "list", "queue:0:q", -10, -1)
    assert admin.server.client().pttl(wanted) > 5000
    assert store.run("find", "b", "unmark", mark) == b"0"


def test_a_delayed_job_is_found_with_its_time(store: Store) -> None:
    due = store.now() + 100
    enqueue(store, "late", due=due, given_id=True)
    found = look.find(store, "late")
    assert found is not None
    assert found.status == "delayed"
    assert found.due == pytest.approx(due, abs=0.01)


def test_a_job_between_two_tries_is_delayed_and_tells_why(store: Store) -> None:
    error = TryError(1, 5.0, "OSError", "disk full", "")
    store.enqueue(store.new_call(), [new_job("a", errors=[error])])
    hire(store, "w")
    batch = turn(store, "w", 1).batch
    assert batch is not None
    turn(store, "w", 2, 0, results_of(batch, how=lambda record: tried_again(record, 60_000)))
    found = look.find(store, "a")
    assert found is not None
    assert found.status == "delayed"
    assert shown.row(found).error == "OSError: disk full"


def test_a_claimed_job_is_found_with_its_worker(store: Store) -> None:
    enqueue(store, "a", "b")
    hire(store, "w")
    turn(store, "w", 1)
    found = look.find(store, "a")
    assert found is not None
    assert (found.status, found.worker, shown.row(found).tries) == ("processing", "w", 1)


def test_a_claimed_job_tells_on_which_host_it_is(store: Store) -> None:
    registration = Registration("alpha", "boot", 17, 0.0, [], 1)
    assert store.register("s", 3600, encode(registration), ["w"])
    enqueue(store, "a")
    turn(store, "w", 1)
    found = look.find(store, "a")
    assert found is not None
    assert shown.row(found).host == "alpha"
    (listed,) = lists.jobs(store)[0]
    assert shown.row(listed).host == "alpha"


def test_a_job_of_a_lost_host_is_found_until_it_is_given_back(store: Store) -> None:
    enqueue(store, "a")
    hire(store, "w")
    turn(store, "w", 1)
    store.register("other", 60, b"{}")
    lease = store.read("HGET", "leases", "s").decode()
    assert store.sweep("other", 60, "s", lease, dead=True) == ["w"]
    found = look.find(store, "a")
    assert found is not None
    assert (found.status, found.worker) == ("processing", "w")
    store.give_back_all("w")
    found = look.find(store, "a")
    assert found is not None
    assert found.status == "waiting"


def test_a_finished_job_is_found_with_all_that_its_worker_said(store: Store) -> None:
    job = new_job("a", payload={"path": "a.png"}, enqueued_at=EPOCH + 7)
    store.enqueue(store.new_call(), [job])
    finish(store, job.record, "failed")
    found = look.find(store, "a")
    assert found is not None
    row = shown.row(found)
    assert (row.status, row.worker, row.host, row.error) == ("failed", "w12.0", "host", "ValueError: no")
    assert (row.started_at, row.finished_at, row.wait_seconds, row.run_seconds) == (EPOCH + 10, EPOCH + 12, 3.0, 2.0)
    assert (row.cpu_seconds, row.peak_memory_bytes, row.tries) == (0.5, 4096, 1)
    assert shown.details(store, [found])[0].lines == [(EPOCH + 11, "half"), (EPOCH + 12, [1, b"x"])]
    assert found.record is not None
    assert shown.details(store, [found])[0].data == {"path": "a.png"}


def test_of_a_job_whose_history_is_trimmed_the_outcome_is_found(store: Store) -> None:
    enqueue(store, "a", queue="images")
    hire(store, "w")
    batch = turn(store, "w", 1).batch
    assert batch is not None
    turn(store, "w", 2, 0, results_of(batch))
    store.server.client().delete(f"{store.prefix}history:images:completed")
    found = look.find(store, "a")
    assert found is not None
    assert (found.status, found.record, found.page) == ("completed", None, None)
    row = shown.row(found)
    assert (row.queue, row.name, row.tries, row.priority) == ("images", "n", None, None)


def test_a_job_whose_outcome_has_expired_is_found_in_the_history(store: Store) -> None:
    job = new_job("a")
    store.enqueue(store.new_call(), [job])
    finish(store, job.record, keep=0)
    found = look.find(store, "a")
    assert found is not None
    assert (found.status, found.outcome, shown.row(found).result) == ("completed", None, {"size": 3})


def test_the_newest_run_of_an_id_is_found(store: Store) -> None:
    job = new_job("a", given_id=True)
    for status, ended in (("completed", 20.0), ("failed", 30.0), ("completed", 40.0)):
        store.enqueue(store.new_call(), [job])
        found = look.find(store, "a")
        assert found is not None
        assert found.status == "waiting"
        finish(store, job.record, status, ended, keep=0)
        found = look.find(store, "a")
        assert found is not None
        assert (found.status, found.at) == (status, EPOCH + ended)


def test_a_job_that_nobody_knows_is_not_found_and_no_mark_stays(store: Store) -> None:
    enqueue(store, "a", "aa")
    assert look.find(store, "nope") is None
    assert look.find(store, "a") is not None
    assert store.read("EXISTS", "wanted") == 0


def test_a_payload_that_is_kept_outside_is_shown(store: Store) -> None:
    enqueue(store, "a", payload="x" * 5000)
    found = look.find(store, "a")
    assert found is not None
    assert found.record is not None
    assert shown.details(store, [found])[0].data == "x" * 5000


def test_a_job_that_never_rests_is_always_found(store: Store) -> None:
    """It waits, is claimed, stolen, delayed, tried again, over and over, while others search for it."""
    enqueue(store, *(f"other-{n}" for n in range(50)), "wanted", given_id=True)
    ended = threading.Event()
    errors: list[BaseException] = []

    def toss() -> None:
        try:
            hire(store, "w")
            number = 0
            while not ended.is_set():
                number += 1
                batch = turn(store, "w", number, 100).batch
                if batch and number % 3 == 0:
                    store.give_back_tail("w", batch.turn, 0)
                elif batch:
                    number += 1
                    done = results_of(batch, how=lambda record: tried_again(record, record.tries % 2))
                    turn(store, "w", number, 0, done)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=toss)
    thread.start()
    try:
        seen = {found.status if (found := look.find(store, "wanted")) else None for _ in range(300)}
    finally:
        ended.set()
        thread.join()
    assert errors == []
    assert None not in seen
    assert len(seen) > 1
