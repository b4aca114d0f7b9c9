"""That lists of jobs and queues say what is there, page by page, also while jobs move."""

from __future__ import annotations

import base64
import random
import zlib
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from play import completed, enqueue, failed, hire, new_job, results_of, tried_again, turn
from store.finished import EPOCH, finish, finish_page

from tempotask.errors import InvalidOptions
from tempotask.store import lists
from tempotask.store.acting import Acting
from tempotask.store.store import Store


def fill(store: Store) -> None:
    """Jobs of all statuses, whose ids say when they were added or ended."""
    for n, status in ((10, "completed"), (20, "failed"), (30, "completed")):
        job = new_job(f"{n}", "b", enqueued_at=1.0, name=f"task-{status}")
        store.enqueue(store.new_call(), [job])
        finish(store, job.record, status, float(n))
    enqueue(store, "40", queue="a", enqueued_at=EPOCH + 40)
    hire(store, "w")
    turn(store, "w", 1)
    enqueue(store, "60", queue="a", enqueued_at=EPOCH + 60, due=store.now() + 500)
    enqueue(store, "50", queue="b", enqueued_at=EPOCH + 50, due=store.now() + 900)
    enqueue(store, "70", queue="b", enqueued_at=EPOCH + 70)
    enqueue(store, "80", queue="b", enqueued_at=EPOCH + 80, priority=-5)
    enqueue(store, "90", queue="a", enqueued_at=EPOCH + 90)


def ids(store: Store, **wanted: Any) -> list[str]:
    return [found.id for found in lists.jobs(store, **wanted)[0]]


def test_jobs_are_listed_newest_first_wherever_they_are(store: Store) -> None:
    fill(store)
    assert ids(store) == ["90", "80", "70", "60", "50", "40", "30", "20", "10"]


def test_jobs_are_listed_by_queue_status_and_name(store: Store) -> None:
    fill(store)
    assert ids(store, queue="a") == ["90", "60", "40"]
    assert ids(store, queue="nope") == []
    assert ids(store, status="delayed") == ["60", "50"]
    assert ids(store, status="processing") == ["40"]
    assert ids(store, queue="b", status="completed") == ["30", "10"]
    assert ids(store, name="task-failed") == ["20"]
    with pytest.raises(InvalidOptions, match="there are waiting, delayed"):
        ids(store, status="wating")


def listed(store: Store) -> list[tuple[str, str]]:
    return [(found.id, found.status) for found in lists.jobs(store)[0]]


def newest_of_all(store: Store) -> list[tuple[str, str]]:
    of_queues = (queue.jobs.values() for queue in lists.newest(store, 10))
    return [(found.id, found.status) for of_queue in of_queues for some in of_queue for found in some]


either_list = pytest.mark.parametrize("look", [listed, newest_of_all])


@either_list
@pytest.mark.parametrize("before", [0, 1])
def test_a_job_that_moves_while_a_list_is_read_is_in_it_once(
    store: Store, monkeypatch: pytest.MonkeyPatch, before: int, look: Callable[[Store], list[tuple[str, str]]]
) -> None:
    enqueue(store, "a", queue="q", enqueued_at=EPOCH)
    hire(store, "w")
    read, batches = lists.processing, []

    def claim() -> None:
        batches.append(turn(store, "w", 1).batch)

    def settle() -> None:
        turn(store, "w", 2, 0, results_of(batches[0]))

    steps = [claim, settle]

    def move_and_read(store: Store) -> Any:
        """What is left to do is done when the queues have been read, and it runs no more."""
        for step in steps[before:]:
            step()
        return read(store)

    for step in steps[:before]:
        step()
    monkeypatch.setattr(lists, "processing", move_and_read)
    assert look(store) == [("a", "completed")]


@either_list
def test_a_job_that_was_claimed_while_a_list_is_read_is_in_it_once(
    store: Store, monkeypatch: pytest.MonkeyPatch, look: Callable[[Store], list[tuple[str, str]]]
) -> None:
    enqueue(store, "a", queue="q", enqueued_at=EPOCH)
    hire(store, "w")
    read = lists.processing

    def claim_and_read(store: Store) -> Any:
        turn(store, "w", 1)
        return read(store)

    monkeypatch.setattr(lists, "processing", claim_and_read)
    assert look(store) == [("a", "processing")]


