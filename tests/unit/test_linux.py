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


def test_a_process_has_its_children_and_none_when_it_has_ended() -> None:
    with subprocess.Popen(["sh", "-c", "sleep 600 & echo; read _; kill $!"], stdin=-1, stdout=-1) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        assert len(linux.children(parent.pid)) == 1
        assert parent.pid in linux.children()
        parent.communicate(b"\n", timeout=60)
    assert linux.children(parent.pid) == set()
