"""Faults of the server: it is killed, stopped, emptied, set back, full, busy, or forgets who is connected."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Iterator
from signal import SIGCONT, SIGSTOP

import redis
from pool.running import LONG, wait_until

from tempotask.errors import ServerFull
from torture.fault import Fault, Injection, Setting, Violation
from torture.world import World

EVERYSEC = Setting(server=("--appendonly", "yes", "--appendfsync", "everysec"))
NO_FILE = Setting(server=())
LOSES = frozenset({"lost", "rerun"})
STARTING_OVER = "starting over under a new id"


@contextlib.contextmanager
def away(world: World) -> Iterator[None]:
    """The server is killed, and is there again in the end."""
    world.server.kill()
    try:
        yield
    finally:
        world.server.start()


def kill(world: World) -> Injection:
    seconds = world.random.uniform(0.0, 0.5)
    with away(world):
        time.sleep(seconds)
    return Injection(note=f"away {seconds:.2f} s")


def kill_everysec(world: World) -> Injection:
    """What the server has not written when it is killed is lost: it may put that off while the disk is slow."""
    injection = kill(world)
    injection.allows = LOSES
    return injection


def restart_empty(world: World) -> Injection:
    before = len(world.lines(STARTING_OVER))
    with away(world):
        began = time.monotonic()
    return _started_over(world, before, began)


def flush_all(world: World) -> Injection:
    """Somebody empties the server."""
    before, began = len(world.lines(STARTING_OVER)), time.monotonic()
    world.direct.flushall()
    return _started_over(world, before, began)


def _started_over(world: World, before: int, began: float) -> Injection:
    """Each supervisor says so, once, and is known again."""
    number = len(world.supervisors)
    wait_until(lambda: len(world.lines(STARTING_OVER)) >= before + number, "they do not notice")
    injection = Injection(time.monotonic() - began, LOSES)
    wait_until(lambda: len(world.store.registrations()) == number, "they do not come back")
    wait_until(lambda: len(world.store.read("HGETALL", "workers")) == number * world.setting.workers, "no workers")
    said = len(world.lines(STARTING_OVER)) - before
    if said > 2 * number:
        raise Violation(f"{number} supervisors started over {said} times")
    return injection


def set_back(world: World) -> Injection:
    """The server comes back with the state that it had about a second ago."""
    seconds = world.random.uniform(0.3, 1.5)
    files, older = world.server.folder / "appendonlydir", world.folder / "older"
    kept = world.add("short", 100)
    shutil.copytree(files, older)
    time.sleep(seconds)  # that its state is so old is what is asked
    with away(world):
        shutil.rmtree(files)
        older.rename(files)
    # All of them are in that state, in some place or other.
    kept.results(timeout=LONG)
    return Injection(allows=LOSES, note=f"by {seconds:.1f} s")


def stop(world: World) -> Injection:
    """The server stands still for longer than the lease: nobody may take others for lost."""
    seconds = world.setting.lease * world.random.uniform(1.2, 2.0)
    world.server.process.send_signal(SIGSTOP)
    time.sleep(seconds)
    world.server.process.send_signal(SIGCONT)
    return Injection(note=f"{seconds:.1f} s")


def kill_clients(world: World) -> Injection:
    """All connections are killed every 100 ms."""
    times = world.random.randint(10, 30)
    with _client(world) as client:
        for _ in range(times):
            client.client_kill_filter(_type="normal", skipme=True)
            time.sleep(0.1)
    return Injection(note=f"{times} times")


def flush_scripts(world: World) -> Injection:
    times = world.random.randint(10, 30)
    with _client(world) as client:
        for _ in range(times):
            client.script_flush()
            client.function_flush()
            time.sleep(world.random.uniform(0.0, 0.1))
    return Injection(note=f"{times} times")


def fill(world: World) -> Injection:
    """At its `maxmemory` the server takes no new jobs, and those that are in are worked off."""
    handles = world.add("short", 2000)
    with _client(world) as client:
        client.config_set("maxmemory", client.info("memory")["used_memory"] // 2)
        try:
            began = time.monotonic()
            try:
                world.add("short")
            except ServerFull:
                noticed = time.monotonic() - began
            else:
                raise Violation("a full server took a job")
            handles.results(timeout=LONG)
        finally:
            client.config_set("maxmemory", 0)
    world.add("short").results(timeout=LONG)
    return Injection(noticed, note=f"{len(handles)} jobs worked off")


def occupy(world: World) -> Injection:
    """A foreign script keeps the server busy, and it answers BUSY to all."""
    seconds = world.random.uniform(0.3, 1.5)
    with _client(world) as client, _client(world) as killer:
        client.config_set("busy-reply-threshold", 20)

        def run() -> None:
            with contextlib.suppress(redis.RedisError):
                client.eval("while true do end", 0)

        busy = threading.Thread(target=run)
        busy.start()
        try:
            time.sleep(seconds)
            while busy.is_alive():
                with contextlib.suppress(redis.ResponseError):  # it has not begun yet, or has ended
                    killer.script_kill()
                busy.join(0.05)
        finally:
            client.config_set("busy-reply-threshold", 5000)
    return Injection(note=f"{seconds:.1f} s")


@contextlib.contextmanager
def _client(world: World) -> Iterator[redis.Redis]:
    """A way to the server past the proxy, of one's own; it comes back after the server was away for a moment."""
    with redis.Redis(unix_socket_path=world.server.path, single_connection_client=True) as client:
        yield client


FAULTS = [
    Fault("server killed", "server", kill, quick=True),
    Fault("server killed under everysec", "server", kill_everysec, EVERYSEC, mixed=False),
    Fault("server restarted empty", "server", restart_empty, NO_FILE, mixed=False),
    Fault("server set back a second", "server", set_back, mixed=False),
    Fault("server stopped past the lease", "server", stop),
    Fault("server emptied by somebody", "server", flush_all, mixed=False),
    Fault("connections killed every 100 ms", "server", kill_clients),
    Fault("scripts forgotten", "server", flush_scripts, quick=True),
    Fault("server full", "server", fill, mixed=False),
    Fault("server busy with a foreign script", "server", occupy),
]
