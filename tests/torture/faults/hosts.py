"""Faults of the host: its clock jumps, it refuses descriptors, processes or shared memory, it has 200 supervisors.

Each has a supervisor of its own under the host as it is then, beside the one of the world that sees nothing of it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pool.running import LONG, Supervisor, wait_until

from torture import host
from torture.fault import Fault, Injection, Setting, Violation
from torture.world import World

HOUR = 3600
ONE = Setting(supervisors=1, lease=1.0)
MANY = 200
AT_ONCE = 10
"""So many of many supervisors start at the same time."""
SLOW = 600.0
"""Seconds that nothing takes which so many do at once: on few cores each gets little of them."""
CROWD = Setting(supervisors=1, lease=60.0, load=False, patience=SLOW)
NO_UID = 61_000
"""From here on users are free, we take it."""
WATCHED = 5.0
"""Seconds for which many supervisors that have nothing to do are watched."""


@contextmanager
def joined(world: World, *options: str, through: list[str]) -> Iterator[Supervisor]:
    """One more supervisor, for a while."""
    supervisor = world.start_supervisor(*options, through=through)
    yield supervisor
    leave(world, supervisor)


def leave(world: World, supervisor: Supervisor) -> None:
    """It is stopped, and must end gently."""
    supervisor.signal()
    see_off(world, supervisor)


def see_off(world: World, supervisor: Supervisor, within: float = LONG) -> None:
    """Waits until one that was told to end has, and gently. To tell it twice would be to force it."""
    status = supervisor.end(within)
    world.supervisors.remove(supervisor)
    world.gone.append(supervisor)
    if status or "Traceback" in supervisor.log:
        raise Violation(f"a supervisor ended with {status}: {supervisor.log[-2000:]}")


def nobody_lost(world: World) -> None:
    wrong = world.lines("was lost") + world.lines("starting over")
    if wrong:
        raise Violation(f"a supervisor that lived was taken for lost: {wrong[0]}")


def renewed(world: World, times: float) -> None:
    """Waits until every lease there is has been renewed for so many lease times."""
    until = world.store.now() * 1000 + (1 + times) * world.setting.lease * 1000
    leases = world.store.registrations()
    wait_until(
        lambda: all(float(world.store.read("HGET", "leases", id) or until) >= until for id in leases),
        "a lease is not renewed",
    )


def jump(world: World) -> Injection:
    """By an hour, forth and back, while supervisor and workers run; the producers' clock stays."""
    clock = host.Clock(world.folder)
    supervisor = world.start_supervisor(environment=clock.environment)
    for seconds in (HOUR, 0, -HOUR, 0):
        clock.set(seconds)
        renewed(world, 1.5)
    leave(world, supervisor)
    nobody_lost(world)
    return Injection()


def set_clock(world: World) -> Injection:
    """The kernel tells another time of its start than it told the supervisor that runs."""
    for seconds in (HOUR, -HOUR):
        with joined(world, through=host.kernel_with_its_clock_set(world.folder, seconds)):
            renewed(world, 1.5)
    nobody_lost(world)
    return Injection()


def few_descriptors(world: World) -> Injection:
    with joined(world, "--concurrency", "8", through=host.descriptors(64)) as supervisor:
        for _ in range(10):
            worker = world.random.choice(supervisor.workers())
            worker.kill()
            supervisor.wait_for(f'"pid":{worker.pid}')
        wait_until(lambda: len(supervisor.workers()) == 8, "workers are not replaced")
    return Injection()


def no_shared_memory(world: World) -> Injection:
    with joined(world, through=host.without_shared_memory()):
        world.wait_busy()
        renewed(world, 1.0)
    return Injection()


def no_forks(world: World) -> Injection:
    """While a worker is to be replaced; then the nursery."""
    uid = NO_UID + os.getpid() % 4000
    with joined(world, through=host.processes(4096, uid)) as supervisor:
        at = time.monotonic()
        nursery = supervisor.nursery()
        host.allow_processes(1, uid, nursery.pid)
        world.random.choice(supervisor.workers()).kill()
        supervisor.wait_for("could not start worker")
        noticed = time.monotonic() - at
        host.allow_processes(4096, uid, nursery.pid)
        wait_until(lambda: len(supervisor.workers()) == world.setting.workers, "it is not replaced")
        host.allow_processes(1, uid, supervisor.process.pid)
        nursery.kill()
        supervisor.wait_for("trying again in")
        host.allow_processes(4096, uid, supervisor.process.pid)
        wait_until(lambda: len(supervisor.workers()) == world.setting.workers, "they do not come back")
    return Injection(noticed, at=at)


def same_second(world: World) -> Injection:
    """Two supervisors start in the same second; one dies, and only that one is lost."""
    first, second = (world.begin_supervisor() for _ in range(2))
    for each in (first, second):
        each.wait_for("ready: ")
    at = time.monotonic()
    first.kill_tree()
    world.supervisors.remove(first)
    world.gone.append(first)
    wait_until(lambda: len(world.store.registrations()) == len(world.supervisors), "the dead one is not swept")
    noticed = time.monotonic() - at
    if world.lines("starting over"):
        raise Violation("another one was taken for it")
    leave(world, second)
    return Injection(noticed, at=at)


def many(world: World) -> Injection:
    """200 supervisors with a worker each share the jobs, idle, and end."""
    most: list[Supervisor] = []
    while len(most) < MANY:
        group = [world.begin_supervisor("--concurrency", "1") for _ in range(AT_ONCE)]
        for each in group:
            each.wait_for("ready: ", within=SLOW)
        most += group
    wait_until(lambda: len(world.store.registrations()) == MANY + 1, "not all are known")
    world.add("short", 2_000).results(timeout=SLOW)
    wait_until(world.store.quiet, "something is left")
    before = world.direct.info("stats")["total_commands_processed"]
    began = time.monotonic()
    time.sleep(WATCHED)  # what they do meanwhile is what is asked
    passed = time.monotonic() - began
    rate = (world.direct.info("stats")["total_commands_processed"] - before - 1) / passed
    for each in most:
        each.signal()
    for each in most:
        see_off(world, each, SLOW)
    nobody_lost(world)
    return Injection(note=f"{MANY} supervisors idle: {rate:.0f} commands/s")


FAULTS = [
    Fault("clock of a host jumps by an hour", "host", jump, ONE, mixed=False),
    Fault("clock set between two supervisors", "host", set_clock, ONE, mixed=False),
    Fault("64 descriptors", "host", few_descriptors, ONE, mixed=False),
    Fault("no shared memory", "host", no_shared_memory, ONE, mixed=False, quick=True),
    Fault("fork refused", "host", no_forks, ONE, mixed=False),
    Fault("two supervisors in the same second", "host", same_second, ONE, mixed=False),
    Fault("200 supervisors", "host", many, CROWD, mixed=False, rare=True, within=3 * SLOW),
]
