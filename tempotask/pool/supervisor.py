"""The supervisor: one loop that spawns, watches, steals back, limits, renews, stops.

    server ══ clerk (threads) ── supervisor (one loop) ══ nursery ── worker, worker, worker …
                                      └── control blocks, pidfds ───────┘

It never imports the application, and nothing holds it up: what it has to say to the server goes through the clerk.
In its life it
 1. has the application imported (generations.py), and learns from it the server, the options and the tasks;
 2. registers itself and its workers, and has the workers forked;
 3. looks at them while they are busy (watch.py), and gives back what they do not get to;
 4. replaces those that die, and has their jobs given back with a verdict (deaths.py);
 5. keeps its place on the server: lease, due jobs, lost hosts (housekeeper.py);
 6. stops: gently within the grace, at once when told again; on HUP it takes up changed code without standing still.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import selectors
import signal
import time
from collections.abc import Callable

from tempotask.errors import NotImportable, TempoTaskError
from tempotask.linux import become_subreaper, refusal
from tempotask.options import Options
from tempotask.pool import cores
from tempotask.pool.clerk import Clerk
from tempotask.pool.draining import Draining
from tempotask.pool.generations import Generations
from tempotask.pool.housekeeper import Holdings, Housekeeper
from tempotask.pool.orders import Cancel
from tempotask.pool.pool import UnifiedWorkerPool
from tempotask.pool.report import AppReport
from tempotask.pool.settings import Settings
from tempotask.pool.signals import Signals, drained
from tempotask.pool.stacks import Stacks
from tempotask.pool.standing import Standings
from tempotask.pool.watch import Watch
from tempotask.process import AT_ONCE, GENTLY
from tempotask.store.connect import Server, resolve
from tempotask.store.left import Left
from tempotask.store.store import Limits, Store

log = logging.getLogger("tempotask")

TICK = 0.05
"""Seconds between two looks at busy workers."""
FAILED_STARTS = 5
"""Workers in a row that could not be started or died of it, before all were ready, after which it gives up."""
QUIET = 0.05
"""Seconds between two looks whether everything is done, when it is ended by force."""
LATER = 5.0
"""Seconds until what the system has refused is tried again."""
LAST_WORDS = 5.0
"""Seconds at most that a stop by force, and then the end, wait for the server."""


class Supervisor:
    """One supervisor process; see the module's page. `run` returns the exit status.

    `pool` is of the application as it is first imported, and may have begun to.
    """

    def __init__(self, settings: Settings, pool: UnifiedWorkerPool) -> None:
        self._settings = settings
        self._selector = selectors.DefaultSelector()
        self._wake, self._wake_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._signals = Signals()
        self._timers: list[tuple[float, Callable[[], None]]] = []
        self._generations = Generations(pool, self._selector, self, settings.places)
        self._options = Options()
        self._status = 0
        self._connected = self._begun = self._refused = False
        self._stopping = self._over = self._told_ready = False
        self._asked = False
        """Whether it was told to stop by others than the program that started it: the second time, it does at once."""
        self._patience_ends = math.inf
        """When a server that does not answer is not waited for any more (monotonic)."""
        self._failure: TempoTaskError | None = None
        self._report: AppReport
        self._clerk: Clerk
        self._housekeeper: Housekeeper
        self._stacks: Stacks
        self._standings: Standings
        self._draining: Draining

    # -- the loop

    def run(self) -> int:
        """Supervises until stopped. Returns 0 when all ended gently, 1 when by force.

        Raises:
            NotImportable: the application can't be imported, or lacks tasks that it should declare.
            ServerUnavailable: the server can't be used.
        """
        self._signals.listen()
        self._selector.register(self._signals, selectors.EVENT_READ, self._act_on_signals)
        self._selector.register(self._wake, selectors.EVENT_READ, lambda: drained(self._wake))
        if self._settings.watched_fd is not None:
            self._selector.register(self._settings.watched_fd, selectors.EVENT_READ, self._starter_spoke)
        try:
            self._generations.import_application()
            while not self._over:
                for key, _ in self._selector.select(self._pause()):
                    if isinstance(key.data, UnifiedWorkerPool):
                        for event in key.data.events(key):
                            self._generations.handle(key.data, event)
                    else:
                        key.data()
                self._tick()
        finally:
            self._end()
            self._signals.ignore()
        if self._failure is not None:
            raise self._failure
        return self._status

    def _tick(self) -> None:
        now = time.monotonic()
        due = [call for when, call in self._timers if when <= now]
        self._timers = [timer for timer in self._timers if timer[0] > now]
        for call in due:
            call()
        for generation in self._generations:
            generation.tick(now)
        self.keep_up()

    def _pause(self) -> float | None:
        """Seconds until something is to be done: none while workers are idle but for the timers."""
        now = time.monotonic()
        times = [when for when, _ in self._timers]
        for generation in self._generations:
            times += generation.deadlines()
            if generation.busy():
                times.append(now + TICK)
        return max(0.0, min(times) - now) if times else None

    # -- signals

    def _act_on_signals(self) -> None:
        for number in self._signals.take():
            if number == signal.SIGHUP:
                if not self._signals.terminal_was_closed:
                    self._generations.reload()
                elif not self._stopping:  # the shell may say so, and the kernel
                    self._asked = True
                    self._stop("the terminal was closed: what runs is finished, what has not started is given back")
                continue
            again = number == AT_ONCE or (self._asked and number != GENTLY)
            self._asked = self._asked or number != GENTLY
            if again:
                self._stop_now("told to stop again: what runs goes back to its queue")
            elif not self._stopping:
                self._stop("stopping: what runs is finished, what has not started is given back")

    def _starter_spoke(self) -> None:
        fd = self._settings.watched_fd
        assert fd is not None
        with contextlib.suppress(OSError):
            if os.read(fd, 4096):
                return
        self._selector.unregister(fd)
        self._stop_now("the program that started the pool is gone: stopping")

    # -- 1. what was imported

    @property
    def stopping(self) -> bool:
        """Whether nothing new is to begin."""
        return self._stopping

    def imported(self, pool: UnifiedWorkerPool, report: AppReport) -> None:
        """An application was imported: takes it up, once it is known at the server."""
        declared = {(task.queue, task.name) for task in report.tasks}
        missing = [f"{queue}/{name}" for queue, name in self._settings.tasks if (queue, name) not in declared]
        if missing:
            self._generations.refuse(
                NotImportable(
                    f"workers that import {self._settings.application} do not find {', '.join(missing[:5])}: "
                    "declare tasks when the module is imported, not under if __name__ == '__main__' or later"
                )
            )
            return
        self._options, self._report = Options.decode(report.options), report
        if not self._connected:
            self._connect(pool, report)
        else:
            self._warn_of_another_namespace(report)
            self._clerk.ask(lambda: self._register(report), lambda _: self._begin(pool, report))

    def _warn_of_another_namespace(self, report: AppReport) -> None:
        ours = self._clerk.store.namespace
        if self._settings.namespace is None and report.namespace != ours:
            log.warning("the namespace stays %s: to take up %s takes a restart", ours, report.namespace)

    def not_imported(self, failure: TempoTaskError) -> bool:
        """The application can't be had: the end, unless the supervisor has begun."""
        if not self._connected:
            self._failure, self._over = failure, True
        return not self._connected

    def _connect(self, pool: UnifiedWorkerPool, report: AppReport) -> None:
        if report.why_not_handed_over and self._settings.db is None:
            why = report.why_not_handed_over
            self._generations.refuse(NotImportable(f"workers can't connect as the program does ({why}): give --db URL"))
            return
        db = report.db if self._settings.db is None else self._settings.db
        server = resolve(db, connect_timeout=self._options.connect_timeout)
        limits = Limits(self._options.max_results, self._options.max_results_bytes)
        self._clerk = Clerk(Store(server, self._settings.namespace or report.namespace, limits))
        try:
            self._clerk.start()
        except OSError as error:
            self._generations.refuse(NotImportable(f"no thread can be started to talk to the server: {refusal(error)}"))
            return
        self._connected = True
        settings = self._settings
        lease = settings.lease or self._options.lease
        self._housekeeper = Housekeeper(self._clerk, self, lease, settings.application)
        self._standings = Standings(self._clerk, self.after, self._watches)
        self._draining = Draining(self._clerk, self.after, self._drained, self._housekeeper.renew)
        self._selector.register(self._clerk, selectors.EVENT_READ, self._clerk.deliver)
        self._clerk.ask(
            lambda: self._first_talk(server, report), lambda answer: self._first_answered(answer, pool, report)
        )

    def _first_talk(self, server: Server, report: AppReport) -> TempoTaskError | str:
        """What the server does when it is full, or why it can't be used: at the start that is an answer; later it is an
        outage, and waited for."""
        try:
            policy, url = server.check().policy, server.url
            self._register(report)
        except TempoTaskError as error:
            return error
        return policy if url else ""

    def _first_answered(self, answer: TempoTaskError | str, pool: UnifiedWorkerPool, report: AppReport) -> None:
        if isinstance(answer, TempoTaskError):
            self._failure, self._over, self._refused = answer, True, True
            return
        # Only now: the server that we may have started is not ours to end when its guardian's parent goes.
        become_subreaper()
        self._greet(report, answer)
        self._begin(pool, report)
        self._housekeeper.begin()

    def _greet(self, report: AppReport, policy: str) -> None:
        if policy != "noeviction":
            log.warning("the server's maxmemory-policy is %s: set noeviction, or it may throw jobs away", policy)
        if not report.tasks:
            what = "no task is declared in %s: name a module that imports those in which they are"
            log.warning(what, self._settings.application)
        workers = self._concurrency(report)
        if warning := cores.warning(workers) or self._settings.places.shared(workers):
            log.warning(warning)
        store = self._clerk.store
        log.info(
            "%s: %s, server %s, namespace %s",
            self._settings.application, _workers(workers), store.server.label, store.namespace,
        )  # fmt: skip

    # -- 2. workers

    def _concurrency(self, report: AppReport) -> int:
        return self._settings.concurrency or report.concurrency or os.cpu_count() or 1

    def _register(self, report: AppReport) -> None:
        self._housekeeper.register(report, self._options.max_jobs_per_status, self._concurrency(report))

    def _begin(self, pool: UnifiedWorkerPool, report: AppReport) -> None:
        house = self._housekeeper
        self._generations.begin(pool, report, self._clerk, house.recovery, self._wake_end)
        if not self._stopping:
            self._begun = True
            self._stacks = Stacks(house.supervisor, self._clerk, self.after)
            self._listen()
        self.keep_up()

    def _listen(self) -> None:
        try:
            self._clerk.listen(self._housekeeper.supervisor, self._housekeeper.obey)
        except OSError as error:
            log.warning("what this supervisor is told by others is not heard for now: %s", refusal(error))
            self.after(LATER, self._listen)

    def keep_up(self) -> None:
        """Brings everything to where it should be: called after whatever may have changed that."""
        self._generations.bury_ended()
        if self._stopping:
            self._over = self._over or self._generations.ended
            return
        newest = self._generations.newest
        if newest is None:
            return
        if not self._told_ready and newest.failures >= FAILED_STARTS:
            self._failure = NotImportable(newest.why_none_starts)
            self._stop("workers can't be started: stopping; what runs is finished")
            return
        for generation in self._generations:
            # The one before, too, which works until the newest is ready: that may never be.
            generation.fill(self._housekeeper.supervisor, self._housekeeper.lease, self._concurrency(generation.report))
        count = self._concurrency(newest.report)
        if newest.ready(count):
            newest.was_ready = True
            self._generations.retire_old()
            if not self._told_ready:
                self._told_ready = True
                log.info("ready: %s", _workers(count))
                self._settings.ready()
        if self._settings.drain and self._is_idle():
            self._draining.look()

    def _is_idle(self) -> bool:
        """Whether some worker is through its start, and all that are wait for work."""
        return any(each.ready(1) for each in self._generations) and all(each.idle() for each in self._generations)

    def _drained(self, left: Left) -> None:
        if self._stopping:
            return
        self._stop(f"drained: nothing is left to run{left.clause}")

    # -- 5. the place on the server

    @property
    def fires(self) -> bool:
        """Whether its schedules fire: what they add while it ends would be left behind."""
        return not (self._stopping or self._draining.closing)

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Calls in the loop, after so many seconds."""
        self._timers.append((time.monotonic() + seconds, call))

    def holdings(self) -> Holdings | None:
        """Which turn each worker has in hand; None while jobs of dead ones are being given back."""
        if any(generation.burying for generation in self._generations):
            return None
        held: dict[str, tuple[int, str, int | None]] = {}
        for generation in self._generations:
            held |= generation.holdings()
        return held

    def swept(self) -> None:
        """Others run our jobs by now: the workers end, and new ones come under a new id."""
        if self._stopping:
            return
        log.warning(
            "the server does not know this supervisor any more, as it was taken for lost and its jobs given to others, "
            "or the server has lost its data: starting over under a new id"
        )
        for generation in self._generations:
            generation.kill()
        self._housekeeper.take_new_id()
        # At once, whatever is being imported: a lease that nobody renews would be lost again.
        self._clerk.ask(lambda: self._register(self._report), lambda _: self._housekeeper.renew())
        self._generations.import_application()

    def cancel(self, worker: str, order: Cancel) -> None:
        """A job that one of the workers has was cancelled."""
        for generation in self._generations:
            generation.cancel(worker, order)

    def resume(self, worker: str) -> None:
        """One of the workers does not come for what it was handed."""
        for generation in self._generations:
            generation.resume(worker)

    def steal(self) -> None:
        """A queue was paused: what has not started goes back."""
        for generation in self._generations:
            generation.steal()

    def show_stacks(self, key: str) -> None:
        """Pushes the workers' stacks to that list, in a moment."""
        self._stacks.show(key, self._watches())

    def tell_standing(self, seconds: float) -> None:
        """Tells every second how the workers stand, for so many seconds."""
        self._standings.look(self._housekeeper.supervisor, seconds)

    def _watches(self) -> list[Watch]:
        return [watch for generation in self._generations for watch in generation.watches]

    # -- 6. stopping

    def _stop(self, why: str) -> None:
        self._stopping = True
        runs = any(generation.runs() for generation in self._generations)
        for generation in self._generations:
            generation.retire()
        log.info(why)
        grace = self._options.grace if self._settings.grace is None else self._settings.grace
        # Who has nothing to finish needs a moment to end, and is not ended by force because there is no grace.
        self.after(grace if runs else max(grace, LAST_WORDS), self._grace_is_over)
        self._generations.end_import()
        self.keep_up()

    def _stop_now(self, why: str) -> None:
        log.warning(why)
        self._stopping, self._status = True, 1
        for generation in self._generations:
            generation.kill()
        self._generations.end_import()
        self.keep_up()
        if self._patience_ends == math.inf:
            self._patience_ends = time.monotonic() + LAST_WORDS
            self._wait_for_server()

    def _grace_is_over(self) -> None:
        if self._generations.live:
            self._stop_now("the grace is over: what still runs goes back to its queue")
        elif not self._over:
            # Nothing was ended by force.
            log.warning("the server does not answer: what it holds for this supervisor goes back after its lease")
            self._over, self._patience_ends = True, time.monotonic()

    def _wait_for_server(self) -> None:
        """Gives what the workers held back, unless the server does not answer."""
        in_vain = self._connected and self._clerk.in_vain and not self._generations.live
        self._over = self._over or in_vain or time.monotonic() >= self._patience_ends
        self.after(QUIET, self._wait_for_server)

    def _end(self) -> None:
        self._generations.end()
        if self._connected:
            clerk, supervisor = self._clerk, self._housekeeper.supervisor
            # Told to stop early, its registration may still be on its way. A server that can't be used has none.
            if not self._refused:
                clerk.ask(lambda: clerk.store.leave(supervisor))
            clerk.end(min(LAST_WORDS, self._patience_ends - time.monotonic()))
            self._selector.unregister(clerk)
            clerk.store.close()
        self._selector.close()


def _workers(count: int) -> str:
    return "1 worker" if count == 1 else f"{count} workers"
