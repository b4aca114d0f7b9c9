"""That jobs and queues can be paused and resumed wherever they are."""

from __future__ import annotations

import pytest
from store.acted import add, claimed, everywhere, run

from tempotask.store import lists, look, shown
from tempotask.store.acting import Acting
from tempotask.store.store import Store


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
    assert (here.status, here.paused, shown.row(here).paused) == ("waiting", True, True)
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


def test_nothing_of_a_paused_queue_is_claimed_and_what_comes_waits(store: Store) -> None:
    add(store, "a", queue="a")
    add(store, "b", queue="b")
    assert (store.pause_queue("a"), store.pause_queue("a")) == (True, False)
    add(store, "a2", queue="a")
    assert run(store) == ["b"]
    assert [(row.name, row.paused, row.waiting) for row in lists.queues(store)] == [("a", True, 2), ("b", False, 0)]
    assert (store.resume_queue("a"), store.resume_queue("a")) == (True, False)
    assert run(store, worker="again") == ["a", "a2"]
