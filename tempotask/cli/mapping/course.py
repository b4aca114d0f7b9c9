"""The course of a map, from the first input to the last row.

    lines ──spans──► flight ──► the queue ──► workers ──► answers ──► order ──► rows to the output, and to the failed
              ▲                                              │
              └────── what a span did not get to ◄───────────┘

One thread does it all, but for the reading of inputs and the listening for answers. Nothing is read for which there is
no room: so memory is bounded, however many inputs there are.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from tempotask.cli.mapping import rows
from tempotask.cli.mapping.answered import Answered
from tempotask.cli.mapping.flight import TICK, Flight
from tempotask.cli.mapping.lines import Lines
from tempotask.cli.mapping.order import Order, Pieces
from tempotask.cli.mapping.span import HEAVIEST, Answer, Span, fitting, span
from tempotask.cli.mapping.target import Target
from tempotask.cli.mapping.view import View
from tempotask.cli.mapping.work import LARGEST, Work
from tempotask.errors import JobNotFound, ResultExpired, TempoTaskError
from tempotask.store.records import Failure, decode_outcome

if TYPE_CHECKING:
    from tempotask.manager import QueueManager
    from tempotask.store.wait import Ending

SPANS = 16
"""Spans on their way for each worker: enough to fill its batches, and little to be done again after a kill."""
ENOUGH = 0.5
"""Of the spans that may be on their way: while there are more, none are sent."""
LONGEST_REST = 0.2
"""Seconds at most after which it is heard what has been answered, while workers have enough to do."""
LOSSES = 3
"""As often may the server lose what came of a span."""


class Changed(TempoTaskError):
    """The inputs are not those that the output answers."""


class Course:
    """Goes through all inputs."""

    def __init__(
        self,
        *,
        work: Work,
        manager: QueueManager[Any],
        lines: Lines,
        ready: threading.Event,
        output: Target,
        failed: Target | None,
        view: View,
        workers: int,
        in_flight: int,
        ordered: bool,
        answered: Answered,
        left_behind: dict[int, tuple[int, str]] | None = None,
    ) -> None:
        """`in_flight`: inputs on their way at most. `answered`: by the output, when the course goes on with one;
        `left_behind`: spans by their first index."""
        self._work, self._lines, self._ready, self._view = work, lines, ready, view
        self._output, self._failed = output, failed
        self._failed_begun = False
        self._shown = False
        """Whether somebody has been shown one of the failures that go to a file."""
        self._workers, self._spans, self._in_flight = workers, SPANS * workers, in_flight
        self._share = max(1, in_flight // self._spans)
        self._tally = view.tally
        self._flight = Flight(manager, work, ready.set)
        self._backlog: deque[Span] = deque()
        self._order = Order() if ordered else None
        self._mean: float | None = None
        """Seconds of an input."""
        self._weight = 1.0
        """Bytes of its row."""
        self._answered = answered
        self._left = left_behind or {}

    @property
    def over(self) -> bool:
        """Whether every input is answered."""
        return self._lines.ended and not self._backlog and not self._flight

    def step(self) -> None:
        """Waits a moment, and writes what has come.

        Raises:
            OSError: the output can't be written.
        """
        if not self.over:
            self._ready.wait(TICK)
        # What comes from now on is heard; what has come is looked at next.
        self._ready.clear()
        self._settle(self._flight.landed())
        self._tally.total = self._lines.total
        self._output.sync()
        if self._failed is not None:
            self._failed.sync()
        self._view.tick()

    def send(self) -> None:
        """Sends what there is room for, if that is worth a call: each takes something away from the workers.

        Raises:
            Changed: the inputs are not those that the output answers.
            ServerUnavailable, ServerFull: the server takes nothing.
        """
        if len(self._flight) <= self._spans * ENOUGH:
            self._send()
        self._flight.rest(self._rest())

    def _send(self) -> None:
        found: list[Span] = []
        inputs = 0
        while len(self._flight) + len(found) < self._spans:
            room = self._in_flight - self._flight.inputs - inputs
            one = self._put_off() if self._backlog else self._next(room)
            if one is None:
                break
            found.append(one)
            inputs += len(one.lines)
        if found:
            self._flight.send(found)

    def _put_off(self) -> Span:
        """The next of the backlog. A killed command may have come to it as well, by the same way."""
        one = self._backlog.popleft()
        if self._left.get(one.first, (0, ""))[1] == one.id:
            del self._left[one.first]
            one.left_behind = True
        return one

    def _rest(self) -> float:
        """Seconds until there is room for what is worth a call. At the end there is none to wait for."""
        spare = len(self._flight) - self._spans * ENOUGH
        if spare <= 0 or self._mean is None or (self._lines.ended and not self._backlog):
            return 0.0
        work = self._mean * self._flight.inputs / self._workers
        return min(LONGEST_REST, work * spare / len(self._flight))

    def last(self, give_up: Callable[[], bool]) -> bool:
        """When the pool has ended: writes what has come until then. Whether the server has answers that are not
        written, for a command that goes on: held back for the order, or left by an earlier command and not come to.

        Raises:
            ServerUnavailable: the server can't be asked, or `give_up` has said that nobody waits for it any more.
        """
        self._settle(self._flight.landed())
        self._settle(self._flight.last(give_up))
        return bool(self._order or self._left)

    def close(self) -> None:
        """Ends reading and waiting."""
        self._lines.close()
        self._flight.close()

    def check_end(self) -> None:
        """At the end. Raises `Changed` when the output answers more inputs than there are."""
        beyond = self._answered.beyond
        if self._lines.error:
            raise TempoTaskError(self._lines.error)
        if beyond > self._lines.taken:
            raise Changed(
                f"{self._output.name} answers input number {beyond:,}, and there are {self._lines.taken:,} now: give "
                "the same inputs in the same order to go on"
            )
        self._begin_failed()

    # -- inputs to spans

    def _next(self, room: int) -> Span | None:
        """The next span that fits in; None if there is none right now."""
        lines = self._lines
        while lines.ready():
            at = lines.taken
            if (order := self._order) is not None:
                # What the order waits for is on its way, for else nothing would be held back.
                room = 0 if order.full else min(room, order.written + self._in_flight - at)
            if room <= 0:
                return None
            if (left := self._left.get(at)) is not None:
                if lines.ready() < left[0] and not lines.full:
                    return None
                if (one := self._taken_up(at, *left)) is not None:
                    return one
            elif at in self._answered:
                self._pass(at, lines.take(1, HEAVIEST))
            else:
                one = span(at, lines.take(self._size(at, room), HEAVIEST), self._work.name)
                if len(one.lines[0]) <= LARGEST:
                    return one
                why = f"of an input at most {LARGEST:,} bytes are taken; give the name of a file"
                self._fail(one, Failure("InvalidPayload", why))
        return None

    def _size(self, at: int, room: int) -> int:
        """How many inputs the next span is to have."""
        if self._mean is None or self._work.one_by_one:
            return 1
        most = max(1, min(room, self._share, fitting(self._mean, self._weight)))
        if (left := self._lines.left) is not None:
            # The last ones are to be shared out: none is to wait behind a long one while others have nothing to do.
            most = min(most, max(1, left // self._spans))
        if at >= self._answered.beyond and not self._left:
            return most
        size = 1
        while size < most and at + size not in self._answered and at + size not in self._left:
            size += 1
        return size

    def _taken_up(self, at: int, count: int, id: str) -> Span | None:
        """The span that a killed command has left there; None if it was of other inputs, or they are all answered."""
        del self._left[at]
        lines = self._lines.peek(count)
        if len(lines) < count or span(at, lines, self._work.name).id != id:
            return None
        missing = [index for index in range(at, at + count) if index not in self._answered]
        if not missing:
            return None
        self._lines.take(count, sum(map(len, lines)))
        for index, line in enumerate(lines, at):
            if index in self._answered:
                self._check_same(index, line)
        return Span(at, lines, id, left_behind=True)

    def _pass(self, at: int, lines: list[bytes]) -> None:
        """Passes an input that is answered."""
        self._check_same(at, lines[0])
        self._tally.before += 1
        self._emit([(at, Pieces(1, [], []))])

    def _check_same(self, index: int, line: bytes) -> None:
        shown = rows.input_of(line, jsonl=self._work.jsonl)
        if not self._answered.same(index, shown):
            now = shown.decode(errors="replace")
            raise Changed(
                f"input {index} is {now if len(now) <= 80 else now[:60] + '…'} now, and another one in "
                f"{self._output.name}: --resume goes on with the same inputs in the same order"
            )

    # -- answers to rows

    def _settle(self, landed: list[tuple[Span, Ending]]) -> None:
        self._emit([piece for one, ending in landed for piece in self._pieces(one, ending)])

    def _emit(self, pieces: list[tuple[int, Pieces]]) -> None:
        """Writes pieces, by their first index, when it is their turn."""
        if self._order is None:
            self._put([piece for _, piece in pieces])
            return
        for first, piece in pieces:
            self._order.hold(first, piece)
        self._put(self._order.take())

    def _put(self, pieces: list[Pieces]) -> None:
        """Writes rows, all in one go."""
        if any(piece.rows or piece.failures for piece in pieces):
            self._begin_failed()
        if written := [row for piece in pieces for row in piece.rows]:
            with self._view.aside():
                self._output.write(written)
        for failures in (piece.failures for piece in pieces if piece.failures):
            if self._failed is not None:
                self._failed.write(failures)
                if not self._shown:
                    self._shown = True
                    self._view.first_failed(failures[0])
            else:
                for failure in failures:
                    self._view.failed(failure)

    def _begin_failed(self) -> None:
        """Lets go of what had failed before, when the course has come to something: not of what was tried no more."""
        if self._failed is not None and not self._failed_begun:
            self._failed_begun = True
            self._failed.cut()

    def _pieces(self, one: Span, ending: Ending) -> list[tuple[int, Pieces]]:
        """What is to be written for a span; what it did not get to goes on the backlog."""
        if isinstance(ending, ResultExpired | JobNotFound):
            return self._lost(one, ending)
        if not isinstance(ending, bytes):
            raise ending
        outcome = decode_outcome(ending)
        if outcome.status == "completed":
            return self._answer(one, msgspec.msgpack.decode(outcome.result, type=Answer))
        failure = outcome.failure or Failure("JobCancelled", "it was cancelled")
        if one.left_behind or (len(one.lines) > 1 and outcome.status == "failed"):
            # Whose doing it was, each of them shows by itself; and what failed before is tried again.
            self._backlog.extend(self._missing(one, 0, one_by_one=True))
            return []
        return [(one.first, Pieces(len(one.lines), [], self._failures(one, failure)))]

    def _answer(self, one: Span, answer: Answer) -> list[tuple[int, Pieces]]:
        ran = len(answer.rows)
        if ran == 0:
            raise TempoTaskError("a worker has answered no input of those that it was given: it is of another version")
        pace = answer.seconds / ran
        self._mean = pace if self._mean is None else self._mean + (pace - self._mean) * 0.2
        self._weight += (sum(map(len, answer.rows)) / ran - self._weight) * 0.2
        if one.left_behind:
            return self._answer_again(one, answer)
        if ran < len(one.lines):
            self._backlog.append(one.rest(ran, self._work.name))
        self._tally.done += ran - len(answer.failures)
        self._tally.failed += len(answer.failures)
        failures = [row for _, row in sorted(answer.failures.items())]
        return [(one.first, Pieces(ran, answer.rows, failures))]

    def _answer_again(self, one: Span, answer: Answer) -> list[tuple[int, Pieces]]:
        """Of a span that was left behind: what the output does not answer. What failed then is tried again."""
        pieces = []
        for offset, row in enumerate(answer.rows):
            index = one.first + offset
            if index in self._answered:
                self._tally.before += 1
                pieces.append((index, Pieces(1, [], [])))
            elif offset in answer.failures:
                self._backlog.append(span(index, [one.lines[offset]], self._work.name))
            else:
                self._tally.done += 1
                pieces.append((index, Pieces(1, [row], [])))
        self._backlog.extend(self._missing(one, len(answer.rows), one_by_one=False))
        return pieces

    def _missing(self, one: Span, done: int, *, one_by_one: bool) -> list[Span]:
        """Spans of what is left of one behind so many inputs, without those that the output answers."""
        found, run, first = list[Span](), list[bytes](), one.first + done
        for index, line in enumerate(one.lines[done:], first):
            passed = index in self._answered
            if run and (passed or one_by_one):
                found.append(span(index - len(run), run, self._work.name))
                run = []
            if passed:
                self._tally.before += 1
                self._emit([(index, Pieces(1, [], []))])
            else:
                run.append(line)
        if run:
            found.append(span(one.first + len(one.lines) - len(run), run, self._work.name))
        return found

    def _lost(self, one: Span, why: TempoTaskError) -> list[tuple[int, Pieces]]:
        """What came of it is gone, with an older state of the server say: it is done again, but not for ever."""
        if one.losses >= LOSSES:
            return [(one.first, Pieces(len(one.lines), [], self._failures(one, Failure(type(why).__name__, str(why)))))]
        for again in self._missing(one, 0, one_by_one=False) if one.left_behind else [one]:
            again.losses = one.losses + 1
            self._backlog.append(again)
        return []

    def _fail(self, one: Span, failure: Failure) -> None:
        self._emit([(one.first, Pieces(len(one.lines), [], self._failures(one, failure)))])

    def _failures(self, one: Span, failure: Failure) -> list[bytes]:
        self._tally.failed += len(one.lines)
        return [
            rows.failure_row(index, rows.input_of(line, jsonl=self._work.jsonl), failure)
            for index, line in enumerate(one.lines, one.first)
        ]
