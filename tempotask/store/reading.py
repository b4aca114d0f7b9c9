"""Reading what a namespace holds, raw and in bounded steps. Keys are named without their prefix, as in keys.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from tempotask.store.script import Argument
from tempotask.store.store import Store

STEP = 2000
"""Records that one command reads at most."""
PAGES = 16
"""Pages of history that one command reads at most: they hold results."""

Command = tuple[str, str, *tuple[Argument, ...]]
"""A command, a key, the rest of its arguments."""


class Head(msgspec.Struct, array_like=True, gc=False):
    """The beginning of a record, for counting."""

    flags: str
    id: str
    queue: str
    priority: str
    name: str
    enqueued_at: float


decode_head = msgspec.msgpack.Decoder(Head).decode


def pipe(store: Store, commands: Sequence[Command]) -> list[Any]:
    """The replies to many commands that change nothing, on keys named without their prefix; a thousand a round trip."""
    replies: list[Any] = []
    for first in range(0, len(commands), 1000):
        replies += store.server.patiently(_thousand(store, commands[first : first + 1000]))
    return replies


def _thousand(store: Store, commands: Sequence[Command]) -> Callable[[], list[Any]]:
    def send() -> list[Any]:
        pipeline = store.server.client().pipeline(transaction=False)
        for command, key, *rest in commands:
            pipeline.execute_command(command, f"{store.prefix}{key}", *rest)  # type: ignore[no-untyped-call]
        return pipeline.execute()

    return send


def present(store: Store, names: Sequence[str]) -> list[str]:
    """Those of the keys that hold something."""
    return [name for name, there in zip(names, pipe(store, [("EXISTS", name) for name in names]), strict=True) if there]


def queue_names(store: Store) -> list[str]:
    """Every queue that ever had a job, sorted."""
    return sorted(name.decode() for name in store.read("SMEMBERS", "queues"))


def scored(store: Store, name: str) -> Iterator[tuple[bytes, float]]:
    """The members of a sorted set, highest first, with their scores."""
    first = 0
    while members := store.read("ZREVRANGE", name, first, first + STEP - 1, "WITHSCORES"):
        # Flat, or in pairs: the client library decides by the command's name.
        pairs = members if isinstance(members[0], tuple | list) else zip(members[::2], members[1::2], strict=True)
        for member, score in pairs:
            yield member, float(score)
        first += STEP


def claims(store: Store) -> Iterator[tuple[str, str, list[bytes]]]:
    """What the workers hold: worker, open turn, records without holes."""
    names = workers(store)
    for worker, turn in zip(names, open_turns(store, names), strict=True):
        if turn:
            yield worker, turn, [r for r in store.read("LRANGE", f"claims:{worker}:{turn}", 0, -1) if r]


def queue_keys(store: Store, queues: Sequence[str]) -> list[str]:
    """The keys of the lists of some queues, those of a queue by priority, highest first."""
    used = pipe(store, [("ZREVRANGE", f"priorities:{queue}", 0, -1) for queue in queues])
    return [
        f"queue:{priority.decode()}:{queue}"
        for queue, priorities in zip(queues, used, strict=True)
        for priority in priorities or [b"0"]
    ]


def workers(store: Store) -> list[str]:
    """The workers that may hold claims: those registered, and those whose host was lost."""
    # In this order: a sweep takes workers from the first to the second.
    names = [*store.read("HKEYS", "workers"), *store.read("HKEYS", "lost")]
    return list(dict.fromkeys(name.decode() for name in names))


def open_turns(store: Store, workers: Sequence[str]) -> list[str]:
    """The turn under whose name each worker holds claims, or ''."""
    turns = pipe(store, [("HGET", f"worker:{worker}", "open") for worker in workers])
    return [(turn or b"").decode() for turn in turns]


def histories(store: Store, queues: Sequence[str], statuses: Sequence[str]) -> list[str]:
    """The keys of the histories of some queues that hold something."""
    return present(store, [f"history:{queue}:{status}" for status in statuses for queue in queues])


def pages(store: Store, history: str) -> Iterator[bytes]:
    """Pages of history, the newest first. One that is trimmed while we read is over."""
    first = 0
    while some := store.read("LRANGE", history, first, first + PAGES - 1):
        yield from some
        first += PAGES
