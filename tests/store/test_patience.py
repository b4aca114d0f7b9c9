"""How long a call waits for a server that is away, and what is told at once."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from pool.running import wait_until
from sentinel import free_port
from servers import OwnServer

from tempotask import QueueManager
from tempotask.errors import ServerFull, ServerUnavailable
from tempotask.store.connect import Server

LIMIT = 60.0
Start = Callable[..., Any]


def test_a_replica_says_that_its_primary_is_to_be_named(tmp_path: Path) -> None:
    replica = OwnServer(tmp_path, "--replicaof", "127.0.0.1 1")
    try:
        server = Server(replica.url, connect_timeout=2)
        with pytest.raises(ServerUnavailable, match="it is a replica: name its primary, or give another server"):
            server.patiently(lambda: server.client().set("a", "1"))
        server.close()
    finally:
        replica.kill()


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


def test_who_waits_for_a_server_waits_no_longer_when_it_is_closed() -> None:
    server = Server(f"redis://127.0.0.1:{free_port()}", connect_timeout=1000)
    tried = threading.Event()
    told: list[Exception] = []

    def call() -> None:
        try:
            server.patiently(lambda: (tried.set(), server.client().ping()))
        except ServerUnavailable as error:
            told.append(error)

    waiting = threading.Thread(target=call)
    waiting.start()
    assert tried.wait(LIMIT)
    server.close()
    waiting.join(LIMIT)
    assert "was closed by this program" in str(told[0])


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


def test_reading_much_waits_for_a_server_that_is_busy_with_a_slow_script(start_server: Start) -> None:
    running = start_server("--busy-reply-threshold", "20")
    with QueueManager.init(running.url, namespace="n", options={"connect_timeout": LIMIT}) as manager:
        manager.enqueue(name="a", queue="q")
        assert manager.retry_jobs(queue="q") == 0
        with redis.Redis.from_url(running.url) as somebody, redis.Redis.from_url(running.url) as admin:
            endless = threading.Thread(target=lambda: _suppressed(somebody.eval, "while true do end", 0))
            endless.start()
            wait_until(lambda: _is_busy(admin), "it is not busy")
            soon = threading.Thread(target=lambda: time.sleep(0.2) or admin.execute_command("SCRIPT", "KILL"))  # type: ignore[func-returns-value]
            soon.start()
            assert manager.retry_jobs(queue="q") == 0
            soon.join()
            endless.join()


@pytest.mark.parametrize("options", [("--rename-command", "EVALSHA", "renamed"), ("--databases", "1")])
def test_a_server_that_can_not_do_what_is_needed_is_told_of_at_once(start_server: Start, options: list[str]) -> None:
    running = start_server(*options)
    url = f"{running.url}?db=1" if "--databases" in options else running.url
    with QueueManager.init(url, namespace="n") as manager, pytest.raises(ServerUnavailable, match="can't be used"):
        manager.enqueue(name="a", queue="q")


def _is_busy(client: redis.Redis) -> bool:
    try:
        return not client.ping()
    except redis.ResponseError:
        return True


def _suppressed(call: Callable[..., object], *arguments: object) -> None:
    with contextlib.suppress(redis.RedisError):
        call(*arguments)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--rename-command", "DEL", ""), "has no DEL, which TempoTask needs: take that out of rename-command"),
        (("--replicaof", "127.0.0.1", "1"), "it is a replica: name its primary"),
    ],
)
def test_a_server_that_can_not_be_used_says_why_to_who_adds_a_job(
    short_path: Path, options: tuple[str, ...], says: str
) -> None:
    server = OwnServer(short_path, *options)
    try:
        with (
            QueueManager.init(server.url, options={"connect_timeout": 0.2}) as manager,
            pytest.raises(ServerUnavailable, match=says),
        ):
            manager.enqueue(name="t", queue="q")
    finally:
        server.kill()
