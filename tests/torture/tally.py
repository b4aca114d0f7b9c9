"""The tally: what came of each fault, and of all together."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from torture.judge import BLAMED, LOST, MOST_SHOWN, OTHER, TWICE, Found, Verdict

KINDS = (LOST, TWICE, BLAMED, OTHER)
MOST_NOTES = 10


@dataclass
class Row:
    """What came of one fault."""

    name: str
    group: str
    injected: int = 0
    failed: int = 0
    """How often it could not be injected."""
    jobs: int = 0
    """Those of all parts in which it was injected, alone or beside others."""
    found: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    noticed: list[float] = field(default_factory=list)
    back: list[float] = field(default_factory=list)
    """Seconds until every slot had run a job again, where it was injected alone."""
    notes: dict[str, int] = field(default_factory=dict)
    last: int = 0
    """The number of the last part in which it was."""
    not_here: str = ""
    """Why this machine does not let it happen."""

    def note(self, text: str) -> None:
        if text and (text in self.notes or len(self.notes) < MOST_NOTES):
            self.notes[text] = self.notes.get(text, 0) + 1


@dataclass
class Tally:
    """All rows, and the sums, in which nothing counts twice."""

    rows: dict[str, Row] = field(default_factory=dict)
    injected: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    """Faults that could not be injected, and why."""
    jobs: int = 0
    reruns: int = 0
    lost_by_nature: int = 0
    parts: int = 0
    found: Counter[str] = field(default_factory=Counter)
    """How many violations of each kind there are."""
    violations: list[tuple[Found, list[str], str]] = field(default_factory=list)
    """Each with the faults of its part, and the folder that was kept; not all of them where there are very many."""

    def row(self, name: str, group: str) -> Row:
        return self.rows.setdefault(name, Row(name, group))

    def count(self, faults: list[str], verdict: Verdict, kept: str) -> None:
        """Adds what came of one part."""
        self.parts += 1
        self.jobs += verdict.jobs
        self.reruns += verdict.reruns
        self.lost_by_nature += verdict.lost_by_nature
        for kind in KINDS:
            these = [found for found in verdict.found if found.kind == kind]
            self.found[kind] += len(these)
            self.violations += [(found, faults, kept) for found in these[:MOST_SHOWN]]
            for name in faults:
                self.rows[name].found[kind] += len(these)
        for name in faults:
            self.rows[name].jobs += verdict.jobs
            self.rows[name].last = self.parts

    @property
    def holds(self) -> bool:
        """Whether nothing was found, and everything could be injected."""
        return not self.violations and not self.failures


def percentile(values: list[float], share: float) -> float:
    """The smallest of them that so large a share does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered)) - 1))]
