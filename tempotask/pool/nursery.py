"""The nursery: imports the application once, then forks workers on request and reports their deaths.

In its life it
 1. imports the application and tells the supervisor what it declares, or why it could not;
 2. forks a worker for each request, as the leader of a process group of its own;
 3. ends all that a dead worker left behind, and reports the death;
 4. ends everything, itself last, when its socket to the supervisor ends.

An application whose import leaves threads running can't be forked: the nursery then takes its own place afresh,
without the application, and workers are spawned. It waits in one select loop and uses no processor while idle.

Run as `python -m tempotask.pool.nursery FD [--spawn APPLICATION ARGUMENT…]`, and as `… --worker FD` for a spawned
worker; or, by `fork`, from a supervisor that has imported what both need.
"""

from __future__ import annotations

import contextlib
import gc
import os
import selectors
import signal
import socket
import sys
import threading
import time
import traceback

import msgspec
from setproctitle import setproctitle

from tempotask import interpreter, linux
from tempotask.pool import application, threads
from tempotask.pool.channel import Channel
from tempotask.pool.leaving import flush, output_to_error
from tempotask.pool.newborn import FAILED, deaf_to_stops, nothing, run_spawned_worker, run_worker
from tempotask.pool.report import (
    ExitStatus,
    Fork,
    Import,
    Imported,
    ImportFailed,
    Spawn,
    Warned,
    WorkerBorn,
    WorkerDied,
    WorkerSpec,
)

NOT_BORN = 71  # the exit code of a worker that the system could not start (EX_OSERR)
_GONE_WITHIN = 4.0
"""Seconds for what was killed to go, before the nursery gives up on it: fewer than its supervisor waits for both
(pool.py)."""


