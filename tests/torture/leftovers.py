"""Leftovers: processes, sockets, shared memory and files, before a world and after it."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

PR_SET_CHILD_SUBREAPER = 36
PATIENCE = 20.0
"""Seconds that a process has to end by itself."""
SHARED = Path("/dev/shm")


def adopt_orphans() -> None:
    """From here on, who loses its parent becomes a child of this process, so that it is seen, and ended at last."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class Census(NamedTuple):
    """What is there at one moment."""

    processes: frozenset[psutil.Process]
    descriptors: dict[int, str]
    threads: int
    shared: frozenset[str]

    @classmethod
    def take(cls) -> Census:
        # What shm_open makes are files; a folder is somebody's who only wants a fast disk.
        files = (path.name for path in SHARED.iterdir() if path.is_file()) if SHARED.is_dir() else ()
        shared = frozenset(files)
        children = frozenset(psutil.Process().children(recursive=True))
        return cls(children, _descriptors(), threading.active_count(), shared)


def left(before: Census, folder: Path, patience: float = PATIENCE) -> Iterator[str]:
    """What is there beyond that, once a world in that folder is closed. Processes are ended; who has them is told."""
    started = [process for process in psutil.Process().children(recursive=True) if process not in before.processes]
    # Who has died is only waited for here.
    _, alive = psutil.wait_procs(started, timeout=patience)
    for process in alive:
        yield f"process {_describe(process)}"
        process.kill()
    psutil.wait_procs(alive, timeout=PATIENCE)
    after = Census.take()
    for number, target in after.descriptors.items():
        if before.descriptors.get(number) != target:
            yield f"descriptor {number} of this process: {target}"
    if after.threads > before.threads:
        names = ", ".join(sorted(thread.name for thread in threading.enumerate()))
        yield f"{after.threads - before.threads} threads of this process, among {names}"
    yield from (f"shared memory {path}" for path in _forgotten(after.shared - before.shared, patience / 4))
    with open("/proc/net/unix") as sockets:
        yield from (f"socket {line.split()[-1]}" for line in sockets if f"{folder}/" in line)
    yield from (f"file {path}" for path in sorted((folder / "tmp").glob("**/*")) if not path.is_dir())


def end_all(before: Census) -> None:
    """Ends the processes that were started since, whatever they do."""
    for _ in range(3):
        started = [child for child in psutil.Process().children(recursive=True) if child not in before.processes]
        for process in started:
            process.kill()
        psutil.wait_procs(started, timeout=PATIENCE)


def _descriptors() -> dict[int, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
    return found


def _forgotten(names: frozenset[str], patience: float) -> list[Path]:
    """Those which stay, and which nobody uses: what others on this machine make goes with them."""
    end = time.monotonic() + patience
    while paths := [SHARED / name for name in sorted(names) if (SHARED / name).exists()]:
        if time.monotonic() > end:
            return [path for path in paths if not _is_in_use(path)]
        time.sleep(0.05)
    return []


def _is_in_use(path: Path) -> bool:
    """Whether a process has it open or mapped: then it belongs to that one, and those of ours have ended."""
    for process in psutil.process_iter():
        try:
            links = {os.readlink(entry) for entry in Path(f"/proc/{process.pid}/fd").iterdir()}
            if str(path) in links or str(path) in Path(f"/proc/{process.pid}/maps").read_text():
                return True
        except OSError:
            continue
    return False


def _describe(process: psutil.Process) -> str:
    try:
        return f"{process.pid} {' '.join(process.cmdline()) or process.name()} ({process.status()})"
    except psutil.Error:
        return str(process.pid)
