"""That one look at everything shows what the lists show."""

from __future__ import annotations

from filled import fill
from play import enqueue

from tempotask.store import lists
from tempotask.store.check import check
from tempotask.store.overview import Overview, overview
from tempotask.store.reading import queue_names
from tempotask.store.store import Store


def look(store: Store, marks: dict[str, str] | None = None, failures: int = 100) -> Overview:
    return overview(store, queue_names(store), marks or {}, failures)


def test_it_counts_as_the_list_of_queues_does(store: Store) -> None:
    fill(store)
    enqueue(store, "low", queue="timed", priority=-1, enqueued_at=store.now() - 100)
    enqueue(store, "high", queue="timed", priority=1, enqueued_at=store.now() - 10)
    seen, listed = look(store), lists.queues(store)
    assert [queue.name for queue in seen.queues] == [row.name for row in listed]
    for queue, row in zip(seen.queues, listed, strict=True):
        assert (queue.paused, queue.waiting, queue.delayed) == (row.paused, row.waiting, row.delayed), row.name
        assert [queue.ended[status] for status in ("completed", "failed", "cancelled")] == [
            row.completed, row.failed, row.cancelled,
        ]  # fmt: skip
        # Some of these jobs do not say when they were added.
        known = row.oldest_seconds is not None and row.oldest_seconds < 1e9
        assert (queue.oldest_seconds is not None) == known
        if queue.oldest_seconds is not None and row.oldest_seconds is not None:
            # The list goes by our idea of the server's clock, which may lie a little behind it.
            assert abs(row.oldest_seconds - queue.oldest_seconds) < 60
    (timed,) = [queue for queue in seen.queues if queue.name == "timed"]
    assert timed.oldest_seconds is not None
    assert 99 < timed.oldest_seconds < 160
    assert seen.supervisors.keys() == store.registrations().keys()


def test_failed_jobs_are_those_of_the_list_and_come_again_only_when_they_have_changed(store: Store) -> None:
    fill(store)
    seen = look(store)
    found = [job.id for queue in seen.queues for job in queue.failures or ()]
    listed, _ = lists.jobs(store, status="failed", limit=1000)
    assert sorted(found) == sorted(job.id for job in listed) != []
    marks = {queue.name: queue.mark for queue in seen.queues}
    assert all(queue.failures is None for queue in look(store, marks).queues)
    some = next(queue for queue in seen.queues if queue.failures)
    again = look(store, marks | {some.name: "0/0"}).queues
    assert [queue.name for queue in again if queue.failures] == [some.name]


def test_an_empty_namespace_and_a_queue_that_nobody_knows_are_empty(store: Store) -> None:
    assert look(store).queues == []
    (queue,) = overview(store, ["nobody"], {}, 10).queues
    assert (queue.waiting, queue.delayed, queue.oldest_seconds, queue.failures) == (0, 0, None, [])


def test_looking_changes_nothing_and_what_cannot_be_read_is_passed_over(store: Store) -> None:
    enqueue(store, "a")
    store.server.client().lset(f"{store.prefix}queue:0:{queue_names(store)[0]}", 0, b"\xc1 no record")
    (queue,) = look(store).queues
    assert (queue.waiting, queue.oldest_seconds) == (1, None)


def test_the_invariants_hold_after_a_look(store: Store) -> None:
    fill(store)
    look(store)
    assert check(store) == []
