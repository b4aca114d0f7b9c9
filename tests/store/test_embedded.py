"""The embedded server: it is there when somebody needs it, gone when nobody does, and keeps what it was told."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
from pool.running import wait_until
from servers import wait_until_written
from store.embedding import LIMIT, client, server_process, wait_until_gone

from tempotask.errors import ServerUnavailable
from tempotask.store import embedded
from tempotask.store.connect import Server
from tempotask.store.embedded import EmbeddedServer

# Another user of the server: says its URL, then keeps hold of it until its standard input ends.
USER = """
import sys
from tempotask.store.embedded import EmbeddedServer
server = EmbeddedServer.open()
print(server.url, flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def another_user(home: Path) -> Iterator[subprocess.Popen[str]]:
    """A process of its own that has opened the server."""
    environment = {**os.environ, "TEMPOTASK_HOME": str(home)}
    with subprocess.Popen(
        [sys.executable, "-c", USER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as user:
        assert user.stdout is not None
        assert user.stdout.readline().startswith("unix://")
        yield user


def test_it_starts_with_its_first_user_and_stops_with_its_last(home: Path) -> None:
    first = EmbeddedServer.open(home)
    process = server_process(first)
    guardian = process.parent()
    assert guardian is not None
    second = EmbeddedServer.open(home)
    first.close()
    assert server_process(second) == process
    second.close()
    wait_until_gone(process, guardian)
    assert not (home / "server.sock").exists()


def test_its_guardian_is_named_in_the_list_of_processes(home: Path) -> None:
    server = EmbeddedServer.open(home)
    guardian = server_process(server).parent()
    assert guardian is not None
    assert guardian.cmdline()[0].startswith("tempotask: guardian")
    server.close()


def test_it_stops_when_its_last_user_is_killed(home: Path) -> None:
    with another_user(home) as user:
        server = EmbeddedServer.open(home)
        process = server_process(server)
        server.close()
        user.kill()
        user.wait()
    wait_until_gone(process)


def test_it_stops_when_its_only_user_takes_its_folder_away_as_soon_as_it_runs(short_path: Path) -> None:
    me = psutil.Process()
    before = set(me.children(recursive=True))
    for number in range(10):
        home = short_path / f"home{number}"
        EmbeddedServer.open(home).close()
        home.rename(short_path / f"gone{number}")
    # The guardians and their servers: the test process takes in orphans, see conftest.py.
    wait_until_gone(*set(me.children(recursive=True)) - before)


def test_it_outlives_the_user_that_started_it_while_another_lives(home: Path) -> None:
    with another_user(home) as starter:
        server = EmbeddedServer.open(home)
        starter.kill()
        starter.wait()
    with client(server) as talk:
        assert talk.ping()
    server.close()


def test_it_is_nobodys_child_and_in_nobodys_session(home: Path) -> None:
    server = EmbeddedServer.open(home)
    process = server_process(server)
    assert os.getsid(process.pid) != os.getsid(0)
    assert os.getpgid(process.pid) != os.getpgid(0)
    server.close()


def test_data_survive_a_stop(home: Path) -> None:
    server = EmbeddedServer.open(home)
    process = server_process(server)
    with client(server) as talk:
        talk.set("kept", 1)
    server.close()
    wait_until_gone(process)
    server = EmbeddedServer.open(home)
    with client(server) as talk:
        assert talk.get("kept") == b"1"
    server.close()


def test_data_survive_the_server_killed_and_it_comes_back_by_itself(home: Path) -> None:
    server = EmbeddedServer.open(home)
    for round in range(3):
        process = server_process(server)
        with client(server) as talk:
            assert talk.incr("rounds") == round + 1
            wait_until_written(talk)
        process.kill()
        psutil.wait_procs([process], timeout=LIMIT)
        server.ensure()
    with client(server) as talk:
        assert talk.get("rounds") == b"3"
    server.close()


def test_a_user_gets_a_server_again_after_everything_was_killed(home: Path) -> None:
    server = EmbeddedServer.open(home)
    process = server_process(server)
    guardian = process.parent()
    assert guardian is not None
    with client(server) as talk:
        talk.set("kept", 1)
        wait_until_written(talk)
    process.suspend()  # so that neither sees the other die
    guardian.kill()
    process.kill()
    server.ensure()
    with client(server) as talk:
        assert talk.get("kept") == b"1"
    assert server_process(server) != process
    server.close()


def test_a_server_whose_guardian_was_killed_is_replaced_and_never_doubled(home: Path) -> None:
    server = EmbeddedServer.open(home)
    process = server_process(server)
    guardian = process.parent()
    assert guardian is not None
    with client(server) as talk:
        talk.set("kept", 1)
    guardian.kill()
    psutil.wait_procs([guardian], timeout=LIMIT)
    another = EmbeddedServer.open(home)
    wait_until_gone(process)
    for held in (server, another):
        with client(held) as talk:
            assert talk.get("kept") == b"1"
        held.close()


def test_a_patient_call_lives_through_the_death_of_server_and_guardian(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMPOTASK_HOME", str(home))
    server = Server(None)
    assert server.patiently(lambda: server.client().incr("n")) == 1
    process = psutil.Process(server.client().info("server")["process_id"])
    guardian = process.parent()
    assert guardian is not None
    wait_until_written(server.client())
    for victim in (guardian, process):
        victim.kill()
    assert server.patiently(lambda: server.client().incr("n")) == 2
    server.close()


def test_a_patient_call_lives_through_the_death_of_a_guardian_that_starts(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMPOTASK_HOME", str(home))
    server, first, start = Server(None), [True], subprocess.Popen
    assert server.patiently(lambda: server.client().incr("n")) == 1
    process = psutil.Process(server.client().info("server")["process_id"])
    guardian = process.parent()
    assert guardian is not None
    wait_until_written(server.client())

    def killed_at_once(*arguments: Any, **more: Any) -> Any:
        born = start(*arguments, **more)
        if first.pop():
            born.kill()
            monkeypatch.undo()
            monkeypatch.setenv("TEMPOTASK_HOME", str(home))
        return born

    monkeypatch.setattr(subprocess, "Popen", killed_at_once)
    for victim in (guardian, process):
        victim.kill()
    assert server.patiently(lambda: server.client().incr("n")) == 2
    assert first == []
    server.close()


def test_newcomers_racing_with_the_last_user_always_get_a_server(home: Path) -> None:
    for round in range(8):
        server = EmbeddedServer.open(home)
        with client(server) as talk:
            assert talk.incr("rounds") == round + 1
        server.close()
        # With a wait of 0 the guardian may not have noticed, with more it is stopping its server.
        time.sleep(0.02 * (round % 4))


def test_users_that_come_all_at_once_share_one_server(home: Path) -> None:
    opened: list[EmbeddedServer] = []
    threads = [threading.Thread(target=lambda: opened.append(EmbeddedServer.open(home))) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert len(opened) == 10
    assert len({server_process(server).pid for server in opened}) == 1
    for server in opened:
        server.close()


def test_it_serves_on_while_its_whole_process_group_is_told_to_stop(home: Path) -> None:
    server = EmbeddedServer.open(home)
    process = server_process(server)
    os.killpg(os.getpgid(process.pid), signal.SIGTERM)
    wait_until_gone(process)
    server.ensure()
    with client(server) as talk:
        assert talk.ping()
    server.close()


def test_only_its_user_can_reach_it(home: Path) -> None:
    home.mkdir(mode=0o755)
    server = EmbeddedServer.open(home)
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "server.sock").stat().st_mode) == 0o700
    process = server_process(server)
    assert not [c for c in process.net_connections(kind="inet") if c.status == psutil.CONN_LISTEN]
    for path in home.rglob("*"):
        if path.is_file() and path.name != ".gitignore":
            assert not path.stat().st_mode & 0o077, path
    server.close()


def test_it_never_forgets_a_job_to_make_room(home: Path) -> None:
    server = EmbeddedServer.open(home)
    with client(server) as talk:
        told = talk.config_get("*")
    assert told["maxmemory-policy"] == "noeviction"
    assert told["appendonly"] == "yes"
    assert told["save"] == ""
    server.close()


def test_git_ignores_its_folder(home: Path) -> None:
    EmbeddedServer.open(home).close()
    assert (home / ".gitignore").read_text() == "*\n"


def test_a_path_too_long_for_a_socket_works_too(short_path: Path) -> None:
    home = short_path / ("long" * 30) / "home with spaces ü"
    server = EmbeddedServer.open(home)
    with client(server) as talk:
        talk.set("kept", 1)
    assert (home / "appendonlydir").is_dir()
    path = Path(redis.connection.parse_url(server.url)["path"])
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    server.close()
    # Of a process that has just ended psutil knows no command line: None.
    seen = psutil.process_iter(["name", "cmdline"])
    wait_until_gone(
        *[p for p in seen if "tempotask" in (p.info["name"] or "") and str(path) in (p.info["cmdline"] or [])]
    )
    server = EmbeddedServer.open(home)
    with client(server) as talk:
        assert talk.get("kept") == b"1"
    server.close()


def test_home_is_the_environments_else_the_working_directorys(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(short_path)
    assert embedded.home_folder() == short_path.resolve() / ".tempotask"
    monkeypatch.setenv("TEMPOTASK_HOME", "elsewhere")
    assert embedded.home_folder() == short_path.resolve() / "elsewhere"


def test_who_calls_while_its_disk_takes_nothing_is_told_so_in_time(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPOTASK_HOME", str(home))
    with contextlib.closing(EmbeddedServer.open(home)) as server, client(server) as talk:
        (home / "dump.rdb").mkdir()  # where it would save its data
        talk.config_set("save", "3600 1")
        talk.bgsave()
        wait_until(lambda: talk.info("persistence")["rdb_last_bgsave_status"] == "err", "saving fails")
        told: list[str] = []

        def call() -> None:
            with contextlib.closing(Server(None, connect_timeout=0.2)) as newcomer:
                try:
                    newcomer.patiently(lambda: newcomer.client().set("a", "b"))
                except ServerUnavailable as error:
                    told.append(str(error))

        caller = threading.Thread(target=call, daemon=True)
        caller.start()
        caller.join(LIMIT)
        assert "MISCONF" in "".join(told)


def test_closing_twice_does_nothing(home: Path) -> None:
    server = EmbeddedServer.open(home)
    server.close()
    server.close()


def test_a_file_that_goes_while_the_folder_is_looked_through_is_nothing_to_distrust(short_path: Path) -> None:
    """The server rewrites its files, and removes its socket when it ends."""
    stopped = threading.Event()

    def come_and_go() -> None:
        files = [short_path / f"temp-{number}" for number in range(50)]
        while not stopped.is_set():
            for file in files:
                file.touch()
            for file in files:
                file.unlink()

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        for _ in range(300):
            embedded._prepare(short_path)
    finally:
        stopped.set()
        thread.join()
