"""Faults of workers and of their nursery: killed, stopped, told things, at any moment and at named ones."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Collection
from threading import Thread
from typing import Literal

import psutil
from pool.running import LONG, Supervisor, wait_until

from torture.fault import Fault, Injection
from torture.ledger import Entry
from torture.world import World

STORM = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
"""What a terminal or a service manager may send to all."""
Direction = Literal["request", "reply"]


def chosen(world: World) -> tuple[psutil.Process, Supervisor]:
    """A worker, and whose it is."""
    worker = world.random.choice(world.workers())
    return worker, world.owner(worker)


def replaced(world: World, worker: psutil.Process, supervisor: Supervisor, at: float) -> Injection:
    """Waits until the death of a worker is told, and another is in its place."""
    wait_until(lambda: supervisor.about(f'"pid":{worker.pid}'), "the death is not noticed")
    noticed = time.monotonic() - at
    all_there(world)
    return Injection(noticed, at=at)


def all_there(world: World) -> None:
    wait_until(lambda: len(world.workers()) == world.slots(), "not every place of a worker is taken")


def kill(world: World) -> Injection:
    worker, supervisor = chosen(world)
    at = time.monotonic()
    worker.kill()
    return replaced(world, worker, supervisor, at)


def kill_many(world: World) -> Injection:
    """One after the other, as fast as they come."""
    at = time.monotonic()
    for _ in range(10):
        worker, _ = chosen(world)
        worker.kill()
        worker.wait(LONG)
    all_there(world)
    return Injection(at=at)


def stop(low: float, high: float) -> Callable[[World], Injection]:
    """It is stopped for so many seconds."""

    def inject(world: World) -> Injection:
        worker, _ = chosen(world)
        seconds = world.random.uniform(low, high)
        worker.suspend()
        try:
            time.sleep(seconds)
        finally:
            at = time.monotonic()
            worker.resume()
        return Injection(at=at, note=f"{seconds:.1f} s")

    return inject


def storm(world: World) -> Injection:
    """Signals that are not for it: it goes on."""
    worker, _ = chosen(world)
    for _ in range(100):
        worker.send_signal(world.random.choice(STORM))
        time.sleep(0.002)
    assert worker in world.workers(), "the worker did not go on"
    return Injection()


def kill_stopped(world: World) -> Injection:
    """It dies in the middle of a look: stopped, and what it has not started is about to be given back."""
    worker, supervisor = chosen(world)
    hold = world.proxy.hold("give_back", "request", [supervisor.process.pid])
    try:
        worker.suspend()
        world.add("busy", 4, data=0.5)
        hold.reached.wait(world.setting.lease)
        at = time.monotonic()
        worker.kill()
    finally:
        hold.release()
    return replaced(world, worker, supervisor, at)


def kill_at(script: str, direction: Direction) -> Callable[[World], Injection]:
    """A worker dies when its request is on its way, or when the server has done what it asks and it does not know."""

    def inject(world: World) -> Injection:
        hold = world.proxy.hold(script, direction, [worker.pid for worker in world.workers()])
        try:
            if script == "say":
                world.add("busy", 4, data=0.3)
            assert hold.reached.wait(LONG), f"no worker's {script} came by"
            worker = psutil.Process(hold.pid)
            supervisor = world.owner(worker)
            at = time.monotonic()
            worker.kill()
            wait_until(lambda: supervisor.about(f'"pid":{worker.pid}'), "the death is not noticed")
        finally:
            hold.release()
        return replaced(world, worker, supervisor, at)

    return inject


def running(world: World, ids: Collection[str]) -> Entry | None:
    """The start of one of these jobs that runs now."""
    world.ledger.entries()
    last = list(world.ledger.last.values())
    return next((entry for entry in last if entry.what == "start" and entry.job in ids), None)


def cancel_and_kill(direction: Direction) -> Callable[[World], Injection]:
    """The worker that runs a job dies while that job's cancellation is on its way."""

    def inject(world: World) -> Injection:
        ids = {job.id for job in world.add("short", 4, data=3.0, expect=("completed", "cancelled"), priority=10)}
        entry = wait_until(lambda: running(world, ids), "none of them runs")
        assert entry is not None
        worker = psutil.Process(entry.pid)
        supervisor = world.owner(worker)
        hold = world.proxy.hold("act", direction)
        asked = Thread(target=world.manager.handle(entry.job).cancel)
        asked.start()
        try:
            assert hold.reached.wait(LONG), "no cancellation came by"
            at = time.monotonic()
            worker.kill()
        finally:
            hold.release()
            asked.join(LONG)
        return replaced(world, worker, supervisor, at)

    return inject


# -- the nursery


def kill_nursery(world: World) -> Injection:
    supervisor = world.random.choice(world.supervisors)
    nursery = supervisor.nursery()
    at = time.monotonic()
    nursery.kill()
    wait_until(lambda: supervisor.titled("nursery") not in ([], [nursery]), "no other nursery comes")
    noticed = time.monotonic() - at
    all_there(world)
    return Injection(noticed, at=at)


def stop_nursery(low: float, high: float) -> Callable[[World], Injection]:
    """It is stopped, and meanwhile a worker dies."""

    def inject(world: World) -> Injection:
        supervisor = world.random.choice(world.supervisors)
        nursery, worker = supervisor.nursery(), world.random.choice(supervisor.workers())
        nursery.suspend()
        try:
            worker.kill()
            time.sleep(world.random.uniform(low, high))
        finally:
            at = time.monotonic()
            nursery.resume()
        all_there(world)
        return Injection(at=at)

    return inject


def storm_nursery(world: World) -> Injection:
    nursery = world.random.choice(world.supervisors).nursery()
    for _ in range(100):
        nursery.send_signal(world.random.choice(STORM))
        time.sleep(0.002)
    assert nursery.is_running(), "the nursery did not go on"
    return Injection()


MOMENTS: tuple[tuple[Direction, str, bool], ...] = (("request", "before", False), ("reply", "after", True))
FAULTS = [
    Fault("worker killed", "process", kill, quick=True),
    Fault("10 workers killed in a row", "process", kill_many),
    Fault("worker stopped for a moment", "process", stop(0.01, 0.5)),
    Fault("worker stopped past the lease", "process", stop(2.5, 4.0)),
    Fault("worker under a storm of signals", "process", storm, quick=True),
    Fault("worker killed while it is looked at", "process", kill_stopped),
    *(
        Fault(
            f"worker killed {when} its {script}",
            "process",
            kill_at(script, direction),
            quick=quick and script == "turn",
        )
        for script in ("turn", "say")
        for direction, when, quick in MOMENTS
    ),
    Fault("worker killed before its job is cancelled", "process", cancel_and_kill("request")),
    Fault("worker killed after its job was cancelled", "process", cancel_and_kill("reply")),
    Fault("nursery killed", "process", kill_nursery),
    Fault("nursery stopped for a moment", "process", stop_nursery(0.01, 0.5)),
    Fault("nursery stopped past the lease", "process", stop_nursery(2.5, 4.0)),
    Fault("nursery under a storm of signals", "process", storm_nursery),
]
