"""A shelf: the files by which large arrays go from process to process, past the server.

    producer ──write──► data file ──map──► worker ──write──► result file ──map──► whoever reads the result
        └──────── reference ────────► server ─────────── reference ──────────────────────┘

Files lie in shared memory (/dev/shm), where that has no room in the folder for temporary files, or in the folder that
$TEMPOTASK_ARRAYS names, which hosts may share. A payload says where; it never says more than a name in our own folder.

How long a file lives. Each reference is a link of its own, and the kernel counts: the bytes go with the last link.
 - `data`: of one job, by its id. The job's worker removes it when the job's end is settled; a try that is followed by
   another leaves it.
 - `result`: of one job. Who reads the result removes it, and has the bytes as long as he holds the array.
 - `kept`: of a process that may hand the same bytes to more jobs. It goes with the array, or with the process.
Whoever dies leaves links behind. They carry their owner, and supervisors look for those whose job is over, or will
never be there (pool/leftovers.py). Bytes that a process has mapped stay, whoever removes their last link.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import mmap
import os
import re
import secrets
import socket
import stat
import tempfile
import threading
import time
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import quote, unquote

import msgspec

from tempotask import machine
from tempotask.errors import InvalidOptions, InvalidPayload

SHARED = "TEMPOTASK_ARRAYS"
"""The variable of the environment that names a folder to use instead."""
SHM = Path("/dev/shm")
INLINE = "inline"
"""What stands for the server where jobs end with the process that wrote their files."""
LONGEST_NAME = 255
WRITE = 1 << 30
"""Bytes in one call: Linux takes no more than 2 GiB."""
PIECE = 1 << 18
"""Bytes that are compared at a time: few enough for a core's cache."""

Kind = Literal["data", "result", "kept"]
Room = Literal["shm", "tmp", "shared"]
_FOLDER = re.compile(r"[A-Za-z0-9._:-]{1,240}")
_NAME = re.compile(
    r"(?P<kind>data|result|kept)-(?P<machine>[0-9a-f]{12})\.(?P<pid>\d{1,10})\.(?P<born>\d{1,20})"
    r"-(?P<made>\d{1,12})\.[0-9a-f]{16}-(?P<job>[^/\s]*)"
)


class ShelfFile(msgspec.Struct, array_like=True, frozen=True):
    """A file of the shelf: where it lies."""

    room: Room
    folder: str
    name: str
    machine: str
    """Which boot of which machine wrote it: `machine.mark`."""
    host: str
    """What that machine is called, for people."""


class Name(NamedTuple):
    """What a file's name says."""

    kind: Kind
    machine: str
    pid: int
    born: int
    """When that process was started, as `linux.born_ns` has it."""
    made: int
    """When the link was made, in Unix seconds. What the system knows of a file is renewed with each of its links."""
    job: str


class Missing(InvalidPayload):
    """A file that is not there any more."""


