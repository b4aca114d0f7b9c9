"""What the pool asks of the kernel."""

from __future__ import annotations

import os
import subprocess

from tempotask import linux


def test_a_process_that_runs_has_not_ended() -> None:
    assert not linux.has_ended(os.getpid(), linux.born_ns(os.getpid()))


def test_a_process_whose_number_is_anothers_by_now_has_ended() -> None:
    assert linux.has_ended(os.getpid(), linux.born_ns(os.getpid()) - linux.TICK_NS)


def test_a_process_that_nobody_has_reaped_has_ended_and_so_has_one_that_is_gone() -> None:
    child = subprocess.Popen(["sleep", "600"])
    born = linux.born_ns(child.pid)
    assert not linux.has_ended(child.pid, born)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert linux.has_ended(child.pid, born)
    child.wait()
    assert linux.has_ended(child.pid, born)
