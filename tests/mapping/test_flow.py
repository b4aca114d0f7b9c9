"""Flow: what Task.map and the command stand on, as far as they do not show it."""

from __future__ import annotations

import itertools
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mapping.app import tempotask
from mapping.conftest import Gate, Stats, wait_until_nothing_waits
from pool.running import Bench
from servers import OwnServer

from tempotask import InvalidName, InvalidOptions, JobFailed, WorkerCrashed
from tempotask.mapping.flow import THOUSAND, Flow, Mapped

TAKEN_UP = """
import os, signal, sys
from mapping.app import tempotask
from tempotask.mapping.flow import Flow

ledger, done = sys.argv[1], open(sys.argv[2], "a")
answered = {int(line) for line in open(sys.argv[2])}
inputs = [(n, [ledger, n]) for n in range(4000) if n not in answered]
flow = Flow(tempotask._producer, "q", "note", inputs, ids="again", numbered=True)
while batch := flow.some():
    done.writelines(f"{one.index}\\n" for one in batch)
    done.flush()
    if len(answered) + flow.handed > int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
flow.close()
"""


def flow(inputs: Any, name: str = "echo", queue: str = "q", **options: Any) -> Flow:
    return Flow(tempotask._producer, queue, name, inputs, **options)


def drained(flow: Flow) -> list[Mapped]:
    return list(flow.each())


@pytest.mark.usefixtures("pool")
def test_each_input_comes_with_its_number_its_job_and_its_result() -> None:
    for one in drained(flow(["a", "b", "c"], ordered=True)):
        assert (one.input, one.result, one.error) == ("abc"[one.index], "abc"[one.index], None)
        info = tempotask.get_job_by_id(one.id)
        assert info is not None
        assert (info.status, info.data) == ("completed", one.input)


@pytest.mark.usefixtures("pool")
def test_errors_come_with_their_input() -> None:
    (one,) = drained(flow([3], "even"))
    assert isinstance(one.error, JobFailed)
    assert (one.index, one.input, one.result) == (0, 3, None)


@pytest.mark.usefixtures("pool")
def test_inputs_may_bring_their_numbers() -> None:
    for source in ([(7, "a"), (3, "b")], iter([(7, "a"), (3, "b")])):
        ended = drained(flow(source, numbered=True, ordered=True))
        assert [(one.index, one.result) for one in ended] == [(7, "a"), (3, "b")]


@pytest.mark.usefixtures("pool")
def test_jobs_have_the_options_that_were_given() -> None:
    (one,) = drained(flow([13], "fragile", options={"max_crashes": 2, "priority": 5}))
    assert isinstance(one.error, WorkerCrashed)
    info = tempotask.get_job_by_id(one.id)
    assert info is not None
    assert info.priority == 5
    assert "2" in str(one.error)
    (late,) = drained(flow(["x"], options={"delay": 0.05}))
    assert late.result == "x"


def test_who_waits_for_so_long_gets_nothing_yet(gate: Gate) -> None:
    waiting = flow([gate.path], "held", "held")
    assert waiting.some(timeout=0) == waiting.some(timeout=0.05) == []
    assert not waiting.over
    gate.open()
    assert [one.result for one in waiting.some()] == [gate.path]
    assert waiting.some() == []
    assert waiting.over
    waiting.close()


@pytest.mark.usefixtures("pool")
def test_a_batch_is_a_quarter_of_those_in_flight_at_most() -> None:
    for in_flight, most in ((1, 1), (40, 10), (100_000, THOUSAND)):
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


def test_a_flow_is_taken_up_where_it_was_killed(
    tmp_path: Path, tempotask_server: str, stats: Stats, pool: None
) -> None:
    ledger, done = tmp_path / "ledger", tmp_path / "done"
    ledger.touch()
    done.touch()
    environment = {
        **os.environ,
        "MAPPING_DB": tempotask_server,
        "MAPPING_NAMESPACE": tempotask.namespace,
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    for most in (500, 1500, 2500, 10_000):
        command = [sys.executable, "-c", TAKEN_UP, str(ledger), str(done), str(most)]
        ended = subprocess.run(command, env=environment, timeout=120, check=False)
        assert ended.returncode == (0 if most == 10_000 else -signal.SIGKILL)
    handed = Counter(map(int, done.read_text().split()))
    ran = Counter(map(int, ledger.read_text().split()))
    assert handed == Counter(range(4000))
    # What has ended and was not handed out is there for the next.
    assert ran == Counter(range(4000))
    wait_until_nothing_waits(stats, "q")


WRONG: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "an id": ({"options": {"id": "x"}}, InvalidOptions, "a map takes no option 'id'"),
    "a schedule": ({"options": {"repeat": "* * * * *"}}, InvalidOptions, "a map takes no option 'repeat'"),
    "an option": ({"options": {"prioriti": 5}}, InvalidOptions, "did you mean 'priority'?"),
    "a space": ({"ids": "a b"}, InvalidName, "printable characters without spaces"),
    "no ids": ({"ids": ""}, InvalidName, "id '': an id is a str of 1 to 200"),
    "a queue": ({"queue": "a b"}, InvalidName, "queue 'a b'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_makes_no_sense_is_refused_at_once(case: str) -> None:
    options, kind, line = WRONG[case]
    with pytest.raises(kind) as refusal:
        flow([], **options)
    assert line in str(refusal.value)
    assert "\n" not in str(refusal.value)


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
