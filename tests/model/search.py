"""Search: all states that can be reached, the shortest way first; then whether all is well from each of them.

Safety is checked in each state, on each move. That nothing is lost is checked on the whole graph: from every state
there must be a way to where all is done, by moves that happen of themselves, without any more faults.
"""

from __future__ import annotations

import itertools
import time
from array import array
from dataclasses import dataclass, field

from model.actions import FALLBACK, FAULT, Moves, clients, hosts, running, turns, watching, world
from model.canonical import canonical
from model.invariants import is_done, violation
from model.setting import Setting
from model.state import State, load

ACTIONS = (turns, running, watching, clients, world, hosts)


def moves(state: State) -> Moves:
    """All that can happen next."""
    for action in ACTIONS:
        yield from action.moves(state)


@dataclass
class Found:
    """What a search came to."""

    states: int = 0
    depth: int = 0
    seconds: float = 0.0
    wrong: str = ""
    """What was violated; empty when nothing was."""
    trace: list[str] = field(default_factory=list)
    """What leads there, in words."""


class Search:
    """The search of one setting; `fallbacks`: whether what happens after a long time counts as happening."""

    def __init__(self, setting: Setting, *, fallbacks: bool = True) -> None:
        self._setting = setting
        self._worst = FALLBACK if fallbacks else FALLBACK - 1
        self._at: dict[tuple[object, ...], int] = {}
        self._keys: list[tuple[object, ...]] = []
        self._parents = array("i")
        self._from, self._to = array("i"), array("i")
        self._done = array("i")

    def run(self, most: int = 5_000_000) -> Found:
        """Searches all states; stops at the first violation. Raises `RuntimeError` beyond `most` states."""
        began, found = time.process_time(), Found()
        start = self._setting.start()
        self._see(canonical(start), -1)
        end, level_end = 0, 1
        while end < len(self._keys):
            if end == level_end:
                found.depth, level_end = found.depth + 1, len(self._keys)
            if wrong := self._expand(end):
                found.wrong, found.trace = wrong[0], [*self._way(end), wrong[1]]
                break
            end += 1
            if len(self._keys) > most:
                raise RuntimeError(f"there are more than {most} states")
        else:
            if (stuck := self._stuck()) is not None:
                found.wrong = "from here on, jobs or those who wait for them are never done"
                found.trace = [*self._way(stuck), f"(left: {_left(load(self._setting, self._keys[stuck]))})"]
        found.states, found.seconds = len(self._keys), time.process_time() - began
        return found

    def _see(self, key: tuple[object, ...], parent: int) -> int:
        number = self._at.setdefault(key, len(self._keys))
        if number == len(self._keys):
            self._keys.append(key)
            self._parents.append(parent)
        return number

    def _expand(self, number: int) -> tuple[str, str] | None:
        state = load(self._setting, self._keys[number])
        if is_done(state):
            self._done.append(number)
        for words, kind, after in moves(state):
            known = len(self._keys)
            successor = self._see(canonical(after, state), number)
            if wrong := after.wrong or (violation(after) if successor == known else ""):
                return wrong, words
            if kind <= self._worst and kind != FAULT:
                self._from.append(number)
                self._to.append(successor)
        return None

    def _stuck(self) -> int | None:
        """The first state from which no way leads to where all is done."""
        size = len(self._keys)
        begins = array("i", [0]) * (size + 1)
        for number in self._to:
            begins[number + 1] += 1
        for number in range(size):
            begins[number + 1] += begins[number]
        before, next_free = array("i", [0]) * len(self._to), begins[:]
        for source, target in zip(self._from, self._to, strict=True):
            before[next_free[target]] = source
            next_free[target] += 1
        well, todo = bytearray(size), list(self._done)
        for number in todo:
            well[number] = 1
        while todo:
            number = todo.pop()
            for source in before[begins[number] : begins[number + 1]]:
                if not well[source]:
                    well[source] = 1
                    todo.append(source)
        first = well.find(0)
        return None if first < 0 else first

    def _way(self, number: int) -> list[str]:
        """The words of the moves that lead to a state."""
        chain = [number]
        while self._parents[chain[-1]] >= 0:
            chain.append(self._parents[chain[-1]])
        chain.reverse()
        words = []
        for before, after in itertools.pairwise(chain):
            state = load(self._setting, self._keys[before])
            words.append(next(told for told, _, next_ in moves(state) if canonical(next_, state) == self._keys[after]))
        return words


def _left(state: State) -> str:
    jobs = [job for job, outcome in enumerate(state.outcomes) if not outcome]
    return f"jobs {jobs} have no outcome" if jobs else "somebody waits in vain"