class Shelf:
    """The files of one namespace of one server, as one process writes them. Safe to use from several threads.

    `server` is its address without credentials, `born` when this process was started.
    """

    def __init__(self, server: str, namespace: str, born: int) -> None:
        self.folder = folder_of(server, namespace)
        self._pid = os.getpid()
        self._owner = f"{machine.mark()}.{self._pid}.{born}"
        self._lock = threading.RLock()
        self._kept: dict[tuple[int, int], ShelfFile] = {}
        """By address and size of the bytes."""
        self._watches: dict[tuple[int, int], weakref.finalize[Any, Any]] = {}
        """What drops them when the bytes are gone."""

    def write(self, kind: Kind, job: str, data: memoryview) -> ShelfFile:
        """Writes bytes to a new file.

        Raises:
            InvalidPayload: there is no room for it, or no folder, or the id is too long.
        """
        name, last = self._name(kind, job), OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        for room, base in rooms():
            file = ShelfFile(room, self.folder, name, machine.mark(), socket.gethostname())
            try:
                _write(base, self.folder, name, data)
            except OSError as error:
                last = error
            else:
                return file
        tried = " or ".join(str(base) for _, base in rooms())
        raise InvalidPayload(
            f"an array of {len(data):,} bytes can't be put into {tried} ({last.strerror}); "
            f"make room there, or name another folder in ${SHARED}"
        ) from None

    def share(self, job: str, data: memoryview, address: int, owner: object, seen: set[ShelfFile]) -> ShelfFile:
        """The file of bytes that more jobs may be given: one of the bytes written before, if they are the same still.

        `owner` is what holds the bytes in memory; `seen` are files that have been compared a moment ago.
        """
        key = (address, len(data))
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None and (kept in seen or _is_same(kept, data)):
                # It may be gone, or have as many links as it can.
                with contextlib.suppress(OSError):
                    seen.add(kept)
                    return self._link(kept, "data", job)
            file = self.write("data", job, data)
            self._drop(key, self._pid)
            with contextlib.suppress(OSError, TypeError):
                # Not everything can be watched; then nothing is kept.
                self._watches[key] = weakref.finalize(owner, self._drop, key, self._pid)
                self._kept[key] = self._link(file, "kept", "")
                seen.add(self._kept[key])
            return file

    def close(self) -> None:
        """Lets go of what is kept for more jobs."""
        for key in list(self._kept):
            self._drop(key, self._pid)

    def clear(self) -> None:
        """Removes all that this process has written and is there still."""
        for root in roots():
            for path in (root / self.folder).glob(f"*-{self._owner}-*"):
                with contextlib.suppress(OSError):
                    remove_link(path)

    def _link(self, file: ShelfFile, kind: Kind, job: str) -> ShelfFile:
        link = msgspec.structs.replace(file, name=self._name(kind, job))
        os.link(_path(file), _path(link))
        return link

    def _drop(self, key: tuple[int, int], pid: int) -> None:
        if (watch := self._watches.pop(key, None)) is not None:
            watch.detach()
        # A child that was forked has the array as well, and not the file.
        if (kept := self._kept.pop(key, None)) is not None and pid == os.getpid():
            remove(kept)

    def _name(self, kind: Kind, job: str) -> str:
        name = f"{kind}-{self._owner}-{int(time.time())}.{secrets.token_hex(8)}-{quote(job, safe='@:+=,')}"
        if len(name) > LONGEST_NAME:
            raise InvalidPayload(
                "the id of a job with so large an array becomes a part of the name of a file, and "
                f"{job[:20]!r}… is too long for that; give it a shorter one"
            )
        return name


def folder_of(server: str, namespace: str) -> str:
    """What the folder of a namespace is called: like it, and unlike those of the same name on other servers."""
    where = server.replace("//localhost", "//127.0.0.1")
    mark = INLINE if server == INLINE else hashlib.sha256(f"{where} {namespace}".encode()).hexdigest()[:12]
    return f"{namespace.replace('/', '_')}-{mark}"


def is_inline(folder: str) -> bool:
    """Whether what lies in a folder belongs to jobs that are in no server."""
    return folder.endswith(f"-{INLINE}")


def read_name(name: str) -> Name | None:
    """What a name says; None if it is none of ours."""
    if len(name) > LONGEST_NAME or (match := _NAME.fullmatch(name)) is None:
        return None
    kind, where, pid, born, made, job = match.groups()
    return Name(kind, where, int(pid), int(born), int(made), unquote(job))  # type: ignore[arg-type]


def rooms() -> Iterator[tuple[Room, Path]]:
    """Where files may be put, the best first.

    Raises:
        InvalidOptions: $TEMPOTASK_ARRAYS names no folder.
    """
    if named := os.environ.get(SHARED):
        if not os.path.isabs(named) or not os.path.isdir(named):
            raise InvalidOptions(
                f"${SHARED} is {named!r}, which is no folder; give the whole path of one that is there"
            )
        yield "shared", Path(named)
        return
    if SHM.is_dir():
        yield "shm", SHM
    yield "tmp", Path(tempfile.gettempdir())


def _base(room: Room) -> Path | None:
    if room == "shared":
        return next((base for kind, base in rooms() if kind == room), None)
    return SHM if room == "shm" else Path(tempfile.gettempdir())


