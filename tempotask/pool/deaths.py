"""Deaths: whose fault it was, and what becomes of the jobs that a dead worker held.

Only the job that ran is blamed: its flag `c` counts its crashes. The others go back to the front of their queues
without a mark. Where nobody knows which one it was, of a lost host, a lost nursery, or several that had just ended,
each of them is suspected: its flag `h` counts that. With either flag a job is claimed alone.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import msgspec

from tempotask.options import DEFAULTS, merged
from tempotask.pool.failure import ended_badly, with_children
from tempotask.pool.report import TaskReport
from tempotask.pool.run import Run, Told
from tempotask.pool.settling import Settling
from tempotask.store.records import Failure, Record, RunOptions, Unreadable, decode_record, encode, flag, raised
from tempotask.store.said import Live, is_started, live_of
from tempotask.store.store import Store


class Cause(enum.Enum):
    """Why a worker died, as far as its job is concerned."""

    CRASH = "crash"
    """Of itself: the job's crash count goes up."""
    TIMEOUT = "timeout"
    """Killed for the time limit of its job: that try failed."""
    CANCEL = "cancel"
    """Killed because its job was cancelled, and so is no job of the server's any more."""
    MEMORY = "memory"
    """Killed for the memory that its job took: counts as a crash."""
    NURSERY = "nursery"
    """It went with its nursery: one of the jobs that ran may have killed that, and nobody knows which."""
    STOP = "stop"
    """Ended by us, for reasons that are not the job's."""


class Death(NamedTuple):
    """What is known of a worker's end: the turn it had in hand (`Look.name`), and the index that ran, if one did."""

    worker: str
    cause: Cause
    turn: str
    running: int | None
    since: float
    """From when it was at the job that it had come to, by the monotonic clock."""
    how: str
    """For the log and for whoever asks: "was killed by SIGKILL"."""
    job: Record | None = None
    """The job that ran, where the server does not hold it any more."""
    ended: range = range(0)
    """Where none ran: the indices that had ended and may not have been settled."""


class Findings(NamedTuple):
    """What became of a dead worker's jobs."""

    job: Record | None
    """The one that ran, if it was still held."""
    verdict: str
    """What became of that one, in words."""
    given_back: int
    """How many others."""
    suspected: Sequence[Record] = ()
    """Where none ran: those of which one may have done it. They run again, each alone."""


_SEEN_TO = "had been seen to already"
"""The verdict on a job that was not held any more when it was to be passed: by another supervisor, or by a first call
whose answer was lost."""