def test_pages_of_a_list_hold_each_job_once(store: Store) -> None:
    fill(store)
    listed: list[str] = []
    cursor = None
    while True:
        page, cursor = lists.jobs(store, limit=2, cursor=cursor)
        assert len(page) <= 2
        listed += [found.id for found in page]
        if cursor is None:
            break
    assert listed == ["90", "80", "70", "60", "50", "40", "30", "20", "10"]
    with pytest.raises(InvalidOptions, match="cursor"):
        lists.jobs(store, cursor="x")


def test_pages_hold_each_job_once_when_many_were_added_at_the_same_moment(store: Store) -> None:
    for queue in ("a", "b"):
        for part in range(3):
            enqueue(store, *(f"{queue}-{part}-{n}" for n in range(500)), queue=queue, enqueued_at=EPOCH + part % 2)
    due = store.now() + 900
    for part in range(4):
        # The later they are due, the earlier they were added.
        enqueue(store, *(f"late-{part}-{n}" for n in range(600)), due=due + part, enqueued_at=EPOCH - part)
    listed: list[str] = []
    cursor = None
    while True:
        page, cursor = lists.jobs(store, limit=333, cursor=cursor)
        assert len(page) == 333 or cursor is None
        listed += [found.id for found in page]
        if cursor is None:
            break
    assert len(listed) == len(set(listed)) == 2 * 3 * 500 + 4 * 600


def test_a_list_goes_on_where_it_ended_while_jobs_are_added(store: Store) -> None:
    enqueue(store, *(f"old-{n}" for n in range(100)), enqueued_at=EPOCH)
    first, cursor = lists.jobs(store, limit=60)
    enqueue(store, *(f"new-{n}" for n in range(100)), enqueued_at=EPOCH + 1)
    second, cursor = lists.jobs(store, limit=60, cursor=cursor)
    assert cursor is None
    assert sorted(found.id for found in (*first, *second)) == sorted(f"old-{n}" for n in range(100))


def walked(store: Store, limit: int, **wanted: Any) -> list[str]:
    """The ids of all jobs, page by page."""
    listed: list[str] = []
    cursor = None
    while True:
        page, cursor = lists.jobs(store, limit=limit, cursor=cursor, **wanted)
        assert len(page) == limit or cursor is None
        listed += [found.id for found in page]
        if cursor is None:
            return listed


@pytest.mark.parametrize("limit", [7, 50, 1000, 100_000])
def test_no_job_is_left_out_or_listed_twice_in_whatever_order_they_stand(store: Store, limit: int) -> None:
    """As jobs do that were delayed or tried again: they wait behind younger ones."""
    dice = random.Random(limit)
    for queue in range(20):
        times = [EPOCH + dice.randrange(10) for _ in range(20)]
        for n, time in enumerate(times):
            enqueue(store, f"{queue}-{n}", queue=f"q{queue}", enqueued_at=time, priority=dice.choice((0, 0, 5)))
    for part in range(60):
        # A long list, young jobs and old ones in turn.
        enqueue(store, *(f"long-{part}-{n}" for n in range(50)), queue="q0", enqueued_at=EPOCH + 100 - part % 7)
    enqueue(store, *(f"due-{n}" for n in range(100)), due=store.now() + 900, enqueued_at=EPOCH + 5)
    everyone = [f"{queue}-{n}" for queue in range(20) for n in range(20)]
    everyone += [f"long-{part}-{n}" for part in range(60) for n in range(50)]
    assert sorted(walked(store, limit, status="waiting")) == sorted(everyone)
    everyone += [f"due-{n}" for n in range(100)]
    assert sorted(walked(store, limit)) == sorted(everyone)


def test_finished_jobs_that_ended_at_the_same_time_are_all_listed_once(store: Store) -> None:
    acting = Acting(store, 10_000)
    for part in range(3):
        enqueue(store, *(f"{part}-{n}" for n in range(500)))
        assert acting.cancel_all(lists.Filter(status="waiting")) == 500
    assert sorted(walked(store, 70)) == sorted(f"{part}-{n}" for part in range(3) for n in range(500))


