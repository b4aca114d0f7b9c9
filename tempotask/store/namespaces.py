"""Namespaces of one program's own, of which nothing is to stay.

Such a namespace is called after the process that made it. A program that is killed can't take its keys away: the next
one of its kind on the same server does, since the name says whose they were.
"""

from __future__ import annotations

import functools
import itertools
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tempotask import linux, machine, shelf
from tempotask.store import reading
from tempotask.store.records import read_registration
from tempotask.store.script import chunked

if TYPE_CHECKING:
    from tempotask.store.connect import Server
    from tempotask.store.store import Store

MANY = 100_000
"""Keys of a server through which nobody goes for a hint."""
PATIENCE, LOOK = 15.0, 0.1
"""Seconds within which the lease of a lost host has run out, if it is the usual one; and between two looks."""
SILENT = 3600.0
"""Seconds of silence after which a pool of another machine is taken to be gone for good."""


def new(kind: str) -> str:
    """`<kind>-<machine and boot>-<pid>-<when that began>-<Unix seconds>-<number>`, the last three hexadecimal."""
    pid = os.getpid()
    return f"{kind}-{machine.mark()}-{pid}-{linux.born_ns(pid):x}-{int(time.time()):x}-{secrets.token_hex(4)}"


def clear(store: Store, namespace: str) -> None:
    """Deletes all keys of a namespace in which nobody works any more, and the files of arrays on this host."""
    for place in (store.server.place, shelf.INLINE):
        shelf.clear_folder(shelf.folder_of(place, namespace))
    server = store.server
    while keys := list(reading.keys(store, f"{{{namespace}}}:*")):
        for chunk in chunked(keys):
            server.patiently(functools.partial(_unlink, server, chunk))


def _unlink(server: Server, keys: Sequence[bytes]) -> None:
    server.client().unlink(*keys)


def occupant(store: Store, patience: float = PATIENCE) -> str | None:
    """The host of a supervisor that works in the namespace, and goes on to; None if there is none, or will be none
    within so many seconds: one whose program was killed ends by itself, and the lease of a lost host runs out."""
    first: dict[bytes, float] = {}
    end = time.monotonic() + patience
    while True:
        at_work = list(_at_work(store))
        for supervisor, host, lease, here in at_work:
            renewed = lease > first.setdefault(supervisor, lease)
            if time.monotonic() >= end or (renewed and not here):
                return host
        if not at_work:
            return None
        time.sleep(LOOK)


def _at_work(store: Store) -> Iterator[tuple[bytes, str, float, bool]]:
    """Each supervisor with a lease that has not run out: its id, its host, until when, and whether it is of this
    machine; none of those of which it is known here that they have ended."""
    now_ms = store.clock() / 1000
    registrations = store.read("HGETALL", "supervisors")
    for supervisor, lease in store.read("HGETALL", "leases").items():
        if lease == b"swept" or float(lease) <= now_ms:
            continue
        registration = read_registration(registrations.get(supervisor, b""))
        if registration is None:
            yield supervisor, "another host", float(lease), False
            continue
        here = registration.boot == machine.boot_id()
        if not (here and registration.born_ns and linux.has_ended(registration.pid, registration.born_ns)):
            yield supervisor, registration.host, float(lease), here


def clear_left_behind(store: Store, kind: str) -> None:
    """Deletes the namespaces of that kind whose programs are gone."""
    for namespace in _others(store, kind):
        if _is_left_behind(store, kind, namespace):
            clear(store, namespace)


def neighbours(store: Store, most: int = 5) -> list[str]:
    """Some other namespaces on that server; none where it holds so much that to look for them would take long."""
    if store.server.patiently(lambda: store.server.client().dbsize()) > MANY:
        return []
    names = (key.decode(errors="replace")[1:].rpartition("}")[0] for key in reading.keys(store, "{*}:format"))
    return sorted(itertools.islice((name for name in names if name not in ("", store.namespace)), most))


def _others(store: Store, kind: str) -> Iterator[str]:
    for key in reading.keys(store, f"{{{kind}-*}}:format"):
        namespace = key.decode(errors="replace")[1:].partition("}")[0]
        if namespace != store.namespace:
            yield namespace


def _is_left_behind(store: Store, kind: str, namespace: str) -> bool:
    """Whether its program is gone: one of this machine by its process, another one by its silence."""
    try:
        here, pid, born, made, _ = namespace.removeprefix(f"{kind}-").split("-")
        if here == machine.mark():
            return linux.has_ended(int(pid), int(born, 16))
        heard = [int(made, 16) * 1000.0]
        now_ms = store.clock() / 1000
        leases = store.server.patiently(lambda: store.server.client().hvals(f"{{{namespace}}}:leases"))
        heard += [float(lease) for lease in leases if lease != b"swept"]
    except ValueError:
        # It is called like ours, and is somebody else's.
        return False
    return now_ms - max(heard) > SILENT * 1000
