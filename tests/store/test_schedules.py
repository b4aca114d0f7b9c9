"""Schedules as the server keeps them, and what a supervisor makes of them, against a real server."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from play import hire, names, results_of, turn

from tempotask import (
    Context,
    InvalidOptions,
    InvalidPayload,
    Job,
    JobNotFound,
    QueueManager,
    Repeat,
    ServerFull,
    as_completed,
)
from tempotask.pool import firing
from tempotask.store import schedules
from tempotask.store.check import check
from tempotask.store.connect import Server
from tempotask.store.records import Record, Registration, flag, payload_key
from tempotask.store.schedules import Planned, Schedule
from tempotask.store.store import Store

FAST = Repeat(every=0.01)
NUMBERS = itertools.count(1, 2)
"""Of turns: each is higher than the last."""


@pytest.fixture
def manager(server_url: str, namespace: str, store: Store) -> Iterator[QueueManager[Any]]:
    with QueueManager.init(server_url, namespace=namespace) as manager:
        yield manager
    assert check(store) == []


def due_now(store: Store, id: str = "s") -> Planned:
    """Waits, on the server's clock, until that schedule is due."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for planned in schedules.due(store)[1]:
            if planned.id == id:
                return planned
        time.sleep(0.001)
    raise AssertionError("it is never due")


def fire(store: Store, planned: Planned, policy: schedules.Policy = "skip", **rest: Any) -> str:
    assert planned.schedule is not None
    return schedules.fire(store, planned, planned.next, planned.schedule.repeat.after(planned.next), policy, **rest)


def missed(store: Store, milliseconds: int, id: str = "s") -> int:
    """As if nobody had been there for that long: the schedule has been due since then. Returns its next time."""
    planned = schedules.get(store, id)
    assert planned is not None
    assert planned.schedule is not None
    since = planned.schedule.repeat.after(schedules.moment(store) - milliseconds)
    assert since is not None
    client, key = store.server.client(), f"{store.prefix}schedules"
    version, _, rest = client.hget(key, id).split(b" ", 2)  # type: ignore[union-attr]
    client.hset(key, id, b" ".join((version, str(since).encode(), rest)))
    client.zadd(f"{store.prefix}firings", {id: since})
    return since


def records(store: Store, queue: str = "q") -> list[Record]:
    return [msgspec.msgpack.decode(one, type=Record) for one in store.read("LRANGE", f"queue:0:{queue}", 0, -1)]


def finish_all(store: Store) -> list[str]:
    """Runs what waits, as a worker would. Returns the ids."""
    if not store.read("HEXISTS", "workers", "w"):
        hire(store, "w", supervisor="runner")
    number = next(NUMBERS)
    reply = turn(store, "w", number)
    if reply.batch is None:
        return []
    turn(store, "w", number + 1, 0, results_of(reply.batch))
    return reply.ids


def register(store: Store, supervisor: str, *declared: Schedule) -> None:
    """A supervisor comes, or has changed code, and declares these."""
    registration = Registration("host", "boot", 1, 0.0, [], 1, [(schedule.id, schedule.form) for schedule in declared])
    store.register(supervisor, 3600, msgspec.msgpack.encode(registration))
    firing.declare(store, declared)


def declared(id: str = "q:tick", repeat: Repeat = FAST, **rest: Any) -> Schedule:
    return Schedule(id, "q", "tick", repeat, **rest)


# -- one firing


def test_a_firing_is_a_job_of_its_own_named_after_its_time(manager: QueueManager[Any], store: Store) -> None:
    options = {"id": "s", "repeat": FAST, "priority": 3, "attempts": 2, "timeout": 9}
    manager.enqueue(name="tick", queue="q", data={"path": "a.png"}, options=options)
    planned = due_now(store)
    assert fire(store, planned) == "fired"
    seconds, rest = divmod(planned.next, 1000)
    id = f"s@{seconds}.{rest:03}" if rest else f"s@{seconds}"
    info = manager.get_job_by_id(id)
    assert info is not None
    assert (info.status, info.queue, info.name, info.priority) == ("waiting", "q", "tick", 3)
    assert info.data == {"path": "a.png"}
    (stored,) = [msgspec.msgpack.decode(one, type=Record) for one in store.read("LRANGE", "queue:3:q", 0, -1)]
    assert stored.options is not None
    assert (stored.options.attempts, stored.options.timeout) == (2, 9)


@pytest.mark.parametrize(
    ("fires", "id"), [(1_764_000_000_000, "x@1764000000"), (1_764_000_000_250, "x@1764000000.250")]
)
def test_milliseconds_are_in_the_id_only_where_needed(fires: int, id: str) -> None:
    assert schedules.job_id("x", fires) == id


