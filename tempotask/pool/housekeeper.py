"""The supervisor's place on the server: known, alive, and holding only what its workers hold.

In its life a housekeeper
 1. registers the supervisor, and again when its tasks have changed;
 2. renews its lease, in time, and has lost hosts swept (leases.py);
 3. has schedules fire, and delayed jobs promoted, when they are due;
 4. compares, after an outage and now and then, what the server holds for the workers with what they hold;
 5. removes the files that processes of this host have left behind (leftovers.py);
 6. reads the orders that others leave for the supervisor.
"""

from __future__ import annotations

import logging
import math
import secrets
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from tempotask.options import DEFAULTS
from tempotask.pool import firing
from tempotask.pool.clerk import Clerk
from tempotask.pool.deaths import Recovery
from tempotask.pool.leases import Leases, register
from tempotask.pool.leftovers import Leftovers
from tempotask.pool.orders import Cancel, read_cancel
from tempotask.pool.report import AppReport
from tempotask.store.records import UNREADABLE
from tempotask.store.schedules import Schedule, decode_schedules
from tempotask.store.store import Renewal, Store
from tempotask.store.values import number, text

log = logging.getLogger("tempotask")

LOOKS_A_LEASE = 6
"""How often a lease is renewed in its time while others are to be watched; half as often without others."""
TIDY = 10.0
"""Seconds after which a renewal also lets go of what is old, when nothing was due meanwhile."""
FURTHEST = 3600.0
"""Seconds for which the time of what is due next is remembered."""
RECONCILE = 60.0
"""Seconds between two comparisons."""

Holdings = Mapping[str, tuple[int, str, int | None]]
"""Worker -> number and name of the turn that it has in hand, and the index that runs."""


class House(Protocol):
    """What a housekeeper needs of its supervisor."""

    @property
    def fires(self) -> bool:
        """Whether its schedules fire."""

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Calls in the loop, after so many seconds."""

    def holdings(self) -> Holdings | None:
        """What the workers hold now; None while some of it is being given back anyway."""

    def swept(self) -> None:
        """The lease was taken for lost."""

    def cancel(self, worker: str, order: Cancel) -> None:
        """A job that a worker holds was cancelled."""

    def resume(self, worker: str) -> None:
        """A worker has not come yet for what it was handed: it is to go on if somebody has stopped it."""

    def steal(self) -> None:
        """All that has not started is to be given back."""

    def show_stacks(self, key: str) -> None:
        """Whoever waits at that list is to get the workers' stacks."""

    def tell_standing(self, seconds: float) -> None:
        """Somebody looks how the workers stand."""


