"""What a namespace holds and this version can't read: hostile bytes, or those of a version to come.

Nothing is lost by it: a record is put aside as failed when its turn comes, with its bytes; the rest is passed over by
whoever meets it. Read in bounded steps, apart from the snapshot, which is cut to what the invariants need.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tempotask.store import schedules
from tempotask.store.facts import Facts, Violation
from tempotask.store.pages import is_readable
from tempotask.store.reading import STEP, claims, histories, pages, queue_keys, queue_names, scanned
from tempotask.store.records import FINISHED, Unreadable, decode_record
from tempotask.store.store import Store

T = TypeVar("T")


def names(facts: Facts) -> Iterator[Violation]:
    """Names are text: members of sets, fields of hashes. What has another is not found by those who look for it."""
    for key, stored in facts.snapshot.keys.items():
        if stored.kind in ("set", "zset", "hash") and key not in ("due", "retries"):
            told = stored.items if stored.kind == "set" else stored.items[::2]
            yield from _told(key, "names", told, _is_text)


def unreadable(store: Store) -> Iterator[Violation]:
    """What can't be read, by key. Raises `ServerUnavailable`."""
    queues = queue_names(store)
    for key in queue_keys(store, queues):
        yield from _told(key, "records", _parts(store, "LRANGE", key), _is_record)
    for key in ("due", "retries"):
        yield from _told(key, "records", _parts(store, "ZRANGE", key), _is_record)
    held = (record for _, records in claims(store) for record in records)
    yield from _told("claims", "records", held, _is_record)
    parked = (stored.partition(b" ")[2] for _, stored in scanned(store, "parked"))
    yield from _told("parked", "records", parked, _is_record)
    for key in histories(store, queues, FINISHED):
        yield from _told(key, "pages of finished jobs", pages(store, key), is_readable)
    planned = (one.version != "" for one in schedules.every(store))
    yield from _told("schedules", "schedules", planned, bool)


def _told(key: str, what: str, items: Iterable[T], can_be_read: Callable[[T], bool]) -> Iterator[Violation]:
    number = sum(not can_be_read(item) for item in items)
    if number:
        yield Violation(key, f"holds {number} {what} that this version can't read")


def _parts(store: Store, command: str, key: str) -> Iterator[bytes]:
    first = 0
    while some := store.read(command, key, first, first + STEP - 1):
        yield from some
        first += STEP


def _is_text(stored: bytes) -> bool:
    try:
        stored.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_record(stored: bytes) -> bool:
    return stored == b"" or not isinstance(decode_record(stored), Unreadable)