class Recovery:
    """Gives back what dead workers held. `tasks` are those that the application declares."""

    def __init__(self, store: Store, tasks: Collection[TaskReport], limits: Mapping[str, int]) -> None:
        self._store = store
        self._options = {(task.queue, task.name): decode_options(task.options) for task in tasks}
        self._final = {(task.queue, task.name) for task in tasks if task.time_outs_final}
        self._limits = limits

    def recover(self, death: Death) -> Findings:
        """Gives back all that the worker held, with a verdict on the job that ran. May be done twice."""
        if death.running is None and death.cause is Cause.CRASH:
            turn, suspects = self._suspects(death)
            if len(suspects) > 1:
                why = f"its process {death.how} behind it"
                given_back, suspected = self._suspect(death.worker, turn, suspects, why)
                return Findings(None, "", _others(given_back, len(suspected)), suspected)
            death = death._replace(running=next(iter(suspects), None))
        if death.running is None:
            given_back, _ = self._store.give_back_all(death.worker)
            return Findings(None, "", given_back)
        turn, claims = self._store.opened(death.worker)
        held = claims[death.running] if turn == death.turn and death.running < len(claims) else b""
        if not held:
            given_back, _ = self._store.give_back_all(death.worker)
            return Findings(death.job, "was cancelled" if death.job else "", given_back)
        record = decode_record(held)
        # One that can't be read runs nothing.
        if death.cause in (Cause.STOP, Cause.CANCEL) or isinstance(record, Unreadable):
            given_back, _ = self._store.give_back_all(death.worker)
            return Findings(record, "runs again, unmarked", _others(given_back))
        options, children = self.options_of(record), self._children_of(record, death.worker)
        if death.cause is Cause.TIMEOUT:
            failure = Failure("JobTimeout", f"the time of this try was over, and its process {death.how}")
            final = (record.queue, record.name) in self._final
            run = ended_badly(record, options, failure, death.since, children, final=final)
            return self._settle(death, run, "failed as JobTimeout" if run.status else "is tried again")
        return self._blame(death, turn, record, options, children)

    def _blame(
        self, death: Death, turn: str, record: Record, options: RunOptions, children: list[str] | None
    ) -> Findings:
        """The verdict on a job whose process died under it: it runs again, alone, unless that was once too often."""
        assert death.running is not None
        nursery_died = death.cause is Cause.NURSERY
        letter, most = ("h", _most_suspected(options)) if nursery_died else ("c", int(options.max_crashes or 1))
        blamed = raised(record, letter)
        count = flag(blamed, letter)
        if count < most:
            replaced = [(death.running, encode(with_children(blamed, children)))]
            self._tell_start(record, death.worker, turn, death.running, death.since)
            given_back, counted = self._store.give_back_all(death.worker, turn, [death.running], replaced)
            verdict = f"runs again, alone ({'suspected' if nursery_died else 'crash'} {count} of {most})"
            return Findings(record, verdict if counted else _SEEN_TO, _others(given_back))
        why = f"its process {death.how}"
        told = _suspected(f"{why} with its nursery", count) if nursery_died else f"{why}, for the {_nth(count)} time"
        failure = Failure("WorkerCrashed", told)
        run = ended_badly(record, options, failure, death.since, children, final=True)
        return self._settle(death, run, "failed as WorkerCrashed")

    def _suspects(self, death: Death) -> tuple[str, dict[int, bytes]]:
        """What had ended, and not been settled, when a worker died without a job that ran: it may have died of that,
        of a thread that was left behind, say. The only one counts as the one that ran. Several are suspected, so that
        each is claimed alone from then on, and is the only one the next time."""
        turn, claims = self._store.opened(death.worker)
        if turn != death.turn:
            return turn, {}
        return turn, {index: claims[index] for index in death.ended if index < len(claims) and claims[index]}

    def _settle(self, death: Death, run: Run, verdict: str) -> Findings:
        assert death.running is not None
        run.told = self._told(run.record, death.worker, death.turn, death.running)
        run.progress = run.told.progress
        settlement = Settling(death.worker, self._limits).settlement([run], events=True)
        given_back, counted = self._store.give_back_all(
            death.worker, death.turn, [death.running], settlement=settlement
        )
        return Findings(run.record, verdict if counted else _SEEN_TO, given_back)

    def lost_host(self, worker: str) -> None:
        """Gives back what a worker of a lost host held, each job as a suspect."""
        turn, claims = self._store.opened(worker)
        self._suspect(worker, turn, dict(enumerate(claims)), "its host was lost while it was there")

    def _suspect(self, worker: str, turn: str, claims: Mapping[int, bytes], why: str) -> tuple[int, list[Record]]:
        """Gives back all that a worker held, how many; those of these claims that are still held as suspects, which
        ones. One that was suspected too often fails."""
        judged, replaced, suspected, runs = [], [], list[Record](), list[Run]()
        for index, held in claims.items():
            if not held:
                continue
            record = decode_record(held)
            if isinstance(record, Unreadable):
                # It goes back as it is.
                continue
            record = raised(record, "h")
            options, count = self.options_of(record), flag(record, "h")
            if count < _most_suspected(options):
                replaced.append((index, encode(record)))
                suspected.append(record)
                continue
            failure = Failure("WorkerCrashed", _suspected(why, count))
            run = ended_badly(record, options, failure, time.monotonic(), final=True)
            run.told = self._told(record, worker, turn, index)
            runs.append(run)
            judged.append(index)
        settlement = Settling(worker, self._limits).settlement(runs, events=True)
        given_back, counted = self._store.give_back_all(worker, turn, judged, replaced, settlement)
        return given_back, suspected if counted else []

    def _children_of(self, record: Record, worker: str) -> list[str] | None:
        """What this try has added, as far as its worker came to tell."""
        live = live_of(self._store.read("HGET", "live", record.id), worker, record.tries + 1)
        return None if live is None else live.children

    def _told(self, record: Record, worker: str, turn: str, index: int) -> Told:
        """What the worker had told of a job while it ran."""
        live = self._store.read("HGET", "live", record.id)
        said = live_of(live, worker, record.tries + 1)
        progress = None if said is None else said.progress
        return Told(logged=bool(live), started=is_started(live, worker, turn, index), progress=progress)

    def _tell_start(self, record: Record, worker: str, turn: str, index: int, since: float) -> None:
        """Tells those who listen that this job started, if its worker did not come to say so: next they are told that
        it stalled."""
        if not self._told(record, worker, turn, index).started:
            began = since + time.time() - time.monotonic()
            started = Settling(worker, self._limits).started(record, began)
            known = encode(Live(worker, record.tries + 1, began))
            self._store.run("say", worker, turn, index, record.id, started, b"", known)

    def options_of(self, record: Record) -> RunOptions:
        """What holds for a job: what its call gave, else what its task declares."""
        return merged(record.options, self._options.get((record.queue, record.name), DEFAULTS))


def _others(given_back: int, judged: int = 1) -> int:
    """How many went back beside those that are told of by name. Of these, none may have: cancelled meanwhile, or gone
    with a first call whose answer was lost."""
    return max(0, given_back - judged)


def _most_suspected(options: RunOptions) -> int:
    """How often a job may be suspected before it fails: others were there too, so twice as often as it may crash."""
    return 2 * int(options.max_crashes or 1)


def _suspected(why: str, count: int) -> str:
    return f"{why}: the {_nth(count)} death of a process or a host that it may have caused"


def _nth(number: int) -> str:
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def decode_options(told: bytes) -> RunOptions:
    """A task's run options, as the application's report brings them."""
    return msgspec.msgpack.decode(told, type=RunOptions)
