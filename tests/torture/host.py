"""The host, changed for a few processes only: commands that run another in their own place, and a clock to be set.

Raises `NotHere` where this machine does not let it happen, with what it says.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from torture.fault import NotHere

Through = list[str]
"""Words of a command; those of the command that it runs follow."""


def checked(through: Sequence[str], what: str) -> Through:
    """The same, if it can be carried out here."""
    try:
        tried = subprocess.run([*through, "true"], capture_output=True, text=True)
    except OSError as error:
        raise NotHere(f"{what}: {error}") from error
    if tried.returncode:
        raise NotHere(f"{what}: {tried.stderr.strip()}")
    return list(through)


def mounting(script: str, what: str) -> Through:
    """With mounts of its own, made by a shell's script."""
    return checked(["unshare", "--mount", "sh", "-c", f'{script} && exec "$@"', "sh"], what)


def without_shared_memory() -> Through:
    """Nobody can put anything into /dev/shm."""
    return mounting("mount -t tmpfs -o ro,size=4k none /dev/shm", "/dev/shm can't be taken away")


def read_only(*folders: Path) -> Through:
    """Nothing in these folders can be changed."""
    script = " && ".join(f"mount --bind '{each}' '{each}' && mount -o remount,bind,ro '{each}'" for each in folders)
    # What runs was in the folder that now lies under the mount: it has to enter again.
    return mounting(f'{script} && cd "$PWD"', "folders can't be made read-only")


def kernel_with_its_clock_set(folder: Path, seconds: int) -> Through:
    """Where the kernel tells what it does after its clock was set forward by so much.

    The time at which the machine was started is told as the time now less the time since, so it jumps with the clock.
    """
    told = Path("/proc/stat").read_text().splitlines()
    moved = [f"btime {int(line.split()[1]) + seconds}" if line.startswith("btime") else line for line in told]
    (folder / f"stat{seconds}").write_text("\n".join(moved) + "\n")
    return mounting(f"mount --bind '{folder}/stat{seconds}' /proc/stat", "/proc can't be changed for one process")


def descriptors(number: int) -> Through:
    """With so many open files at most."""
    return checked(["prlimit", f"--nofile={number}"], "the limit of open files can't be set")


def user(number: int) -> Through:
    """As a user of its own, who may read and write every file all the same."""
    rights = ("--inh-caps=+dac_override", "--ambient-caps=+dac_override")
    return checked(["setpriv", f"--reuid={number}", f"--regid={number}", "--clear-groups", *rights], "no other user")


def processes(number: int, uid: int) -> Through:
    """As that user, who may have so many processes and threads, and more if that is allowed later."""
    return [*user(uid), "prlimit", f"--nproc={number}:4096"]


def allow_processes(number: int, uid: int, pid: int) -> None:
    """Lets a process, and what it will start, see so many processes and threads of that user at most."""
    subprocess.run([*user(uid), "prlimit", f"--pid={pid}", f"--nproc={number}:4096"], check=True)


class Clock:
    """A clock that those see who have its environment, and that can be set while they run."""

    def __init__(self, folder: Path) -> None:
        library = folder / "clock.so"
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            raise NotHere("the clock can't be set for one process without a C compiler (apt install gcc)")
        source = Path(__file__).with_name("clock.c")
        subprocess.run([compiler, "-shared", "-fPIC", "-O", "-o", library, source, "-ldl"], check=True)
        self._file = folder / "clock"
        self._file.write_bytes(bytes(8))
        self.environment = {"LD_PRELOAD": str(library), "TORTURE_CLOCK": str(self._file)}

    def set(self, seconds: int) -> None:
        """So much later than it is: a jump for all who run, at once."""
        with self._file.open("r+b", buffering=0) as file:
            file.write(seconds.to_bytes(8, sys.byteorder, signed=True))


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of so many bytes ("16m"), as a folder that is made in `folder`."""
    place = folder / "disk"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", place], capture_output=True, text=True)
    if done.returncode:
        raise NotHere(f"a small disk can't be had: {done.stderr.strip()}")
    try:
        yield place
    finally:
        # Lazily: a server that is just ending still writes to it.
        subprocess.run(["umount", "--lazy", place], check=True)
