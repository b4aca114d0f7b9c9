"""Faults of workers and of their nursery: killed, stopped, told things, at any moment and at named ones."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from threading import Thread

import psutil
from pool.running import LONG, Supervisor, wait_until

from torture.fault import Fault, Injection, Overtaken, Violation
from torture.ledger import Entry
from torture.mishap import Direction, Hold
from torture.world import World

STORM = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
"""What a terminal or a service manager may send to all."""


def replaced(world: World, worker: psutil.Process, supervisor: Supervisor, at: float) -> Injection:
    """Waits until the death of a worker is told, and another is in its place."""
    wait_for_death(world, worker, supervisor)
    noticed = time.monotonic() - at
    all_there(world)
    return Injection(noticed, at=at)


def wait_for_death(world: World, worker: psutil.Process, supervisor: Supervisor) -> list[str]:
    """What its supervisor says of it."""
    return world.wait_about(supervisor, lambda: supervisor.about(f'"pid":{worker.pid}'), "the death is not noticed")


def all_there(world: World) -> None:
    wait_until(lambda: len(world.workers()) == world.slots(), "not every place of a worker is taken")


def kill(world: World) -> Injection:
    worker, supervisor = world.victim_worker()
    at = time.monotonic()
    worker.kill()
    return replaced(world, worker, supervisor, at)


def kill_many(world: World) -> Injection:
    """One after the other, as fast as they come."""
    at = time.monotonic()
    for _ in range(10):
        # Another fault may have killed it just now: all the same.
        with suppress(Overtaken, psutil.NoSuchProcess):
            worker, _ = world.victim_worker()
            worker.kill()
            worker.wait(LONG)
    all_there(world)
    return Injection(at=at)


def stop(low: float, high: float) -> Callable[[World], Injection]:
    """It is stopped for so many seconds."""

    def inject(world: World) -> Injection:
        worker, _ = world.victim_worker()
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
    worker, supervisor = world.victim_worker()
    for _ in range(100):
        worker.send_signal(world.random.choice(STORM))
        time.sleep(0.002)
    if worker not in world.workers():
        (said, *_) = wait_for_death(world, worker, supervisor)
        if any(signal.Signals(number).name in said for number in STORM):
            raise Violation(f"a worker did not go on: {said}")
        raise Overtaken(f"worker {worker.pid} is gone: {said}")
    return Injection()


def kill_stopped(world: World) -> Injection:
    """It dies in the middle of a look: stopped, and what it has not started is about to be given back."""
    worker, supervisor = world.victim_worker()
    hold = world.proxy.hold("give_back", "request", [supervisor.process.pid])
    try:
        worker.suspend()
        world.add("busy", 4, data=0.5)
        held = hold.reached.wait(world.setting.lease)
        at = time.monotonic()
        worker.kill()
    finally:
        hold.release()
    injection = replaced(world, worker, supervisor, at)
    injection.note = "" if held else "nothing was about to be given back"
    return injection


def kill_at(script: str, direction: Direction) -> Callable[[World], Injection]:
    """A worker dies when its request is on its way, or when the server has done what it asks and it does not know."""

    def inject(world: World) -> Injection:
        workers = wait_until(world.workers, "no worker is there")
        hold = world.proxy.hold(script, direction, [worker.pid for worker in workers])
        try:
            if script == "say":
                world.add("busy", 4, data=0.3)
            wait_until(lambda: reached(hold, workers), f"no worker's {script} came by")
            worker = psutil.Process(hold.pid)
            supervisor = world.owner(worker)
            at = time.monotonic()
            worker.kill()
            wait_for_death(world, worker, supervisor)
        finally:
            hold.release()
        return replaced(world, worker, supervisor, at)

    return inject


def reached(hold: Hold, workers: Collection[psutil.Process]) -> bool:
    """Whether a message of one of these workers is held. Raises `Overtaken` when they are all gone."""
    left = any(worker.is_running() for worker in workers)
    if not hold.reached.is_set() and not left:
        raise Overtaken("all workers that were there are gone")
    return hold.reached.is_set()


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


def some_nursery(world: World) -> tuple[Supervisor, psutil.Process]:
    """And whose it is."""
    supervisor = world.victim()
    nurseries = world.wait_about(supervisor, lambda: supervisor.titled("nursery"), "no nursery is there")
    return supervisor, nurseries[-1]


def kill_nursery(world: World) -> Injection:
    supervisor, nursery = some_nursery(world)
    at = time.monotonic()
    nursery.kill()
    world.wait_about(supervisor, lambda: supervisor.titled("nursery") not in ([], [nursery]), "no other nursery comes")
    noticed = time.monotonic() - at
    all_there(world)
    return Injection(noticed, at=at)


def stop_nursery(low: float, high: float) -> Callable[[World], Injection]:
    """It is stopped, and meanwhile a worker dies."""

    def inject(world: World) -> Injection:
        supervisor, nursery = some_nursery(world)
        workers = world.wait_about(supervisor, supervisor.workers, "no worker is there")
        worker = world.random.choice(workers)
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
    _, nursery = some_nursery(world)
    for _ in range(100):
        nursery.send_signal(world.random.choice(STORM))
        time.sleep(0.002)
    if not nursery.is_running():
        raise Overtaken(f"nursery {nursery.pid} did not go on")
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