class Housekeeper:
    """Keeps one supervisor registered, under the id of `supervisor`; see the module's page."""

    recovery: Recovery
    """For the deaths of this supervisor's workers; there from the first registration on."""

    def __init__(self, clerk: Clerk, house: House, lease: float, application: str) -> None:
        self.supervisor = secrets.token_hex(5)
        self.lease = lease
        self._application = application
        self._clerk = clerk
        self._house = house
        self._leases: Leases
        self._leftovers = Leftovers(clerk.store)
        self._schedules: list[Schedule] = []
        self._others: set[str] = set()
        self._renewed = self._tidied = 0.0
        self._due: float | None = None
        self._outages = 0
        self._room = True
        """Whether all schedules were put: the server had room, and none that was added is called like one of them."""

    def register(self, report: AppReport, kept: Mapping[str, int], workers: int) -> None:
        """Makes the supervisor known, or what has changed of it. In the clerk's thread."""
        tasks = [(task.queue, task.name) for task in report.tasks]
        store = self._clerk.store
        self.recovery = Recovery(store, report.tasks, kept)
        self._leases = Leases(store, self.supervisor, self.lease, self.recovery)
        self._schedules = decode_schedules(report.schedules)
        forms = [(schedule.id, schedule.form) for schedule in self._schedules]
        register(store, self.supervisor, self.lease, tasks, workers, forms, self._application)
        self._room = firing.declare(store, self._schedules)

    def begin(self) -> None:
        """Begins to renew and to compare."""
        self._outages = self._clerk.store.server.outages
        self.renew()
        self._leftovers.look()
        self._house.after(RECONCILE, self._reconcile)

    def take_new_id(self) -> None:
        """After a sweep: ids are never used again."""
        self.supervisor = secrets.token_hex(5)

    # -- the lease

    def renew(self, *, tidy: bool = True) -> None:
        """Renews the lease; `tidy` fires and promotes what is due, and lets go of what is old, too."""
        tidy = tidy or time.monotonic() - self._tidied > TIDY
        supervisor = self.supervisor

        def renewed(answer: tuple[Renewal | None, list[str]]) -> None:
            # Several may be under way when the lease is lost: what is said of an old id is old.
            if self.supervisor == supervisor:
                self._has_renewed(tidy, *answer)

        self._clerk.ask(lambda: self._fire_and_renew(tidy), renewed)

    def _fire_and_renew(self, tidy: bool) -> tuple[Renewal | None, list[str]]:
        if tidy and self._house.fires:
            # First: the renewal then tells what is due next.
            firing.fire(self._clerk.store, self._schedules)
        return self._leases.renew(tidy=tidy)

    def _has_renewed(self, tidied: bool, renewal: Renewal | None, swept: list[str]) -> None:
        now = time.monotonic()
        for other in swept:
            log.warning("supervisor %s was lost: its jobs have been given back", other)
        if renewal is None:
            self._house.swept()
            return
        if tidied:
            self._tidied = now
            if renewal.next_due is not None and self._house.fires:
                self._promote_at(now + renewal.next_due - renewal.now)
        if self._clerk.store.server.outages != self._outages:
            self._outages = self._clerk.store.server.outages
            self._compare()
        if self._others - renewal.leases.keys() or not self._room:
            # Another may have been the last one to declare schedules as they are, or what was in the way is gone.
            self._declare_again()
        self._others = set(renewal.leases)
        self._renewed = now
        pause = self.lease / LOOKS_A_LEASE * (1 if self._leases.watching else 2)
        self._house.after(pause, lambda: self.renew(tidy=False) if self._renewed == now else None)

    # -- orders

    def obey(self, order: bytes) -> None:
        """Does what others leave for this supervisor: see orders.py."""
        try:
            self._obey(*order.partition(b" "))
        except UNREADABLE as error:
            # Another version's, in a rolling deploy. What it meant is found by the next comparison.
            log.warning("an order that this version can't read is passed over: %r: %s", order[:80], error)

    def _obey(self, what: bytes, _: bytes, value: bytes) -> None:
        match what:
            case b"due":
                self._promote_at_time(float(value) / 1000)
            case b"cancel":
                worker, turn, index, job = read_cancel(value)
                grace = float(self.recovery.options_of(job).cancel_grace or 0)
                self._house.cancel(worker, Cancel(turn, index, grace, job))
            case b"steal":
                self._house.steal()
            case b"stacks" if value.startswith(b"stacks:"):
                self._house.show_stacks(value.decode())
            case b"look":
                self._house.tell_standing(float(value) / 1000)
            case _:
                raise ValueError("there is no such order")

    # -- what is due

    def _promote_at_time(self, due: float) -> None:
        """`due` is of the server's clock, which may have to be asked."""
        if math.isnan(due):
            raise ValueError("no time")
        store = self._clerk.store
        self._clerk.ask(lambda: time.monotonic() + due - store.now(), self._promote_at)

    def _promote_at(self, when: float) -> None:
        # What is further away is asked for again.
        when = min(when, time.monotonic() + FURTHEST)
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
        self._leftovers.look()
        self._house.after(RECONCILE, self._reconcile)

    def _declare_again(self) -> None:
        def declared(room: bool) -> None:
            had_room, self._room = self._room, room
            if room and not had_room:
                # That tells when they are due.
                self.renew()

        self._clerk.ask(lambda: firing.declare(self._clerk.store, self._schedules, again=True), declared)

    def _compare(self) -> None:
        """After a restart with an older state the server may hold jobs for workers that do not have them, or are dead:
        gives these back. A job that runs and is not held was cancelled, and the order was lost."""
        # The older state may lack schedules as well.
        self._declare_again()
        supervisor, holdings = self.supervisor, self._house.holdings()
        if holdings is None:
            return

        def found(comparison: Comparison) -> None:
            for worker, order in comparison.cancelled:
                self._house.cancel(worker, order)
            for worker in comparison.waiting:
                self._house.resume(worker)

        self._clerk.ask(lambda: compare(self._clerk.store, supervisor, holdings), found)


class Comparison(NamedTuple):
    """What is different at workers from what the server holds for them."""

    cancelled: list[tuple[str, Cancel]]
    """The jobs that they run, or ran a moment ago, and that were taken away: those that have ended need no more than a
    look."""
    waiting: list[str]
    """Workers that have not come yet for what they were handed."""


def compare(store: Store, supervisor: str, holdings: Holdings) -> Comparison:
    """Gives back what the server holds for workers of a supervisor and they do not have."""
    cancelled, waiting = list[tuple[str, Cancel]](), list[str]()
    for name, owner in store.read("HGETALL", "workers").items():
        worker = text(name)
        if text(owner) != supervisor:
            continue
        if worker not in holdings:
            store.give_back_all(worker)
            continue
        newest, turn, running = holdings[worker]
        open_turn, claims = store.opened(worker)
        if open_turn == turn:
            if running is not None and running < len(claims) and not claims[running]:
                cancelled.append((worker, Cancel(turn, running, float(DEFAULTS.cancel_grace or 0))))
        elif open_turn and number(open_turn.partition("@")[0]) <= newest:
            store.give_back_tail(worker, open_turn, 0)
        elif open_turn:
            # On its way to the worker, unless that was stopped.
            waiting.append(worker)
    return Comparison(cancelled, waiting)
