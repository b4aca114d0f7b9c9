"""Faults of the way to the server: slow, cut off, half open, and replies that get lost after their script ran."""

from __future__ import annotations

import time

from pool.running import LONG, wait_until

from tempotask.store.records import read_registration
from torture.fault import Fault, Injection
from torture.world import World

COMMON = ("turn", "enqueue", "renew", "give_back", "ask", "say", "register", "sweep")
"""Scripts that are always under way while work is done; all of them: `python -m torture replies`."""


def slow(world: World) -> Injection:
    """Each message takes 0 to 500 ms, for a while."""
    seconds = world.random.uniform(2.0, 4.0)
    world.proxy.delay(0.0, 0.5)
    time.sleep(seconds)
    world.proxy.delay(0.0, 0.0)
    return Injection(note=f"{seconds:.1f} s")


def cut_off(world: World) -> Injection:
    return _cut(world, 1.0)


def cut_off_long(world: World) -> Injection:
    """All are cut off, so nobody may take others for lost."""
    return _cut(world, world.setting.lease * world.random.uniform(1.2, 2.0))


def _cut(world: World, seconds: float) -> Injection:
    world.proxy.cut()
    time.sleep(seconds)
    world.proxy.restore()
    return Injection(note=f"{seconds:.1f} s")


def cut_off_one(world: World) -> Injection:
    """One host is cut off for longer than its lease: others take its jobs, and what it has done is refused."""
    victim = world.random.choice(world.supervisors)
    (known,) = (name for name, told in world.store.registrations().items() if _is_of(told, victim.process.pid))
    began = time.monotonic()
    world.proxy.cut({process.pid for process in victim.tree()})
    wait_until(lambda: known not in world.store.registrations(), "nobody misses it")
    noticed = time.monotonic() - began
    world.proxy.restore()
    wait_until(
        lambda: any(_is_of(told, victim.process.pid) for told in world.store.registrations().values()),
        "it does not come back",
    )
    return Injection(noticed)


def _is_of(registration: bytes, pid: int) -> bool:
    told = read_registration(registration)
    return told is not None and told.pid == pid


def half_open(world: World) -> Injection:
    """What one host sends arrives nowhere, on all the connections that it has; new ones are good."""
    victim = world.random.choice(world.supervisors)
    began = time.monotonic()
    world.proxy.half_open(pids={process.pid for process in victim.tree()})
    wait_until(lambda: not world.proxy.half_opened(), "they are not given up")
    noticed = time.monotonic() - began
    world.proxy.restore()
    return Injection(noticed)


def one_way(world: World) -> Injection:
    """What one host sends arrives; no answer does."""
    victim = world.random.choice(world.supervisors)
    began = time.monotonic()
    world.proxy.half_open("reply", pids={process.pid for process in victim.tree()})
    wait_until(lambda: not world.proxy.half_opened(), "they are not given up")
    return Injection(time.monotonic() - began)


def lose_replies(world: World) -> Injection:
    """Of some scripts' replies many get lost, for a while."""
    scripts = world.random.sample(COMMON, 3)
    losses = [world.proxy.drop_reply(script, 200, chance=world.random.uniform(0.2, 0.9)) for script in scripts]
    time.sleep(world.random.uniform(1.0, 2.0))
    for loss in losses:
        world.proxy.keep(loss)
    return Injection(note=f"{sum(loss.lost for loss in losses)} of {', '.join(scripts)}")


def late_replies(world: World) -> Injection:
    """A turn ran, and the worker hears of it much later."""
    seconds = world.random.uniform(0.2, 1.0)
    for direction in ("request", "reply"):
        hold = world.proxy.hold("turn", direction)
        try:
            if not hold.reached.wait(LONG):
                raise RuntimeError("no turn came by")
            time.sleep(seconds)
        finally:
            hold.release()
    return Injection(note=f"{seconds:.1f} s")


FAULTS = [
    Fault("server slow by 0 to 500 ms", "network", slow),
    Fault("cut off for 1 s", "network", cut_off, quick=True),
    Fault("cut off past the lease", "network", cut_off_long),
    Fault("one host cut off past its lease", "network", cut_off_one, mixed=False),
    Fault("connections half open", "network", half_open, mixed=False),
    Fault("answers swallowed", "network", one_way, mixed=False),
    Fault("replies lost", "network", lose_replies, quick=True),
    Fault("turns late", "network", late_replies),
]
