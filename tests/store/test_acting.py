"""That jobs can be cancelled, deleted, paused, resumed and tried again wherever they are, one by one and by filter."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from play import completed, enqueue, failed, hire, new_job, results_of, ring, tried_again, turn, waiting, woken

from tempotask.store import lists, look
from tempotask.store.acting import Acting
from tempotask.store.check import check
from tempotask.store.connect import Server
from tempotask.store.lists import Filter
from tempotask.store.records import Registration, TryError, decode_outcome, encode, without_payload
from tempotask.store.said import Live
from tempotask.store.script import Argument
from tempotask.store.store import Store

LARGE = "x" * 5000


@pytest.fixture
def acting(store: Store) -> Iterator[Acting]:
    """What acts on the jobs of the test's store; afterwards the invariants hold."""
    yield Acting(store, 200)
    assert check(store) == []


def add(store: Store, *ids: str, **rest: Any) -> list[bool]:
    """Adds jobs whose ids are a user's."""
    return enqueue(store, *ids, given_id=True, **rest)


def status(store: Store, id: str) -> str | None:
    found = look.find(store, id)
    return None if found is None else found.status


def outcome(store: Store, id: str) -> str | None:
    (told,) = store.outcomes_of([id])
    return None if told is None else decode_outcome(told).status


def run(store: Store, how: Any = completed, worker: str = "w", number: int = 1000) -> list[str]:
    """Runs all that waits, to one end; the ids in the order in which they ran."""
    hire(store, worker)
    ran: list[str] = []
    at, batch = number, turn(store, worker, number, 1000).batch
    while batch:
        ran += [record.id for record in batch.records]
        at, batch = at + 1, turn(store, worker, at + 1, 1000, results_of(batch, how=how)).batch
    store.give_back_all(worker)
    return ran


def claimed(store: Store, *ids: str, worker: str = "c") -> Any:
    """Has a worker claim these jobs, which are all that wait."""
    hire(store, worker)
    batch = turn(store, worker, 1, 1000).batch
    assert batch is not None
    assert [record.id for record in batch.records] == list(ids)
    return batch


def orders(store: Store, supervisor: str = "s") -> list[bytes]:
    """What a supervisor was told and has not read."""
    return store.server.client().lrange(f"{store.prefix}orders:{supervisor}", 0, -1)


def everywhere(store: Store, queue: str = "q") -> dict[str, str]:
    """Jobs of all statuses, in and out of pause: their ids by what they are."""
    for id, how in (("done", completed), ("bad", failed)):
        add(store, id, queue=queue)
        run(store, how, worker=f"for-{id}")
    add(store, "retries", queue=queue)
    hire(store, "r")
    batch = turn(store, "r", 1).batch
    assert batch is not None
    turn(store, "r", 2, 0, results_of(batch, how=lambda record: tried_again(record, 900_000)))
    add(store, "running", queue=queue)
    claimed(store, "running")
    add(store, "late", "late-paused", queue=queue, due=store.now() + 900)
    add(store, "here", "here-paused", queue=queue)
    acting = Acting(store, 200)
    assert acting.pause("here-paused")
    assert acting.pause("late-paused")
    return {id: look.find(store, id).status for id in IDS}  # type: ignore[union-attr]


IDS = ("done", "bad", "retries", "running", "late", "late-paused", "here", "here-paused")


# -- cancel


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
    row = look.row(found)
    assert (row.tries, row.started_at, row.wait_seconds) == (301, 10.0, 2.0)
    assert (row.worker, row.host, row.status) == ("c", "far", "cancelled")
    assert look.details(store, [found])[0].progress == (1.0, None, "half")
    assert acting.cancel("behind") is (by == "id")
    found = look.find(store, "behind")
    assert found is not None
    row = look.row(found)
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
    assert (look.row(found).tries, found.started, found.worker) == (2, None, "c")


def test_a_job_that_no_worker_has_taken_yet_was_never_begun(store: Store, acting: Acting) -> None:
    hire(store, "c")
    assert turn(store, "c", 1).batch is None
    add(store, "a")
    assert acting.cancel("a")
    found = look.find(store, "a")
    assert found is not None
    assert (look.row(found).tries, found.worker) == (0, None)


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
    row = look.row(found)
    assert (row.status, row.started_at, row.run_seconds, row.tries, row.worker) == ("cancelled", None, None, 0, None)
    assert row.finished_at == pytest.approx(store.now(), abs=60)
    assert found.record is not None
    assert look.details(store, [found])[0].data == {"path": "a.png"}


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
    batch = turn(store, "w", 2).batch
    assert batch is None or "a" not in [record.id for record in batch.records]


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


# -- pause


def test_a_paused_job_keeps_its_status_and_its_time_and_does_not_start(store: Store, acting: Acting) -> None:
    due = store.now() + 900
    add(store, "a", "b")
    add(store, "late", due=due)
    assert acting.pause("a") is True
    assert acting.pause("a") is False
    assert acting.pause("late") is True
    late, here = look.find(store, "late"), look.find(store, "a")
    assert late is not None
    assert here is not None
    assert (late.status, late.paused, late.due) == ("delayed", True, pytest.approx(due, abs=0.01))
    assert (here.status, here.paused, look.row(here).paused) == ("waiting", True, True)
    (row,) = lists.queues(store)
    assert (row.waiting, row.delayed) == (2, 1)
    assert {found.id for found in lists.jobs(store)[0] if found.paused} == {"a", "late"}
    assert run(store) == ["b"]
    assert acting.resume("a") is True
    assert acting.resume("a") is False
    assert acting.resume("late") is True
    late = look.find(store, "late")
    assert late is not None
    assert (late.status, late.paused, late.due) == ("delayed", False, pytest.approx(due, abs=0.01))
    assert run(store, worker="again") == ["a"]


