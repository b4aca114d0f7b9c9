"""The way to the server breaks, while real supervisors and producers use it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from pool.running import LONG, Bench, wait_until
from torture.proxy import Proxy

from tempotask.store.connect import Server
from tempotask.store.records import read_registration
from tempotask.store.store import Store
from tempotask.store.wire import Lost, Wire

PATIENCE = 2.0
"""Seconds for which an answer is waited for."""
Make = Callable[[str], Bench]


@pytest.fixture
def proxy(start_server: Callable[..., Any]) -> Iterator[Proxy]:
    server = start_server()
    made = Proxy(server.path)
    yield made
    made.restore()
    made.close()


def id_of(store: Store, pid: int) -> str:
    """Under which id the supervisor with that number is known; empty: it is not."""
    for name, told in store.registrations().items():
        registration = read_registration(told)
        if registration is not None and registration.pid == pid:
            return name
    return ""


def test_a_supervisor_that_was_lost_starts_over_once_however_much_it_had_asked(proxy: Proxy, make_bench: Make) -> None:
    """Each answer that it gets then says that it was lost, and all but the first are about the old id."""
    bench = make_bench(proxy.url)
    direct = Store(Server(f"unix://{proxy.target}"), bench.namespace)
    lost, _ = (bench.start("--lease", "2", workers=1) for _ in range(2))
    before = id_of(direct, lost.process.pid)
    held = proxy.hold("renew", "request", {lost.process.pid})
    assert held.reached.wait(LONG)
    for sooner in range(5):  # each has it renew its lease at once, when it comes to it
        direct.notify([f"orders:{before}"], f"due {100 - sooner}")
    wait_until(lambda: not direct.read("EXISTS", f"orders:{before}"), "it hears no orders")
    wait_until(lambda: before not in direct.registrations(), "nobody misses it")
    held.release()
    lost.wait_for("starting over under a new id")
    after = wait_until(lambda: id_of(direct, lost.process.pid), "it does not come back")
    wait_until(lambda: after.encode() in direct.read("HVALS", "workers"), "it has no worker")
    assert len(lost.about("starting over")) == 1
    assert len(direct.registrations()) == 2
    direct.close()
    assert bench.manager.enqueue(name="echo", queue="q", data=1).result(timeout=LONG) == 1
    assert [supervisor.stop() for supervisor in bench.supervisors] == [0, 0]


def test_a_script_that_is_forgotten_again_as_soon_as_it_is_loaded_is_loaded_again(
    proxy: Proxy, make_bench: Make
) -> None:
    bench = make_bench(proxy.url)
    answers: list[bool] = []
    loading = proxy.hold("SCRIPT", "reply")
    caller = threading.Thread(target=lambda: answers.append(bench.manager.pause_queue("q")))
    caller.start()
    assert loading.reached.wait(LONG)
    with redis.Redis(unix_socket_path=str(proxy.target)) as direct:
        direct.script_flush()
    loading.release()
    caller.join()
    assert answers == [True]


def test_one_that_finds_a_connection_half_open_uses_none_of_the_others_again(proxy: Proxy) -> None:
    """Each would cost it the time in which nothing answers: for a supervisor, its lease."""
    store = Store(Server(proxy.url, connect_timeout=2 * PATIENCE), "torture")
    store.quiet()
    client = store.server.client()
    others = [client.connection_pool.get_connection() for _ in range(3)]
    for other in others:
        other.send_command("PING")  # type: ignore[no-untyped-call]
        assert other.read_response() == b"PONG"
        client.connection_pool.release(other)
    proxy.half_open()
    assert proxy.half_opened() >= 4
    store.quiet()
    wait_until(lambda: not proxy.half_opened(), "some are kept")
    store.close()


def test_a_wait_takes_longer_than_an_answer_may(proxy: Proxy) -> None:
    """So a worker that blocks for half a minute need not take half a minute to find a connection half open."""
    wire = Wire(Server(proxy.url), "torture", PATIENCE)
    wire.run("quiet")
    assert wire.wait("nothing", 1.5 * PATIENCE) is None
    loss = proxy.drop_reply("quiet", swallow=True)
    with pytest.raises(Lost):
        wire.run("quiet")
    assert loss.done.is_set()
    assert wire.wait("nothing", 0.01) is None
    connection = wire._connection
    assert connection is not None
    assert connection._sock is not None
    assert connection._sock.gettimeout() == PATIENCE
    wire.close()
