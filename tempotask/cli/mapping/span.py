"""A span: inputs that follow each other and travel as one job, and what a worker answers.

Jobs cost tens of microseconds, and inputs may take less: as many go into one job as are expected to fill `SHORT`
seconds. Inputs that take longer, so that few fill a batch of jobs, share the cost of a turn: `FEW` go together, unless
that would take more than `LONG`. A worker that has been at a span for that long answers what it has, and so does one
whose rows are `HEAVIEST`; the rest comes back: inputs that take very long, or make large rows, are jobs of their own
soon.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

SHORT, LONG = 0.005, 0.2
"""Seconds."""
FEW = 4
"""Inputs."""
LONGEST = 256
"""Inputs in one span at most."""
HEAVIEST = 256 * 1024
"""Bytes of its inputs at most, and of the rows before the last one, if they are several."""


class Span(msgspec.Struct, gc=False):
    """Inputs from an index on."""

    first: int
    lines: list[bytes]
    id: str
    """The job's. It depends on the inputs, so that those of a killed command are known by it."""
    left_behind: bool = False
    """Whether the job is of a command that was killed."""
    losses: int = 0
    """How often its outcome was lost."""

    def rest(self, done: int, work: str) -> Span:
        """What is left when so many of its inputs are answered."""
        return span(self.first + done, self.lines[done:], work)


class Answer(msgspec.Struct, array_like=True):
    """What became of the inputs of a span, of the first ones at least."""

    seconds: float
    rows: list[bytes]
    """Encoded rows of the output, in order; empty for inputs that failed."""
    failures: dict[int, bytes]
    """Encoded rows of the failed ones, by their place in the span."""


def span(first: int, lines: list[bytes], work: str) -> Span:
    """Inputs from that index on, for work of that name."""
    return Span(first, lines, f"{first}.{len(lines)}.{_digest(first, lines, work)}")


def fitting(seconds: float, size: float) -> int:
    """How many inputs are to go into one span, of which each takes so long, and makes a row of so many bytes."""
    seconds = max(seconds, 1e-9)
    few = min(FEW, LONG / seconds)
    return max(1, int(min(max(SHORT / seconds, few), HEAVIEST / max(size, 1.0), LONGEST)))


def place(id: str) -> tuple[int, int] | None:
    """The first index and the number of inputs of a span, by its id; None for what is none."""
    first, _, rest = id.partition(".")
    count, _, digest = rest.partition(".")
    if first.isdecimal() and count.isdecimal() and int(count) and digest:
        return int(first), int(count)
    return None


def _digest(first: int, lines: Sequence[bytes], work: str) -> str:
    told = hashlib.blake2b(f"{work} {first} {' '.join(map(str, map(len, lines)))}\0".encode(), digest_size=8)
    told.update(b"".join(lines))
    return told.hexdigest()
