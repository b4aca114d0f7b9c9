"""The judge: what was lost, settled twice, wrongly blamed, by the ledger and by nothing of the code under test."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tempotask.store.records import decode_outcome, plain
from torture.chore import KEEP
from torture.debts import Owed
from torture.ledger import Entry
from torture.receipts import UNTOLD, Receipt
from torture.world import World

LOST, TWICE, BLAMED = "lost", "settled twice", "wrongly blamed"
OTHER = "other"
"""What `check` finds, what stays behind, what a fault sees for itself, what never comes back to work."""
SUSPECTED = "suspected"
"""The verdict on each of several jobs that had ended when their process died, one of which may have done it."""
MOST_EVIDENCE = 60
"""Lines."""
MOST_SHOWN = 20
"""So many violations of a kind are told with their evidence; the rest are counted."""


class Ended(NamedTuple):
    """What the server says of how a job ended."""

    word: str
    """`completed`, `cancelled`, or the type of the failure."""
    result: Any = None
    message: str = ""


class Blame(NamedTuple):
    """What a supervisor said of a dead worker."""

    pid: int
    job: str
    verdict: str
    line: str


@dataclass
class Found:
    """A violation, with what is needed to understand it."""

    kind: str
    text: str
    job: str = ""
    evidence: list[str] = field(default_factory=list)


@dataclass
class Verdict:
    jobs: int
    """How many jobs ended, children among them."""
    reruns: int
    """How many runs were not the first of their try: what a fault inherently costs."""
    lost_by_nature: int
    found: list[Found]


@dataclass
class Facts:
    """All that a judgement is made of."""

    owed: Mapping[str, Owed]
    maybe: Mapping[str, Owed] = field(default_factory=dict)
    entries: Sequence[Entry] = ()
    outcomes: Mapping[str, Ended] = field(default_factory=dict)
    receipts: Sequence[Receipt] = ()
    blames: Sequence[Blame] = ()
    completed: int | None = None
    """By how much the counters of completed jobs have grown."""
    allows: frozenset[str] = frozenset()
    now: float = field(default_factory=time.monotonic)


class Case:
    """Facts, sorted by what is asked of them."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.of_job: dict[str, list[Entry]] = defaultdict(list)
        self.of_pid: dict[int, list[Entry]] = defaultdict(list)
        self.with_mark: dict[str, dict[str, None]] = defaultdict(dict)
        self.children: dict[str, dict[str, None]] = defaultdict(dict)
        for entry in facts.entries:
            self.of_job[entry.job].append(entry)
            self.of_pid[entry.pid].append(entry)
            (self.children if entry.name == "child" else self.with_mark)[entry.of][entry.job] = None
        self.blamed: dict[str, set[int]] = defaultdict(set)
        for blame in facts.blames:
            if is_blame(blame):
                self.blamed[blame.job].add(blame.pid)

    def judge(self) -> Verdict:
        found = [*self._debts(), *self._marks(), *self._children(), *self._receipts(), *self._blames(), *self._count()]
        shown = Counter[str]()
        for one in found:
            shown[one.kind] += 1
            if shown[one.kind] <= MOST_SHOWN:
                one.evidence = one.evidence or self.evidence(one.job)
        ended = {entry.job for entry in self.facts.entries if entry.what != "start"} | self.facts.outcomes.keys()
        starts = Counter((entry.job, entry.attempt) for entry in self.facts.entries if entry.what == "start")
        missing = self.facts.owed.keys() - self.facts.outcomes.keys() if "lost" in self.facts.allows else ()
        return Verdict(len(ended), sum(starts.values()) - len(starts), len(missing), found)

    # -- one after the other

    def _debts(self) -> Iterator[Found]:
        for id, owed in self.facts.owed.items():
            yield from self._job(id, owed)
        for mark, owed in self.facts.maybe.items():
            for id in self.with_mark.get(mark, ()):
                yield from self._job(id, owed)

    def _job(self, id: str, owed: Owed) -> Iterator[Found]:
        """A job that is owed: it has an outcome, and one that it may have."""
        ended = self.facts.outcomes.get(id)
        runs = {entry.run: entry for entry in self.of_job.get(id, ()) if entry.what == "end"}
        if ended is None:
            old = any(self.facts.now - entry.at > 0.8 * KEEP for entry in runs.values())
            if not old and "lost" not in self.facts.allows:
                yield Found(LOST, f"job {id} has no outcome, and {'ended' if runs else 'never ended'}", id)
            return
        if ended.word == "WorkerCrashed" and "lost" not in self.facts.allows:
            deaths = self.deaths(id)
            if len(deaths) < owed.max_crashes:
                yield Found(BLAMED, f"job {id} failed as WorkerCrashed after {len(deaths)} deaths", id)
        elif ended.word == "JobTimeout" and not owed.has_timeout:
            yield Found(BLAMED, f"job {id} has no timeout, and failed as JobTimeout", id)
        elif ended.word not in owed.expect:
            yield Found(LOST, f"job {id} ended as {ended.word} ({ended.message}), not {' or '.join(owed.expect)}", id)
        bears_mark = owed.is_chore or str(ended.result).startswith(f"{id}/")
        if ended.word == "completed" and bears_mark and ended.result not in runs:
            yield Found(LOST, f"job {id} completed with {ended.result!r}, which no run of it has finished with", id)

    def _marks(self) -> Iterator[Found]:
        """Each job was made once, and by somebody."""
        known = {owed.mark for owed in self.facts.owed.values()} | self.facts.maybe.keys()
        for mark, ids in self.with_mark.items():
            if mark == "-":
                continue
            if len(ids) > 1:
                yield Found(TWICE, f"one adding made {len(ids)} jobs: {', '.join(ids)}", next(iter(ids)))
            if mark not in known:
                yield Found(TWICE, f"job {next(iter(ids))} was never added", next(iter(ids)))

    def _children(self) -> Iterator[Found]:
        """Each completed chore has one child, which completes; others have none."""
        chores = {id for id, owed in self.facts.owed.items() if owed.is_chore}
        chores |= {id for mark in self.facts.maybe for id in self.with_mark.get(mark, ())}
        for parent in chores:
            ended, children = self.facts.outcomes.get(parent), self.children.get(parent, {})
            if ended is not None and ended.word == "completed":
                if len(children) > 1 and "rerun" not in self.facts.allows:
                    yield Found(TWICE, f"job {parent} has {len(children)} children: {', '.join(children)}", parent)
                if not children and "lost" not in self.facts.allows:
                    yield Found(LOST, f"the child of job {parent} never started", parent)
            elif children and ended is not None:
                yield Found(TWICE, f"job {parent} ended as {ended.word}, and has a child", parent)
            for child in children:
                yield from self._job(child, Owed(parent))

    def _receipts(self) -> Iterator[Found]:
        """Who waits is told, once and for all."""
        for told in self.facts.receipts:
            ended = self.facts.outcomes.get(told.job)
            if told.word in (UNTOLD, "JobNotFound", "ResultExpired"):
                if "lost" not in self.facts.allows:
                    yield Found(LOST, f"who waited for job {told.job} got {told.word}", told.job)
                continue
            if self.facts.allows & {"lost", "rerun"}:
                continue
            if ended is not None and (told.word, told.result) != (ended.word, ended.result):
                yield Found(TWICE, f"job {told.job} was {told.word} ({told.result}), and is {ended[:2]} now", told.job)
            late = [one for one in self.of_job.get(told.job, ()) if one.what == "start" and one.at > told.at]
            if late:
                yield Found(TWICE, f"job {told.job} ran again after its result was handed out", told.job)

    def _blames(self) -> Iterator[Found]:
        for blame in self.facts.blames:
            owed = self.facts.owed.get(blame.job)
            if "JobTimeout" in blame.verdict and owed is not None and not owed.has_timeout:
                yield Found(BLAMED, f"job {blame.job} has no timeout, and was ended for it", blame.job)
            if is_blame(blame) and not self.may_be_blamed(blame):
                last = self.of_pid[blame.pid][-1]
                text = f"job {blame.job} is blamed for the death of pid {blame.pid}, whose last entry is: {last}"
                yield Found(BLAMED, text, blame.job)

    def _count(self) -> Iterator[Found]:
        completed = sum(ended.word == "completed" for ended in self.facts.outcomes.values())
        if self.facts.completed is not None and self.facts.completed > completed and not self.facts.allows:
            text = f"{self.facts.completed} jobs are counted as completed, and {completed} have"
            yield Found(TWICE, text, evidence=[text])

    # -- what follows from the entries

    def deaths(self, job: str) -> set[int]:
        """The processes that died over a job: those that did not finish it, and those whose death it is blamed for."""
        runs: dict[tuple[int, int], str] = {(entry.token, entry.pid): entry.what for entry in self.of_job.get(job, ())}
        return {pid for (_, pid), what in runs.items() if what == "start"} | self.blamed[job]

    def may_be_blamed(self, blame: Blame) -> bool:
        """Whether, by the last entry of the dead process, this job may be the one that ran."""
        entries = self.of_pid.get(blame.pid)
        if not entries:
            return True
        if blame.verdict == SUSPECTED:
            ran_there = blame.job not in self.of_job or any(entry.job == blame.job for entry in entries)
            return entries[-1].what != "start" and ran_there
        if entries[-1].job == blame.job:
            return True
        # Of the next one, nothing may have been written down yet.
        return entries[-1].what != "start" and all(entry.job != blame.job for entry in entries)

    def evidence(self, job: str) -> list[str]:
        """All that is known of a job: entries, and what supervisors said of it and of those who ran it."""
        entries = self.of_job.get(job, [])
        pids = {entry.pid for entry in entries} | self.blamed.get(job, set())
        said = [blame.line for blame in self.facts.blames if blame.job == job or blame.pid in pids]
        ends = [str(self.of_pid[pid][-1]) for pid in pids if self.of_pid.get(pid)]
        told = [str(receipt) for receipt in self.facts.receipts if receipt.job == job]
        known = [f"owed: {self.facts.owed.get(job)}", f"outcome: {self.facts.outcomes.get(job)}"]
        return [*known, *map(str, entries), *told, *said, "last entries of those processes:", *ends][:MOST_EVIDENCE]


