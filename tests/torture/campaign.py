"""A campaign: part after part, in the plain world or in one of a fault's own, until all is done or time is over."""

from __future__ import annotations

import random
import shutil
import time
import traceback
from collections.abc import Callable, Sequence
from typing import NamedTuple

from torture.fault import WAY, Fault, NotHere, Setting
from torture.judge import OTHER, Found, Verdict
from torture.leftovers import Census, end_all, left
from torture.part import Attempt, Part
from torture.tally import Tally
from torture.world import World

PLAIN = Setting()
TOGETHER = ((1, 3), (2, 3), (3, 1))
"""How many faults a mixed part has, and how often."""


class Size(NamedTuple):
    """How much there is to do."""

    jobs: int
    """Short jobs that are added for each fault, at least; each has a child, which is another one."""
    backlog: int
    """So many of them always wait, while a fault is injected."""


class Campaign:
    """Runs parts and counts. `watch` is called with the tally whenever something has happened."""

    def __init__(self, faults: Sequence[Fault], seed: int, size: Size, watch: Callable[[Tally, str], None]) -> None:
        self._faults = list(faults)
        self._size = size
        self._watch = watch
        self._chance = random.Random(seed)
        self._census = Census.take()
        self._world: World | None = None
        """The plain one."""
        self._open: World | None = None
        """The one that is there."""
        self._before = self._census
        self._part: Part | None = None
        self.tally = Tally()
        for fault in self._faults:
            self.tally.row(fault.name, fault.group)

    # -- which faults, in which order

    def once(self) -> None:
        """Each fault once: those that may be mixed in twos, in the plain world."""
        deck = self._shuffled()
        for plain in (True, False):
            these = [fault for fault in deck if is_plain(fault) is plain]
            while these:
                self._run(drawn_from(these, 2))
            self._close_plain()

    def go_on(self, until: float) -> None:
        """Faults in an order of chance, each as often as the others but for rare ones, until that
        moment of the monotonic clock."""
        deck = self._shuffled()
        while time.monotonic() < until:
            deck = deck or [fault for fault in self._shuffled() if not fault.rare] or self._shuffled()
            self._run(drawn_from(deck, self._chance.choices(*zip(*TOGETHER, strict=True))[0]))
        self._close_plain()

    def _shuffled(self) -> list[Fault]:
        return self._chance.sample(self._faults, len(self._faults))

    # -- one part

    def _run(self, faults: list[Fault]) -> None:
        """Runs one part, and counts what came of it."""
        seed = self._chance.randrange(1 << 31)
        names = [fault.name for fault in faults]
        self._watch(self.tally, " + ".join(names))
        attempts: list[Attempt] = []
        try:
            world = self._world_for(faults[0], seed)
            self._part = Part(world, faults, seed, self._size.jobs * len(faults), self._size.backlog)
            attempts = self._part.attempts
            verdict = self._part.run()
        except Exception:
            # The rest of the campaign is not to be lost with it.
            trace = traceback.format_exc().splitlines()
            verdict = Verdict(0, 0, 0, [Found(OTHER, f"no verdict: {trace[-1]}", "", trace)])
        self._part = None
        plain = self._open is not None and self._open is self._world
        failed = bool(verdict.found) or any(attempt.error for attempt in attempts)
        kept = self._close(verdict) if failed or not plain else ""
        self._count(attempts)
        self.tally.count(names, verdict, kept)
        self._watch(self.tally, "")

    def _world_for(self, fault: Fault, seed: int) -> World:
        """The plain world, or a fresh one."""
        if not is_plain(fault):
            self._close_plain()
            return self._begin(fault.setting, seed)
        if self._world is None:
            self._world = self._begin(PLAIN, seed)
        return self._world

    def _begin(self, setting: Setting, seed: int) -> World:
        self._before = Census.take()
        self._open = world = World(setting, seed)
        world.start()
        return world

    def _close(self, verdict: Verdict) -> str:
        """Closes a world and looks for what it left behind; the folder, if that is kept as there is a violation."""
        world, self._open, self._world = self._open, None, None
        if world is None:
            return ""
        evidence = _evidence(world) if verdict.found else ""
        world.close(keep=True)
        verdict.found += [Found(OTHER, f"left behind: {what}") for what in left(self._before, world.folder)]
        if not verdict.found:
            shutil.rmtree(world.folder)
            return ""
        found = [f"{one.kind}: {one.text}\n    " + "\n    ".join(one.evidence) for one in verdict.found]
        (world.folder / "found").write_text("\n\n".join(found) + "\n")
        (world.folder / "evidence").write_text(evidence)
        return str(world.folder)

    def _close_plain(self) -> None:
        """Closes the plain world, if there is one; what it left behind is a violation of all of its parts."""
        if self._world is None:
            return
        verdict = Verdict(0, 0, 0, [])
        kept = self._close(verdict)
        self.tally.count([], verdict, kept)

    def _count(self, attempts: list[Attempt]) -> None:
        for attempt in attempts:
            row = self.tally.rows[attempt.fault.name]
            if attempt.injection is not None:
                row.injected += 1
                self.tally.injected += 1
                row.note(attempt.injection.note)
                if attempt.injection.noticed is not None:
                    row.noticed.append(attempt.injection.noticed)
                if attempt.back is not None and len(attempts) == 1:
                    row.back.append(attempt.back)
            elif isinstance(attempt.error, NotHere):
                row.not_here = str(attempt.error)
            elif attempt.overtaken:
                row.note("another fault was there first")
            else:
                row.failed += 1
                row.note(f"{type(attempt.error).__name__}: {attempt.error}")
                self.tally.failures.append((attempt.fault.name, attempt.trace or str(attempt.error)))

    def end(self) -> None:
        """Ends all that is still there, whatever happened."""
        try:
            if self._part is not None:
                self._part.abandon()
            if self._open is not None:
                self._open.close()
        finally:
            end_all(self._census)


def is_plain(fault: Fault) -> bool:
    """Whether it is injected in the plain world, where it may be mixed with others."""
    return fault.mixed and fault.setting == PLAIN


def drawn_from(deck: list[Fault], number: int) -> list[Fault]:
    """Takes the next fault from a deck, and with it up to `number` in all that may be mixed with it."""
    drawn = [deck.pop(0)]
    if not is_plain(drawn[0]):
        return drawn
    for fault in list(deck):
        taken = any(other.group in WAY for other in drawn) and fault.group in WAY
        if len(drawn) < number and is_plain(fault) and not taken:
            deck.remove(fault)
            drawn.append(fault)
    return drawn


def _evidence(world: World) -> str:
    """All that the ledger holds and the supervisors said."""
    said = [f"{one.process.pid}: {line}" for one in (*world.gone, *world.supervisors) for line in one.lines]
    return "\n".join([*said, *map(str, world.ledger.entries())]) + "\n"
