"""That jobs can be tried again, one by one and by filter."""

from __future__ import annotations

import threading

from play import completed, failed, new_job, waiting
from store.acted import IDS, LARGE, add, everywhere, outcome, run, status

from tempotask.store import lists, look, shown
from tempotask.store.acting import Acting
from tempotask.store.lists import Filter
from tempotask.store.records import TryError, without_payload
from tempotask.store.store import Store


def test_a_failed_job_waits_again_with_fresh_tries_and_its_payload(store: Store, acting: Acting) -> None:
    job = new_job("a", given_id=True, payload=LARGE, tries=4, errors=[TryError(1, 5.0, "E", "no", "")])
    store.enqueue(store.new_call(), [job])
    run(store, failed)
    assert (status(store, "a"), outcome(store, "a")) == ("failed", "failed")
    assert acting.retry("a") is True
    assert acting.retry("a") is False
    found = look.find(store, "a")
    assert found is not None
    assert found.record is not None
    assert (found.status, found.record.tries, found.record.errors) == ("waiting", 0, None)
    assert shown.details(store, [found])[0].data == LARGE
    assert outcome(store, "a") is None
    assert add(store, "a") == [False]
    assert run(store, worker="again") == ["a"]
    assert (status(store, "a"), outcome(store, "a")) == ("completed", "completed")


def test_a_job_whose_payload_was_let_go_is_not_tried_again(store: Store, acting: Acting) -> None:
    add(store, "a", payload=LARGE)
    store.server.client().delete(*store.server.client().scan_iter(f"{store.prefix}payload:*"))
    run(store, lambda record: completed(without_payload(record)))
    assert acting.retry("a") is False
    assert acting.retry_all(Filter(status="completed")) == 0
    assert status(store, "a") == "completed"


def test_an_unfinished_job_is_left_alone_by_a_retry(store: Store, acting: Acting) -> None:
    before = everywhere(store)
    for id in IDS[2:]:
        assert acting.retry(id) is False
    assert acting.retry("nobody") is False
    assert {id: status(store, id) for id in IDS} == before


def test_an_earlier_run_does_not_wait_again_while_its_id_is_in_use(store: Store, acting: Acting) -> None:
    add(store, "a")
    run(store, failed)
    add(store, "a")
    assert acting.retry("a") is False
    assert acting.retry_all(Filter(status="failed")) == 0
    assert waiting(store) == ["a"]


def test_jobs_wait_again_by_filter_in_their_old_order(store: Store, acting: Acting) -> None:
    ids = [f"a{n}" for n in range(450)]
    add(store, *ids, name="x")
    run(store, lambda record: failed(record), worker="w1")
    add(store, *(f"b{n}" for n in range(5)), name="y")
    run(store, failed, worker="w2")
    add(store, "c", queue="other")
    run(store, failed, worker="w3")
    kept = {found.id for found in lists.jobs(store, "q", "failed", "x", 1000)[0]}
    assert acting.retry_all(Filter("q", "failed", "x")) == len(kept)
    again = waiting(store)
    assert again == [id for id in ids if id in kept]
    assert {found.id for found in lists.jobs(store, status="failed")[0]} == {*(f"b{n}" for n in range(5)), "c"}
    assert acting.retry_all(Filter("q", "failed")) == 5
    assert acting.retry_all(Filter(status="completed")) == 0


def test_of_the_runs_of_an_id_only_the_newest_waits_again(store: Store, acting: Acting) -> None:
    for number, (queue, how) in enumerate((("q", failed), ("other", failed), ("q", failed))):
        add(store, "a", "b", queue=queue, payload=f"{number}{LARGE}")
        run(store, how, worker=f"w{number}")
    add(store, "b", queue="other")
    run(store, completed, worker="w3")
    assert acting.retry_all(Filter("other")) == 1  # of b, which completed there
    assert acting.retry_all(Filter(status="failed")) == 1
    found = look.find(store, "a")
    assert found is not None
    assert found.record is not None
    assert (found.status, shown.details(store, [found])[0].data) == ("waiting", f"2{LARGE}")


def test_the_newest_run_of_an_id_is_known_when_only_its_outcome_is_left_and_when_that_is_gone(
    store: Store, acting: Acting
) -> None:
    add(store, "a", "b")
    run(store, failed, worker="w1")
    add(store, "a")
    run(store, completed, worker="w2")
    add(store, "b")
    run(store, lambda record: completed(record, keep=0), worker="w3")
    store.server.client().lpop(f"{store.prefix}history:q:completed", 2)
    store.server.client().hset(f"{store.prefix}counts:q", "completed:kept", 0)
    assert acting.retry_all(Filter(status="failed")) == 1
    assert (status(store, "a"), status(store, "b")) == ("completed", "waiting")


def test_jobs_that_fail_again_at_once_are_tried_again_once(store: Store, acting: Acting) -> None:
    add(store, *(f"a{n}" for n in range(100)))
    run(store, failed)
    stop, errors = threading.Event(), list[BaseException]()

    def fail_on() -> None:
        try:
            number = 0
            while not stop.is_set():
                number += 1
                run(store, failed, worker=f"f{number}", number=1)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=fail_on)
    thread.start()
    try:
        assert acting.retry_all(Filter(status="failed")) == 100
    finally:
        stop.set()
        thread.join()
    assert errors == []