def is_blame(blame: Blame) -> bool:
    alone = blame.verdict.startswith("runs again, alone")
    return alone or "WorkerCrashed" in blame.verdict or blame.verdict == SUSPECTED


# -- gathering what there is


def judge(world: World, receipts: Sequence[Receipt], allows: frozenset[str]) -> Verdict:
    """Judges all since the last judgement. Nothing may be at work; `world.forget()` begins the next part."""
    entries = world.ledger.entries()
    ids = list({entry.job: None for entry in entries} | dict.fromkeys(world.debts.owed))
    facts = Facts(
        owed=dict(world.debts.owed),
        maybe=dict(world.debts.maybe),
        entries=entries,
        outcomes=outcomes(world, ids),
        receipts=receipts,
        blames=[blame for line in world.new_lines() for blame in read_blames(line)],
        completed=world.newly_completed(),
        allows=allows,
    )
    verdict = Case(facts).judge()
    verdict.found += check(world, allows)
    return verdict


def outcomes(world: World, ids: Sequence[str]) -> dict[str, Ended]:
    """What the server says, asked directly."""
    found: dict[str, Ended] = {}
    for first in range(0, len(ids), 1000):
        part = ids[first : first + 1000]
        for id, encoded in zip(part, world.store.outcomes_of(part), strict=True):
            if encoded is None:
                continue
            outcome = decode_outcome(encoded)
            failure = outcome.failure
            word = failure.type if outcome.status == "failed" and failure else outcome.status
            found[id] = Ended(word, plain(outcome.result), failure.message if failure else "")
    return found


def read_blames(line: str) -> list[Blame]:
    """What a line of a supervisor's log says of a death."""
    if '"verdict"' not in line and '"suspected"' not in line:
        return []
    # What a dying worker says may have begun the line.
    told = json.loads(line[line.index('{"') :])
    if "verdict" in told:
        return [Blame(told["pid"], told["job"], told["verdict"], line)]
    return [Blame(told["pid"], job, SUSPECTED, line) for job in told["suspected"]]


def check(world: World, allows: frozenset[str] = frozenset()) -> list[Found]:
    """What the command finds in the namespace."""
    command = [sys.executable, "-m", "tempotask.cli", "check", "--db", world.server.url]
    done = subprocess.run([*command, "--namespace", world.namespace], capture_output=True, text=True, timeout=120)
    said = (done.stdout + done.stderr).splitlines() or [f"exit status {done.returncode}"]
    if "waiters" in allows and all(line.startswith(("waiters has", "namespace")) for line in said):
        # Of two primaries, one was asked and the other, whose jobs are lost, has answered: what was asked for stays.
        return []
    return [Found(OTHER, f"tempotask check: {said[0]}", "", said)] if done.returncode else []
