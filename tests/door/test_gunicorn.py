"""A web server that forks: gunicorn, with the application imported, and used, before the fork."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from door.app import tempotask
from door.conftest import Environment

Ask = Callable[[int], list[str]]
REQUESTS = 200


@pytest.fixture(params=["sync", "gthread"])
def ask(request: pytest.FixtureRequest, environment: Environment, short_path: Path) -> Iterator[Ask]:
    """Asks a gunicorn of two workers; the words of its answer."""
    path = str(short_path / "g")
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "gunicorn", "--bind", f"unix:{path}", "--workers", "2", "--preload"),
            *("--worker-class", request.param, "--threads", "1" if request.param == "sync" else "4"),
            *("--log-level", "warning", "door.wsgi:application"),
        ],
        # It may leave a socket of its own in what it takes for home.
        env={**environment, "HOME": str(short_path), "XDG_RUNTIME_DIR": str(short_path)},
        cwd=short_path,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 60
    while not _listens(path):
        assert server.poll() is None, server.communicate()[1]
        assert time.monotonic() < end, "gunicorn does not listen"
        time.sleep(0.01)
    yield lambda number: _get(path, number)
    server.send_signal(signal.SIGTERM)
    log = server.communicate(timeout=60)[1]
    assert (server.returncode, "Traceback" in log) == (0, False), log


def _listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


def _get(path: str, number: int) -> list[str]:
    with socket.socket(socket.AF_UNIX) as talk:
        talk.settimeout(60)
        talk.connect(path)
        talk.sendall(f"GET /{number} HTTP/1.1\r\nHost: door\r\nConnection: close\r\n\r\n".encode())
        with talk.makefile("rb") as reader:
            head, _, body = reader.read().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    return body.decode().split()


def test_its_workers_add_jobs_and_wait_for_them_each_through_a_door_of_its_own(ask: Ask) -> None:
    with ThreadPoolExecutor(8) as browsers:
        answers = list(browsers.map(ask, range(REQUESTS)))
    assert [answer[2] for answer in answers] == [f"/{number}" for number in range(REQUESTS)]
    workers = {answer[0] for answer in answers}
    assert len(workers) == 2
    assert str(os.getpid()) not in workers
    ids = {id for answer in answers for id in (answer[1], answer[3])}
    (before,) = {answer[4] for answer in answers}
    assert len(ids - {before}) == 2 * REQUESTS
    assert tempotask._client.store.read("ZCARD", "due") == REQUESTS + 1
