"""A pool of one program's own: a namespace, a supervisor as its child, and nothing of either that stays.

The namespace is called after the process that made it. A program that is killed can't take its keys away: the next one
that makes a pool on the same server does, since the name says whose they were.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import sys
import time
from collections.abc import Iterator
from multiprocessing import process, spawn
from typing import Any

import msgspec
import redis

from tempotask import launch, pickled
from tempotask.answers import APPLICATION, VARIABLE, Beginning
from tempotask.client import Client
from tempotask.errors import InvalidPayload, TempoTaskError
from tempotask.options import Options

PREFIX = "executor"
LARGEST_BEGINNING = 100_000
"""Bytes of what goes to workers by their environment; the system takes no more than 128 KiB in one variable."""
SILENT = 3600.0
"""Seconds of silence after which a pool of another machine is taken to be gone for good."""


def new_namespace() -> str:
    """`executor-<machine and boot>-<pid>-<when that began>-<Unix seconds>-<number>`, the last three hexadecimal."""
    from tempotask.pool import linux

    pid = os.getpid()
    return f"{PREFIX}-{_here()}-{pid}-{linux.born_ns(pid):x}-{int(time.time()):x}-{secrets.token_hex(4)}"


def _here() -> str:
    from tempotask.pool.leases import boot_id

    return hashlib.sha256(boot_id().encode()).hexdigest()[:12]


def main_module() -> dict[str, str]:
    """How `multiprocessing` would have the main module of this program imported in a process that it spawns."""
    told = spawn.get_preparation_data("")
    return {name: str(told[name]) for name in ("init_main_from_name", "init_main_from_path") if name in told}


class OwnPool:
    """The workers of one executor. `begin`, `wait`, `end`, in this order; `end` in any case."""

    def __init__(self, client: Client, workers: int, key: str, *, allow_pickle: bool) -> None:
        self._client = client
        self._workers = workers
        self._key = key
        self._allow_pickle = allow_pickle
        self._launch: launch.Launch | None = None

    def begin(self, beginning: Beginning) -> None:
        """Starts the supervisor and does not wait for it.

        Raises:
            InvalidPayload: the initializer is too large.
            InvalidOptions: workers can't connect as this program does.
        """
        beginning.main, beginning.arguments = main_module(), sys.argv[1:]
        if self._allow_pickle:
            beginning.authkey = bytes(process.current_process().authkey)
        told = msgspec.json.encode(beginning).decode()
        if len(told) > LARGEST_BEGINNING:
            raise InvalidPayload(
                f"the initializer's arguments and the command line are {len(told):,} bytes, and workers are told at "
                f"most {LARGEST_BEGINNING:,} at their start; store them in a file and give its name"
            )
        client = self._client
        start: dict[str, Any] = {
            "db": client.server.url if client.db is not None else None,
            "namespace": client.namespace,
            "concurrency": self._workers,
            "allow_pickle": self._allow_pickle,
            "quiet": True,
        }
        environment = {VARIABLE: told, pickled.KEY: self._key}
        self._launch = launch.Launch(APPLICATION, start, Options().grace, None, **environment)
        self._launch.begin()

    def wait(self) -> str:
        """Waits until the supervisor has ended; why it has.

        Raises:
            What kept it from starting.
        """
        assert self._launch is not None
        self._launch.ready()
        with contextlib.suppress(redis.RedisError, TempoTaskError):
            self._clear_what_others_left()
        status = self._launch.wait()
        return f"was killed by signal {-status}" if status < 0 else f"has ended with status {status}"

    def end(self) -> None:
        """Ends the supervisor, and takes away what the namespace holds."""
        if self._launch is None:
            return
        self._launch.stop()
        with contextlib.suppress(redis.RedisError, TempoTaskError):
            self._clear(self._client.namespace)

    def _redis(self) -> redis.Redis:
        return self._client.store.server.client()

    def _clear(self, namespace: str) -> None:
        client = self._redis()
        while keys := list(client.scan_iter(f"{{{namespace}}}:*", count=10_000)):
            for start in range(0, len(keys), 1000):
                client.unlink(*keys[start : start + 1000])

    def _clear_what_others_left(self) -> None:
        for namespace in self._others():
            if self._is_left_behind(namespace):
                self._clear(namespace)

    def _others(self) -> Iterator[str]:
        for key in self._redis().scan_iter(f"{{{PREFIX}-*}}:format", count=10_000):
            namespace = key.decode(errors="replace")[1:].partition("}")[0]
            if namespace != self._client.namespace:
                yield namespace

    def _is_left_behind(self, namespace: str) -> bool:
        """Whether its program is gone: one of this machine by its process, another one by its silence."""
        from tempotask.pool import linux

        try:
            here, pid, born, made, _ = namespace.removeprefix(f"{PREFIX}-").split("-")
            if here == _here():
                return linux.has_ended(int(pid), int(born, 16))
            heard = [int(made, 16) * 1000.0]
            now_ms = self._client.store.clock() / 1000
            leases = self._redis().hvals(f"{{{namespace}}}:leases")
            heard += [float(lease) for lease in leases if lease != b"swept"]
        except ValueError:
            # It is called like ours, and is somebody else's.
            return False
        return now_ms - max(heard) > SILENT * 1000
