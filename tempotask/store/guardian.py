"""The guardian: the small process beside the embedded server.

Its life, once a user of the server has started it (see embedded.py):

1. It leaves the user's session and process tree, so that it outlives who started it.
2. It starts the server as its child, and tells the one line on its standard output: `ready`, or what went wrong.
3. It starts the server again when that dies while somebody uses it.
4. It waits for the exclusive lock on the users' file. The kernel grants it when the last user is gone, however it went.
5. It stops the server, whose append-only file is complete then, and ends.

It runs as a script of the standard library alone: what it imports, it costs for as long as the server lives.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import signal
import socket
import sys
import threading
import time

PR_SET_PDEATHSIG = 1
STARTING = 30.0  # seconds in which a server that lives must listen; loading its data may then take as long as it takes
STOPPING = 30.0  # seconds for it to end when asked
STARTS = 3  # of a server that is killed while it starts, which is nobody's mistake
FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM)  # what ends a server that has made no mistake
LOG_LIMIT = 1 << 20

# What the server is told, and why where it is not plain.
SETTINGS = {
    "port": "0",  # only who may enter the folder can talk to it
    "unixsocketperm": "700",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",  # the append-only file has it all; a snapshot would fork for nothing
    # A file that grew to 64 MiB (the default) in a second of full speed would be rewritten every second.
    "auto-aof-rewrite-min-size": "256mb",
    "maxmemory-policy": "noeviction",  # a full server refuses jobs, it never forgets one
    # Hashes of outcomes are large: freed in the server's own time, not in a caller's.
    "lazyfree-lazy-expire": "yes",
    "lazyfree-lazy-server-del": "yes",
    "lazyfree-lazy-user-del": "yes",
    "latency-tracking": "no",  # a histogram for each command inside a script, which nobody reads
    "loglevel": "warning",  # so that the last line of the log is the trouble
    "proc-title-template": "tempotask: server {unixsocket}",
}


class EmbeddedProcess:
    """The server as the guardian's child."""

    def __init__(self, home: str, path: str, binary: str) -> None:
        self.home = home
        self.path = path
        self.binary = binary
        self.log = f"{home}/server.log"
        self.pid = 0
        self.killed_by = 0  # the signal that has ended it, or 0

    def start(self) -> str:
        """Starts it and waits until it answers. Returns an empty string, or why there is no server."""
        for _ in range(STARTS):
            problem = self._start_once()
            if not problem or self.killed_by not in FROM_OUTSIDE:
                return problem
        return f"it was killed by signal {self.killed_by}, {STARTS} times as it started"

    def _start_once(self) -> str:
        self.killed_by = 0
        held = self._wait_for_an_earlier_one()
        try:
            if os.path.exists(self.log) and os.path.getsize(self.log) > LOG_LIMIT:
                os.replace(self.log, f"{self.log}.1")
            log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            mark = os.fstat(log).st_size
            self._fork(held, log)
            os.close(log)
        finally:
            os.close(held)  # from here on the server holds it, and whatever it forks
        end = time.monotonic() + STARTING
        while not self.ended():
            answer = answer_of(self.path, b"PING\r\n")
            if answer.startswith(b"+PONG"):
                return ""
            if answer:
                end = time.monotonic() + STARTING
            elif time.monotonic() > end:
                self.stop(signal.SIGKILL)
                self.killed_by = 0  # it is not as if somebody else had done that
                return f"it does not listen at {self.path}"
            time.sleep(0.002)
        return self._last_line(mark)

    def ended(self) -> bool:
        if self.pid:
            found, status = os.waitpid(self.pid, os.WNOHANG)
            if found:
                self.pid, self.killed_by = 0, os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        return not self.pid

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Ends it: SIGTERM lets it write out and sync its file, and SIGKILL follows if it takes too long."""
        if self.ended():
            return
        os.kill(self.pid, how)
        end = time.monotonic() + STOPPING
        while not self.ended():
            if time.monotonic() > end:
                os.kill(self.pid, signal.SIGKILL)
            time.sleep(0.002)

    def _wait_for_an_earlier_one(self) -> int:
        """The lock that a server and its forks hold as long as they live: two must never write to one file."""
        held = os.open(f"{self.home}/server.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # It lost its guardian. NOSAVE is about snapshots: the append-only file is written out all the same.
            answer_of(self.path, b"SHUTDOWN NOSAVE\r\n")
            fcntl.flock(held, fcntl.LOCK_EX)
        return held

    def _fork(self, held: int, log: int) -> None:
        guardian = os.getpid()
        settings = {**SETTINGS, "dir": self.home, "unixsocket": self.path, "logfile": self.log}
        arguments = [part for name, value in settings.items() for part in (f"--{name}", value)]
        self.pid = os.fork()
        if self.pid:
            return
        try:
            if sys.platform == "linux":
                # A server without its guardian would never be stopped: it goes too, as gently as if asked.
                ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
            if os.getppid() == guardian:
                os.set_inheritable(held, True)
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                os.dup2(log, 1)
                os.dup2(log, 2)
                os.execv(self.binary, [self.binary, *arguments])
        except OSError as error:
            os.write(log, f"{self.binary}: {error.strerror}\n".encode())
        finally:
            os._exit(127)

    def _last_line(self, mark: int) -> str:
        with open(self.log, "rb") as log:
            log.seek(mark)
            lines = log.read().decode(errors="replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "it ended without a word")


def answer_of(path: str, command: bytes) -> bytes:
    """The first bytes that the server at a socket answers, or nothing when nobody answers."""
    try:
        with socket.socket(socket.AF_UNIX) as talk:
            talk.settimeout(5)
            talk.connect(path)
            talk.sendall(command)
            return talk.recv(512)
    except OSError:
        return b""


def guard(server: EmbeddedProcess, users: int) -> None:
    """Keeps the server alive while it has users, that is, while the file `users` is locked, then stops it."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    unused = threading.Event()

    def wait_for_the_last_user() -> None:
        fcntl.flock(users, fcntl.LOCK_EX)
        unused.set()
        os.write(wake, b"u")

    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    threading.Thread(target=wait_for_the_last_user, daemon=True).start()
    pause, started = 0.0, time.monotonic()
    while not unused.is_set():
        if not server.ended():
            os.read(woken, 512)
            continue
        # Without a growing pause, a server that dies on its first command would spin.
        pause = min(2 * pause + 0.05, 5.0) if time.monotonic() - started < 10 else 0.0
        select.select([woken], [], [], pause)
        started = time.monotonic()
        if not unused.is_set() and server.start():
            return  # who needs it next starts another guardian, and is told the reason
    server.stop()


def main(home: str, path: str, binary: str, lock: str) -> None:
    os.set_inheritable(int(lock), False)  # it tells that a guardian lives, not that a server does
    if os.fork():
        os._exit(0)  # the user that started us has no child to wait for
    try:
        from setproctitle import setproctitle

        setproctitle("tempotask: guardian")
    except ImportError:
        pass
    # It ends with the last user, not with a terminal or a service manager's first signal to the whole group. Handlers,
    # unlike ignored signals, are not handed down to the server.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    os.umask(0o077)
    server = EmbeddedProcess(home, path, binary)
    try:
        # Before anybody is told that it runs: who then lets go at once may take the folder away.
        users = os.open(f"{home}/users.lock", os.O_RDWR | os.O_CREAT, 0o600)
        problem = server.start()
    except OSError as error:
        problem = f"{error.strerror}: {error.filename}"
    os.write(1, (problem or "ready").encode())
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if not problem:
        guard(server, users)


if __name__ == "__main__":
    main(*sys.argv[1:])
