"""All that a namespace holds, read to be proved right.

A small namespace is read by one script, so at one moment. A large one is read in bounded steps, while it changes:
then what changed meanwhile is known, and nothing can be proved of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from tempotask.store import reading
from tempotask.store.store import Store
from tempotask.store.values import text

MOST = 20_000
"""Elements that are read at one moment: some 20 ms of the server's time."""
MOST_KEYS = 100_000
"""Keys on the whole server, which all have to be looked through for that."""


class Stored(NamedTuple):
    """What is under one key; long values are cut (snapshot.lua)."""

    kind: str
    """`list`, `zset`, `hash`, `set`, `stream` or `string`; another, or `none`, for what is not ours or not there."""
    expiry: int
    """Milliseconds; -1: none."""
    items: list[bytes]
    """As the server gives them: elements; members; member, score, ...; field, value, ..."""

    def pairs(self) -> dict[str, str]:
        """Fields and values, or members and scores."""
        texts = [text(item) for item in self.items]
        return dict(zip(texts[::2], texts[1::2], strict=True))

    def texts(self) -> list[str]:
        """The elements as text."""
        return [text(item) for item in self.items]


NOTHING = Stored("none", -1, [])
UNREAD = {"payload": Stored("string", 0, []), "log": Stored("list", 0, [])}


class Snapshot(NamedTuple):
    """A namespace, by name of key without the prefix."""

    keys: dict[str, Stored]
    changed: frozenset[str] = frozenset()
    """What changed while it was read; nothing if all was read at one moment."""

    def get(self, name: str) -> Stored:
        """What is under a key; `NOTHING` if there is none."""
        return self.keys.get(name, NOTHING)

    def pairs(self, name: str) -> dict[str, str]:
        """The fields and values of a hash, or the members and scores of a sorted set."""
        return self.get(name).pairs()

    def called(self, first: str) -> Iterator[tuple[str, Stored]]:
        """What is under the keys whose names begin so, by the rest of the name."""
        for name, stored in self.keys.items():
            if name.startswith(first):
                yield name[len(first) :], stored


def take(store: Store, most: int = MOST) -> Snapshot:
    """Reads a namespace, at one moment if it has at most so many elements. Raises `ServerUnavailable`."""
    reply = store.run("snapshot", "all", most, MOST_KEYS)
    if reply != [b"large"]:
        parts = iter(reply)
        return Snapshot({text(name): _stored(*rest) for name, *rest in zip(parts, parts, parts, parts, strict=True)})
    all_names = dict.fromkeys([*names(store), *_expected(store)])
    # There may be a million payloads and logs, of which no more is to be known than whose they are.
    unread = {name: UNREAD[first] for name in all_names if (first := name.partition(":")[0]) in UNREAD}
    found = [name for name in all_names if name not in unread]
    # In the order in which jobs move, so that one that moves is seen at least once, as a rule.
    order = ("queue:", "claims:", "due", "retries", "parked")
    found.sort(key=lambda name: next((i for i, first in enumerate(order) if name.startswith(first)), len(order)))
    before = _sizes(store, found)
    keys = unread | {name: _whole(store, name) for name in found}
    for worker, state in list(Snapshot(keys).called("worker:")):
        name = f"claims:{worker}:{state.pairs().get('open', '')}"
        if not name.endswith(":") and name not in keys:
            keys[name] = _whole(store, name)
    after = _sizes(store, found)
    changed = frozenset(name for name, old, new in zip(found, before, after, strict=True) if old != new)
    return Snapshot({name: stored for name, stored in keys.items() if stored.kind != "none"}, changed)


def names(store: Store) -> Iterator[str]:
    """The keys of a namespace; one may come twice."""
    return (text(key)[len(store.prefix) :] for key in reading.keys(store, f"{store.prefix}*"))


def _expected(store: Store) -> Iterable[str]:
    """Keys that may come into being after the search for them, and are compared with others then."""
    return [*reading.queue_keys(store, reading.queue_names(store)), "ring", "due", "retries", "parked", "ids"]


def _sizes(store: Store, found: list[str]) -> list[bytes]:
    return [
        size for first in range(0, len(found), 500) for size in store.run("snapshot", "sizes", *found[first:][:500])
    ]


def _whole(store: Store, name: str) -> Stored:
    parts: list[list[bytes]] = []
    cursor: bytes | str = "0"
    step = reading.PAGES if name.startswith("history:") else reading.STEP
    while True:
        cursor, kind, expiry, items = store.run("snapshot", "part", name, cursor, step)
        parts.append(items)
        if cursor == b"0":
            break
    if kind == b"list":
        # Parts came from the tail, each in its order.
        parts.reverse()
    return _stored(kind, expiry, [item for part in parts for item in part])


def _stored(kind: bytes, expiry: int, items: list[Any]) -> Stored:
    return Stored(text(kind), expiry, items)
