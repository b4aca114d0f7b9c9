"""Which imported applications there are: one as a rule, two while changed code takes over from the old.

In its life it
 1. has a nursery import the application, and tells its owner what that declares, or why it can't be had;
 2. makes a generation of it, and has those before it end when its workers are ready;
 3. imports anew when told to, when a nursery has died, and when an import that failed may succeed later.
"""

from __future__ import annotations

import functools
import logging
import selectors
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from tempotask.errors import NotImportable, TempoTaskError
from tempotask.linux import refusal
from tempotask.pauses import growing
from tempotask.pool.clerk import Clerk
from tempotask.pool.deaths import Recovery
from tempotask.pool.generation import Generation
from tempotask.pool.places import Places
from tempotask.pool.pool import Died, Event, NurseryDied, UnifiedWorkerPool
from tempotask.pool.report import AppReport, Imported, ImportFailed, Warned

log = logging.getLogger("tempotask")

CALM, FIRST_PAUSE, LONGEST_PAUSE = 60.0, 0.1, 10.0
"""A nursery that dies within so many seconds of the one before is replaced after a pause that doubles each time."""
LATER = 5.0
"""Seconds until the application is imported again when no worker is left to stay as it was."""


class Owner(Protocol):
    """What the generations need of their supervisor."""

    @property
    def stopping(self) -> bool:
        """Whether nothing new is to begin."""

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Calls in the loop, after so many seconds."""

    def imported(self, pool: UnifiedWorkerPool, report: AppReport) -> None:
        """An application was imported: `begin` or `refuse` is to follow, which is in vain if a HUP came meanwhile."""

    def not_imported(self, failure: TempoTaskError) -> bool:
        """The application can't be had. Returns whether that is the end: nothing had begun yet."""

    def keep_up(self) -> None:
        """Something has changed."""