def map_file(file: ShelfFile, size: int) -> mmap.mmap:
    """The bytes of a file, which this process may change for itself: others never see it.

    Raises:
        Missing: the file is not there, or not on this machine.
        InvalidPayload: it is not as it was written, or can't be mapped.
    """
    try:
        fd = os.open(_path(file), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise Missing(_why_missing(file, size)) from None
    except OSError as error:
        raise InvalidPayload(f"the file of an array can't be opened: {error.strerror}: {file.name[:80]}") from None
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_size != size:
            raise InvalidPayload(f"the file of an array is not the one of {size:,} bytes that it should be")
        return mmap.mmap(fd, size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    except OSError as error:
        raise InvalidPayload(f"an array of {size:,} bytes can't be mapped: {error.strerror}") from None
    finally:
        os.close(fd)


def remove(file: ShelfFile) -> None:
    """Removes a link, if it is there still."""
    with contextlib.suppress(OSError, InvalidPayload, InvalidOptions):
        remove_link(_path(file))


def remove_all(files: Iterable[ShelfFile]) -> None:
    """`remove`, each of them."""
    for file in files:
        remove(file)


def clear_folder(folder: str, job: str | None = None) -> None:
    """Removes all files of one folder, or those of one job: nobody works there any more."""
    for root in roots():
        for path in (root / folder).glob("*"):
            name = read_name(path.name)
            if job is None or (name is not None and name.job == job):
                with contextlib.suppress(OSError):
                    remove_link(path)


def remove_link(path: Path) -> None:
    """Removes a link, and the folders that are empty then. Raises OSError if it can't."""
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        path.parent.rmdir()
        path.parent.parent.rmdir()


def _why_missing(file: ShelfFile, size: int) -> str:
    array = f"the array of {size:,} bytes"
    if file.machine == machine.mark() or file.room == "shared":
        where = f"${SHARED} or $TMPDIR differ between these processes"
        return f"{array} is not there any more: it goes when its job ends, or {where}; enqueue the job again"
    if file.host == socket.gethostname():
        return f"{array} went with another boot of {file.host}, or is in another container; enqueue the job again"
    return (
        f"{array} is on {file.host}, and this is {socket.gethostname()}; "
        f"set ${SHARED} on both, to a folder that they share, or run both on one host"
    )


def _path(file: ShelfFile) -> Path:
    """The path of a file in our own folder, and never any other. Raises OSError if that folder is not there."""
    if not _FOLDER.fullmatch(file.folder) or read_name(file.name) is None:
        raise InvalidPayload("the reference to an array is none of ours")
    base = _base(file.room)
    if base is None:
        raise InvalidPayload(f"an array was put into a shared folder on {file.host}; set ${SHARED} here too")
    root = base / f"tempotask-{os.geteuid()}"
    for folder in (root, root / file.folder):
        _check(folder)
    return root / file.folder / file.name


def roots() -> Iterator[Path]:
    """The folders in which this user's folders are, as far as they are there."""
    for base in dict.fromkeys([*(base for _, base in rooms()), SHM, Path(tempfile.gettempdir())]):
        root = base / f"tempotask-{os.geteuid()}"
        with contextlib.suppress(OSError):
            _check(root)
            yield root


def _own_folder(base: Path, folder: str) -> Path:
    return private_folder(private_folder(base / f"tempotask-{os.geteuid()}") / folder)


def private_folder(folder: Path) -> Path:
    """A folder that only this user can look into, made if it is not there. Where everybody may make folders, somebody
    else may have made it, or a link to another place. Raises `PermissionError` if so."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    _check(folder)
    return folder


def _check(folder: Path) -> None:
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise PermissionError(errno.EPERM, f"{folder} is not a folder of this user alone")


def _write(base: Path, folder: str, name: str, data: memoryview) -> None:
    path, fd = _created(base, folder, name)
    try:
        free = os.fstatvfs(fd)
        if free.f_bavail * free.f_frsize < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = 0
        while written < len(data):
            written += os.write(fd, data[written : written + WRITE])
    except BaseException:
        remove_link(path)
        raise
    finally:
        os.close(fd)


def _created(base: Path, folder: str, name: str) -> tuple[Path, int]:
    for again in range(100, -1, -1):
        # Who removes the last file removes the folder.
        with contextlib.suppress(*((FileNotFoundError,) if again else ())):
            path = _own_folder(base, folder) / name
            return path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    raise AssertionError


def _is_same(file: ShelfFile, data: memoryview) -> bool:
    """Whether a file still holds these bytes."""
    try:
        mapped = map_file(file, len(data))
    except InvalidPayload:
        return False
    return all(bytes(data[at : at + PIECE]) == mapped[at : at + PIECE] for at in range(0, len(data), PIECE))
