"""What a nursery takes for a QueueManager. What its workers do is said by `options`, answers go to `wake_fd`."""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from tempotask.pool.control_block import ControlBlock
from tempotask.pool.report import AppReport, TaskReport, WorkerSpec

# A grandchild with a session of its own; its standard output ends when it has lost its parent.
DAEMON = """
import os, time
if os.fork() == 0:
    os.setsid()
    parent = os.getpid()
    if os.fork() == 0:
        while os.getppid() == parent:
            time.sleep(0.001)
        os.close(1)
        time.sleep(600)
os._exit(0)
"""


class StandIn:
    def __init__(self, name: str = "standin") -> None:
        self.name = name

    def describe(self) -> AppReport:
        task = TaskReport("images", "thumbnail", b"\x80")
        return AppReport("redis://localhost/1", self.name, 2, b"\x80", [task])

    def work(self, spec: WorkerSpec, block: ControlBlock) -> int:
        # Where a worker finds its namespace, this one finds what it is to do.
        mode, _, rest = spec.namespace.partition(" ")
        answer = getattr(self, mode)(spec, block, *rest.split())
        return answer if isinstance(answer, int) else 0

    def leave(self, spec: WorkerSpec, block: ControlBlock, code: str) -> int:
        return int(code)

    def fail(self, spec: WorkerSpec, block: ControlBlock) -> None:
        raise RuntimeError("out of work()")

    def leave_by_sys_exit(self, spec: WorkerSpec, block: ControlBlock, code: str) -> None:
        sys.exit(int(code))

    def flush_badly(self, spec: WorkerSpec, block: ControlBlock, code: str) -> int:
        """Ends, with a standard output that can't be flushed."""
        sys.stdout = Broken()
        return int(code)

    def wait(self, spec: WorkerSpec, block: ControlBlock) -> None:
        say(spec, "ready")
        time.sleep(600)

    def regex(self, spec: WorkerSpec, block: ControlBlock) -> None:
        """Holds the GIL, in C, for longer than anybody lives; and has a child that is not in its group."""
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
        say(spec, "ready")
        re.match(r"(a+)+$", "a" * 40 + "b")

    def daemonise(self, spec: WorkerSpec, block: ControlBlock, hidden: str = "") -> None:
        """Leaves a grandchild with a session of its own, whose parents are gone, and waits. It may be hidden: nothing
        in its environment tells where it comes from."""
        environment = {} if hidden else None
        subprocess.run([sys.executable, "-c", DAEMON], stdout=subprocess.PIPE, check=True, env=environment)
        say(spec, "ready")
        time.sleep(600)

    def tell(self, spec: WorkerSpec, block: ControlBlock) -> None:
        """What a worker is like inside."""
        fds = []
        for fd in map(int, os.listdir("/proc/self/fd")):
            with contextlib.suppress(OSError):
                fds.append(os.readlink(f"/proc/self/fd/{fd}"))
        block.words[8] = 4242
        told = {
            "argv": Path("/proc/self/cmdline").read_text().strip("\0").strip(),
            "group": os.getpgid(0),
            "pid": os.getpid(),
            "fds": sorted(fds),
            "main": sys.modules["__main__"].__name__,
            "omp": os.environ.get("OMP_NUM_THREADS"),
            "imported_in": IMPORTED_IN,
            "spec": [spec.worker, spec.supervisor, spec.db, spec.namespace],
        }
        say(spec, json.dumps(told))
        time.sleep(600)

    def end_a_child_by_term(self, spec: WorkerSpec, block: ControlBlock) -> None:
        """A handler's own processes, forked and executed, must be endable as everywhere else."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(os.getpid(), number)
        forked = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
        forked.start()
        forked.terminate()
        forked.join()
        executed = subprocess.Popen(["sleep", "600"])
        executed.terminate()
        say(spec, f"{forked.exitcode} {executed.wait()}")

    def step(self, spec: WorkerSpec, block: ControlBlock) -> None:
        """Counts in the block, for ever."""
        block.begin(7, 1_000_000)
        say(spec, "ready")
        while True:
            block.words[1] = (block.words[1] + 1) % 1_000_000


class Broken(io.StringIO):
    def flush(self) -> None:
        raise RuntimeError("out of order")


def say(spec: WorkerSpec, text: str) -> None:
    os.write(spec.wake_fd, text.encode() + b"\n")


IMPORTED_IN = os.getpid()
