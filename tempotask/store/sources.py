"""Where many jobs are: each place is a source, which tells of its jobs, newest first, and goes on where it was left.

What is long lies in *lines*, lists and sorted sets, which are read in blocks from their newest end. A line is only
roughly in the order of time: jobs that were delayed or tried again stand behind younger ones, and of two workers each
settles by the batch. So not a time says how far it was read, but a mark: the job that was passed last, and the block in
which it stood. While nothing changes, no job is left out or told of twice. If the line has changed at one of its ends,
the mark still fits; if at both, or if that job is gone, it goes on with what is not younger.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice, zip_longest
from operator import attrgetter
from typing import Annotated, Any, NamedTuple

import msgspec

from tempotask.store.look import Found, claimed, finished, parked
from tempotask.store.pages import decode_raw_page, newest_first
from tempotask.store.reading import PAGES, STEP, Command, claims, host_of, scanned, scores
from tempotask.store.records import Status, decode_record
from tempotask.store.store import Store
from tempotask.store.values import text

OVERLAP = 0.1
"""Seconds, about, for which a job may have ended before its page is settled: what ended as long before the newest of a
page has nothing newer behind that page."""
MARGIN = 200
"""Elements that are read again of a line that has changed at both its ends."""
_Number = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class Mark(msgspec.Struct, array_like=True, frozen=True):
    """How far a source was read: the job that was passed last; of a line also the block in which it stood, and how long
    the line was. Elements are numbered from the oldest on."""

    at: float
    id: str
    high: _Number = 0
    """The number behind the block's newest element."""
    size: _Number = 0
    length: _Number = 0


class Block(NamedTuple):
    """Some elements of a line, from one number to before another; and how long the line was."""

    low: int
    high: int
    length: int


Part = tuple[Block, list[Any]]
"""A block, and its elements, the newest first."""
Step = tuple[Found, Block]
"""A job, and the block in which it stands."""
_NOWHERE = Block(0, 0, 0)


def mark(step: Step) -> Mark:
    """Where to go on behind this job."""
    found, block = step
    return Mark(found.at, found.id, block.high, block.high - block.low, block.length)


class Line:
    """A list or a sorted set. `block`: so many elements are put in order with each other, and read first."""

    most = STEP
    """Elements that one command reads at most."""
    in_order = False
    """Whether the jobs of all its blocks are in the order of time."""

    def __init__(self, name: str, block: int) -> None:
        self.name = name
        self.block = block

    def length(self) -> Command:
        """What asks for the number of its elements."""
        return ("LLEN", self.name)

    def elements(self, low: int, high: int) -> Command:
        """What asks for some of them."""
        raise NotImplementedError

    def newest_first(self, reply: list[Any]) -> list[Any]:
        """The elements of a reply, the newest first."""
        return reply[::-1]

    def jobs(self, low: int, elements: list[Any]) -> Iterable[Found]:
        """The jobs in a block."""
        raise NotImplementedError

    def ordered(self, parts: Iterable[Part]) -> Iterator[Step]:
        """The jobs of blocks that follow each other, the newest block first."""
        return ((found, block) for block, elements in parts for found in self.jobs(block.low, elements))

    def cut(self, block: Block, elements: list[Any], size: int = 0) -> Iterator[Part]:
        """The elements of a block in blocks of that size, or of the line's."""
        size = size or self.block
        for first in range(0, len(elements), size):
            part, high = elements[first : first + size], block.high - first
            yield Block(max(0, high - len(part)), high, block.length), part


class Queue(Line):
    """A list of waiting jobs, without holes; without those that `needle`, bytes, do not occur in."""

    def __init__(self, name: str, block: int, needle: bytes | None = None) -> None:
        super().__init__(name, block)
        self._needle = needle

    def elements(self, low: int, high: int) -> Command:
        """See Line."""
        return ("LRANGE", self.name, low, high - 1)

    def jobs(self, low: int, elements: list[Any]) -> Iterable[Found]:
        """See Line."""
        needle = self._needle
        records = [decode_record(stored) for stored in elements if stored and (needle is None or needle in stored)]
        return _sorted(Found(record.id, "waiting", record) for record in records)


