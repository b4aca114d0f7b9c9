"""Descriptors of its process that a handler closes, takes or writes to, and its folder."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
from typing import Any

from tempotask import Job
from torture.nasty.handler import nasty


@nasty
def closes_all_files(job: Job[Any]) -> str:
    os.closerange(3, 1 << 16)
    return "closed"


@nasty
def takes_all_files_for_its_own(job: Job[Any]) -> int:
    """Closes all descriptors, and fills their numbers with a file of its own: nobody may write there but it."""
    for fd in range(3, 64):
        with contextlib.suppress(OSError):
            os.close(fd)
    own = os.open(tempfile.gettempdir(), os.O_RDWR | os.O_TMPFILE)
    for fd in range(3, 64):
        if fd != own:
            os.dup2(own, fd)
    return own


@nasty
def writes_to_all_files(job: Job[bytes]) -> str:
    """To all connections but the ledger's, which tells the truth."""
    for fd in (0, *range(3, 64)):
        with contextlib.suppress(OSError):
            with socket.socket(fileno=os.dup(fd)) as there:
                if there.getpeername() == os.environ["TORTURE_LEDGER"]:
                    continue
            os.write(fd, job.data)
    return "written"


@nasty
def fills_standard_output(job: Job[Any]) -> None:
    """Prints to where nobody reads."""
    saved = os.dup(1)
    read, write = os.pipe()
    os.dup2(write, 1)
    try:
        while True:
            print("x" * 1023)
    finally:
        os.dup2(saved, 1)
        for fd in (read, write, saved):
            os.close(fd)


@nasty
def changes_directory(job: Job[Any]) -> str:
    """To one that is no more."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
    return folder
