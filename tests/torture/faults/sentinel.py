"""Faults of a primary that Sentinels watch: a replica takes its place."""

from __future__ import annotations

import time
from signal import SIGCONT, SIGSTOP

import redis
from pool.running import LONG, wait_until
from sentinel import DOWN_MS, ReplicatedServer

from torture.fault import Fault, Injection, Setting
from torture.world import NEVER_MS, World

SETTING = Setting(replicas=1, server=("--appendonly", "yes", "--appendfsync", "everysec"))
LOSES = frozenset({"lost", "rerun", "waiters"})
"""Replication is asynchronous: the last words of a primary may not have reached the replica. And while there are two
primaries, one may be asked for results and the other answer."""


def kill_primary(world: World) -> Injection:
    began, old = time.monotonic(), world.server
    old.kill()
    noticed = _fail_over(world, began)
    old.start()
    _wait_for_replica(world)
    return Injection(noticed, LOSES)


def stop_primary(world: World) -> Injection:
    """It comes back believing that it still is the primary, and learns that it is not."""
    began, old = time.monotonic(), world.server
    old.process.send_signal(SIGSTOP)
    noticed = _fail_over(world, began)
    old.process.send_signal(SIGCONT)
    _wait_for_replica(world)
    return Injection(noticed, LOSES)


def _fail_over(world: World, began: float) -> float:
    """Has the replica take the primary's place, and the world look there; seconds that it took."""
    assert world.sentinels is not None
    (new,), old = world.replicas, world.server
    assert isinstance(old, ReplicatedServer)
    world.sentinels.down_after(DOWN_MS)
    wait_until(lambda: _is_primary(new), "no replica is promoted", 2 * LONG)
    noticed = time.monotonic() - began
    wait_until(lambda: world.sentinels is not None and world.sentinels.primary() == new.port, "nobody says so", LONG)
    world.sentinels.down_after(NEVER_MS)
    world.turn_to(new)
    world.replicas = [old]
    wait_until(lambda: world.store.registrations(), "nobody follows to the new primary", 2 * LONG)
    return noticed


def _is_primary(server: ReplicatedServer) -> bool:
    with server.client() as client:
        try:
            return bool(client.info("replication")["role"] == "master")
        except redis.ConnectionError:  # with its role it changes its clients
            return False


def _wait_for_replica(world: World) -> None:
    """Until the old primary has what the new one has, and the Sentinels know it, or could not fail over again."""
    assert world.sentinels is not None
    assert isinstance(world.server, ReplicatedServer)
    world.server.wait_for_replicas()
    world.sentinels.wait_until_ready(1)


FAULTS = [
    Fault("failover: primary killed", "server", kill_primary, SETTING, mixed=False),
    Fault("failover: primary stopped", "server", stop_primary, SETTING, mixed=False),
]
