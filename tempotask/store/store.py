"""Store: one method a script, no policy.

Every change of state is one Lua script in `scripts/`, run atomically by the server. One method writes a script's
arguments and reads its reply, here, or where the noun is that the script is about: turns.py, acting.py, revising.py,
look.py, overview.py, schedules.py, events.py, snapshot.py, repair.py. Who calls it, when and why is the business of the
pool and the door.
"""

from __future__ import annotations

import collections
import functools
import itertools
import math
import secrets
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import redis

from tempotask.errors import NotDurable, ServerUnavailable
from tempotask.store import keys, rights, sheets
from tempotask.store.addition import Addition, NewJob, named, remember_ms
from tempotask.store.connect import OTHERWISE, Server
from tempotask.store.durability import Durability, DurableWire, Kind
from tempotask.store.format import FORMAT, refusal
from tempotask.store.interrupts import packed
from tempotask.store.numbers import CHUNK, NOTICE_MS
from tempotask.store.script import Argument, chunked
from tempotask.store.settlement import Settlement
from tempotask.store.values import text
from tempotask.store.wire import Lost, Wire

STEP = 0.5
"""Seconds by which the server's clock, as it is told, differs from our idea of it when it was set."""
LOOKING = ("ask", "find", "listen", "overview", "quiet", "snapshot", "unwait")
"""Scripts that leave no job, supervisor or schedule behind."""
SINCE_BOOT: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""A clock that never jumps, and goes on while the machine sleeps, as servers' clocks do."""
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_PAIRS = [first + second for first in _DIGITS for second in _DIGITS]


class Limits(NamedTuple):
    """What a namespace keeps of outcomes: beyond either number the oldest go first."""

    results: int = 1_000_000
    results_bytes: int = 256 * 1024 * 1024


def base36(number: int, width: int) -> str:
    """A number in digits that sort as it does."""
    digits = ""
    while len(digits) < width:
        number, pair = divmod(number, 1296)
        digits = _PAIRS[pair] + digits
    return digits[-width:]


