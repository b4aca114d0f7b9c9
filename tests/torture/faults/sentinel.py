"""Faults of a primary that Sentinels watch: a replica takes its place."""

from __future__ import annotations

import time
from signal import SIGCONT, SIGSTOP

import redis
from pool.running import LONG, wait_until
from sentinel import ReplicatedServer

from torture.fault import Fault, Injection, Setting
from torture.world import World

SETTING = Setting(replicas=1, server=("--appendonly", "yes", "--appendfsync", "everysec"))
LOSES = frozenset({"lost", "rerun"})
"""Replication is asynchronous: the last words of a primary may not have reached the replica."""


def kill_primary(world: World) -> Injection:
    began, old = time.monotonic(), world.server
    old.kill()
    noticed = _promoted(world, began)
    old.start()
    _follows(world)
    return Injection(noticed, LOSES)


def stop_primary(world: World) -> Injection:
    """It comes back believing that it still is the primary, and learns that it is not."""
    began, old = time.monotonic(), world.server
    old.process.send_signal(SIGSTOP)
    noticed = _promoted(world, began)
    old.process.send_signal(SIGCONT)
    _follows(world)
    return Injection(noticed, LOSES)


def _promoted(world: World, began: float) -> float:
    """Waits for the replica in the primary's place, and has the world look there; seconds that it took."""
    assert world.sentinels is not None
    (new,), old = world.replicas, world.server
    wait_until(lambda: _is_primary(new), "no replica is promoted", 2 * LONG)
    noticed = time.monotonic() - began
    assert isinstance(old, ReplicatedServer)
    world.turn_to(new)
    world.replicas = [old]
    wait_until(lambda: world.store.registrations(), "nobody follows to the new primary", 2 * LONG)
    return noticed


def _is_primary(server: ReplicatedServer) -> bool:
    with server.client() as client:
        return bool(client.info("replication")["role"] == "master")


def _follows(world: World) -> None:
    """Waits until the old primary has what the new one has."""
    new = world.server
    assert isinstance(new, ReplicatedServer)

    def connected() -> bool:
        with new.client() as client:
            try:
                return bool(client.info("replication")["connected_slaves"] == 1)
            except redis.RedisError:
                return False

    wait_until(connected, "the old primary does not follow the new one", 2 * LONG)


FAULTS = [
    Fault("failover: primary killed", "server", kill_primary, SETTING, mixed=False),
    Fault("failover: primary stopped", "server", stop_primary, SETTING, mixed=False),
]
