"""That who acts on jobs is told what was done, also when replies are lost or somebody else wrote nonsense."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from play import enqueue, failed, hire, results_of, turn, waiting
from store.acted import IDS, add, everywhere, status

from tempotask.store import lists, revising
from tempotask.store.acting import Acting
from tempotask.store.connect import Server
from tempotask.store.lists import Filter
from tempotask.store.script import Argument
from tempotask.store.store import Store


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


def test_whether_a_queue_was_paused_is_told_also_when_replies_are_lost(forgetful: Acting) -> None:
    assert [forgetful._store.pause_queue("q"), forgetful._store.pause_queue("q")] == [True, False]
    assert [forgetful._store.resume_queue("q"), forgetful._store.resume_queue("q")] == [True, False]


@pytest.mark.parametrize("way", ["all of a name", "all of a map"])
def test_of_two_who_cancel_many_jobs_of_a_queue_at_once_neither_misses_any(
    store: Store, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    for n in range(1000):
        enqueue(store, f"x-{n}", name="x")
        enqueue(store, f"y-{n}", name="y")

    def cancel(name: str) -> int:
        acting = Acting(store, 200)
        return acting.cancel_begun_with(f"{name}-", "q") if "map" in way else acting.cancel_all(Filter(name=name))

    real, others = store.change, []

    def change(name: str, *arguments: Argument) -> Any:
        answer = real(name, *arguments)
        if b"@" in answer[1] and not others:
            # The first is on its way through the list when the second cuts the end of it.
            others.append(0)
            others[0] = cancel("y")
        return answer

    monkeypatch.setattr(store, "change", change)
    assert cancel("x") == 1000
    assert others == [1000]
    assert waiting(store) == []


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


def test_a_queue_without_a_name_that_somebody_else_wrote_does_not_stop_who_acts(store: Store) -> None:
    enqueue(store, "a")
    store.server.client().sadd(f"{store.prefix}queues", "")
    assert Acting(store, 10).cancel_all(Filter()) == 1


@pytest.mark.usefixtures("sound")
def test_jobs_of_a_task_are_deleted_from_all_of_a_history_though_it_is_trimmed_meanwhile(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    acting, many = Acting(store, 60), iter(range(1000))

    def cancel(name: str, number: int) -> None:
        """Each on a page of its own."""
        for _ in range(number):
            id = f"j{next(many)}"
            enqueue(store, id, name=name)
            assert acting.cancel(id)

    cancel("other", 20)
    cancel("wanted", 40)
    read, passed = store.read, 0

    def interrupted(command: str, key: str, *rest: Any) -> Any:
        nonlocal passed
        passed += command == "LRANGE" and key == "history:q:cancelled"
        if passed == 2:
            # The oldest pages, of those that were looked at, are trimmed off.
            passed += 1
            cancel("new", 10)
        return read(command, key, *rest)

    monkeypatch.setattr(store, "read", interrupted)
    monkeypatch.setattr(revising, "PAGES", 15)
    assert acting.delete_all(Filter(name="wanted")) == 40
