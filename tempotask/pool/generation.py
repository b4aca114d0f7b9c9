"""A generation: the application as it was imported once, and the workers that run it.

There is one as a rule, and two while changed code takes over from the old.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

from tempotask.linux import refusal
from tempotask.options import Options
from tempotask.pauses import growing
from tempotask.pool.clerk import Clerk
from tempotask.pool.control_block import BUSY, IDLE, SPENT, STARTING
from tempotask.pool.deaths import Cause, Death, Findings, Recovery
from tempotask.pool.orders import Cancel
from tempotask.pool.places import Places
from tempotask.pool.pool import Died, UnifiedWorkerPool
from tempotask.pool.recycling import Recycling
from tempotask.pool.report import AppReport, ExitStatus, WorkerSpec
from tempotask.pool.watch import Watch

log = logging.getLogger("tempotask")

SHORT_LIFE, FIRST_PAUSE, LONGEST_PAUSE = 2.0, 0.1, 30.0
"""A worker that died without having been ready, or younger than this (seconds) and before it ran a job, is replaced
after a pause that doubles each time."""
MOST_NAMED = 10
"""Jobs that one line of the log names; as JSON it has all."""
PATIENCE = 1.0
"""Seconds that a birth or the report of a death may take before somebody looks whether the nursery was stopped."""

_numbers = itertools.count(1)
"""Of workers, of whatever generation: none has the name of one before it."""


class Generation:
    """The workers of one imported application: spawned, watched, cleared up after, replaced, retired."""

    def __init__(
        self,
        pool: UnifiedWorkerPool,
        report: AppReport,
        clerk: Clerk,
        recovery: Recovery,
        wake_fd: int,
        places: Places,
    ) -> None:
        self.pool = pool
        self.report = report
        self.retiring = False
        self.burying = 0
        """Dead workers whose jobs are being given back."""
        self._clerk = clerk
        self._recovery = recovery
        self._wake_fd = wake_fd
        self._places = places
        self._recycling = Recycling(Options.decode(report.options))
        self._watches: dict[str, Watch] = {}
        self._ordered: set[str] = set()
        self._not_before = 0.0
        self._since = time.monotonic()
        """Since when the nursery keeps us waiting."""
        self.failures = 0
        """How many workers could not be started, or died of their start, since one has lived for a while."""
        self.is_change = False
        """Whether it is of changed code, and nobody has been told that this is at work."""
        self.was_ready = False
        """Whether all its workers have been through their start."""
        self._refused = False
        """Whether the system refused the last of these."""

    # -- how it stands

    @property
    def ended(self) -> bool:
        """Whether nobody is left, and everything has been given back."""
        return not self.pool.workers and not self._ordered and not self.burying

    def ready(self, count: int) -> bool:
        """Whether so many workers have been through their start."""
        return sum(watch.state != STARTING for watch in self._watches.values()) >= count

    def idle(self) -> bool:
        """Whether all workers wait for work, but for those that are not through their start, and have none."""
        return not self.burying and all(watch.state in (IDLE, SPENT, STARTING) for watch in self._watches.values())

    def busy(self) -> bool:
        """Whether a worker has to be looked at."""
        return any(watch.state == BUSY for watch in self._watches.values())

    def runs(self) -> bool:
        """Whether a worker runs a job right now."""
        return any(watch.peek().running is not None for watch in self._watches.values())

    def deadlines(self) -> list[float]:
        """Times of the monotonic clock that a tick must not miss."""
        times = [when for watch in self._watches.values() if (when := watch.next_deadline()) is not None]
        if self._waits():
            times.append(self._since + PATIENCE)
        return [*times, self._not_before] if self._not_before > time.monotonic() else times

    def holdings(self) -> dict[str, tuple[int, str, int | None]]:
        """Which turn each worker has in hand, its number and its name, and which index of it runs."""
        looks = {name: watch.peek() for name, watch in self._watches.items()}
        held = {name: (look.turn, look.name, look.running) for name, look in looks.items()}
        return held | dict.fromkeys(self._ordered, (0, "", None))

    @property
    def why_none_starts(self) -> str:
        """What there is to say when too many starts have failed."""
        if self._refused:
            return "workers can't be started: what the system says is above; mend it or have fewer, and start again"
        return "workers do not live through their start: what they said is above; mend it, and start again"

    # -- what is done with it

    def fill(self, supervisor: str, lease: float, count: int) -> None:
        """Has workers registered and forked until there are `count`, not counting those that leave."""
        if self.retiring or time.monotonic() < self._not_before:
            return
        staying = sum(not watch.leaving for watch in self._watches.values())
        for _ in range(count - staying - len(self._ordered)):
            self._spawn(supervisor, lease)

    def tick(self, now: float) -> None:
        """Looks at every worker, and at the nursery if that keeps us waiting."""
        for watch in self._watches.values():
            watch.tick(now)
            if watch.ready_at and not watch.lives and now - watch.ready_at >= SHORT_LIFE:
                watch.lives, self.failures = True, 0
        if not self._waits():
            self._since = now
        elif now - self._since >= PATIENCE:
            self._since = now
            if self.pool.resume_nursery():
                log.warning("the process that imports %s was stopped, and goes on", self.pool.application)
        if not self.retiring:
            self._recycling.tick(self._watches.values(), bool(self._ordered), now)

    def _waits(self) -> bool:
        """Whether the nursery has a worker to bear, or a death to report."""
        return any(not worker.pid or worker.state == "ending" for worker in self.pool.workers.values())

    def cancel(self, worker: str, order: Cancel) -> None:
        """Has a job of a worker end, or not start. One that another generation has is passed over."""
        watch = self._watches.get(worker)
        if watch is not None:
            what = order.job.id if order.job else f"{order.index} of turn {order.turn}"
            log.debug("job %s of worker %s is cancelled", what, worker)
            watch.cancel(order)

    def resume(self, worker: str) -> None:
        """Has a worker go on if somebody has stopped it: it is idle, and has been handed jobs. One that another
        generation has is passed over."""
        watch = self._watches.get(worker)
        if watch is not None and watch.resume():
            log.warning("worker %s was stopped while it was handed jobs, and goes on", worker)

    @property
    def watches(self) -> Iterable[Watch]:
        """The eyes on its workers."""
        return self._watches.values()

    def steal(self) -> None:
        """Has every worker give back what it has not started."""
        for watch in self._watches.values():
            watch.steal()

    def retire(self) -> None:
        """Has every worker end after the job that it runs."""
        self.retiring = True
        for watch in self._watches.values():
            watch.retire()

    def kill(self) -> None:
        """Ends every worker at once; what ran goes back unmarked."""
        self.retiring = True
        for watch in self._watches.values():
            watch.kill()

    def _spawn(self, supervisor: str, lease: float) -> None:
        name = f"{supervisor}.{next(_numbers)}"
        store = self._clerk.store
        self._ordered.add(name)

        def registered(known: bool) -> None:
            self._ordered.discard(name)
            if not known or self.retiring:
                self._clerk.ask(lambda: store.give_back_all(name))
                # Swept: the next renewal shows it, and until then asking again is in vain.
                self._not_before = time.monotonic() + FIRST_PAUSE
                return
            url = store.server.url
            assert url is not None, "settled before the first worker is asked for"
            place = self._places.next(watch.worker.spec.place for watch in self._watches.values() if not watch.leaving)
            spec = WorkerSpec(name, supervisor, url, store.namespace, self._wake_fd, place)
            try:
                self.pool.ask_for(spec)
            except OSError as error:
                self._clerk.ask(lambda: store.give_back_all(name))
                if time.monotonic() >= self._not_before:
                    self._refused = True
                    log.warning("worker %s can't be started: %s%s", name, refusal(error), self._pause())
                return
            self._watches[name] = Watch(self.pool.workers[name], self._give_back)

        # Registered before it is forked: a turn never registers, so the turn of a dead worker can't bring it back.
        self._clerk.ask(lambda: store.register(supervisor, lease, workers=[name]), registered)

    def _give_back(self, worker: str, turn: str, start: int) -> None:
        self._clerk.ask(lambda: self._clerk.store.give_back_tail(worker, turn, start))

    # -- births and deaths

    def recover(self, event: Died, recovered: Callable[[], None]) -> None:
        """A worker has died; `recovered` is called when what it held has been given back."""
        worker = event.worker
        watch = self._watches.pop(worker.id)
        death = watch.death(str(event.status), signal=event.status.signal, nursery_died=event.nursery_died)
        worker.close()
        pause = self._pause_after(watch, death)
        self.burying += 1

        def found(findings: Findings) -> None:
            self.burying -= 1
            self._report(worker.id, watch, death, findings, event.status, pause)
            recovered()

        self._clerk.ask(lambda: self._recovery.recover(death), found)

    def _pause_after(self, watch: Watch, death: Death) -> str:
        """Has the next worker wait if this one died of its start; says so."""
        age = time.monotonic() - watch.worker.born_at
        if death.cause not in (Cause.CRASH, Cause.TIMEOUT):
            return ""
        if watch.last_state != STARTING and (age >= SHORT_LIFE or death.running is not None or death.ended):
            self.failures = 0
            return ""
        self._refused = not watch.worker.pid
        return self._pause() if self._refused else f", {age:.1f} s after its start{self._pause()}"

    def _pause(self) -> str:
        """One more has failed: has the next one wait, longer each time."""
        self.failures += 1
        pause = growing(FIRST_PAUSE, LONGEST_PAUSE, self.failures)
        self._not_before = time.monotonic() + pause
        return f"; the next one starts in {pause:.1f} s"

    def _report(
        self, name: str, watch: Watch, death: Death, findings: Findings, status: ExitStatus, pause: str
    ) -> None:
        if death.cause is Cause.STOP and (status.signal is None or watch.last_state == STARTING):
            if findings.given_back:
                log.info("worker %s ended; %d jobs given back", name, findings.given_back)
            return
        # Not the watch's: a worker may have been born and have died between two looks.
        pid = watch.worker.pid
        told: dict[str, Any] = {"worker": name, "pid": pid, "signal": status.signal, "code": status.code}
        others = f"; {findings.given_back} jobs given back" if findings.given_back else ""
        if not pid:
            # Why is told by the nursery, or by the end of that.
            log.log(logging.WARNING if pause else logging.INFO, "worker %s was never born%s", name, pause, extra=told)
            return
        if findings.suspected:
            told["suspected"] = [job.id for job in findings.suspected]
            log.warning(
                "worker %s (pid %d) %s behind the end of %s, one of which may have done it: each runs again, alone%s",
                name, pid, death.how, _several(told["suspected"]), others, extra=told,
            )  # fmt: skip
            return
        if findings.job is None:
            ran = "no job" if death.running is None else "one that others have by now"
            others = pause + others
            log.warning("worker %s (pid %d) %s while it ran %s%s", name, pid, death.how, ran, others, extra=told)
            return
        job = findings.job
        told |= {"job": job.id, "queue": job.queue, "name_of_job": job.name, "verdict": findings.verdict}
        # Nothing is wrong when a job is cancelled.
        log.log(
            logging.INFO if death.cause is Cause.CANCEL else logging.WARNING,
            "worker %s (pid %d) %s while it ran job %s (%s/%s), which %s%s",
            name, pid, death.how, job.id, job.queue, job.name, findings.verdict, others, extra=told,
        )  # fmt: skip


def _several(jobs: list[str]) -> str:
    """Jobs as a line of the log names them."""
    more = f" and {len(jobs) - MOST_NAMED} more" if len(jobs) > MOST_NAMED else ""
    return f"{len(jobs)} jobs ({', '.join(jobs[:MOST_NAMED])}{more})"