def test_a_firing_takes_place_once_however_often_the_call_is_sent(manager: QueueManager[Any], store: Store) -> None:
    manager.enqueue(name="tick", queue="q", options={"id": "s", "repeat": FAST})
    planned = due_now(store)
    assert [fire(store, planned) for _ in range(3)] == ["fired", "gone", "gone"]
    assert len(records(store)) == 1


def test_each_firing_takes_place_once_however_many_supervisors_there_are(
    manager: QueueManager[Any], store: Store
) -> None:
    manager.enqueue(name="tick", queue="q", options={"id": "s", "repeat": Repeat(every=0.01, overlap=True)})
    enough = threading.Event()

    def supervise(_: int) -> None:
        while not enough.is_set():
            firing.fire(store)
            if store.read("LLEN", "queue:0:q") >= 100:
                enough.set()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(supervise, range(8)))
    ids = [record.id for record in records(store)]
    assert len(ids) >= 100
    assert len(set(ids)) == len(ids)


def test_nothing_fires_before_the_servers_clock_says_so(manager: QueueManager[Any], store: Store) -> None:
    manager.enqueue(name="tick", queue="q", options={"id": "s", "repeat": Repeat(every=3600)})
    planned = schedules.get(store, "s")
    assert planned is not None
    assert fire(store, planned) == "early"
    assert records(store) == []


def test_a_firing_whose_predecessor_has_not_finished_is_skipped(manager: QueueManager[Any], store: Store) -> None:
    manager.enqueue(name="tick", queue="q", options={"id": "s", "repeat": FAST})
    assert fire(store, due_now(store)) == "fired"
    assert fire(store, due_now(store)) == "skipped"
    assert finish_all(store)
    assert fire(store, due_now(store)) == "fired"


def test_firings_overlap_where_that_is_asked_for(manager: QueueManager[Any], store: Store) -> None:
    manager.enqueue(name="tick", queue="q", options={"id": "s", "repeat": Repeat(every=0.01, overlap=True)})
    for _ in range(3):
        due_now(store)
        firing.fire(store)
    assert len(records(store)) == 3


def test_jitter_delays_the_job_and_not_the_schedule(manager: QueueManager[Any], store: Store) -> None:
    repeat = Repeat(every=0.01, jitter=3600)
    manager.enqueue(name="tick", queue="q", options={"id": "s", "repeat": repeat})
    planned = due_now(store)
    firing.fire(store)
    following = schedules.get(store, "s")
    assert following is not None
    assert planned.next <= following.last < following.next < planned.next + 60_000
    info = manager.get_job_by_id(schedules.job_id("s", following.last))
    assert info is not None
    assert info.status == "delayed"
    assert records(store) == []


def test_a_large_payload_travels_with_every_firing(manager: QueueManager[Any], store: Store) -> None:
    repeat = Repeat(every=0.01, overlap=True)
    manager.enqueue(name="tick", queue="q", data="x" * 10_000, options={"id": "s", "repeat": repeat})
    for _ in range(2):
        assert fire(store, due_now(store), "overlap") == "fired"
    first, second = records(store)
    assert flag(first, "p")
    assert payload_key(first) != payload_key(second)
    assert all(manager.get_job_by_id(record.id).data == "x" * 10_000 for record in (first, second))  # type: ignore[union-attr]


def test_a_payload_of_any_bytes_comes_as_it_was_given(manager: QueueManager[Any], store: Store) -> None:
    payload = {"bytes": bytes(range(256)), "text": "a b\nc\0d", "list": [0, None]}
    handle = manager.enqueue(name="tick", queue="q", data=payload, options={"id": "s-é", "repeat": FAST})
    assert fire(store, due_now(store, "s-é")) == "fired"
    finish_all(store)
    assert fire(store, due_now(store, "s-é")) == "fired"
    (record,) = records(store)
    info = manager.get_job_by_id(record.id)
    assert info is not None
    assert info.data == payload
    assert handle.info().data == payload


def test_after_as_many_firings_as_its_limit_a_schedule_goes(manager: QueueManager[Any], store: Store) -> None:
    handle = manager.enqueue(name="tick", queue="q", options={"id": "s", "repeat": Repeat(every=0.01, limit=2)})
    assert fire(store, due_now(store)) == "fired"
    assert fire(store, due_now(store)) == "skipped", "a skipped firing uses nothing up"
    finish_all(store)
    assert fire(store, due_now(store)) == "fired"
    assert schedules.get(store, "s") is None
    with pytest.raises(JobNotFound):
        handle.status()
    assert manager.enqueue(name="tick", queue="q", options={"id": "s"}).created


