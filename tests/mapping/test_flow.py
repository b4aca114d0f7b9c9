"""Flow: what Task.map and the command stand on, as far as they do not show it."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mapping.app import tempotask
from mapping.conftest import Gate
from pool.running import Bench
from servers import OwnServer

from tempotask import InvalidName, JobFailed
from tempotask.mapping.flow import Flow, Mapped
from tempotask.store.numbers import CHUNK


def flow(inputs: Any, name: str = "echo", queue: str = "q", **options: Any) -> Flow:
    return Flow(tempotask._producer, queue, name, inputs, **options)


def drained(flow: Flow) -> list[Mapped]:
    return list(flow.each())


@pytest.mark.usefixtures("pool")
def test_each_result_comes_with_its_job() -> None:
    ended = drained(flow(["a", "b", "c"], ordered=True))
    assert [(one.result, one.error) for one in ended] == [("a", None), ("b", None), ("c", None)]
    for one in ended:
        info = tempotask.get_job_by_id(one.id)
        assert info is not None
        assert (info.status, info.data) == ("completed", one.result)


@pytest.mark.usefixtures("pool")
def test_errors_come_with_their_job() -> None:
    (one,) = drained(flow([3], "even"))
    assert isinstance(one.error, JobFailed)
    assert (one.error.id, one.result) == (one.id, None)


@pytest.mark.usefixtures("pool")
def test_a_batch_is_a_quarter_of_those_in_flight_at_most() -> None:
    for in_flight, most in ((1, 1), (40, 10), (100_000, CHUNK)):
        going = flow(range(3000 if in_flight > 1 else 20), in_flight=in_flight)
        sizes = [len(batch) for batch in iter(going.some, [])]
        assert max(sizes) <= most
        going.close()


def test_results_that_are_large_bound_how_many_are_in_flight(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempotask.mapping.flow.IN_FLIGHT_BYTES", 2**20)
    going = flow(b"x" * 10_000 for _ in itertools.repeat(None, 2000))
    furthest = 0
    while batch := going.some():
        furthest = max(furthest, going.read - going.handed)
        assert all(len(one.result) == 10_000 for one in batch)
    going.close()
    assert going.handed == 2000
    # A chunk may go over it, while nobody knows how large they are.
    assert furthest <= 300


@pytest.mark.usefixtures("pool")
def test_a_flow_that_is_closed_has_nothing_more() -> None:
    going = flow(itertools.count())
    assert going.some()
    going.close()
    going.close()
    assert going.some() == []
    assert going.over


@pytest.mark.usefixtures("pool")
def test_closing_does_not_wait_for_a_reader_that_waits() -> None:
    typed: queue.Queue[int] = queue.Queue()
    going = flow(iter(typed.get, -1))
    typed.put(1)
    assert [one.result for one in going.some()] == [1]
    going.close()
    (reader,) = (thread for thread in threading.enumerate() if thread.name == "tempotask inputs")
    typed.put(2)
    reader.join(60)
    assert not reader.is_alive()


def test_a_queue_of_no_such_name_is_refused_at_once() -> None:
    with pytest.raises(InvalidName, match="queue 'a b'"):
        flow([], queue="a b")


def test_a_flow_lives_through_a_restart_of_the_server(
    tmp_path: Path, start_server: Callable[..., OwnServer], namespace: str
) -> None:
    """It has what it wrote to its append-only file; workers and the map wait for it."""
    server = start_server("--appendonly", "yes", "--appendfsync", "always")
    bench = Bench(tmp_path, server.url, namespace)
    try:
        bench.start()
        going, found = Flow(bench.manager._producer, "q", "echo", range(20_000), in_flight=500), list[int]()
        for one in going.each():
            found.append(one.result)
            if len(found) in (3000, 9000):
                server.kill()
                server.start()
        assert sorted(found) == list(range(20_000))
        bench.supervisors[0].stop()
    finally:
        bench.close()
