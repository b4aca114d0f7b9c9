"""A disk whose power can be cut: what a server had not synced is gone, as it is on a machine that loses its power.

The disk is a file with a file system in it. What a program writes there stays in the kernel's memory until it is
synced; only then it reaches the file. A copy of the file is therefore what a disk holds at that moment. That a real
disk may keep a part of it in a memory of its own can't be shown so.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

from servers import OwnServer

SIZE = 48 << 20
"""Bytes: small enough to be copied in a moment."""


class NoDisk(Exception):
    """There can be no such disk here, and why."""


class Disk:
    """A file system in a file, mounted at `folder`."""

    def __init__(self, place: Path) -> None:
        self.folder = place / "disk"
        self.folder.mkdir()
        self._place = place
        self._cuts = 0
        if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
            raise NoDisk("a disk in a file takes root and mkfs.ext4")
        with self.image.open("wb") as file:
            file.truncate(SIZE)
        _do("mkfs.ext4", "-q", "-F", str(self.image))
        self._mount()

    @property
    def image(self) -> Path:
        """The file that holds what was written down."""
        return self._place / f"image-{self._cuts}"

    def cut_power(self, server: OwnServer) -> None:
        """Ends the server, and puts the disk back as it was at this moment."""
        server.process.send_signal(signal.SIGSTOP)
        held = self.image.read_bytes()
        server.kill()
        _do("umount", str(self.folder))
        self.image.unlink()
        self._cuts += 1
        self.image.write_bytes(held)
        self._mount()

    def close(self) -> None:
        if os.path.ismount(self.folder):
            _do("umount", str(self.folder))

    def _mount(self) -> None:
        # Nothing is written down on its own while a test runs.
        _do("mount", "-o", "loop,commit=600", str(self.image), str(self.folder))


def _do(*command: str) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise NoDisk(f"{' '.join(command)}: {ended.stderr.strip()}")