def test_a_full_server_fires_when_it_has_room_again(start_server: Any) -> None:
    server = start_server()
    store = Store(Server(server.url), "full")
    schedules.add(store, Schedule("s", "q", "tick", FAST, added_at=1.0))
    due_now(store)
    used = store.server.client().info("memory")["used_memory"]
    store.server.client().config_set("maxmemory", used // 2)
    with pytest.raises(ServerFull):
        schedules.add(store, Schedule("t", "q", "tick", FAST, added_at=1.0))
    firing.fire(store)
    assert names(store) >= {"schedules", "firings"}
    assert "queue:0:q" not in names(store)
    store.server.client().config_set("maxmemory", 0)
    due_now(store)
    firing.fire(store)
    assert len(records(store)) == 1
    assert check(store) == []
    store.close()


# -- what was missed


def test_of_the_firings_that_were_missed_the_latest_takes_place_once(manager: QueueManager[Any], store: Store) -> None:
    manager.enqueue(name="tick", queue="q", options={"id": "s", "repeat": Repeat("* * * * *")})
    missed(store, 3_600_000)
    now = schedules.moment(store)
    firing.fire(store)
    firing.fire(store)
    (record,) = records(store)
    assert now - int(record.id.partition("@")[2]) * 1000 < 120_000
    planned = schedules.get(store, "s")
    assert planned is not None
    assert planned.next > now


def test_catch_up_makes_each_good_one_after_the_other(manager: QueueManager[Any], store: Store) -> None:
    manager.enqueue(name="tick", queue="q", options={"id": "s", "repeat": Repeat(every=3600, catch_up=True)})
    since = missed(store, 5 * 3_600_000)
    ran: list[str] = []
    while len(ran) < 5:
        due_now(store)
        firing.fire(store)
        firing.fire(store)
        assert len(records(store)) == 1, "one at a time"
        ran += finish_all(store)
    assert ran == [schedules.job_id("s", since + n * 3_600_000) for n in range(5)]
    planned = schedules.get(store, "s")
    assert planned is not None
    assert planned.next > schedules.moment(store)


@pytest.mark.parametrize("repeat", [Repeat(every=1, catch_up=True, overlap=True), Repeat("* * * * * *", catch_up=True)])
def test_catch_up_goes_back_a_thousand_firings_at_most(
    manager: QueueManager[Any], store: Store, repeat: Repeat
) -> None:
    manager.enqueue(name="tick", queue="q", options={"id": "s", "repeat": repeat})
    missed(store, 86_400_000)
    before = schedules.moment(store)
    firing.fire(store)
    (record,) = records(store)
    assert 998_000 < before - int(record.id.partition("@")[2]) * 1000 < 1_003_000


def test_catch_up_makes_the_youngest_good_too_though_the_one_before_it_is_at_work(
    manager: QueueManager[Any], store: Store
) -> None:
    manager.enqueue(name="tick", queue="q", options={"id": "s", "repeat": Repeat(every=0.5, catch_up=True)})
    since = missed(store, 2_000)
    ran: list[str] = []
    while len(ran) < 4:
        due_now(store)
        firing.fire(store)
        firing.fire(store)
        ran += finish_all(store)
    assert ran == [schedules.job_id("s", since + n * 500) for n in range(4)]


def test_catch_up_skips_a_firing_that_falls_into_the_run_before_it(manager: QueueManager[Any], store: Store) -> None:
    manager.enqueue(name="tick", queue="q", options={"id": "s", "repeat": Repeat(every=0.3, catch_up=True)})
    for _ in range(3):
        due_now(store)
        firing.fire(store)
    assert len(records(store)) == 1
    planned = schedules.get(store, "s")
    assert planned is not None
    assert planned.next > planned.last + 300


# -- schedules that are added


def test_a_schedule_lives_until_it_is_cancelled(manager: QueueManager[Any], store: Store) -> None:
    handle = manager.enqueue(name="tick", queue="q", options={"repeat": "*/5 * * * *"})
    assert handle.created
    assert handle.status() == "delayed"
    info = handle.info()
    assert (info.status, info.queue, info.name) == ("delayed", "q", "tick")
    assert schedules.remove(store, handle.id)
    assert not schedules.remove(store, handle.id)
    with pytest.raises(JobNotFound):
        handle.status()


def test_a_call_that_repeats_what_its_own_task_does_not_take_is_refused(
    manager: QueueManager[Any], store: Store
) -> None:
    def handler(job: Job[int], ctx: Context[Any]) -> None: ...

    task = manager.register_job(name="count", queue="q", handler=handler)
    with pytest.raises(InvalidOptions, match="its jobs come without data, which its handler does not take"):
        manager.enqueue(name="count", queue="q", options={"repeat": "* * * * *"})
    with pytest.raises(InvalidOptions, match="give data and repeat to enqueue"):
        task.enqueue(repeat="* * * * *", id="nodata")
    with pytest.raises(InvalidPayload, match="its handler does not take these data: Expected `int`, got `str`"):
        manager.enqueue(name="count", queue="q", data="text", options={"repeat": "* * * * *"})
    assert list(schedules.every(store)) == []
    assert task.enqueue(5, repeat="* * * * *").created


def test_a_schedule_has_no_result_and_says_so(manager: QueueManager[Any]) -> None:
    handle = manager.enqueue(name="tick", queue="q", options={"id": "s", "repeat": "* * * * *"})
    with pytest.raises(InvalidOptions, match="s is a schedule"):
        handle.result(timeout=60)
    with pytest.raises(InvalidOptions, match="s is a schedule"):
        manager.handle("s").result(timeout=60)
    (finished,) = as_completed([handle], timeout=60)
    with pytest.raises(InvalidOptions, match="s is a schedule"):
        finished.result()


async def _await(manager: QueueManager[Any]) -> None:
    handle = await manager.aenqueue(name="tick", queue="q", options={"id": "s", "repeat": "* * * * *"})
    with pytest.raises(InvalidOptions, match="s is a schedule"):
        await handle


def test_a_schedule_that_is_awaited_says_that_it_has_no_result(manager: QueueManager[Any]) -> None:
    asyncio.run(asyncio.wait_for(_await(manager), 60))


def test_the_id_of_a_schedule_is_taken_and_that_of_a_job_too(manager: QueueManager[Any]) -> None:
    repeated = {"id": "s", "repeat": "* * * * *"}
    assert manager.enqueue(name="tick", queue="q", options=repeated).created
    assert not manager.enqueue(name="tick", queue="q", options=repeated).created
    assert not manager.enqueue(name="tick", queue="q", options={"id": "s"}).created
    assert manager.enqueue(name="tick", queue="q", options={"id": "j"}).created
    assert not manager.enqueue(name="tick", queue="q", options={"id": "j", "repeat": "* * * * *"}).created


def test_an_earlier_outcome_is_not_taken_for_that_of_the_schedule(manager: QueueManager[Any], store: Store) -> None:
    handle = manager.enqueue(name="tick", queue="q", options={"id": "s"})
    finish_all(store)
    assert handle.result(timeout=60) is None
    again = manager.enqueue(name="tick", queue="q", options={"id": "s", "repeat": "* * * * *"})
    assert again.created
    assert again.status() == "delayed"
    with pytest.raises(InvalidOptions):
        again.result(timeout=60)


def test_repeat_together_with_a_delay_begins_after_it(manager: QueueManager[Any], store: Store) -> None:
    manager.enqueue(name="tick", queue="q", options={"id": "s", "repeat": "* * * * *", "delay": 7200})
    begins = datetime.now(UTC).replace(microsecond=0, second=0) + timedelta(days=1)
    manager.enqueue(name="tick", queue="q", options={"id": "t", "repeat": "* * * * *", "delay_until": begins})
    first, second = schedules.get(store, "s"), schedules.get(store, "t")
    assert first is not None
    assert second is not None
    assert 7_190_000 < first.next - schedules.moment(store) < 7_270_000
    assert second.next == int(begins.timestamp() * 1000)


def test_many_jobs_at_once_can_not_be_repeated_and_the_error_says_so(manager: QueueManager[Any]) -> None:
    with pytest.raises(InvalidOptions, match="job 1: repeat makes a schedule"):
        manager.enqueue_many(
            [{"name": "t", "queue": "q"}, {"name": "t", "queue": "q", "options": {"repeat": "* * * * *"}}]
        )
    with pytest.raises(InvalidOptions, match="repeat makes a schedule"):
        manager.publish(name="t", queues=["q"], options={"repeat": "* * * * *"})
    assert manager.get_queues_list() == []


def test_supervisors_are_told_of_an_earlier_time(manager: QueueManager[Any], store: Store) -> None:
    store.register("s1", 3600, b"{}")
    manager.enqueue(name="tick", queue="q", options={"repeat": Repeat(every=3600)})
    manager.enqueue(name="tick", queue="q", options={"repeat": Repeat(every=86_400)})
    manager.enqueue(name="tick", queue="q", options={"repeat": Repeat(every=0.5)})
    told = [order.split() for order in store.read("LRANGE", "orders:s1", 0, -1)]
    assert {what for what, _ in told} == {b"due"}
    assert 2 <= len(told) <= 3
    assert int(told[-1][1]) <= int(told[0][1])


# -- schedules that are declared


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