class Later(Line):
    """A sorted set of delayed jobs, or of those between two tries; by when they are due."""

    def __init__(self, name: str) -> None:
        super().__init__(name, STEP)

    def length(self) -> Command:
        """See Line."""
        return ("ZCARD", self.name)

    def elements(self, low: int, high: int) -> Command:
        """See Line."""
        return ("ZRANGE", self.name, low, high - 1, "WITHSCORES")

    def newest_first(self, reply: list[Any]) -> list[Any]:
        """See Line."""
        return list(scores(reply))[::-1]

    def jobs(self, low: int, elements: list[Any]) -> Iterable[Found]:
        """See Line."""
        records = [(decode_record(stored), score / 1000) for stored, score in elements]
        return _sorted(Found(record.id, "delayed", record, due=due) for record, due in records)


class History(Line):
    """The pages of a history. Of the last of them the oldest jobs, so many as are `trimmed`, do not count."""

    most = PAGES
    in_order = True

    def __init__(self, queue: str, status: Status, trimmed: int) -> None:
        super().__init__(f"history:{queue}:{status}", 1)
        self._status: Status = status
        self._trimmed = trimmed

    def elements(self, low: int, high: int) -> Command:
        """See Line."""
        return ("LRANGE", self.name, -high, -low - 1)

    def newest_first(self, reply: list[Any]) -> list[Any]:
        """See Line."""
        return reply

    def jobs(self, low: int, elements: list[Any]) -> Iterable[Found]:
        """See Line. Decoded one by one, as far as they are needed."""
        for stored in elements:
            page = decode_raw_page(stored)
            # Without its jobs: who keeps one of many keeps no page.
            about, counting = page.with_jobs([]), len(page.jobs) - (self._trimmed if low == 0 else 0)
            for job in islice(newest_first(page), max(0, counting)):
                yield finished(job, about, self._status)

    def ordered(self, parts: Iterable[Part]) -> Iterator[Step]:
        """See Line. As many pages at a time as overlap are put in order with each other, and are one block."""
        pages, behind = iter(parts), math.inf
        begun: list[tuple[float, int, Found, Iterator[Found], Block]] = []
        while True:
            while (not begun or behind >= -begun[0][0] - OVERLAP) and (part := next(pages, None)) is not None:
                low, jobs = part[0].low, iter(self.jobs(part[0].low, part[1]))
                if first := next(jobs, None):
                    behind = first.at
                    heapq.heappush(begun, (-first.at, -low, first, jobs, part[0]))
            if not begun:
                return
            _, place, found, jobs, block = begun[0]
            yield found, block._replace(low=low, high=max(each[-1].high for each in begun))
            if following := next(jobs, None):
                heapq.heapreplace(begun, (-following.at, place, following, jobs, block))
            else:
                heapq.heappop(begun)

    def cut(self, block: Block, elements: list[Any], size: int = 0) -> Iterator[Part]:
        """See Line. Always page by page."""
        return super().cut(block, elements, 1)


def read(store: Store, lines: Sequence[Line], marks: Mapping[str, Mark] = {}) -> list[Iterator[Step]]:
    """The jobs of each line, from its mark on if it has one. The beginnings of all are read at once."""
    lengths = store.read_many([line.length() for line in lines])
    starts = [list(_starts(line, length, marks.get(line.name))) for line, length in zip(lines, lengths, strict=True)]
    some = zip(lines, starts, strict=True)
    replies = iter(store.read_many([line.elements(block.low, block.high) for line, blocks in some for block in blocks]))
    steps = []
    for line, length, blocks in zip(lines, lengths, starts, strict=True):
        begun = [(block, line.newest_first(next(replies))) for block in blocks]
        behind = marks.get(line.name)
        steps.append(_first(store, line, begun) if behind is None else _further(store, line, begun, length, behind))
    return steps


