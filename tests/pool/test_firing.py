"""Schedules, fired by real supervisors."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
from pool.running import APPS, LONG, Bench, Supervisor, wait_until

from tempotask import InvalidOptions, Repeat
from tempotask.store import schedules

SOURCE = """
import sys
sys.path.append({apps!r})
sys.dont_write_bytecode = True
from chores import tell
from tempotask import Context, Job, QueueManager, Repeat

tempotask = QueueManager.init(concurrency=1)

@tempotask.task(queue="q"{options})
def tick(job: Job, ctx: Context) -> None:
    tell("ticks", job.id)
"""


def start(bench: Bench, *options: str, workers: int = 1) -> Supervisor:
    return bench.start(*options, app="timely:tempotask", workers=workers)


def write(bench: Bench, options: str) -> None:
    new = bench.folder / "changing.py.new"
    new.write_text(SOURCE.format(apps=str(APPS), options=options))
    os.replace(new, bench.folder / "changing.py")


def firing_of(words: list[str]) -> int:
    """The time of the firing whose job a handler tells of, in milliseconds."""
    return round(float(words[1].partition("@")[2]) * 1000)


def assert_in_step(heard: list[int], step: int) -> None:
    """Each firing is steps after the one before it. A busy machine may miss some, of which the last takes place."""
    assert all(later > earlier and (later - earlier) % step == 0 for earlier, later in pairwise(heard)), heard


@pytest.fixture
def every(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Has the application's task repeat so."""

    def every(**options: Any) -> None:
        monkeypatch.setenv("TEST_REPEAT", json.dumps(options))

    return every


def test_a_declared_schedule_fires_while_a_supervisor_declares_it(bench: Bench, every: Any) -> None:
    every(every=0.25, overlap=True)
    supervisor = start(bench)
    assert_in_step([firing_of(bench.hear()) for _ in range(5)], 250)
    assert supervisor.stop() == 0
    while not bench.hear_no_more():
        bench.hear()
    (planned,) = schedules.every(bench.store)
    assert planned.id == "q:tick"
    assert planned.next > planned.last


def test_a_schedule_that_is_added_fires_on_an_idle_pool(bench: Bench) -> None:
    supervisor = start(bench)
    handle = bench.manager.enqueue(name="tick", queue="q", options={"repeat": Repeat(every=0.25, limit=2)})
    heard = [bench.hear()[1] for _ in range(2)]
    assert all(id.startswith(f"{handle.id}@") for id in heard)
    wait_until(lambda: schedules.get(bench.store, handle.id) is None, "the schedule stays after its limit")
    with pytest.raises((InvalidOptions, LookupError)):
        handle.result(timeout=LONG)
    assert supervisor.stop() == 0


def test_a_cron_pattern_fires_at_its_second(bench: Bench, every: Any) -> None:
    every(pattern="* * * * * *")
    supervisor = start(bench)
    heard = [firing_of(bench.hear()) for _ in range(3)]
    assert_in_step(heard, 1000)
    assert heard[0] % 1000 == 0
    assert supervisor.stop() == 0


def test_runs_do_not_pile_up_behind_a_slow_one(bench: Bench) -> None:
    supervisor = start(bench, workers=2)
    bench.manager.enqueue(name="hold", queue="q", options={"id": "slow", "repeat": Repeat(every=0.05)})
    first = bench.hear()
    passed = schedules.get(bench.store, "slow")
    assert passed is not None

    def many_later() -> bool:
        planned = schedules.get(bench.store, "slow")
        return planned is not None and planned.next > passed.next + 500

    wait_until(many_later, "the schedule stands still")
    assert bench.hear_no_more()
    bench.open_gate()
    assert firing_of(bench.hear()) > firing_of(first) + 400
    bench.open_gate(100)
    assert schedules.remove(bench.store, "slow")
    assert supervisor.stop() == 0


def test_a_firing_that_fell_into_a_time_without_supervisors_takes_place_once(bench: Bench, every: Any) -> None:
    every(every=0.5)
    assert start(bench).stop() == 0
    while not bench.hear_no_more():
        bench.hear()
    (planned,) = schedules.every(bench.store)
    begins = planned.next + 1_500
    wait_until(lambda: schedules.moment(bench.store) > begins, "the server's clock stands still")
    supervisor = start(bench)
    first = firing_of(bench.hear())
    if first == planned.last:
        # Fired just before the stop, and given back.
        first = firing_of(bench.hear())
    second = firing_of(bench.hear())
    assert first >= planned.next + 1_000
    assert second > first
    assert supervisor.stop() == 0