class Store:
    """The state of one namespace on one server. Safe to use from several threads; opens nothing before it is used."""

    def __init__(
        self, server: Server, namespace: str, limits: Limits | None = None, durability: Kind = "memory"
    ) -> None:
        self.server = server
        self.namespace = namespace
        self.limits = limits or Limits()
        self.ring = keys.ring(namespace)
        self.prefix = keys.prefix(namespace)
        # Connections that nobody uses right now. A deque's ends are safe to use from several threads.
        self._wires: collections.deque[Wire] = collections.deque()
        self.durability = None if durability == "memory" else Durability(server, durability)
        self._durable_wires: collections.deque[Wire] = collections.deque()
        self._allowed = self._known = self._noted = False
        self._offset: float | None = None
        self._asked = 0.0
        """When the server was asked for its time, by our clock."""
        self._moment = 0, ""
        """The millisecond of the last call, and how ids say it: many calls fall into one."""
        self._calls = itertools.count(secrets.randbelow(36**6))
        self.remembered = remember_ms(server.connect_timeout)
        """For how many milliseconds the server knows a call again."""

    # -- running scripts

    def run(self, name: str, *arguments: Argument) -> Any:
        """Runs a script, patiently; raises `ServerUnavailable` or `ServerFull`."""
        return self.server.patiently(lambda: self.try_once(name, *arguments))

    def try_once(self, name: str, *arguments: Argument, durable: bool = False) -> Any:
        """Runs a script once; that its reply may be lost is the caller's affair. Raises what the client library raises,
        and `ServerUnavailable` when the server refuses us."""
        self.check_access(changes=name not in LOOKING)
        return self._once(name, *arguments, durable=durable)

    def durably(self, name: str, *arguments: Argument) -> Any:
        """Runs a script for a user, patiently, and returns when what it changed is as durable as the user asks.

        Raises also `NotDurable`, and `InvalidOptions` when the server can't.
        """
        if self.durability is None:
            return self.run(name, *arguments)
        return self.server.patiently(lambda: self.try_once(name, *arguments, durable=True))

    def check_access(self, *, changes: bool = True) -> None:
        """Before the first script, and the first that changes something: a user who may not do all of it is told so,
        before half of it is done, and so is who meets a namespace in a newer format. Raises `ServerUnavailable`."""
        if self._allowed and self._known and (self._noted or not changes):
            return
        if not self._allowed:
            reply = self._once("rights")
            if not isinstance(reply, list):
                raise ServerUnavailable(f"what answers at {self.server.label} is neither Redis nor Valkey: {OTHERWISE}")
            if lacking := [text(word) for word in reply]:
                keys_too = [f"~{self.prefix}*" if word == "~" else word for word in lacking]
                raise ServerUnavailable(rights.told(self.server.label, keys_too, OTHERWISE))
            self._allowed = True
        self._look_at_format(changes=changes)

    def _look_at_format(self, *, changes: bool) -> None:
        """At the first use, and again after an outage: it may be another server, or somebody has upgraded."""
        found = self._once("format", FORMAT if changes else "").decode(errors="replace")
        if (why_not := refusal(self.namespace, self.server.label, found)) is not None:
            raise ServerUnavailable(why_not)
        self._known, self._noted = True, self._noted or changes

    def _once(self, name: str, *arguments: Argument, durable: bool = False) -> Any:
        wires = self._durable_wires if durable else self._wires
        wire = wires.pop() if wires else self._new_wire(durable=durable)
        try:
            answer = wire.run(name, *arguments)
        except Lost as error:
            # The others are likely to be broken too, and would each cost a try.
            self._drop_wires()
            raise redis.ConnectionError(str(error)) from error
        except BaseException:
            wire.close()
            raise
        wires.append(wire)
        return answer

    def _new_wire(self, *, durable: bool) -> Wire:
        place = (self.server, self.namespace, self.server.connect_timeout / 2)
        return DurableWire(*place, self.durability) if durable and self.durability else Wire(*place, awake=True)

    def change(self, name: str, *arguments: Argument) -> Any:
        """Runs a script for a user that acts once however often the call is sent: if a reply is lost, the second
        sending gets the first answer. Raises what `durably` does."""
        return self.durably(name, *named(self.new_call(), self.remembered), *arguments)

    def _drop_wires(self) -> None:
        # It may be another server by now, after a failover say: it is asked again.
        self._allowed = self._known = self._noted = False
        self._offset = None
        for wires in (self._wires, self._durable_wires):
            while wires:
                wires.pop().close()

    def read(self, command: str, key: str, *rest: Argument) -> Any:
        """Runs a command that changes nothing, on a key named without its prefix."""
        return self.server.patiently(lambda: self._execute(command, self.prefix + key, *rest))

    def read_many(self, commands: Sequence[tuple[str, str, *tuple[Argument, ...]]]) -> list[Any]:
        """The replies to many commands that change nothing, on keys without prefix; a thousand a round trip."""
        replies: list[Any] = []
        for chunk in chunked(commands):
            replies += self.server.patiently(functools.partial(self._pipe, chunk))
        return replies

    def _pipe(self, commands: Sequence[tuple[str, str, *tuple[Argument, ...]]]) -> list[Any]:
        if not self._known:
            self._look_at_format(changes=False)
        pipeline = self.server.client().pipeline(transaction=False)
        for command, key, *rest in commands:
            pipeline.execute_command(command, f"{self.prefix}{key}", *rest)  # type: ignore[no-untyped-call]
        # The library would put words in front of an error, and the server's own begin with what kind it is of.
        replies = pipeline.execute(raise_on_error=False)
        for reply in replies:
            if isinstance(reply, redis.RedisError):
                raise reply
        return replies

    def _execute(self, *command: Argument) -> Any:
        if not self._known:
            self._look_at_format(changes=False)
        return self.server.client().execute_command(*command)  # type: ignore[no-untyped-call]

    # -- time and names

    def clock(self) -> int:
        """Microseconds since 1970 by the server's clock, which is asked each time."""
        seconds, micros = self.server.patiently(lambda: self.server.client().time())
        return int(seconds) * 1_000_000 + int(micros)

    def now(self, within: float = math.inf) -> float:
        """Unix seconds by the server's clock, carried on by one of ours that never jumps. The server is asked again
        after a broken connection, for it may be another one, and if that was more than `within` seconds ago."""
        offset = self._offset
        if offset is None or time.clock_gettime(SINCE_BOOT) - self._asked > within:
            offset = self._offset = self.clock() / 1e6 - time.clock_gettime(SINCE_BOOT)
            self._asked = time.clock_gettime(SINCE_BOOT)
        return time.clock_gettime(SINCE_BOOT) + offset

    def new_call(self) -> str:
        """The id of a call: 15 characters that grow with time. The jobs that it adds
        are `<call>-0`, `<call>-1`, ..."""
        now_ms, (last_ms, said) = int(self.now() * 1000), self._moment
        if now_ms != last_ms:
            said = base36(now_ms, 9)
            self._moment = now_ms, said
        return said + base36(next(self._calls) % 36**6, 6)

    # -- the moves

    def enqueue(self, call: str, jobs: Sequence[NewJob]) -> list[bool]:
        """Adds at most 1,000 jobs, all or none, once however often the same call is sent.

        Returns which of them were created; the others have an id of a job that has not finished. Raises
        `ServerFull` and what `durably` does.
        """
        addition = Addition(call)
        for job in jobs:
            addition.add(job)
        return self.add(addition)

    def add(self, addition: Addition) -> list[bool]:
        """`enqueue`, for a call that is made already."""
        try:
            answer = self.durably("enqueue", *addition.arguments(self.remembered))
        except NotDurable as error:
            error.created = addition.created(error.answer)
            raise
        return addition.created(answer)

    def give_back_tail(self, worker: str, turn: str, start: int) -> int:
        """Gives back what a worker holds under that turn from an index on. Returns how many jobs."""
        return max(0, int(self.run("give_back", worker, "tail", turn, start)[0]))

    def give_back_all(
        self,
        worker: str,
        turn: str = "",
        judged: Iterable[int] = (),
        replaced: Sequence[tuple[int, bytes]] = (),
        settlement: Settlement | None = None,
    ) -> tuple[int, bool]:
        """Gives back all that a worker holds, and forgets it.

        The verdict on the judged indices of a turn counts if all of them are still held: some records are replaced
        (a crash counted), others settled. Of others that are replaced each counts for itself. Returns how many jobs
        went back, and whether the verdict counted.
        """
        indices = list(judged)
        flat: list[Argument] = [*self.limits, turn, len(indices), *indices, len(replaced)]
        for index, record in replaced:
            flat += (index, record)
        reply = self.run("give_back", worker, "all", *flat, *(settlement or Settlement()).arguments())
        return (max(0, reply[0]), reply[0] >= 0 and reply[1] == b"1")

    def sweep(self, supervisor: str, lease: float, lost: str, seen: str, *, dead: bool = False) -> list[str] | None:
        """Takes the place of a lost host. None if it lives; else the workers whose jobs are to be given back."""
        reply = self.run("sweep", supervisor, int(lease * 1000), lost, seen, "dead" if dead else "")
        return [text(name) for name in reply[1:]] if reply[0] == b"swept" else None

    # -- supervisors and workers

    def register(self, supervisor: str, lease: float, registration: bytes = b"", workers: Sequence[str] = ()) -> bool:
        """Makes a supervisor known, or workers it is about to fork. False if its lease was swept."""
        reply = self.run("register", supervisor, int(lease * 1000), registration, *workers)
        return bool(reply[0] == b"registered")

    def renew(self, supervisor: str, lease: float, *, tidy: bool) -> Renewal | None:
        """Renews a lease; `tidy` promotes what is due and lets go of what is old too. None if it was swept."""
        reply = self.run("renew", supervisor, int(lease * 1000), "1" if tidy else "")
        if reply[0] != b"renewed":
            return None
        texts = [text(part) for part in reply[1:]]
        others = dict(zip(texts[2::2], texts[3::2], strict=True))
        others.pop(supervisor, None)
        now = int(texts[0]) / 1000
        if abs(now - self.now()) > STEP:
            self._offset = None
        return Renewal(now, float(texts[1]) / 1000 if texts[1] else None, others)

    def leave(self, supervisor: str) -> int:
        """Forgets a supervisor, unless workers of it are still registered: returns how many."""
        return int(self.run("leave", supervisor))

    def registrations(self) -> dict[str, bytes]:
        """What each supervisor said of itself."""
        return {text(name): told for name, told in self.read("HGETALL", "supervisors").items()}

    def opened(self, worker: str) -> tuple[str, list[bytes]]:
        """The open turn of a worker, and its claims in the order of the batch; holes are empty."""
        turn = text(self.read("HGET", f"worker:{worker}", "open") or b"")
        return turn, self.read("LRANGE", f"claims:{worker}:{turn}", 0, -1) if turn else []

    def notify(self, names: Iterable[str], what: bytes | str) -> None:
        """Pushes something to lists, named without prefix, on which somebody is told things: orders, answers. It is
        kept for a minute. Of no job does that change anything, so it needs no script.

        Tries once; raises what the client library raises.
        """
        with self.server.client().pipeline(transaction=True) as pipeline:
            for name in names:
                pipeline.rpush(f"{self.prefix}{name}", what)
                pipeline.pexpire(f"{self.prefix}{name}", NOTICE_MS)
            pipeline.execute()

    # -- queues

    def pause_queue(self, queue: str) -> bool:
        """Nothing of this queue is claimed any more. Returns whether that changed anything."""
        return bool(self.change("pause", "pause", queue))

    def resume_queue(self, queue: str) -> bool:
        """The reverse of `pause_queue`."""
        return bool(self.change("pause", "resume", queue))

    # -- outcomes

    def ask(self, client: str, ids: Sequence[str]) -> list[bytes | None]:
        """The encoded outcomes of at most 1,000 jobs; for those that have not ended None, and the client is told."""
        more = 1
        while more:
            more, *outcomes = self.run("ask", client, *ids)
        return [outcome or None for outcome in outcomes]

    def outcomes_of(self, ids: Sequence[str]) -> list[bytes | None]:
        """The encoded outcomes of at most 1,000 jobs; None where there is none. That makes nobody a waiter."""
        return self.ask("", ids)

    def told(self, client: str, connection: redis.Connection, timeout: float) -> list[tuple[str, bytes]]:
        """Waits on a connection of the caller's own for what the client is told: id, and outcome (b"": ask for it).

        Returns nothing when the time is over; raises redis' `ConnectionError` and `TimeoutError`.
        """
        key = f"{self.prefix}waits:{client}"
        # Together: the server comes to the second as soon as the first has waited.
        both = packed("BLPOP", key, timeout) + packed("LPOP", key, CHUNK)
        connection.send_packed_command(both)  # type: ignore[no-untyped-call]
        first, others = (connection.read_response(disable_decoding=True) for _ in range(2))
        parts = [*(first or [])[1:], *(others or [])]
        return [pair for part in parts for pair in _told(part)]

    def unwait(self, client: str, ids: Sequence[str]) -> list[str]:
        """The client does not wait for these jobs any longer; for which it did."""
        return [id.decode() for chunk in chunked(ids) for id in self.run("unwait", client, *chunk)]

    def forget_outcomes(self, ids: Sequence[str]) -> None:
        """Lets go of the outcomes of these jobs. Tries once, and raises what the client library raises."""
        for chunk in chunked(ids):
            while self.try_once("forget", *chunk):
                pass

    def quiet(self, *, delayed: bool = False) -> bool:
        """Whether nothing is left that would run now: nothing waiting, claimed, or between two tries."""
        ready, held, retries, due = self.run("quiet")
        return not (ready or held or retries or (delayed and due))

    def close(self) -> None:
        """Lets go of the server's connections."""
        self._drop_wires()
        self.server.close()


def _told(part: bytes) -> Iterable[tuple[str, bytes]]:
    """What a client is told of jobs that ended (endings.lua), as ids and outcomes."""
    if part.startswith(sheets.MARK):
        try:
            return list(sheets.opened(part))
        except ValueError:
            # Of somebody else's making. What was to be told is asked for after a while.
            return []
    id, _, outcome = part.partition(b" ")
    return [(id.decode(errors="replace"), outcome)]


class Renewal(NamedTuple):
    """What a supervisor learns when it renews its lease."""

    now: float
    """Unix seconds by the server's clock."""
    next_due: float | None
    """When the next delayed job, try or schedule is due; None when there is none, or nobody asked."""
    leases: dict[str, str]
    """The other supervisors' leases, as they are stored."""