class Nursery:
    """Holds the imported application and the workers made from it, for one supervisor at the other end of `channel`."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._application = ""
        self._arguments: list[bytes] = []
        self._folder = os.getcwd()  # the import may leave it
        self._manager: application.Manager | None = None
        self._spawns = False
        self._workers: dict[int, str] = {}
        self._spared: set[int] = set()  # processes that the import started: they belong to nobody's job
        self._alarm, self._alarm_end = socket.socketpair()
        self._selector = selectors.DefaultSelector()

    def run(self) -> None:
        """Serves until the supervisor is gone. Never returns."""
        self._selector.register(self._channel, selectors.EVENT_READ)
        self._selector.register(self._alarm, selectors.EVENT_READ)
        self._watch_children()
        try:
            while True:
                for key, _ in self._selector.select():
                    if key.fileobj is self._alarm:
                        self._reap()
                    else:
                        self._obey()
        except (EOFError, ConnectionError):
            self._end()
        except BaseException:
            traceback.print_exc()
            self._end(FAILED)

    def _obey(self) -> None:
        received = self._channel.receive()
        if received is None:
            return
        message, fds = received
        if isinstance(message, Import):
            self._import(message)
        elif isinstance(message, Fork):
            try:
                self._bear(message.spec, *fds)
            finally:
                for fd in fds:
                    os.close(fd)

    def _watch_children(self) -> None:
        """Has every child's death wake the loop; done again after the import, which may have set signals itself."""
        deaf_to_stops()
        self._alarm.setblocking(False)
        self._alarm_end.setblocking(False)
        signal.signal(signal.SIGCHLD, nothing)
        signal.set_wakeup_fd(self._alarm_end.fileno(), warn_on_full_buffer=False)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    # -- the import

    def _import(self, message: Import) -> None:
        self._application, self._arguments = message.application, message.arguments
        interpreter.take_arguments(message.arguments)
        setproctitle(f"tempotask: nursery {message.application}")
        if message.parent:
            linux.die_with(message.parent)  # an import is deaf to the end of the socket, and may take for ever
        threads.limit(os.environ)
        try:
            with output_to_error():
                self._manager = application.load(message.application)
                report = application.describe(self._manager, message.application)
        except application.LoadError as error:
            self._channel.send(ImportFailed(error.traceback, error.summary))
            return
        finally:
            self._watch_children()
            linux.outlive_parent()
        # Once, here: each worker would take the time, and find what is on the disk by then, of a newer version maybe.
        import tempotask.pool.worker  # noqa: F401

        threads_left = _threads()
        self._warn_of_threads(threads_left)
        self._channel.send(Imported(report))
        if threads_left:
            self._start_afresh()
        # While the supervisor makes ready. What the import made is never visited again, so its pages stay shared.
        gc.collect()
        gc.freeze()
        self._spared = linux.children()

    def _warn_of_threads(self, threads: list[str]) -> None:
        if threads:
            text = (
                f"importing {self._application} left threads running ({', '.join(threads)}), so its workers are "
                "spawned, not forked: they start later and share no memory; start threads in the context's factory"
            )
            self._channel.send(Warned(text))
        elif native := linux.native_threads():
            text = f"importing {self._application} left {native} native threads running; forked workers lack them"
            self._channel.send(Warned(text))

    def _start_afresh(self) -> None:
        """Become a nursery without the application and its threads, at the same socket, that spawns workers."""
        fd = self._channel.fileno()
        os.set_inheritable(fd, True)
        flush()
        os.chdir(self._folder)
        arguments = [*interpreter.command(), "-m", __name__, str(fd), "--spawn", self._application]
        # The program's own, whatever the import has made of it.
        arguments += map(os.fsdecode, self._arguments)
        os.execv(sys.executable, arguments)

    def spawn_only(self, name: str) -> None:
        """What is left to do after `_start_afresh`, in the new program."""
        self._application = name
        self._spawns = True
        self._spared = linux.children()
        setproctitle(f"tempotask: nursery {name}")

    # -- births

    def _bear(self, spec: WorkerSpec, block_fd: int, wake_fd: int = -1) -> None:
        spec.wake_fd = wake_fd
        flush()
        try:
            pid = self._spawn(spec, block_fd) if self._spawns else self._fork(spec, block_fd)
        except OSError as error:
            self._channel.send(Warned(f"could not start worker {spec.worker}: {linux.refusal(error)}"))
            self._channel.send(WorkerDied(spec.worker, ExitStatus(code=NOT_BORN)))
            return
        self._workers[pid] = spec.worker
        pidfd = linux.open_pidfd(pid)  # it can't have been reaped: only this thread reaps
        try:
            self._channel.send(WorkerBorn(spec.worker, pid), [pidfd] if pidfd >= 0 else [])
        finally:
            if pidfd >= 0:
                os.close(pidfd)

    def _fork(self, spec: WorkerSpec, block_fd: int) -> int:
        nursery = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                run_worker(nursery, spec, block_fd, self._become_worker)
            finally:  # whatever is raised: a second nursery would end the workers of the first
                os._exit(FAILED)
        with contextlib.suppress(OSError):  # it may have been quicker, or be gone
            os.setpgid(pid, pid)
        return pid

    def _become_worker(self) -> application.Manager:
        """In a forked worker: let go of all that is the nursery's."""
        self._selector.close()
        self._channel.close()
        self._alarm.close()
        self._alarm_end.close()
        assert self._manager is not None
        return self._manager

    def _spawn(self, spec: WorkerSpec, block_fd: int) -> int:
        import subprocess

        spawn = Spawn(self._application, interpreter.arguments(), os.getpid(), spec, block_fd)
        spawn_fd = linux.anonymous_file("tempotask-spawn", msgspec.msgpack.encode(spawn))
        try:
            child = subprocess.Popen(
                [*interpreter.command(), "-m", __name__, "--worker", str(spawn_fd)],
                pass_fds=[fd for fd in (spawn_fd, block_fd, spec.wake_fd) if fd >= 0],
                process_group=0,
            )
        finally:
            os.close(spawn_fd)
        child.returncode = 0  # the nursery reaps; this object must not
        return child.pid

    # -- deaths

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._alarm.recv(4096):
                pass
        strangers = False
        while True:
            try:
                dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                break
            if dead is None:
                break
            strangers |= self._bury(dead.si_pid)
        if strangers:  # what they had started has just come home
            self._end_adopted()

    def _bury(self, pid: int) -> bool:
        """Reaps a dead child; says whether it was one that had been adopted."""
        name = self._workers.pop(pid, None)
        if name is None:
            linux.reap(pid, 0.0)
            known = pid in self._spared
            self._spared.discard(pid)
            return not known
        linux.kill_group(pid)  # before the leader is reaped: from then on its number may be someone else's
        self._end_adopted(leader=pid)
        self._channel.send(WorkerDied(name, ExitStatus.of(linux.reap(pid, 0.0))))
        return False

    def _end_adopted(self, leader: int = 0) -> None:
        """A worker takes in its own orphans, so what comes home to the nursery was a dead worker's."""
        linux.kill(linux.children() - self._workers.keys() - self._spared - {leader})

    def _end(self, code: int = 0) -> None:
        """Kills all, waits until they are gone, and goes."""
        signal.set_wakeup_fd(-1)
        until = time.monotonic() + _GONE_WITHIN
        for pid in self._workers:
            linux.kill_group(pid)
        while (left := linux.children()) and time.monotonic() < until:
            linux.kill(left)
            for pid in left:
                linux.reap(pid, linux.NEXT_LOOK)  # the others' orphans come home meanwhile
        flush()
        os._exit(code)


def _threads() -> list[str]:
    """The names of all Python threads but the main one."""
    known = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    return known + ["(unnamed)"] * (len(sys._current_frames()) - 1 - len(known))


def fork(end: socket.socket, mark: str) -> int:
    """Forks a nursery that has nothing of this process but its modules and this socket; its process id. What it starts
    will have `mark`, `NAME=value`, in its environment.

    Raises `OSError` when the system refuses.
    """
    flush()
    pid = os.fork()
    if pid == 0:
        try:
            linux.close_others(end.fileno())
            os.dup2(null := os.open(os.devnull, os.O_RDONLY), 0)
            os.close(null)
            name, _, value = mark.partition("=")
            os.environ[name] = value
            _live(end)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(FAILED)
    return pid


def _live(end: socket.socket, spawns: str = "") -> None:
    # It is to outlive whoever kills the supervisor's whole group, and end what workers have left behind.
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
    linux.become_subreaper()
    nursery = Nursery(Channel(end))
    if spawns:
        nursery.spawn_only(spawns)
    nursery.run()


def main(arguments: list[str]) -> None:
    if arguments[0] == "--worker":
        run_spawned_worker(int(arguments[1]))
    end = socket.socket(fileno=int(arguments[0]))
    end.set_inheritable(False)
    spawns = arguments[2] if arguments[1:2] == ["--spawn"] else ""
    if spawns:
        sys.argv[:] = arguments[3:]
    _live(end, spawns)


if __name__ == "__main__":
    from tempotask.pool import nursery  # under its own name, so that there is one of it

    nursery.main(sys.argv[1:])
