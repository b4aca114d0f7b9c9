"""A pool of one program's own: a namespace (store/namespaces.py), a supervisor as its child, and nothing of either that
stays.
"""

from __future__ import annotations

import contextlib
import os
from multiprocessing import process, spawn

import msgspec
import redis

from tempotask import launch
from tempotask.client import Client
from tempotask.errors import InvalidPayload, TempoTaskError
from tempotask.futures import permission
from tempotask.futures.answers import APPLICATION, VARIABLE, Beginning
from tempotask.options import Options

PREFIX = "executor"
LARGEST_BEGINNING = 100_000
"""Bytes of what goes to workers by their environment; the system takes no more than 128 KiB in one variable."""


def new_namespace() -> str:
    """One that says whose it is."""
    from tempotask.store import namespaces

    return namespaces.new(PREFIX)


def main_module() -> dict[str, str]:
    """How `multiprocessing` would have the main module of this program imported in a process that it spawns."""
    told = spawn.get_preparation_data("")
    main: dict[str, str] = {
        name: str(told[name]) for name in ("init_main_from_name", "init_main_from_path") if name in told
    }
    # A program that comes by standard input has the name of a file, and is none.
    return main if os.path.exists(main.get("init_main_from_path", os.curdir)) else {}


def text_of(beginning: Beginning) -> str:
    """What workers are told at their start. Raises InvalidPayload when that is too large."""
    told = msgspec.json.encode(beginning).decode()
    if len(told) > LARGEST_BEGINNING:
        raise InvalidPayload(
            f"the initializer and its arguments are {len(told):,} bytes of text (base64), and workers are told at "
            f"most {LARGEST_BEGINNING:,} at their start; store them in a file and give its name"
        )
    return told


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
        if self._allow_pickle:
            beginning.authkey = bytes(process.current_process().authkey)
        told = text_of(beginning)
        client = self._client
        start = launch.Start(
            APPLICATION,
            db=client.server.url if client.db is not None else None,
            namespace=client.namespace,
            concurrency=self._workers,
            allow_pickle=self._allow_pickle,
            quiet=True,
            environment={VARIABLE: told, permission.KEY: self._key},
        )
        self._launch = launch.Launch(start, Options().grace)
        self._launch.begin()

    def wait(self) -> str:
        """Waits until the supervisor has ended; why it has.

        Raises:
            What kept it from starting.
        """
        from tempotask.store import namespaces

        assert self._launch is not None
        self._launch.ready()
        with contextlib.suppress(redis.RedisError, TempoTaskError):
            namespaces.clear_left_behind(self._client.store, PREFIX)
        return launch.how_ended(self._launch.wait())

    def end(self) -> None:
        """Ends the supervisor, and takes away what the namespace holds."""
        from tempotask.store import namespaces

        if self._launch is None:
            return
        self._launch.stop()
        with contextlib.suppress(redis.RedisError, TempoTaskError):
            namespaces.clear(self._client.store, self._client.namespace)
