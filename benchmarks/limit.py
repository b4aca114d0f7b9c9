"""How far are we from what the server alone could do: claim and settle in Lua, no Python handler, no guarantees?"""

from __future__ import annotations

import multiprocessing
import socket
import time
from typing import Any

import hiredis
from msgspec import Raw

from benchmarks import drain
from benchmarks.harness import WORKERS, Bench, Failed, Row, in_turns, ratio
from tempotask.store.records import Record, encode
from tempotask.store.store import packed

BATCH, THOUSAND = 200, 1000
TURN = """
redis.call('DEL', KEYS[2])
local records = redis.call('LPOP', KEYS[1], ARGV[1])
if not records then return false end
redis.call('RPUSH', KEYS[2], unpack(records))
return table.concat(records)
"""
"""Settles the batch before, which leaves nothing behind, and claims the next."""


class Line:
    """A bare connection: one call after the other."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._reader = hiredis.Reader()

    def send(self, packed: bytes) -> Any:
        self._socket.sendall(packed)
        while (reply := self._reader.gets()) is False:
            self._reader.feed(self._socket.recv(1 << 20))
        if isinstance(reply, Exception):
            raise reply
        return reply

    def close(self) -> None:
        self._socket.close()


def records(count: int) -> list[bytes]:
    """Records as ours are: 30 bytes of payload."""
    return [
        encode(Record("", f"abcdef-{n}", "q0", "0", "noop", 1.7e9, 0, Raw(encode({"path": drain.PATH.format(n)}))))
        for n in range(count)
    ]


def push(bench: Bench, key: str, count: int) -> float:
    """Records a second, made beforehand, by the thousand."""
    made = records(count)
    line = Line(str(bench.folder / "s.sock"))
    began = time.monotonic()
    for at in range(0, count, THOUSAND):
        line.send(*packed("RPUSH", key, *made[at : at + THOUSAND]))
    seconds = time.monotonic() - began
    line.close()
    return count / seconds


def bare(bench: Bench, count: int) -> float:
    """Jobs a second of two clients that only claim and settle."""
    context = multiprocessing.get_context("fork")
    push(bench, "{limit}:queue", count)
    sha = bench.redis.script_load(TURN)
    start, found = context.Barrier(WORKERS), context.SimpleQueue()
    clients = [
        context.Process(target=_client, args=(str(bench.folder / "s.sock"), sha, number, start, found), daemon=True)
        for number in range(WORKERS)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    if any(client.exitcode for client in clients) or bench.redis.exists("{limit}:queue"):
        raise Failed("a bare client did not finish")
    times = [found.get() for _ in clients]
    seconds: float = max(end for _, end in times) - min(began for began, _ in times)
    return count / seconds


def _client(path: str, sha: str, number: int, start: Any, found: Any) -> None:
    line = Line(path)
    (turn,) = packed("EVALSHA", sha, 2, "{limit}:queue", f"{{limit}}:claims:{number}", BATCH)
    start.wait()
    began = time.monotonic()
    while line.send(turn) is not None:
        pass
    found.put((began, time.monotonic()))


def measure(bench: Bench) -> list[Row]:
    count = bench.size(200_000, 40_000)
    mine, others = in_turns(lambda: drain.ours(bench, count), lambda: bare(bench, count), bench.rounds, "jobs/s")
    return [ratio("the same, against the bare limit of the server", mine, others, 0.15, 0.3)]