class Generations:
    """All generations of one supervisor, the newest last; see the module's page. `first`: the pool of the first one."""

    def __init__(
        self, first: UnifiedWorkerPool, selector: selectors.BaseSelector, owner: Owner, places: Places
    ) -> None:
        self._application = first.application
        self._first: UnifiedWorkerPool | None = first
        self._selector = selector
        self._owner = owner
        self._places = places
        self._importing: UnifiedWorkerPool | None = None
        self._all: list[Generation] = []
        self._lost = False
        self._changed = False
        """Whether what is imported was asked for as changed code."""
        self._imports = 0
        """How often the application was imported, or was to be."""
        self._nurseries_died, self._nursery_died_at = 0, -CALM

    def __iter__(self) -> Iterator[Generation]:
        return iter(self._all)

    @property
    def newest(self) -> Generation | None:
        """The one that runs the application as it was imported last."""
        return self._all[-1] if self._all else None

    @property
    def ended(self) -> bool:
        """Whether nothing is left of any."""
        return not self._all and self._importing is None

    @property
    def live(self) -> bool:
        """Whether any has a worker that has not ended."""
        return any(each.pool.workers for each in self._all)

    # -- importing

    def import_application(self) -> None:
        """Has a nursery import the application, unless one does."""
        if self._importing is not None:
            return
        self._imports += 1
        pool, self._first = self._first or UnifiedWorkerPool(self._application), None
        try:
            pool.start()
        except OSError as error:
            what = f"the process that imports {self._application} can't be started"
            self.refuse(NotImportable(f"{what}: {refusal(error)}"))
            return
        self._importing = pool
        pool.register(self._selector)

    def reload(self) -> None:
        """Takes up changed code."""
        if self._owner.stopping:
            return
        # What is being imported may be the code as it was before, and may never come to its end.
        self.end_import()
        log.info("taking up changed code")
        self._changed = True
        self.import_application()

    def _try_again(self, imports: int) -> None:
        # A HUP may have been faster.
        if imports == self._imports:
            self.reload()

    def begin(self, pool: UnifiedWorkerPool, report: AppReport, clerk: Clerk, recovery: Recovery, wake_fd: int) -> None:
        """Makes a generation of what was imported, unless its nursery has died since; when all ends, ends it too."""
        if pool is not self._importing:
            return
        self._importing = None
        if self._owner.stopping:
            pool.end()
            return
        self._lost = False
        for generation in self._all:
            if not (generation.was_ready or generation.retiring):
                # Of code that nobody wants any more, and that never came to work.
                generation.retire()
        self._all.append(Generation(pool, report, clerk, recovery, wake_fd, self._places))
        self._all[-1].is_change, self._changed = self._changed, False

    def refuse(self, failure: TempoTaskError, pause: float = LATER) -> None:
        """What was imported will not do, or nothing was. `pause`: seconds until it may, if no worker is left."""
        self.end_import()
        if self._owner.not_imported(failure):
            return
        if any(not each.retiring for each in self._all):
            log.error("the changed application can't be taken up, so the workers stay as they are: %s", failure)
        else:
            log.error("%s; trying again in %.1f s", failure, pause)
            self._owner.after(pause, functools.partial(self._try_again, self._imports))

    def end_import(self) -> None:
        """Ends what is being imported, if something is."""
        pool, self._importing = self._importing, None
        if pool is not None:
            pool.end()

    # -- events

    def handle(self, pool: UnifiedWorkerPool, event: Event) -> None:
        """Takes in what a nursery or its workers tell."""
        match event:
            case Imported(report):
                self._owner.imported(pool, report)
            case ImportFailed(traceback, summary):
                self.refuse(NotImportable(f"{traceback}{summary}"))
            case Warned(text):
                log.warning(text)
            case NurseryDied(status):
                self._nursery_died(pool, f"the process that imports {self._application} {status}")
            case Died():
                for generation in self._all:
                    if generation.pool is pool:
                        generation.recover(event, self._owner.keep_up)

    def _nursery_died(self, pool: UnifiedWorkerPool, what: str) -> None:
        if pool is self._importing:
            self.refuse(NotImportable(f"{what} while it did so"), self._next_pause() or FIRST_PAUSE)
            return
        pool.end()
        for generation in self._all:
            if generation.pool is pool:
                generation.retiring = True
        if self._owner.stopping or self.newest is None or self.newest.pool is not pool:
            # Changed code takes over from it anyway, or nothing is to.
            log.error("%s: its workers end with it", what)
            return
        self._lost = True
        pause = self._next_pause()
        log.error("%s: another one is started" + (f" in {pause:.1f} s" if pause else ""), what)
        self._owner.after(pause, self._replace_nursery)

    def _next_pause(self) -> float:
        """One more has died. A job that kills it again and again must not have us do nothing but import."""
        now = time.monotonic()
        self._nurseries_died = self._nurseries_died + 1 if now - self._nursery_died_at < CALM else 0
        self._nursery_died_at = now
        return growing(FIRST_PAUSE, LONGEST_PAUSE, self._nurseries_died + 1) if self._nurseries_died else 0.0

    def _replace_nursery(self) -> None:
        if self._lost and not self._owner.stopping:
            self.import_application()

    # -- succession

    def bury_ended(self) -> None:
        """Lets go of the generations of which nothing is left."""
        for generation in [each for each in self._all if each.retiring and each.ended]:
            generation.pool.end()
            self._all.remove(generation)

    def retire_old(self) -> None:
        """Has all but the newest end: it is ready."""
        old = [each for each in self._all[:-1] if not each.retiring]
        for each in old:
            each.retire()
        newest = self._all[-1]
        if old or newest.is_change:
            newest.is_change = False
            log.info("the changed code is at work; what still runs of the old ends with it")

    def end(self) -> None:
        """Ends everything at once, and lets go of it."""
        self.end_import()
        for generation in self._all:
            generation.pool.end()
