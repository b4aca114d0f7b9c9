"""Reading what a namespace holds, raw and in bounded steps. Keys are named without their prefix, as in keys.py."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from tempotask.store.records import UNREADABLE, Record, decode_record, read_registration
from tempotask.store.script import Argument
from tempotask.store.store import Store
from tempotask.store.values import text

STEP = 2000
"""Records that one command reads at most."""
COUNT = 1000
"""Elements that act.lua looks at in one go."""
SCANNED = 10_000
"""Keys that one command looks at."""
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


_decode_head = msgspec.msgpack.Decoder(Head).decode


def decode_head(stored: bytes) -> Head | Record:
    """The beginning of a record, or what stands for one that can't be read."""
    try:
        return _decode_head(stored)
    except UNREADABLE:
        return decode_record(stored)


def present(store: Store, names: Sequence[str]) -> list[str]:
    """Those of the keys that hold something."""
    replies = store.read_many([("EXISTS", name) for name in names])
    return [name for name, there in zip(names, replies, strict=True) if there]


def queue_names(store: Store) -> list[str]:
    """Every queue that ever had a job, or was paused, sorted. What has no name is none of ours, and no script takes it
    for one."""
    queues, paused = store.read_many([("SMEMBERS", "queues"), ("SMEMBERS", "paused")])
    return sorted(text(name) for name in {*queues, *paused} if name)


def scores(members: Sequence[Any]) -> Iterator[tuple[bytes, float]]:
    """Members and scores of a reply to ZREVRANGE: flat, or in pairs; the client library decides by the command."""
    if members and not isinstance(members[0], list | tuple):
        members = list(zip(members[::2], members[1::2], strict=True))
    for member, score in members:
        yield member, float(score)


def claims(store: Store) -> Iterator[tuple[str, list[bytes]]]:
    """What the workers hold: worker, records without holes."""
    names = workers(store)
    held = [(worker, turn) for worker, turn in zip(names, open_turns(store, names), strict=True) if turn]
    lists = store.read_many([("LRANGE", f"claims:{worker}:{turn}", 0, -1) for worker, turn in held])
    for (worker, _), records in zip(held, lists, strict=True):
        yield worker, [record for record in records if record]


def scanned(store: Store, name: str) -> Iterator[tuple[bytes, bytes]]:
    """The fields of a hash and their values, in no order; one that is put or goes meanwhile may be there or not, or
    there twice."""
    cursor: int | bytes = 0
    while True:
        cursor, fields = store.read("HSCAN", name, cursor, "COUNT", STEP)
        yield from fields.items()
        if int(cursor) == 0:
            return


def keys(store: Store, pattern: str) -> Iterator[bytes]:
    """The keys of the whole server that are called so; one may come twice."""
    cursor = 0
    while True:
        command = ("SCAN", cursor, "MATCH", pattern, "COUNT", SCANNED)
        cursor, found = store.server.patiently(functools.partial(store.server.client().execute_command, *command))
        yield from found
        if not int(cursor):
            return


def queue_keys(store: Store, queues: Sequence[str]) -> list[str]:
    """The keys of the lists of some queues, those of a queue by priority, highest first."""
    used = store.read_many([("ZREVRANGE", f"priorities:{queue}", 0, -1) for queue in queues])
    return [
        f"queue:{text(priority)}:{queue}"
        for queue, priorities in zip(queues, used, strict=True)
        for priority in priorities or [b"0"]
    ]


def workers(store: Store) -> list[str]:
    """The workers that may hold claims: those registered, and those whose host was lost."""
    # In this order: a sweep takes workers from the first to the second.
    names = [*store.read("HKEYS", "workers"), *store.read("HKEYS", "lost")]
    return list(dict.fromkeys(map(text, names)))


def host_of(store: Store, worker: str) -> str | None:
    """The host of a worker; None if its supervisor is gone."""
    supervisor = store.read("HGET", "workers", worker) or store.read("HGET", "lost", worker)
    told = store.read("HGET", "supervisors", supervisor) if supervisor else None
    registration = read_registration(told) if told else None
    return registration.host if registration is not None else None


def open_turns(store: Store, workers: Sequence[str]) -> list[str]:
    """The turn under whose name each worker holds claims, or ''."""
    turns = store.read_many([("HGET", f"worker:{worker}", "open") for worker in workers])
    return [text(turn or b"") for turn in turns]


def histories(store: Store, queues: Sequence[str], statuses: Sequence[str]) -> list[str]:
    """The keys of the histories of some queues that hold something."""
    return present(store, [f"history:{queue}:{status}" for status in statuses for queue in queues])


def pages(store: Store, history: str) -> Iterator[bytes]:
    """Pages of history, the newest first. One that is trimmed while we read is over."""
    first = 0
    while some := store.read("LRANGE", history, first, first + PAGES - 1):
        yield from some
        first += PAGES
