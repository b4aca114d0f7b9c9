"""Waiting for an answer awake: at once when it is there, never for long, and left off where it does not pay."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tempotask.store.spin import BREAK, MOMENT, PATIENCE, SOON, Spin

STEP = MOMENT / 10


class Clock:
    """Goes on by a step whenever it is looked at, so that what the machine does meanwhile changes nothing."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        self.now += STEP
        return self.now


class Line:
    """A connection, and who waits for what comes on it."""

    def __init__(self, here: socket.socket, there: socket.socket) -> None:
        self.here, self.there = here, there
        self._clock = Clock()
        self._spin = Spin(here.fileno(), self._clock)

    def waits(self, after: float = 0.0) -> float:
        """Seconds for which the answer to a question is waited for awake, asked so long after the one before."""
        self._clock.now += after
        began = self._clock.now
        self._spin.wait()
        return self._clock.now - began


@pytest.fixture
def line() -> Iterator[Line]:
    here, there = socket.socketpair()
    with here, there:
        line = Line(here, there)
        line.waits()  # The first question of all comes after none.
        yield line


def test_who_asks_now_and_then_does_not_wait_awake(line: Line) -> None:
    assert all(line.waits(after=2 * SOON) <= STEP * 1.5 for _ in range(100))


def test_what_does_not_come_is_waited_for_a_moment_and_no_longer(line: Line) -> None:
    assert MOMENT < line.waits() < 2 * MOMENT


def test_an_answer_that_is_there_is_not_waited_for(line: Line) -> None:
    line.there.send(b"answer")
    assert line.waits() <= STEP * 1.5


def test_where_answers_do_not_come_within_a_moment_it_is_left_off_and_tried_again_later(line: Line) -> None:
    assert all(line.waits() > MOMENT for _ in range(PATIENCE + 1))
    assert all(line.waits() <= STEP * 1.5 for _ in range(BREAK))
    assert line.waits() > MOMENT


def test_an_answer_that_comes_in_time_ends_the_break(line: Line) -> None:
    for _ in range(PATIENCE + 1 + BREAK):
        line.waits()
    line.there.send(b"answer")
    line.waits()
    line.here.recv(10)
    assert all(line.waits() > MOMENT for _ in range(PATIENCE + 1))


def test_a_connection_that_has_ended_is_something_to_read(line: Line) -> None:
    line.there.close()
    assert all(line.waits() <= STEP * 1.5 for _ in range(1000))
