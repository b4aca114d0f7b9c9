"""What stands in memory where a server, a supervisor and a script would."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, cast

import msgspec
from msgspec import Raw

from tempotask.errors import InvalidOptions
from tempotask.pool.control_block import ControlBlock
from tempotask.store.address import Address
from tempotask.store.connect import Server
from tempotask.store.records import Record, decode_record, flag, without_payload
from tempotask.store.script import Argument


class NoServer(Server):
    """Stands where a server would; nothing is ever opened."""

    def __init__(self) -> None:
        super().__init__("redis://inline")

    def _reached(self) -> Address:
        raise refusal("there is no server, and so no repeat")


class NoBlock(ControlBlock):
    """The words of a control block at which no supervisor looks."""

    def __init__(self) -> None:
        self.fd = -1
        self.words = memoryview(bytearray(4096)).cast("q")


def additions(flat: Sequence[Argument]) -> Iterator[tuple[Record, bool, bool]]:
    """The records that an `Addition` tells of, each with whether the script answers for it alone, and whether its id
    was given by a user. When they are due does not matter: nobody wants to wait for a test."""
    parts = iter(cast("Sequence[Any]", flat))
    for kind in parts:
        if kind == "group":
            next(parts), next(parts)
            for _ in range(next(parts)):
                yield decode_record(next(parts)), False, False
            continue
        given, _, payload, encoded = next(parts), next(parts), next(parts), next(parts)
        record = decode_record(encoded)
        if flag(record, "p"):
            record = msgspec.structs.replace(without_payload(record), payload=Raw(payload))
        yield record, True, bool(given)


@contextlib.contextmanager
def without_loop() -> Iterator[None]:
    """While it lasts, this thread seems to have no event loop, though its caller runs in one: another may be run."""
    loop = asyncio._get_running_loop()
    if loop is None:
        yield
        return
    task = asyncio.current_task(loop)
    if task is not None:
        asyncio.tasks._leave_task(loop, task)
    asyncio._set_running_loop(None)
    try:
        yield
    finally:
        asyncio._set_running_loop(loop)
        if task is not None:
            asyncio.tasks._enter_task(loop, task)


def refusal(why: str) -> InvalidOptions:
    """The error for what makes no sense without a server."""
    return InvalidOptions(f"this manager runs jobs inline, at once: {why}; use a pool for this test (tempotask_pool)")