def overlapping(store: Store) -> list[str]:
    """Finds what three workers have finished that settle in turns, each by the batch; the ids, newest first."""
    times = [100 + n / 100 for n in range(240)]
    for first in range(0, 240, 60):
        for worker in range(3):
            finish_page(store, f"{first}-{worker}", times[first + worker : first + 60 : 3])
    return [f"{at:g}" for at in sorted(times, reverse=True)]


@pytest.mark.parametrize("limit", [1, 7, 50, 1000])
def test_finished_jobs_of_several_workers_are_listed_newest_first_page_by_page(store: Store, limit: int) -> None:
    everyone = overlapping(store)
    assert walked(store, limit, status="completed") == everyone
    (queue,) = lists.newest(store, limit)
    assert [found.id for found in queue.jobs["completed"]] == everyone[:limit]


@pytest.mark.parametrize("limit", [1, 7, 50])
def test_who_deletes_what_is_listed_page_by_page_deletes_all(store: Store, limit: int) -> None:
    overlapping(store)
    cursor = None
    while True:
        page, cursor = lists.jobs(store, status="completed", limit=limit, cursor=cursor)
        assert all(Acting(store, 10_000).delete(found.id) for found in page)
        if cursor is None:
            break
    assert ids(store) == []


def test_a_history_that_moves_on_shows_nothing_twice(store: Store) -> None:
    """As many come as go: at its limit, it is as long as before."""
    for n in range(6):
        finish_page(store, f"w{n}", [float(n)], limit=5)
    first, cursor = lists.jobs(store, status="completed", limit=3)
    for n in range(6, 8):
        finish_page(store, f"w{n}", [float(n)], limit=5)
    second, cursor = lists.jobs(store, status="completed", limit=3, cursor=cursor)
    assert ([found.id for found in first], [found.id for found in second], cursor) == (["5", "4", "3"], [], None)


def test_the_newest_waiting_job_is_told_though_an_older_one_came_back_behind_it(store: Store) -> None:
    enqueue(store, "new", enqueued_at=EPOCH + 1)
    enqueue(store, "old", enqueued_at=EPOCH)
    (queue,) = lists.newest(store, 1)
    assert [found.id for found in queue.jobs["waiting"]] == ["new"]


@pytest.mark.parametrize("taken", ["at the front", "everywhere"])
def test_a_list_goes_on_where_it_ended_while_jobs_are_taken(store: Store, taken: str) -> None:
    for part in range(5):
        # The later they came, the earlier they had been added.
        enqueue(store, *(f"{part}-{n}" for n in range(100)), enqueued_at=EPOCH - part)
    first, cursor = lists.jobs(store, limit=130)
    gone: set[str] = set()
    if taken == "at the front":
        hire(store, "w")
        batch = turn(store, "w", 1, 100).batch
        assert batch is not None
        gone = {record.id for record in batch.records}
    else:
        for found in first[::2]:
            assert Acting(store, 0).cancel(found.id)
    seen = [*first]
    while cursor is not None:
        page, cursor = lists.jobs(store, limit=130, status="waiting", cursor=cursor)
        seen += page
    ids = [found.id for found in seen]
    assert {f"{part}-{n}" for part in range(5) for n in range(100)} - set(ids) <= gone
    # The place of one that was cancelled is lost: those of the same time may come once more.
    assert len(set(ids)) == len(ids) or taken == "everywhere"


def test_a_late_page_of_a_long_list_is_read_without_what_comes_before_it(store: Store) -> None:
    for part in range(50):
        enqueue(store, *(f"{part}-{n}" for n in range(1000)), queue=f"q{part % 2}", enqueued_at=EPOCH + part)
    cursor = None
    for _ in range(9):
        _, cursor = lists.jobs(store, limit=5000, cursor=cursor)
    read: list[Any] = []
    real = store.read_many
    store.read_many = lambda commands: [read.append(reply) or reply for reply in real(commands)]  # type: ignore
    page, cursor = lists.jobs(store, limit=50, cursor=cursor)
    assert len(page) == 50
    assert sum(len(reply) for reply in read if isinstance(reply, list)) <= 2 * lists.FIRSTS


