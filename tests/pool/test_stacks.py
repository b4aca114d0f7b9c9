"""`tempotask stacks`, of real workers."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest
from pool.running import LONG, Bench

APP = "ending:tempotask"


def stacks(bench: Bench, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tempotask.cli.main", "stacks", "--db", bench.url, "--namespace", bench.namespace]
    return subprocess.run([*command, *options], capture_output=True, text=True, timeout=LONG)


@pytest.mark.parametrize("how", ["loop", "C"])
def test_it_shows_where_a_worker_is_though_it_is_stuck(bench: Bench, how: str) -> None:
    supervisor = bench.start(app=APP, workers=2)
    handle = bench.manager.enqueue(name="stay", queue="q", data=how)
    _, _, pid = bench.hear()
    shown = stacks(bench, "--json")
    assert shown.returncode == 0, shown.stderr
    workers = [json.loads(line) for line in shown.stdout.splitlines()]
    assert len(workers) == 2
    (busy,) = [worker for worker in workers if worker["state"] == "busy"]
    assert (busy["id"], busy["queue"], busy["name"], busy["pid"]) == (handle.id, "q", "stay", int(pid))
    assert "ending.py" in busy["stack"]
    assert " in stay" in busy["stack"]
    (idle,) = [worker for worker in workers if worker is not busy]
    assert idle["id"] is None
    assert "wire.py" in idle["stack"]
    people = stacks(bench).stdout
    assert f"job {handle.id} (q/stay)" in people
    assert any(line.startswith("  File ") and line.endswith(" in stay") for line in people.splitlines())
    assert "runner.py" not in people
    assert handle.status() == "processing", "looking does no harm"
    assert supervisor.halt() == 1


def test_it_asks_all_supervisors_and_says_who_does_not_answer(bench: Bench) -> None:
    quick, slow = (bench.start(app=APP, workers=1) for _ in range(2))
    slow.signal(signal.SIGSTOP)
    shown = stacks(bench, "--json")
    slow.signal(signal.SIGCONT)
    assert shown.returncode == 1
    (line,) = shown.stdout.splitlines()
    assert json.loads(line)["pid"] in {worker.pid for worker in quick.workers()}
    assert "did not answer" in shown.stderr
    assert len(json.loads(stacks(bench, "--json").stdout.splitlines()[0])["stack"]) > 0
    for supervisor in (quick, slow):
        assert supervisor.stop() == 0


def test_where_nobody_works_it_says_so(bench: Bench) -> None:
    shown = stacks(bench)
    assert shown.returncode == 1
    assert "no supervisor works" in shown.stderr
