"""The proxy that the fault matrix uses: it must do to the wire what it says, and nothing else."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from pool.running import LONG, wait_until
from torture.mishap import Direction
from torture.proxy import Proxy

from tempotask.store.connect import Server
from tempotask.store.store import Store
from tempotask.store.wire import Lost, Wire

SILENCE = 0.2
"""Seconds after which no answer is taken for none: only where none is to come."""


@pytest.fixture
def proxy(start_server: Callable[..., Any]) -> Iterator[Proxy]:
    made = Proxy(start_server().path)
    yield made
    made.close()


@pytest.fixture
def client(proxy: Proxy) -> Iterator[redis.Redis]:
    """It never tries again, and gives up soon."""
    with redis.Redis.from_url(proxy.url, socket_timeout=LONG, retry=None, protocol=2) as made:
        yield made


@pytest.fixture
def wire(proxy: Proxy) -> Iterator[Wire]:
    made = Wire(Server(proxy.url), "torture", LONG)
    yield made
    made.close()


def test_what_goes_through_arrives_as_it_was_sent(client: redis.Redis, proxy: Proxy) -> None:
    blob = os.urandom(3_000_000) + b"\r\n*1\r\n$-1\r\n"
    pipeline: Any = client.pipeline(transaction=True)
    pipeline.set("a", blob).get("a").get("absent").rpush("l", *range(3000)).lrange("l", 0, -1)
    pipeline.eval("return {1, {2, 'x', {}}, false}", 0).incrbyfloat("f", 0.5).xadd("s", {"k": "v"})
    answers = pipeline.execute()
    assert answers[1] == blob
    assert answers[2] is None
    assert answers[4] == [str(n).encode() for n in range(3000)]
    assert answers[5] == [1, [2, b"x", []], None]
    assert proxy.counts["LRANGE"] == 1
    assert proxy.owners() == {os.getpid()}


def test_a_reply_is_lost_only_after_the_script_ran(proxy: Proxy, client: redis.Redis, wire: Wire) -> None:
    wire.run("quiet")
    loss = proxy.drop_reply("pause", times=2)
    wire.run("quiet")
    for queue in ("q", "r"):
        with pytest.raises(Lost):
            wire.run("pause", f"call-{queue}", 1, 1000, "pause", queue)
    assert loss.done.is_set()
    assert client.smembers("{torture}:paused") == {b"q", b"r"}
    assert wire.run("pause", "call-s", 1, 1000, "pause", "s") == 1
    assert proxy.lost == {"pause": 2}


def test_a_request_that_is_held_has_not_reached_the_server(proxy: Proxy, client: redis.Redis, wire: Wire) -> None:
    cases: list[tuple[Direction, set[bytes]]] = [("request", set()), ("reply", {b"q"})]
    for direction, there in cases:
        hold = proxy.hold("pause", direction)
        thread = threading.Thread(target=wire.run, args=("pause", f"call-{direction}", 1, 1000, "pause", "q"))
        thread.start()
        assert hold.reached.wait(LONG)
        assert hold.pid == os.getpid()
        assert client.smembers("{torture}:paused") == there
        hold.release()
        thread.join()
        assert client.smembers("{torture}:paused") == {b"q"}
        client.delete("{torture}:paused")


def test_a_held_reply_can_be_lost(proxy: Proxy, wire: Wire) -> None:
    hold = proxy.hold("pause", "reply")
    seen: list[BaseException] = []

    def pause() -> None:
        try:
            wire.run("pause", "call", 1, 1000, "pause", "q")
        except Lost as error:
            seen.append(error)

    thread = threading.Thread(target=pause)
    thread.start()
    assert hold.reached.wait(LONG)
    hold.lose()
    thread.join()
    assert seen


def test_while_it_is_cut_nobody_gets_through(proxy: Proxy, client: redis.Redis) -> None:
    client.ping()
    proxy.cut()
    for _ in range(2):
        with pytest.raises(redis.ConnectionError):
            client.ping()
    proxy.restore()
    assert client.ping()


def test_what_is_to_be_held_is_held_though_the_way_was_cut_and_restored(proxy: Proxy, wire: Wire) -> None:
    hold = proxy.hold("pause", "reply")
    proxy.cut()
    proxy.restore()
    thread = threading.Thread(target=wire.run, args=("pause", "call", 1, 1000, "pause", "q"))
    thread.start()
    assert hold.reached.wait(LONG)
    hold.release()
    thread.join()


def test_half_open_connections_swallow_what_is_sent(proxy: Proxy) -> None:
    with redis.Redis.from_url(proxy.url, socket_timeout=LONG, retry=None) as client:
        client.set("n", 1)
        old = client.connection_pool.get_connection()
        proxy.half_open("reply")
        old.send_command("INCR", "n")
        assert not old.can_read(SILENCE)
        # A new connection is a good one.
        wait_until(lambda: client.get("n") == b"2", "the server has not carried it out")
        proxy.half_open("request", new=True)
        with redis.Redis.from_url(proxy.url, socket_timeout=SILENCE, retry=None) as hasty:
            for _ in range(2):
                with pytest.raises(redis.TimeoutError):
                    hasty.incr("n")
        proxy.restore()
        client.connection_pool.disconnect()
        assert client.incr("n") == 3


def test_the_server_does_not_hear_of_the_end_of_a_half_open_connection(proxy: Proxy, start_server: Any) -> None:
    server = start_server()
    proxy = Proxy(server.path)
    with redis.Redis.from_url(server.url) as direct, redis.Redis.from_url(proxy.url, client_name="dead") as client:

        def known() -> bool:
            return any(each["name"] == "dead" for each in direct.client_list())

        client.ping()
        proxy.half_open()
        client.close()
        wait_until(lambda: all(link.request.ended for link in proxy._links), "its end is not seen")
        assert known()
        proxy.restore()
        wait_until(lambda: not known(), "the server still knows it")
    proxy.close()


def test_messages_are_late_and_in_order(proxy: Proxy, client: redis.Redis) -> None:
    client.ping()
    proxy.delay(0.01, 0.1)
    began = time.monotonic()
    pipeline = client.pipeline(transaction=False)
    for number in range(20):
        pipeline.rpush("l", number)
    assert pipeline.execute() == list(range(1, 21))
    assert time.monotonic() - began > 0.1
    assert client.lrange("l", 0, -1) == [str(n).encode() for n in range(20)]


def test_a_fault_can_be_for_one_process_alone(proxy: Proxy, client: redis.Redis) -> None:
    program = f"import redis; c = redis.Redis.from_url({proxy.url!r}); c.rpush('there', 1); c.blpop('never', 0)"
    other = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    client.blpop("there", LONG)
    proxy.cut({other.pid})
    assert other.wait(LONG) == 1
    assert client.ping()


def test_one_who_dies_has_said_what_it_said(proxy: Proxy, client: redis.Redis) -> None:
    client.ping()
    hold = proxy.hold("RPUSH", "request")
    with socket.socket(socket.AF_UNIX) as mortal:
        mortal.connect(str(proxy.path))
        mortal.sendall(b"*3\r\n$5\r\nRPUSH\r\n$1\r\nl\r\n$1\r\n1\r\n")
        assert hold.reached.wait(LONG)
    hold.release()
    assert client.blpop("l", LONG)


def test_a_store_behind_it_works_as_ever(proxy: Proxy) -> None:
    store = Store(Server(proxy.url), "torture")
    assert store.pause_queue("q")
    assert store.quiet()
    store.close()
    assert proxy.counts["pause"] == 2, "the second time the server knows the script"
