"""Waiting for an answer awake: at once when it is there, never for long, and left off where it does not pay."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from tempotask.store.spin import BREAK, MOMENT, PATIENCE, SOON, Spin


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    here, there = socket.socketpair()
    with here, there:
        yield here, there


def right_after(spin: Spin) -> float:
    """Seconds of the processor that a wait takes, right after another one."""
    spin._asked = time.monotonic()
    began = time.thread_time()
    spin.wait()
    return time.thread_time() - began


def test_who_asks_now_and_then_does_not_wait_awake(ends: tuple[socket.socket, socket.socket]) -> None:
    spin = Spin(ends[0].fileno())
    used = 0.0
    for _ in range(100):
        spin._asked = time.monotonic() - 2 * SOON
        began = time.thread_time()
        spin.wait()
        used += time.thread_time() - began
    assert used < 100 * MOMENT / 4


def test_what_does_not_come_is_not_waited_for_longer_than_a_moment(ends: tuple[socket.socket, socket.socket]) -> None:
    # Nothing is ever sent.
    assert right_after(Spin(ends[0].fileno())) < 100 * MOMENT


def test_where_answers_do_not_come_within_a_moment_it_is_left_off_and_tried_again_later(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    spin = Spin(ends[0].fileno())
    for _ in range(PATIENCE + 1):
        right_after(spin)
    assert sum(right_after(spin) for _ in range(BREAK)) < BREAK * MOMENT / 4
    ends[1].send(b"answer")
    right_after(spin)
    ends[0].recv(10)
    # One that came in time, and it is done again.
    began = time.monotonic()
    right_after(spin)
    assert time.monotonic() - began >= MOMENT


def test_a_connection_that_has_ended_is_something_to_read(ends: tuple[socket.socket, socket.socket]) -> None:
    ends[1].close()
    spin = Spin(ends[0].fileno())
    assert sum(right_after(spin) for _ in range(1000)) < 1000 * MOMENT / 4
