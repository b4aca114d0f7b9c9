"""Leases: this host's own, renewed; those of the others, watched, and swept when they are lost.

A lost host is one whose lease was seen unchanged in successive looks over a whole lease time, each look after a
renewal of our own that worked, and none of them late; or one whose supervisor ran on this very machine and is gone.
Only the server's clock says when a lease has run out.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time

import msgspec

from tempotask import linux
from tempotask.machine import boot_id
from tempotask.pool.deaths import Recovery
from tempotask.store.records import Registration, read_registration
from tempotask.store.store import Renewal, Store

LATE = 0.5
"""The part of a lease time that may lie between two looks: what happened in a longer one was not seen."""


def is_gone(registration: Registration) -> bool:
    """Whether the process that registered, on this machine, has ended. A later one may have got its number, so of one
    that does not say when it began nobody can tell: its lease runs out."""
    return registration.born_ns > 0 and linux.has_ended(registration.pid, registration.born_ns)


def register(
    store: Store,
    supervisor: str,
    lease: float,
    tasks: list[tuple[str, str]],
    workers: int,
    schedules: list[tuple[str, str]],
    application: str,
) -> None:
    """Makes this process known as a supervisor, which declares these tasks, and schedules by their ids and
    forms."""
    pid = os.getpid()
    born_ns = linux.born_ns(pid)
    started = time.time() - (linux.now_ns() - born_ns) / 1e9
    registration = Registration(
        host=socket.gethostname(), boot=boot_id(), pid=pid, started=started, tasks=tasks,
        workers=workers, schedules=schedules, application=application, folder=_folder(),
        born_ns=born_ns,
    )  # fmt: skip
    store.register(supervisor, lease, msgspec.msgpack.encode(registration))


def _folder() -> str:
    """The working directory; nothing where it is gone, or its name is no text that could be sent."""
    with contextlib.suppress(OSError, UnicodeEncodeError):
        folder = os.getcwd()
        folder.encode()
        return folder
    return ""


class Leases:
    """The lease of one supervisor, and its eye on the others. Used in the clerk's thread only."""

    def __init__(self, store: Store, supervisor: str, lease: float, recovery: Recovery) -> None:
        self._store = store
        self._supervisor = supervisor
        self._lease = lease
        self._recovery = recovery
        self._seen: dict[str, tuple[str, float]] = {}
        self._registrations: dict[str, Registration | None] = {}
        self._host, self._boot = socket.gethostname(), boot_id()
        self._outages = store.server.outages
        self._looked = time.monotonic()

    def renew(self, *, tidy: bool) -> tuple[Renewal | None, list[str]]:
        """Renews, looks, and sweeps whoever is lost. Returns the renewal (None: we were swept) and what was swept."""
        renewal = self._store.renew(self._supervisor, self._lease, tidy=tidy)
        if self._store.server.outages != self._outages:
            # A look that failed: the watch starts anew, or the first one back would sweep everybody.
            self._outages = self._store.server.outages
            self._seen.clear()
        if renewal is None:
            return None, []
        swept = []
        now = time.monotonic()
        if now - self._looked > self._lease * LATE:
            # We stood still, and the others may have done so with us, or been cut off meanwhile.
            self._seen.clear()
        self._looked = now
        for other, lease in renewal.leases.items():
            value, since = self._seen.get(other, ("", now))
            if value != lease:
                self._seen[other] = (lease, now)
                since = now
            dead = self._is_dead(other)
            if (lease == "swept" or dead or now - since >= self._lease) and self._sweep(other, lease, dead):
                swept.append(other)
        for gone in self._seen.keys() - renewal.leases.keys():
            del self._seen[gone]
            self._registrations.pop(gone, None)
        return renewal, swept

    @property
    def watching(self) -> bool:
        """Whether there are others."""
        return bool(self._seen)

    def _is_dead(self, other: str) -> bool:
        """Whether it ran on this machine, since its last boot, and its process is gone."""
        if other not in self._registrations:
            told = self._store.read("HGET", "supervisors", other)
            self._registrations[other] = read_registration(told) if told else None
        registration = self._registrations[other]
        if registration is None or (registration.host, registration.boot) != (self._host, self._boot):
            return False
        return is_gone(registration)

    def _sweep(self, lost: str, seen: str, dead: bool) -> bool:
        workers = self._store.sweep(self._supervisor, self._lease, lost, seen, dead=dead)
        if workers is None:
            return False
        for worker in workers:
            self._recovery.lost_host(worker)
            # A sweep may take long: our own lease must not run out meanwhile.
            self._store.renew(self._supervisor, self._lease, tidy=False)
        self._store.sweep(self._supervisor, self._lease, lost, "swept")
        return True