@pytest.mark.parametrize("cursor", ["", "x", "nan/0", "inf/1", "1/-5", "é", "AAAA", "2000000000/1", "eJxjYGBgAAAABAAB"])
def test_what_is_no_cursor_is_refused_in_one_line(store: Store, cursor: str) -> None:
    with pytest.raises(InvalidOptions, match="give what the call before returned as its cursor") as refused:
        lists.jobs(store, cursor=cursor)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("mark", [(float("nan"), "a"), (float("inf"), "a"), (1.0, "a", -5), (1.0, "a", 0, 2**60)])
def test_a_cursor_that_somebody_has_made_up_is_refused(store: Store, mark: tuple[object, ...]) -> None:
    cursor = base64.urlsafe_b64encode(zlib.compress(msgspec.msgpack.encode({"queue:0:q": mark}))).decode()
    with pytest.raises(InvalidOptions, match="give what the call before returned as its cursor"):
        lists.jobs(store, cursor=cursor)


def test_a_task_that_is_rare_among_many_jobs_is_found_by_its_name(store: Store) -> None:
    for part in range(6):
        enqueue(store, f"rare-{part}", name="rare")
        enqueue(store, *(f"{part}-{n}" for n in range(900)), name="common")
    assert ids(store, name="rare") == [f"rare-{part}" for part in (5, 4, 3, 2, 1, 0)]
    assert len(ids(store, name="common", limit=10_000)) == 5400


def test_holes_are_neither_shown_nor_counted(store: Store) -> None:
    enqueue(store, *(f"a{n}" for n in range(10)), given_id=True, enqueued_at=EPOCH)
    acting = Acting(store, 200)
    for n in (0, 4, 5, 9):
        assert acting.delete(f"a{n}")
    assert ids(store) == ["a8", "a7", "a6", "a3", "a2", "a1"]
    (row,) = lists.queues(store)
    assert row.waiting == 6
    assert row.oldest_seconds is not None


def test_the_newest_jobs_of_each_queue_and_status_are_told(store: Store) -> None:
    fill(store)
    a, b = lists.newest(store, 1)
    assert {status: [found.id for found in some] for status, some in a.jobs.items() if some} == {
        "waiting": ["90"],
        "delayed": ["60"],
        "processing": ["40"],
    }
    assert {status: [found.id for found in some] for status, some in b.jobs.items() if some} == {
        "waiting": ["80"],
        "delayed": ["50"],
        "completed": ["30"],
        "failed": ["20"],
    }
    assert (b.stats["waiting"], b.stats["completed"], b.paused) == (2, 2, False)
    assert all(found == [] for queue in lists.newest(store, 0) for found in queue.jobs.values())


def test_queues_tell_how_many_jobs_of_each_status_they_have(store: Store) -> None:
    fill(store)
    batch = turn(store, "w", 2, 0).batch
    assert batch is None
    enqueue(store, "again", queue="c", enqueued_at=store.now() - 60)
    hire(store, "other")
    (a, b, c) = lists.queues(store)
    assert [row.name for row in (a, b, c)] == ["a", "b", "c"]
    assert (a.waiting, a.delayed, a.processing, a.completed, a.failed) == (1, 1, 1, 0, 0)
    assert (b.waiting, b.delayed, b.processing, b.completed, b.failed, b.cancelled) == (2, 1, 0, 2, 1, 0)
    assert c.oldest_seconds == pytest.approx(60, abs=30)


def test_a_try_that_is_to_be_repeated_counts_as_delayed(store: Store) -> None:
    enqueue(store, "a")
    hire(store, "w")
    batch = turn(store, "w", 1).batch
    assert batch is not None
    turn(store, "w", 2, 0, results_of(batch, how=lambda record: tried_again(record, 60_000)))
    (row,) = lists.queues(store)
    assert (row.waiting, row.delayed, row.processing) == (0, 1, 0)


def test_finished_jobs_are_counted_however_they_ended(store: Store) -> None:
    enqueue(store, "a", "b")
    hire(store, "w")
    batch = turn(store, "w", 1, 1).batch
    assert batch is not None
    batch = turn(store, "w", 2, 1, results_of(batch, how=failed)).batch
    assert batch is not None
    turn(store, "w", 3, 1, results_of(batch, how=completed))
    (row,) = lists.queues(store)
    assert (row.completed, row.failed, row.oldest_seconds) == (1, 1, None)
