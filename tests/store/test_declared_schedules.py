"""Schedules that supervisors declare, of one version of the code or several, against a real server."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from store.scheduled import FAST, due_now, finish_all, missed, records

from tempotask import QueueManager, Repeat
from tempotask.pool import firing
from tempotask.store import schedules
from tempotask.store.check import check
from tempotask.store.records import Registration
from tempotask.store.schedules import Planned, Schedule
from tempotask.store.store import Store

pytestmark = pytest.mark.usefixtures("sound")


def register(store: Store, supervisor: str, *declared: Schedule) -> None:
    """A supervisor comes, or has changed code, and declares these."""
    registration = Registration("host", "boot", 1, 0.0, [], 1, [(schedule.id, schedule.form) for schedule in declared])
    store.register(supervisor, 3600, msgspec.msgpack.encode(registration))
    firing.declare(store, declared)


def declared(id: str = "q:tick", repeat: Repeat = FAST, **rest: Any) -> Schedule:
    return Schedule(id, "q", "tick", repeat, **rest)


def test_a_declared_schedule_whose_limit_is_reached_does_not_begin_anew(
    manager: QueueManager[Any], store: Store
) -> None:
    once = declared("a", Repeat(every=0.01, limit=1))
    register(store, "s1", once)
    due_now(store, "a")
    firing.fire(store)
    register(store, "s2", once)
    firing.declare(store, [once], again=True)
    assert not store.read("EXISTS", "firings")
    assert manager.get_job_by_id("a") is None
    assert check(store) == []
    register(store, "s1", declared("a", Repeat(every=0.01, limit=2)))
    register(store, "s2")
    due_now(store, "a")


@pytest.mark.parametrize("changed", [{"priority": "5"}, {"repeat": Repeat(every=3600, jitter=1, catch_up=True)}])
def test_a_firing_that_was_missed_takes_place_though_the_code_has_changed(store: Store, changed: Any) -> None:
    register(store, "s1", declared("a", Repeat(every=3600)))
    since = missed(store, 3_600_000, "a")
    register(store, "s1", declared("a", **{"repeat": Repeat(every=3600)} | changed))
    assert due_now(store, "a").next == since


def test_of_two_forms_that_come_at_once_neither_loses_the_next_firing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(store, "s1", declared("a", Repeat(every=3600)))
    since = missed(store, 3_600_000, "a")
    read = schedules.get

    def then_another_comes(store: Store, id: str) -> Planned | None:
        monkeypatch.undo()
        found = read(store, id)
        assert schedules.declare(store, declared("a", Repeat(every=3600), priority="1"))
        return found

    monkeypatch.setattr(schedules, "get", then_another_comes)
    assert schedules.declare(store, declared("a", Repeat(every=3600), priority="2"))
    planned = due_now(store, "a")
    assert planned.schedule is not None
    assert (planned.next, planned.schedule.priority) == (since, "2")


def test_a_declared_schedule_begins_anew_with_other_times(store: Store) -> None:
    register(store, "s1", declared("a", Repeat(every=3600)))
    missed(store, 3_600_000, "a")
    register(store, "s1", declared("a", Repeat(every=7200)))
    planned = schedules.get(store, "a")
    assert planned is not None
    assert planned.next > schedules.moment(store)


@pytest.mark.parametrize("changed", [Repeat(every=0.01, limit=2, jitter=0.001), Repeat(every=0.01, limit=1)])
def test_firings_count_towards_the_limit_of_a_changed_schedule(store: Store, changed: Repeat) -> None:
    register(store, "s1", declared("a", Repeat(every=0.01, limit=2, overlap=True)))
    for _ in range(2):
        due_now(store, "a")
        firing.fire(store)
    register(store, "s1", declared("a", changed))
    planned = schedules.get(store, "a")
    assert planned is not None
    assert (planned.next, planned.fired) == (0, 2)
    assert not store.read("EXISTS", "firings")


def test_a_job_that_is_called_like_a_declared_schedule_is_found_also_when_it_has_ended(
    manager: QueueManager[Any], store: Store
) -> None:
    register(store, "s1", declared("nightly", Repeat(every=3600)))
    handle = manager.enqueue(name="tick", queue="q", options={"id": "nightly"})
    assert handle.status() == "waiting"
    finish_all(store)
    assert handle.status() == "completed"
    assert manager.delete_job_by_id("nightly")
    assert handle.status() == "delayed"  # the schedule's


def test_a_declared_schedule_comes_when_the_added_one_of_its_name_goes(
    manager: QueueManager[Any], store: Store
) -> None:
    added = manager.enqueue(name="other", queue="q", options={"id": "a", "repeat": Repeat(every=3600)})
    tick = declared("a", Repeat(every=60))
    register(store, "s1", tick)
    assert not firing.declare(store, [tick])
    assert not firing.declare(store, [tick], again=True)
    assert added.cancel()
    assert firing.declare(store, [tick], again=True)
    planned = schedules.get(store, "a")
    assert planned is not None
    assert (planned.added, planned.schedule) == (False, tick)


def test_of_two_versions_that_are_declared_the_newest_counts(manager: QueueManager[Any], store: Store) -> None:
    older, newer = declared("a", Repeat(every=3600)), declared("a", Repeat(every=7200))
    register(store, "s1", older)
    register(store, "s2", newer)
    firing.declare(store, [older], again=True)
    planned = schedules.get(store, "a")
    assert planned is not None
    assert planned.schedule == newer


def test_of_two_versions_that_are_live_the_newest_fires_whoever_looks(manager: QueueManager[Any], store: Store) -> None:
    older, newer = declared("a", Repeat(every=3600)), declared("a", FAST)
    register(store, "s1", older)
    register(store, "s2", newer)
    due_now(store, "a")
    firing.fire(store, [older])
    firing.declare(store, [older], again=True)
    assert len(records(store)) == 1
    planned = schedules.get(store, "a")
    assert planned is not None
    assert planned.schedule == newer


@pytest.mark.parametrize("looks", ["when it would fire", "now and then"])
def test_a_deploy_that_was_taken_back_leaves_nothing_of_its_schedules(
    manager: QueueManager[Any], store: Store, looks: str
) -> None:
    older, newer = declared("a", Repeat(every=3600)), declared("a", FAST)
    register(store, "s1", older)
    register(store, "s2", newer, declared("b"))
    store.leave("s2")
    due_now(store, "a")
    if looks == "when it would fire":
        due_now(store, "b")
        firing.fire(store, [older])
    else:
        firing.declare(store, [older], again=True)
    planned = schedules.get(store, "a")
    assert planned is not None
    assert planned.schedule == older
    assert planned.next > schedules.moment(store)
    assert schedules.get(store, "b") is None
    assert records(store) == []


def test_a_form_that_another_supervisor_has_to_mend_is_left_to_it(manager: QueueManager[Any], store: Store) -> None:
    older, newer = declared("a", Repeat(every=3600)), declared("a", FAST)
    register(store, "s1", older)
    register(store, "s2", newer)
    register(store, "s3")
    store.leave("s2")
    due_now(store, "a")
    firing.fire(store)
    assert records(store) == []
    assert schedules.due(store)[1] == []
    firing.declare(store, [older], again=True)
    planned = schedules.get(store, "a")
    assert planned is not None
    assert planned.schedule == older


def test_a_form_that_was_declared_meanwhile_is_not_replaced_by_an_older_one(
    manager: QueueManager[Any], store: Store
) -> None:
    register(store, "s1", declared("a", Repeat(every=3600)))
    seen = schedules.get(store, "a")
    assert seen is not None
    register(store, "s2", declared("a", Repeat(every=7200)))
    assert schedules.declare(store, declared("a", Repeat(every=10)), instead_of=seen)
    planned = schedules.get(store, "a")
    assert planned is not None
    assert planned.schedule == declared("a", Repeat(every=7200))


def test_a_late_copy_of_the_call_that_added_a_schedule_does_not_bring_it_back(
    manager: QueueManager[Any], store: Store
) -> None:
    sent: list[tuple[Any, ...]] = []
    run = store.run
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(store, "run", lambda *call: sent.append(call) or run(*call))
        assert schedules.add(store, declared("a", added_at=1.0))
    assert schedules.remove(store, "a")
    assert [run(*call) for call in sent if call[0] == "schedule"] == [b"new"]
    assert schedules.get(store, "a") is None


def test_schedules_that_a_server_has_lost_are_put_again(manager: QueueManager[Any], store: Store) -> None:
    register(store, "s1", declared("a"))
    store.server.client().delete(f"{store.prefix}schedules", f"{store.prefix}firings")
    firing.declare(store, [declared("a")], again=True)
    assert schedules.get(store, "a") is not None


def test_what_is_declared_as_it_was_keeps_its_next_time(manager: QueueManager[Any], store: Store) -> None:
    register(store, "s1", declared(repeat=Repeat("* * * * *")))
    since = missed(store, 3_600_000, "q:tick")
    store.leave("s1")
    register(store, "s2", declared(repeat=Repeat("* * * * *")))
    planned = schedules.get(store, "q:tick")
    assert planned is not None
    assert planned.next == since
    firing.fire(store)
    assert len(records(store)) == 1


def test_what_has_changed_begins_anew(manager: QueueManager[Any], store: Store) -> None:
    register(store, "s1", declared(repeat=Repeat("* * * * *")))
    missed(store, 3_600_000, "q:tick")
    register(store, "s1", declared(repeat=Repeat("*/2 * * * *")))
    planned = schedules.get(store, "q:tick")
    assert planned is not None
    assert planned.next > schedules.moment(store)
    firing.fire(store)
    assert records(store) == []


def test_what_is_no_longer_declared_stops_at_once(manager: QueueManager[Any], store: Store) -> None:
    register(store, "s1", declared("a"), declared("b"))
    register(store, "s2", declared("b"))
    register(store, "s1")
    assert schedules.get(store, "a") is None
    assert schedules.get(store, "b") is not None


def test_what_nobody_alive_declares_goes_when_it_would_fire(manager: QueueManager[Any], store: Store) -> None:
    register(store, "s1", declared("a"))
    due_now(store, "a")
    store.leave("s1")
    store.register("s2", 3600, msgspec.msgpack.encode(Registration("host", "boot", 1, 0.0, [], 1)))
    firing.fire(store)
    assert schedules.get(store, "a") is None
    assert records(store) == []


def test_what_somebody_begins_to_declare_meanwhile_is_not_taken_away(manager: QueueManager[Any], store: Store) -> None:
    register(store, "s1", declared("a"))
    seen = store.registrations()
    planned = schedules.get(store, "a")
    assert planned is not None
    register(store, "s2", declared("a"))
    assert not schedules.remove_undeclared(store, planned, seen)
    assert schedules.get(store, "a") == planned


def test_a_declared_schedule_can_not_be_taken_away_by_hand(manager: QueueManager[Any], store: Store) -> None:
    register(store, "s1", declared("a"))
    assert not schedules.remove(store, "a")
    info = manager.get_job_by_id("a")
    assert info is not None
    assert info.status == "delayed"


def test_a_job_may_be_called_like_a_declared_schedule(manager: QueueManager[Any], store: Store) -> None:
    register(store, "s1", declared("a", Repeat(every=3600)))
    handle = manager.enqueue(name="tick", queue="q", options={"id": "a"})
    assert handle.created
    assert handle.status() == "waiting"
    finish_all(store)
    assert handle.result(timeout=60) is None


def test_an_added_schedule_is_not_replaced_by_a_declared_one(manager: QueueManager[Any], store: Store) -> None:
    manager.enqueue(name="mine", queue="q", options={"id": "a", "repeat": "* * * * *"})
    register(store, "s1", declared("a"))
    planned = schedules.get(store, "a")
    assert planned is not None
    assert planned.added


def test_a_definition_of_another_version_is_left_alone_and_not_asked_for_all_the_time(
    manager: QueueManager[Any], store: Store
) -> None:
    client = store.server.client()
    client.hset(f"{store.prefix}schedules", "a", b"d1 1 0 0 0 " + json.dumps("?").encode())
    client.zadd(f"{store.prefix}firings", {"a": 1})
    register(store, "s1", declared("a", Repeat(every=3600)))
    # The other one, whose registration can't be read either, declares it last.
    store.register("s2", 3600, b"?")
    client.hset(f"{store.prefix}schedules", "a", b"d1 1 0 0 0 " + json.dumps("?").encode())
    client.zadd(f"{store.prefix}firings", {"a": 1})
    firing.fire(store, [declared("a", Repeat(every=3600))])
    assert schedules.due(store)[1] == []
    planned = schedules.get(store, "a")
    assert planned is not None
    assert (planned.version, planned.next, planned.schedule) == ("d1", 1, None)