def test_a_supervisor_that_is_stopping_fires_nothing_that_it_would_not_run(bench: Bench) -> None:
    supervisor = start(bench)
    bench.manager.enqueue(name="hold", queue="q")
    bench.hear()
    bench.manager.enqueue(name="tick", queue="q", options={"id": "often", "repeat": Repeat(every=0.05, overlap=True)})
    supervisor.process.send_signal(signal.SIGTERM)
    supervisor.wait_for("stopping: ")
    at_stop = schedules.get(bench.store, "often")
    assert at_stop is not None
    later = schedules.moment(bench.store) + 2_000
    wait_until(lambda: schedules.moment(bench.store) > later, "the server's clock stands still")
    now = schedules.get(bench.store, "often")
    assert now is not None
    # One that was about to fire may have done so.
    assert now.fired - at_stop.fired <= 2
    bench.open_gate()
    assert supervisor.end() == 0


@pytest.mark.parametrize("number", range(3))
def test_a_drain_leaves_no_firing_of_a_schedule_behind(bench: Bench, every: Any, number: int) -> None:
    every(every=0.02)
    supervisor = bench.begin("--drain", app="timely:tempotask", workers=1)
    bench.hear()
    assert supervisor.end() == 0
    assert bench.manager.get_jobs(status="waiting") == []


def test_code_that_does_not_repeat_any_more_stops_the_schedule_at_once(bench: Bench) -> None:
    write(bench, ", repeat=Repeat(every=0.1)")
    supervisor = bench.start(app="changing:tempotask", folder=bench.folder, workers=1)
    bench.hear()
    write(bench, "")
    supervisor.signal(signal.SIGHUP)
    supervisor.wait_for("no application declares it any more")
    assert list(schedules.every(bench.store)) == []
    write(bench, ", repeat=Repeat(every=3600)")
    supervisor.signal(signal.SIGHUP)
    wait_until(lambda: schedules.get(bench.store, "q:tick"), "what is declared anew does not begin")
    assert supervisor.stop() == 0


def test_each_firing_takes_place_once_while_supervisors_are_killed(bench: Bench, every: Any) -> None:
    """One of two is always there, and each is killed and comes back."""
    every(every=0.2, overlap=True)
    lease = ("--lease", "10")
    supervisors = [start(bench, *lease), start(bench, *lease)]
    for _ in range(4):
        for _ in range(4):
            bench.hear()
        victim = supervisors.pop(0)
        victim.process.kill()
        supervisors.append(start(bench, *lease))
        victim.end()
    for supervisor in supervisors:
        assert supervisor.stop() == 0
    (planned,) = schedules.every(bench.store)
    fired = [int(one.id.partition("@")[2].replace(".", "").ljust(13, "0")) for one in _finished(bench)]
    assert len(set(fired)) == len(fired), "a firing took place twice"
    assert planned.fired >= len(fired)
    gaps = [later - earlier for earlier, later in pairwise(sorted(fired))]
    assert max(gaps) < 10_000, "firings were missed for longer than a lease"


def test_schedules_go_on_after_the_server_has_lost_everything(
    tmp_path: Path, start_server: Callable[..., Any], every: Any
) -> None:
    server = start_server()
    bench = Bench(tmp_path, server.url, "lost")
    every(every=0.2)
    supervisor = start(bench, "--lease", "2")
    bench.hear()
    server.kill()
    while not bench.hear_no_more():
        bench.hear()
    server.start()
    bench.hear()
    assert supervisor.stop() == 0
    bench.close()


def _finished(bench: Bench) -> list[Any]:
    infos = [info for info in bench.manager.get_jobs(queue="q", limit=1000) if info.status == "completed"]
    assert infos
    return infos


def test_nothing_is_asked_of_the_server_between_two_firings(bench: Bench, every: Any) -> None:
    every(every=3600)
    supervisor = start(bench)
    process = psutil.Process(supervisor.process.pid)
    wait_until(lambda: bench.store.read("ZCARD", "idle") == 1, "the worker is not idle")
    before, began = process.num_ctx_switches().voluntary, time.monotonic()
    wait_until(lambda: time.monotonic() - began > 1.0, "the clock stands still")
    assert process.num_ctx_switches().voluntary - before < 50
    assert supervisor.stop() == 0


def test_schedules_for_which_a_full_server_had_no_room_are_put_when_it_has(
    tmp_path: Path, start_server: Callable[..., Any], every: Any
) -> None:
    server = start_server()
    bench = Bench(tmp_path, server.url, "full")
    every(every=0.2)
    with redis.Redis.from_url(server.url) as admin:
        admin.config_set("maxmemory", "1mb")
        supervisor = start(bench)
        supervisor.wait_for("is not put yet: the server is full")
        admin.config_set("maxmemory", "0")
    bench.hear(within=LONG / 2)
    assert supervisor.stop() == 0
    bench.close()
