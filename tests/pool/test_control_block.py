"""The control block, between real processes."""

from __future__ import annotations

import gc
import mmap
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tempotask import linux
from tempotask.pool.control_block import BEGAN, HANDED, LIMIT, SETTLED, STARTED, STATE, TURN, ControlBlock, Stopped

# A worker in miniature: batches of consecutive jobs, each start marked in a byte of its own. What is left of a batch
# that nobody took is delivered again under the next turn's number, as the server does.
WORKER = """
import mmap, os, sys
from tempotask.pool.control_block import ControlBlock, LIMIT, STARTED, STATE
block, jobs = ControlBlock(int(sys.argv[1])), int(sys.argv[4])
starts = mmap.mmap(int(sys.argv[2]), jobs)
bases = memoryview(mmap.mmap(int(sys.argv[3]), os.fstat(int(sys.argv[3])).st_size)).cast("q")
words, size, base, turn = block.words, 200, 0, 0
while base + size <= jobs and not words[STATE]:
    turn += 1
    bases[2 * turn] = base
    block.begin(turn, size)
    i = 0
    while True:
        words[STARTED] = i
        if i >= words[LIMIT]:
            break
        starts[base + i] += 1
        for _ in range(30):
            pass
        i += 1
    base += size if bases[2 * turn + 1] else i  # the other half of the pair: how many were taken from this turn
bases[0] = base
"""


def shared(size: int) -> tuple[int, mmap.mmap]:
    fd = linux.anonymous_file("test", bytes(size))
    return fd, mmap.mmap(fd, size)


def test_of_thousands_of_steals_from_a_working_worker_no_job_is_started_twice_and_none_is_lost() -> None:
    jobs, steals_wanted = 20_000_000, 20_000
    block = ControlBlock.create()
    starts_fd, starts = shared(jobs)
    bases_fd, bases_memory = shared(8 * 1_000_000)
    bases = memoryview(bases_memory).cast("q")
    taken_by_thief = bytearray(jobs)
    arguments = [str(fd) for fd in (block.fd, starts_fd, bases_fd)]
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, *arguments, str(jobs)], pass_fds=[block.fd, starts_fd, bases_fd]
    )
    pidfd = os.pidfd_open(worker.pid)
    steals = moved = 0
    until = time.monotonic() + 5  # on a busy machine there are fewer steals
    chance = random.Random(1)
    while steals < steals_wanted and worker.poll() is None and (steals < 500 or time.monotonic() < until):
        with Stopped(worker.pid, pidfd) as ok:
            look = block.read()
            if ok and look.unstarted:
                taken = block.shrink()
                base = bases[2 * look.turn]
                if look.turn and look.limit == 200 and look.started >= 0:
                    bases[2 * look.turn + 1] += len(taken)
                    for i in taken:
                        taken_by_thief[base + i] += 1
                    steals, moved = steals + 1, moved + len(taken)
        for _ in range(chance.randrange(200)):
            pass
    block.words[STATE] = 1
    assert worker.wait(60) == 0
    os.close(pidfd)
    done = bases[0]
    ends = int.from_bytes(starts[:done], "big") + int.from_bytes(taken_by_thief[:done], "big")
    once = ends == int.from_bytes(b"\1" * done, "big")
    assert once, "some job was started or taken twice, or by nobody"
    assert steals >= 500
    assert moved > steals
    bases.release()
    os.close(starts_fd)
    os.close(bases_fd)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-c", "import time; print(flush=True); time.sleep(600)"], stdout=-1
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        yield child
        child.kill()


def test_a_process_stands_still_inside_the_with_and_goes_on_after_it(sleeper: subprocess.Popen[bytes]) -> None:
    with Stopped(sleeper.pid) as ok:
        assert ok
        assert linux.state(sleeper.pid) == "T"
    assert linux.state(sleeper.pid) != "T"


def test_a_process_goes_on_also_when_the_look_failed(sleeper: subprocess.Popen[bytes]) -> None:
    with pytest.raises(ZeroDivisionError), Stopped(sleeper.pid):
        raise ZeroDivisionError
    assert linux.state(sleeper.pid) != "T"


def test_a_process_that_somebody_else_has_stopped_is_looked_at_and_stays_stopped(
    sleeper: subprocess.Popen[bytes],
) -> None:
    sleeper.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, sleeper.pid, os.WSTOPPED)
    with Stopped(sleeper.pid) as ok:
        assert ok
    assert linux.state(sleeper.pid) == "T"


def test_a_dead_process_is_not_held(sleeper: subprocess.Popen[bytes]) -> None:
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    with Stopped(sleeper.pid) as ok:
        assert not ok
    sleeper.wait()
    with Stopped(sleeper.pid) as ok:
        assert not ok


def test_two_ends_of_a_block_see_the_same_words() -> None:
    block = ControlBlock.create()
    other = ControlBlock(os.dup(block.fd))
    block.begin(2**62, 5)
    assert other.read()[:3] == (2**62, -1, 5)
    assert list(other.read().unstarted) == [0, 1, 2, 3, 4]
    assert other.read().running is None
    block.words[STARTED] = 2
    assert other.read().running == 2
    assert list(other.shrink()) == [3, 4]
    assert block.words[LIMIT] == 3
    assert not other.shrink()
    block.words[STARTED] = 3
    assert other.read().running is None
    assert not other.read().unstarted
    other.close()
    other.close()


def test_a_new_block_holds_nothing_and_runs_nothing() -> None:
    look = ControlBlock.create().read()
    assert (look.turn, look.running, list(look.unstarted)) == (0, None, [])


def test_the_turn_is_stored_last_so_that_no_look_sees_less_of_a_new_turn_than_it_has() -> None:
    block = ControlBlock.create()
    stored: list[int] = []

    class Words:
        def __setitem__(self, word: int, value: int) -> None:
            stored.append(word)

    real, block.words = block.words, Words()  # type: ignore[assignment]
    block.begin(1, 10)
    block.words = real
    assert stored == [STARTED, SETTLED, BEGAN, LIMIT, HANDED, TURN]


def test_a_block_that_nobody_holds_keeps_no_descriptor() -> None:
    gc.collect()  # what tests before this one have left holds some
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        ControlBlock.create()
    assert len(os.listdir("/proc/self/fd")) <= before
