"""The supervisor's place on the server: known, alive, and holding only what its workers hold.

In its life a housekeeper
 1. registers the supervisor, and again when its tasks have changed;
 2. renews its lease, in time, and has lost hosts swept (leases.py);
 3. has delayed jobs promoted when they are due and no worker takes a turn;
 4. compares, after an outage and now and then, what the server holds for the workers with what they hold.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from tempotask.pool.clerk import Clerk
from tempotask.pool.deaths import Coroner, decode_options
from tempotask.pool.leases import Leases, register
from tempotask.pool.report import AppReport
from tempotask.store.store import Renewal

log = logging.getLogger("tempotask")

LOOKS_A_LEASE = 6
"""How often a lease is renewed in its time while others are to be watched; half as often without others."""
TIDY = 10.0
"""Seconds after which a renewal also lets go of what is old, when nothing was due meanwhile."""
RECONCILE = 60.0
"""Seconds between two comparisons."""

Holdings = Mapping[str, tuple[int, str]]
"""Worker -> number and name of the turn that it has in hand."""


class House(Protocol):
    """What a housekeeper needs of its supervisor."""

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Calls in the loop, after so many seconds."""

    def holdings(self) -> Holdings | None:
        """What the workers hold now; None while some of it is being given back anyway."""

    def swept(self) -> None:
        """The lease was taken for lost."""


class Housekeeper:
    """Keeps one supervisor registered, under the id of `supervisor`; see the module's page."""

    coroner: Coroner
    """For the deaths of this supervisor's workers; there from the first registration on."""

    def __init__(self, clerk: Clerk, house: House, lease: float) -> None:
        self.supervisor = secrets.token_hex(5)
        self.lease = lease
        self._clerk = clerk
        self._house = house
        self._leases: Leases
        self._renewed = self._tidied = 0.0
        self._due: float | None = None
        self._outages = 0

    def register(self, report: AppReport, kept: Mapping[str, int], workers: int) -> None:
        """Makes the supervisor known, or what has changed of it. In the clerk's thread."""
        tasks = [(task.queue, task.name) for task in report.tasks]
        declared = {(task.queue, task.name): decode_options(task.options) for task in report.tasks}
        store = self._clerk.store
        self.coroner = Coroner(store, declared, kept)
        self._leases = Leases(store, self.supervisor, self.lease, self.coroner)
        register(store, self.supervisor, self.lease, tasks, workers)

    def begin(self) -> None:
        """Begins to renew and to compare."""
        self._outages = self._clerk.store.server.outages
        self.renew()
        self._house.after(RECONCILE, self._reconcile)

    def take_new_id(self) -> None:
        """After a sweep: ids are never used again."""
        self.supervisor = secrets.token_hex(5)

    # -- the lease

    def renew(self, *, tidy: bool = True) -> None:
        """Renews the lease; `tidy` promotes what is due and lets go of what is old too."""
        tidy = tidy or time.monotonic() - self._tidied > TIDY
        self._clerk.ask(lambda: self._leases.renew(tidy=tidy), lambda answer: self._has_renewed(tidy, *answer))

    def _has_renewed(self, tidied: bool, renewal: Renewal | None, swept: list[str]) -> None:
        now = time.monotonic()
        for other in swept:
            log.warning("supervisor %s was lost: its jobs have been given back", other)
        if renewal is None:
            self._house.swept()
            return
        if tidied:
            self._tidied = now
            if renewal.next_due is not None:
                self._promote_at(now + renewal.next_due - renewal.now)
        if self._clerk.store.server.outages != self._outages:
            self._outages = self._clerk.store.server.outages
            self._compare()
        self._renewed = now
        pause = self.lease / LOOKS_A_LEASE * (1 if self._leases.watching else 2)
        self._house.after(pause, lambda: self.renew(tidy=False) if self._renewed == now else None)

    # -- what is due

    def obey(self, order: str) -> None:
        """What other processes tell this supervisor."""
        what, _, value = order.partition(" ")
        if what == "due":
            self._promote_at(time.monotonic() + float(value) / 1000 - self._clerk.store.now())

    def _promote_at(self, when: float) -> None:
        if self._due is not None and self._due <= when:
            return
        self._due = when

        def promote() -> None:
            if self._due == when:
                self._due = None
                self.renew()

        self._house.after(max(0.0, when - time.monotonic()), promote)

    # -- what the server holds

    def _reconcile(self) -> None:
        self._compare()
        self._house.after(RECONCILE, self._reconcile)

    def _compare(self) -> None:
        """After a restart with an older state the server may hold jobs for workers that do not have them, or are dead:
        gives these back."""
        store, supervisor, holdings = self._clerk.store, self.supervisor, self._house.holdings()
        if holdings is None:
            return

        def compare() -> None:
            for name, owner in store.read("HGETALL", "workers").items():
                worker = name.decode()
                if owner.decode() != supervisor:
                    continue
                if worker not in holdings:
                    store.give_back_all(worker)
                    continue
                number, turn = holdings[worker]
                open_turn, _ = store.opened(worker)
                # A turn later than that in hand may be on its way to the worker.
                if open_turn and open_turn != turn and int(open_turn.partition("@")[0]) <= number:
                    store.give_back_tail(worker, open_turn, 0)

        self._clerk.ask(compare)
