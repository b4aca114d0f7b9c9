"""The firings of a schedule: each is one job, at its time or made good later, against a real server."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest
from play import names
from store.scheduled import FAST, due_now, finish_all, fire, missed, records

from tempotask import JobNotFound, QueueManager, Repeat, ServerFull
from tempotask.pool import firing
from tempotask.store import schedules
from tempotask.store.check import check
from tempotask.store.connect import Server
from tempotask.store.records import Record, flag, payload_key
from tempotask.store.schedules import Schedule
from tempotask.store.store import Store

pytestmark = pytest.mark.usefixtures("sound")

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


def test_who_can_not_fire_a_schedule_does_not_put_off_one_that_somebody_has_fired(
    manager: QueueManager[Any], store: Store
) -> None:
    manager.enqueue(name="tick", queue="q", options={"id": "s", "repeat": Repeat(every=3600)})
    missed(store, 3_600_000)
    seen = due_now(store)
    assert fire(store, seen) == "fired"
    going_on = schedules.get(store, "s")
    assert going_on is not None
    schedules.look_later(store, seen, 0.0)
    assert store.read("ZSCORE", "firings", "s") == going_on.next
    assert schedules.due(store)[1] == []


def test_a_schedule_that_is_looked_at_too_early_is_looked_at_again_at_its_time(
    manager: QueueManager[Any], store: Store
) -> None:
    manager.enqueue(name="tick", queue="q", options={"id": "s", "repeat": Repeat(every=3600)})
    planned = schedules.get(store, "s")
    assert planned is not None
    schedules.look_later(store, planned, 0.0)
    assert fire(store, due_now(store)) == "early"
    assert store.read("ZSCORE", "firings", "s") == planned.next
