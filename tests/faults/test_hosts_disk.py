"""A full disk under the embedded server."""

from __future__ import annotations

import os
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
from pool.running import LONG, Bench, wait_until
from servers import wait_until_written
from torture import host

from tempotask import JobHandle, QueueManager, ServerUnavailable
from tempotask.store.embedded import EmbeddedServer


def fill(ballast: Path) -> None:
    """Takes all the space that there is."""
    with ballast.open("ab", buffering=0) as file:
        for size in (1 << 16, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


def enqueue_until_refused(manager: QueueManager[Any], into: list[JobHandle[Any]]) -> str:
    """Adds jobs until one is refused, and returns what the error says."""
    for number in range(100_000):
        try:
            into.append(manager.enqueue(name="echo", queue="q", data=number))
        except ServerUnavailable as error:
            return str(error)
    pytest.fail("a full disk refuses nothing")


def add_patiently(bench: Bench) -> tuple[threading.Thread, list[JobHandle[Any]]]:
    """A producer that waits for the disk, and what it has got."""
    got: list[JobHandle[Any]] = []
    thread = threading.Thread(target=lambda: got.append(bench.manager.enqueue(name="echo", queue="q", data=-1)))
    thread.start()
    return thread, got


def kill(server: EmbeddedServer) -> None:
    """Kills the server once all that it was told has been written."""
    with redis.Redis.from_url(server.url) as client:
        wait_until(lambda: client.info("persistence")["aof_last_write_status"] == "ok", "it does not write again")
        wait_until_written(client)
        psutil.Process(client.info("server")["process_id"]).kill()


def test_on_a_full_disk_an_enqueue_says_why_or_waits_and_nothing_that_was_acknowledged_is_lost(
    short_path: Path, tmp_path: Path
) -> None:
    with (
        host.small_disk(short_path, "16m") as disk,
        closing(EmbeddedServer.open(disk / "home")) as server,
        closing(Bench(tmp_path, server.url, "disk")) as bench,
    ):
        supervisor = bench.start(workers=1)
        held = bench.manager.enqueue(name="hold", queue="q")
        bench.hear()
        fill(disk / "ballast")
        handles: list[JobHandle[Any]] = []
        with QueueManager.init(server.url, namespace=bench.namespace, options={"connect_timeout": 5}) as impatient:
            told = enqueue_until_refused(impatient, handles)
        assert "No space left on device" in told
        assert "\n" not in told
        patient, waiting = add_patiently(bench)
        # What runs goes on, and is settled later.
        bench.open_gate()
        assert not waiting
        (disk / "ballast").unlink()
        patient.join(LONG)
        handles += waiting
        assert held.result(timeout=LONG) == 1
        assert [handle.result(timeout=LONG) for handle in handles] == [*range(len(handles) - 1), -1]
        assert not supervisor.about("killed")
        parked = bench.manager.enqueue(name="echo", queue="q", data=7, options={"delay": 1000})
        kill(server)
        server.ensure()
        assert parked.status() == "delayed"
        assert parked.cancel()
        assert int(bench.store.read("HGET", "counts:q", "completed")) == len(handles) + 1
        assert supervisor.stop() == 0


def test_a_full_disk_at_the_start_of_the_embedded_server_is_said_in_one_line(short_path: Path) -> None:
    with host.small_disk(short_path, "1m") as disk:
        (disk / "home").mkdir()
        fill(disk / "ballast")
        with pytest.raises(ServerUnavailable, match=r"[Nn]o space (is )?left on") as told:
            EmbeddedServer.open(disk / "home")
        assert "\n" not in str(told.value)
        os.unlink(disk / "ballast")
        EmbeddedServer.open(disk / "home").close()
