"""Faults of workers."""

from __future__ import annotations

import time

from pool.running import wait_until

from torture.fault import Fault, Injection
from torture.world import World


def kill(world: World) -> Injection:
    worker = world.random.choice(world.workers())
    supervisor = world.owner(worker)
    at = time.monotonic()
    worker.kill()
    wait_until(lambda: supervisor.about(f'"pid":{worker.pid}'), "the death is not noticed")
    noticed = time.monotonic() - at
    wait_until(lambda: len(world.workers()) == world.slots(), "the worker is not replaced")
    return Injection(noticed, at=at)


FAULTS = [Fault("worker killed", "process", kill, quick=True)]