def test_toggling_says_whether_a_job_is_paused_now(store: Store, acting: Acting) -> None:
    add(store, "a")
    assert [acting.toggle("a") for _ in range(4)] == [True, False, True, False]
    assert acting.toggle("nobody") is False
    claimed(store, "a")
    assert acting.toggle("a") is False


def test_a_job_that_runs_or_has_finished_is_not_paused(store: Store, acting: Acting) -> None:
    everywhere(store)
    assert [acting.pause(id) for id in ("running", "done", "bad", "nobody")] == [False] * 4
    assert [acting.resume(id) for id in ("running", "done", "here", "nobody")] == [False] * 4


def test_nothing_of_a_paused_queue_is_claimed_and_what_comes_waits(store: Store, acting: Acting) -> None:
    add(store, "a", queue="a")
    add(store, "b", queue="b")
    assert (acting.pause_queue("a"), acting.pause_queue("a")) == (True, False)
    add(store, "a2", queue="a")
    assert run(store) == ["b"]
    assert [(row.name, row.paused, row.waiting) for row in lists.queues(store)] == [("a", True, 2), ("b", False, 0)]
    assert (acting.resume_queue("a"), acting.resume_queue("a")) == (True, False)
    assert run(store, worker="again") == ["a", "a2"]


# -- try again


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
    assert look.details(store, [found])[0].data == LARGE
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
    assert (found.status, look.details(store, [found])[0].data) == ("waiting", f"2{LARGE}")


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


# -- replies that are lost


class Forgetful(Store):
    """Loses the first reply of each script that acts, and sends the call once more, as after a broken connection."""

    def run(self, name: str, *arguments: Argument) -> Any:
        if name in ("act", "revise", "pause"):
            super().run(name, *arguments)
        return super().run(name, *arguments)


@pytest.fixture
def forgetful(server_url: str, namespace: str) -> Iterator[Acting]:
    store = Forgetful(Server(server_url), namespace)
    yield Acting(store, 200)
    store.close()


def test_what_was_done_is_told_also_when_a_reply_is_lost(store: Store, forgetful: Acting) -> None:
    everywhere(store)
    assert forgetful.pause("here") is True
    assert forgetful.resume("here") is True
    assert forgetful.cancel("here") is True
    assert forgetful.cancel("running") is True
    assert forgetful.retry("bad") is True
    assert forgetful.delete("late") is True
    assert forgetful.delete("done") is True
    assert forgetful.delete("nobody") is False
    assert {id: status(store, id) for id in IDS} == {
        **dict.fromkeys(("done", "late")),
        **dict.fromkeys(("here", "running"), "cancelled"),
        **dict.fromkeys(("bad", "here-paused"), "waiting"),
        **dict.fromkeys(("retries", "late-paused"), "delayed"),
    }


@pytest.mark.parametrize("action", ["cancel_all", "delete_all"])
def test_how_many_jobs_were_acted_on_is_told_also_when_replies_are_lost(
    store: Store, forgetful: Acting, action: str
) -> None:
    add(store, *(f"a{n}" for n in range(350)), name="x")
    add(store, "late", due=store.now() + 900, name="x")
    assert getattr(forgetful, action)(Filter(name="x")) == 351
    assert forgetful.retry_all(Filter(status="cancelled")) == (200 if action == "cancel_all" else 0)


def test_whether_a_queue_was_paused_is_told_also_when_replies_are_lost(store: Store, forgetful: Acting) -> None:
    assert [forgetful.pause_queue("q"), forgetful.pause_queue("q")] == [True, False]
    assert [forgetful.resume_queue("q"), forgetful.resume_queue("q")] == [True, False]


def test_a_call_that_comes_late_once_more_does_nothing(store: Store) -> None:
    add(store, "a")
    late = list[tuple[Argument, ...]]()

    class Listening(Store):
        def run(self, name: str, *arguments: Argument) -> Any:
            late.append((name, *arguments))
            return super().run(name, *arguments)

    own = Listening(store.server, store.namespace)
    assert own.pause_queue("q")
    assert own.resume_queue("q")
    (paused, _), late = late, []
    assert store.run(*paused) == 1  # type: ignore[arg-type]
    assert [row.paused for row in lists.queues(store)] == [False]
    assert Acting(own, 200).pause("a")
    assert Acting(store, 200).resume("a")
    for call in late:
        store.run(*call)  # type: ignore[arg-type]
    assert [found.paused for found in lists.jobs(store)[0]] == [False]


def test_no_job_of_a_page_is_left_out_when_replies_are_lost(store: Store, forgetful: Acting) -> None:
    add(store, *(f"a{n}" for n in range(500)))
    hire(store, "w")
    batch = turn(store, "w", 1, 1000).batch
    assert batch is not None
    assert len(batch.records) == 250
    turn(store, "w", 2, 0, results_of(batch, how=failed), limit=1000)
    assert forgetful.retry_all(Filter(status="failed")) == 250
    assert len(waiting(store)) == 500


# -- delete


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


def test_a_queue_without_a_name_that_somebody_else_wrote_does_not_stop_who_acts(store: Store) -> None:
    enqueue(store, "a")
    store.server.client().sadd(f"{store.prefix}queues", "")
    assert Acting(store, 10).cancel_all(Filter()) == 1
