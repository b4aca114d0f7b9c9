"""`tempotask map` and whoever reads its rows."""

from __future__ import annotations

import fcntl
import select
import signal
import sys
import termios

import psutil
from cli.mapped import Maps
from pool.running import LONG, wait_until


def test_ctrl_c_stops_a_map_whose_output_nobody_reads(maps: Maps) -> None:
    started = maps.start("builtins:str", "--quiet")
    pipe = started.process.stdout
    assert pipe is not None
    full = fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ) - select.PIPE_BUF
    started.give(*map(str, range(10_000)))

    def held() -> int:
        return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)

    wait_until(lambda: held() >= full, "the pipe was not filled")
    started.process.send_signal(signal.SIGINT)
    (pool,) = psutil.Process(started.process.pid).children()
    wait_until(lambda: pool.status() == psutil.STATUS_ZOMBIE, "the pool did not end")
    started.process.send_signal(signal.SIGINT)
    assert started.process.wait(LONG) == 130
    assert "interrupted" in started.end()[2]
