"""Waiting for an answer awake: at once when it is there, never for long, and left off where it does not pay."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from tempotask.store.spin import BREAK, MOMENT, PATIENCE, Spin


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    here, there = socket.socketpair()
    with here, there:
        yield here, there


def used(spin: Spin, times: int) -> float:
    """Seconds of the processor that so many waits take."""
    began = time.thread_time()
    for _ in range(times):
        spin.wait()
    return time.thread_time() - began


def test_what_does_not_come_is_not_waited_for_longer_than_a_moment(ends: tuple[socket.socket, socket.socket]) -> None:
    # It returns at all: nothing is ever sent.
    Spin(ends[0].fileno()).wait()


def test_where_answers_do_not_come_within_a_moment_it_is_left_off_and_tried_again_later(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    spin = Spin(ends[0].fileno())
    used(spin, PATIENCE + 1)
    assert used(spin, BREAK) < BREAK * MOMENT / 4
    ends[1].send(b"answer")
    spin.wait()
    ends[0].recv(10)
    began = time.monotonic()
    spin.wait()
    # One that came in time, and it is done again.
    assert time.monotonic() - began >= MOMENT


def test_a_connection_that_has_ended_is_something_to_read(ends: tuple[socket.socket, socket.socket]) -> None:
    ends[1].close()
    spin = Spin(ends[0].fileno())
    began = time.thread_time()
    for _ in range(1000):
        spin.wait()
    assert time.thread_time() - began < 1000 * MOMENT / 4
