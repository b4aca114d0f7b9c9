"""A worker's process, from its birth to its end: forked from a nursery, or spawned by one."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from types import FrameType

import msgspec
from setproctitle import setproctitle

from tempotask import interpreter, linux
from tempotask.pool import allocator, application, threads
from tempotask.pool.control_block import INTERRUPT_SIGNAL, STOP_SIGNAL, ControlBlock
from tempotask.pool.leaving import flush
from tempotask.pool.report import Spawn, WorkerSpec
from tempotask.pool.signals import SIGNALS
from tempotask.pool.whereabouts import write_on_signal

FAILED = 70  # the exit code for an exception that should not have been raised (EX_SOFTWARE)
_masks = threading.local()


def run_worker(nursery: int, spec: WorkerSpec, block_fd: int, prepare: Callable[[], application.Manager]) -> None:
    """A worker's whole life, in its own process. Never returns: ends with what `manager.work` returns."""
    code = FAILED
    try:
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
        linux.die_with(nursery)
        linux.become_subreaper()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        deaf_to_stops()
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        setproctitle(f"tempotask: worker {spec.worker}")
        spec.place.take()
        allocator.keep_freed_memory(os.environ)
        _draw_other_numbers()
        block = ControlBlock(block_fd)
        write_on_signal(block)
        manager = prepare()
        os.register_at_fork(before=_hold_stops, after_in_parent=_let_stops_go, after_in_child=_default_signals)
        code = manager.work(spec, block) or 0
    except SystemExit as exit:
        code = exit.code if isinstance(exit.code, int) else 0 if exit.code is None else 1
        if not isinstance(exit.code, int | None):
            # As Python does at the end of a program.
            print(exit.code, file=sys.stderr)
    except application.LoadError as error:
        print(f"{error.traceback}{error.summary}", file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            flush()
        finally:  # the application's standard output may raise anything
            os._exit(code & 0xFF)


def _draw_other_numbers() -> None:
    """Each worker draws random numbers of its own: Python's `random` sees to that in a fork, numpy does not."""
    if (numpy_random := sys.modules.get("numpy.random")) is not None:
        # Half imported, or some other module of that name: its numbers are not our affair.
        with contextlib.suppress(Exception):
            numpy_random.seed()


def deaf_to_stops() -> None:
    """TERM, INT and HUP do nothing here: a terminal or a service manager may send them to all; the supervisor decides.

    Handled and not ignored, since programs that a handler starts would inherit being deaf.
    """
    for number in SIGNALS:
        signal.signal(number, nothing)


def _hold_stops() -> None:
    """Before a handler forks: what is sent to its child at once must find the child's own signal handling."""
    _masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def _let_stops_go() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _masks.before)


def _default_signals() -> None:
    """For what a handler forks: `multiprocessing`, for one, ends its processes by TERM. What the supervisor tells the
    worker by signals is not for it."""
    for number in (*SIGNALS, INTERRUPT_SIGNAL, STOP_SIGNAL):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    _let_stops_go()


def run_spawned_worker(fd: int) -> None:
    """The same for one that was not forked: the file behind `fd` tells it all. Never returns."""
    size = os.fstat(fd).st_size
    spawn = msgspec.msgpack.decode(os.pread(fd, size, 0), type=Spawn)
    os.close(fd)
    for inherited in (spawn.block_fd, spawn.spec.wake_fd):
        if inherited >= 0:
            os.set_inheritable(inherited, False)

    def prepare() -> application.Manager:
        threads.limit(os.environ)
        interpreter.take_arguments(spawn.arguments)
        return application.load(spawn.application)

    run_worker(spawn.parent, spawn.spec, spawn.block_fd, prepare)


def nothing(number: int, frame: FrameType | None) -> None:
    """Handles a signal."""
