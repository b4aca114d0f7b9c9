"""Where every worker is in its code right now, also one in an endless loop or in C code that holds the interpreter.

    tempotask stacks ── order ──► supervisor ── STACK_SIGNAL ──► worker
           ▲                         ▲                             │ faulthandler, in the signal handler itself
           └───── pushed, by host ───┴── the block's file, behind its page ◄──┘

The worker's side is in whereabouts.py. It writes to the file of its control block, which both hold, behind the page
that both have mapped. Only the main thread's stack: it is the one that runs jobs, and it stands still meanwhile, while
other threads' frames may change under whoever reads them. Of an `async def` handler that shows the event loop, so the
worker's second thread is then asked where it awaits (`AWAITS`).

Python's own waits go on after the signal. A `sleep` or `select` of a C library is cut short by it, as by any signal.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import msgspec
import redis

from tempotask.errors import TempoTaskError
from tempotask.pool.clerk import Clerk
from tempotask.pool.control_block import AWAITS, BUSY, IDLE, SPENT, STACK_SIGNAL, STACKS, STARTING
from tempotask.pool.watch import Watch
from tempotask.store.records import Record, decode_record
from tempotask.store.store import Store

STATES = {STARTING: "starting", IDLE: "idle", BUSY: "busy", SPENT: "spent"}
PAUSE, ANSWERS_WITHIN = 0.01, 1.0
"""Seconds between two looks whether a stack is written; how long one is waited for."""
QUIET = 3
"""After so many looks that found nothing new, a stack is taken to be written: there is no mark at its end."""
IN_LOOP = "/tempotask/pool/loop.py"
"""What stands in the stack of a worker that runs an `async def` handler."""


class Stack(msgspec.Struct):
    """Where one worker is. `stack` is as `faulthandler` writes it; None for one that could not be asked."""

    worker: str
    pid: int
    state: str
    stack: str | None
    id: str | None = None
    """Of the job that it runs."""
    queue: str | None = None
    name: str | None = None
    awaits: str | None = None
    """Where the tasks of an `async def` handler await, its own first, likewise."""


class Answer(msgspec.Struct):
    """What a supervisor answers."""

    supervisor: str
    host: str
    pid: int
    workers: list[Stack]


@dataclass
class _Asked:
    """A worker whose stack is awaited, and what it did when it was asked."""

    watch: Watch
    state: str
    turn: str
    running: int | None
    able: bool
    size: int = 0
    quiet: int = 0
    text: str | None = None
    awaits: str | None = None
    asks: bool = False
    """Whether it was asked where its handler awaits, and has not answered."""

    def look(self) -> bool:
        """Whether nothing more is to be expected of it."""
        if not self.able or self.watch.worker.state == "ending":
            return True
        if self.text is None:
            self._read_stack()
        elif self.asks:
            self._read_awaits()
        return self.text is not None and not self.asks

    def _read_stack(self) -> None:
        block = self.watch.worker.block
        size = os.fstat(block.fd).st_size - mmap.PAGESIZE
        self.quiet = self.quiet + 1 if size == self.size else 0
        self.size = size
        if size and self.quiet >= QUIET:
            self.text = os.pread(block.fd, size, mmap.PAGESIZE).decode(errors="replace")
            self.asks = IN_LOOP in self.text
            if self.asks:
                block.words[AWAITS] = 1
                self.watch.worker.have_look()

    def _read_awaits(self) -> None:
        block = self.watch.worker.block
        if block.words[AWAITS]:
            return
        start = mmap.PAGESIZE + self.size
        self.asks = False
        self.awaits = os.pread(block.fd, os.fstat(block.fd).st_size - start, start).decode(errors="replace") or None


class Stacks:
    """Answers for one supervisor, one question after the other; `after` calls in the loop, some seconds later."""

    def __init__(self, supervisor: str, clerk: Clerk, after: Callable[[float, Callable[[], None]], None]) -> None:
        self._supervisor = supervisor
        self._clerk = clerk
        self._after = after
        self._keys: list[str] = []
        self._asked: list[_Asked] = []
        self._until = 0.0

    def show(self, key: str, watches: Iterable[Watch]) -> None:
        """Has the stacks of these workers pushed to that list. Who asks meanwhile gets the same answer."""
        self._keys.append(key)
        if len(self._keys) > 1:
            return
        self._until = time.monotonic() + ANSWERS_WITHIN
        self._asked = [_ask(watch) for watch in watches]
        self._look()

    def _look(self) -> None:
        awaited = [asked for asked in self._asked if not asked.look()]
        if awaited and time.monotonic() < self._until:
            self._after(PAUSE, self._look)
            return
        for one in awaited:
            # It holds the interpreter.
            one.watch.worker.block.words[AWAITS] = 0
        keys, asked, store = self._keys, self._asked, self._clerk.store
        self._keys, self._asked = [], []

        def answer() -> None:
            # Tried once: who asks waits for a moment only, and what must be done is not to wait until a full server has
            # room, say. And a place that is something else than a list is no place of somebody who asks.
            with contextlib.suppress(redis.RedisError, TempoTaskError):
                workers = [_stack(store, one) for one in asked]
                told = msgspec.msgpack.encode(Answer(self._supervisor, socket.gethostname(), os.getpid(), workers))
                store.notify(keys, told)

        self._clerk.ask(answer)


def _ask(watch: Watch) -> _Asked:
    worker, look = watch.worker, watch.peek()
    able = bool(worker.pid and worker.block.words[STACKS])
    if able:
        os.ftruncate(worker.block.fd, mmap.PAGESIZE)
        # The worker's descriptor is a copy of ours: the two have one position.
        os.lseek(worker.block.fd, mmap.PAGESIZE, os.SEEK_SET)
        worker.signal(STACK_SIGNAL)
    return _Asked(watch, STATES.get(look.state, "?"), look.name, look.running, able)


def _stack(store: Store, asked: _Asked) -> Stack:
    """In the clerk's thread: with the job, which the server knows."""
    worker, job = asked.watch.worker, None
    if asked.running is not None:
        turn, claims = store.opened(worker.id)
        if turn == asked.turn and asked.running < len(claims) and claims[asked.running]:
            job = decode_record(claims[asked.running])
    stack = Stack(worker.id, asked.watch.pid, asked.state, asked.text, awaits=asked.awaits)
    return stack if job is None else _with_job(stack, job)


def _with_job(stack: Stack, job: Record) -> Stack:
    return msgspec.structs.replace(stack, id=job.id, queue=job.queue, name=job.name)
