"""What would a figure be with nothing around it: no handlers, no guarantees, no queue?

A floor is what others hold their figures against: the server claims and settles in Lua; one process wakes another
through the server; a loop decodes jobs and calls. The rows have no bounds.
"""

from __future__ import annotations

import math
import multiprocessing
import socket
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

import hiredis
import msgspec
import redis
from msgspec import Raw

from benchmarks import drain
from benchmarks.harness import WORKERS, Bench, Failed
from benchmarks.rows import Row, Spread
from tempotask.store.interrupts import packed
from tempotask.store.records import Record, encode

BATCH, THOUSAND = 200, 1000
TURN = """
redis.call('DEL', KEYS[2])
local records = redis.call('LPOP', KEYS[1], ARGV[1])
if not records then return false end
redis.call('RPUSH', KEYS[2], unpack(records))
return table.concat(records)
"""
"""Settles the batch before, which leaves nothing behind, and claims the next."""
FORK = multiprocessing.get_context("fork")


class Line:
    """A bare connection: one call after the other."""

    def __init__(self, bench: Bench) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(bench.folder / "s.sock"))
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


class Image(msgspec.Struct):
    """The payload of a no-op job, as its handler declares it."""

    path: str


def records(count: int) -> list[bytes]:
    """Records as ours are: 30 bytes of payload."""
    return [
        encode(Record("", f"abcdef-{n}", "q0", "0", "noop", 1.7e9, 0, Raw(encode({"path": drain.PATH.format(n)}))))
        for n in range(count)
    ]


def push(bench: Bench, key: str, count: int) -> float:
    """Records a second, made beforehand, by the thousand."""
    made = records(count)
    line = Line(bench)
    began = time.monotonic()
    for at in range(0, count, THOUSAND):
        line.send(*packed("RPUSH", key, *made[at : at + THOUSAND]))
    seconds = time.monotonic() - began
    line.close()
    return count / seconds


def together(prepare: Callable[[int], Callable[[], None]]) -> float:
    """Seconds from the first begin to the last end of two processes, each of which prepares its work beforehand."""
    start, found = FORK.Barrier(WORKERS), FORK.SimpleQueue()

    def work(number: int) -> None:
        run = prepare(number)
        start.wait()
        began = time.monotonic()
        run()
        found.put((began, time.monotonic()))

    processes = [FORK.Process(target=work, args=(number,), daemon=True) for number in range(WORKERS)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise Failed("a bare process did not finish")
    times = [found.get() for _ in processes]
    seconds: float = max(end for _, end in times) - min(began for began, _ in times)
    return seconds


def claim_and_settle(bench: Bench, count: int) -> float:
    """Jobs a second of two clients that only claim and settle."""
    push(bench, "{limit}:queue", count)
    sha = bench.redis.script_load(TURN)

    def prepare(number: int) -> Callable[[], None]:
        line = Line(bench)
        (turn,) = packed("EVALSHA", sha, 2, "{limit}:queue", f"{{limit}}:claims:{number}", BATCH)

        def turns() -> None:
            while line.send(turn) is not None:
                pass

        return turns

    seconds = together(prepare)
    if bench.redis.exists("{limit}:queue"):
        raise Failed("the bare clients left jobs behind")
    return count / seconds


def decode_and_call(count: int) -> float:
    """Jobs a second of two processes that decode records and payloads, and call a function with each."""
    made = records(count // WORKERS)

    def prepare(number: int) -> Callable[[], None]:
        record, payload = msgspec.msgpack.Decoder(Record).decode, msgspec.msgpack.Decoder(Image).decode

        def loop() -> None:
            for each in made:
                nothing(payload(record(each).payload))

        return loop

    return count // WORKERS * WORKERS / together(prepare)


def nothing(image: Image) -> None:
    pass


Send = Callable[..., Any]
"""Sends one command and returns its reply."""
PACE = 0.005
"""Seconds in which everybody falls asleep again. Only then is asked for what the other side has seen."""


def bare(bench: Bench) -> Send:
    """Over a socket, with nothing but a reader of replies."""
    line = Line(bench)
    return lambda *command: line.send(*packed(*command))


def client(bench: Bench) -> Send:
    """By redis-py, as a program does that has no queue."""
    # What BLPOP waits for may take any time.
    server = redis.Redis.from_url(bench.url, socket_timeout=None)
    return lambda *command: server.execute_command(*command)  # type: ignore[no-untyped-call]


class Pair:
    """Two processes, one of which pushes to a list on which the other blocks."""

    def __init__(self, bench: Bench, connect: Callable[[Bench], Send]) -> None:
        self._echo = FORK.Process(target=_echo, args=(bench, connect), daemon=True)
        self._bench, self._connect = bench, connect

    def __enter__(self) -> Self:
        self._echo.start()
        self._send = self._connect(self._bench)
        self._came()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._send("RPUSH", "{limit}:there", "")
        self._echo.join()

    def wake(self) -> float:
        """Milliseconds from before the push until the other process has the element. Both have slept before."""
        time.sleep(PACE)
        began = time.time_ns()
        self._send("RPUSH", "{limit}:there", "x" * 30)
        time.sleep(PACE)
        return (self._came() - began) / 1e6

    def _came(self) -> int:
        """When the other process had what it blocked for, by the clock that both read."""
        return int(self._send("BLPOP", "{limit}:back", 0)[1])


def _echo(bench: Bench, connect: Callable[[Bench], Send]) -> None:
    send = connect(bench)
    send("RPUSH", "{limit}:back", 0)
    while send("BLPOP", "{limit}:there", 0)[1]:
        send("RPUSH", "{limit}:back", time.time_ns())


def percentiles(rounds: Sequence[Sequence[float]]) -> dict[int, Spread]:
    """Of what took some milliseconds in each round: that half, or 99 of a hundred, took no longer."""
    return {
        percent: Spread([sorted(each)[math.ceil(len(each) * percent / 100) - 1] for each in rounds], "ms")
        for percent in (50, 99)
    }


def measure(bench: Bench) -> list[Row]:
    count, wakes = bench.size(200_000, 40_000), bench.size(400, 100)
    paces: dict[str, Callable[[], float]] = {
        "claim and settle in Lua, two clients, batch 200": lambda: claim_and_settle(bench, count),
        "decode a record and its payload, and call, two processes": lambda: decode_and_call(count),
    }
    rows = [_floor(what, Spread([pace() for _ in range(bench.rounds)], "jobs/s")) for what, pace in paces.items()]
    for how, connect in {"redis-py": client, "a bare socket": bare}.items():
        with Pair(bench, connect) as pair:
            rounds = [[pair.wake() for _ in range(wakes)] for _ in range(bench.rounds)]
        for percent, took in percentiles(rounds).items():
            rows.append(_floor(f"RPUSH to the BLPOP of another process, by {how}, p{percent}", took))
    return rows


def _floor(what: str, measured: Spread) -> Row:
    return Row(f"floor: {what}", measured, measured.median, None, None, True)