def _starts(line: Line, length: int, mark: Mark | None) -> Iterator[Block]:
    """The blocks in which the mark may be found: the same, counted from one end of the line, or from the other."""
    highs: tuple[int, ...] = (length,)
    size = line.block
    if mark is not None:
        highs, size = (mark.high, mark.high + length - mark.length), mark.size
    for high in dict.fromkeys(highs):
        block = Block(max(0, high - size), min(high, length), length)
        if block.low < block.high:
            yield block


def _first(store: Store, line: Line, begun: list[Part]) -> Iterator[Step]:
    older = (part for block, _ in begun for part in _older(store, line, block.low, block.length))
    return line.ordered(chain(begun, older))


def _further(store: Store, line: Line, begun: list[Part], length: int, mark: Mark) -> Iterator[Step]:
    for block, elements in begun:
        steps = line.ordered(chain(line.cut(block, elements, mark.size), _older(store, line, block.low, length)))
        passed, there = list[Step](), False
        for step in steps:
            found, at = step
            if (found.id, found.at) == (mark.id, mark.at):
                there = True
                break
            passed.append(step)
            if at.high <= block.low or (line.in_order and found.at < mark.at):
                break
        if there:
            yield from steps
            return
        # Where nothing was added or taken, it has been cancelled meanwhile, say.
        if length == mark.length:
            yield from (step for step in passed if step[0].at <= mark.at or step[1].high <= block.low)
            yield from (step for step in steps if step[0].at <= mark.at or not line.in_order)
            return
    top = min(length, max(0, min(mark.high, mark.high + length - mark.length)) + MARGIN)
    for found, block in line.ordered(_older(store, line, top, length)):
        if found.at <= mark.at:
            yield found, block


def _older(store: Store, line: Line, top: int, length: int) -> Iterator[Part]:
    """The blocks of a line below that number; more at a time the further it goes."""
    number = line.block
    while top > 0:
        number = min(line.most, 4 * number)
        low = max(0, top - number)
        command, name, *rest = line.elements(low, top)
        elements = line.newest_first(store.read(command, name, *rest))
        if not elements:
            return
        yield from line.cut(Block(low, top, length), elements)
        top = low


def _behind(jobs: Iterable[Found], mark: Mark) -> tuple[bool, Iterable[Found]]:
    """Whether the job that was passed last is among these, and those behind it; if not, those that are not younger."""
    rest, others = iter(jobs), []
    for found in rest:
        if found.id == mark.id and found.at == mark.at:
            return True, rest
        others.append(found)
    return False, (found for found in others if found.at <= mark.at)


# -- what is read as a whole


def whole(jobs: Iterable[Found], mark: Mark | None = None) -> Iterator[Step]:
    """A source of jobs that are few enough to be read and put in order at once."""
    ordered: Iterable[Found] = sorted(jobs, key=attrgetter("at", "id"), reverse=True)
    if mark is not None:
        _, ordered = _behind(ordered, mark)
    return ((found, _NOWHERE) for found in ordered)


def processing(store: Store) -> Iterator[Found]:
    """The jobs that workers hold."""
    held = [(worker, decode_record(stored)) for worker, records in claims(store) for stored in records]
    live = store.read_many([("HGET", "live", record.id) for _, record in held]) if store.read("EXISTS", "live") else ()
    hosts = {worker: host_of(store, worker) for worker in dict.fromkeys(worker for worker, _ in held)}
    for (worker, record), told in zip_longest(held, live):
        yield claimed(record, worker, hosts[worker], told)


def paused(store: Store) -> Iterator[Found]:
    """The jobs that were paused one by one."""
    return (parked(text(id), stored) for id, stored in scanned(store, "parked"))


def _sorted(jobs: Iterable[Found]) -> list[Found]:
    """In the order of time; those of one time, of one call say, as they were."""
    return sorted(jobs, key=attrgetter("at"), reverse=True)
