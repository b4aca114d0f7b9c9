"""Jobs that are being added, as the scripts that add read them."""

from __future__ import annotations

import secrets

import msgspec

from tempotask.store.records import NIL, Record, encode
from tempotask.store.script import Argument

REMEMBER_MS = 120_000
"""How long a call is remembered at least, so that one sent twice is one."""
_LONGEST_MS = 10**13


def remember_ms(patience: float) -> int:
    """How long calls are remembered of who waits so many seconds for a server: on a stream for its answer, then to send
    it again, and then for the disk."""
    return max(REMEMBER_MS, int(min(4000 * patience, _LONGEST_MS)))


def named(call: str, remembered: int = REMEMBER_MS) -> list[Argument]:
    """What a call with an id begins with (once.lua): its id, where it is noted, how long it is remembered. All calls of
    one place are remembered equally long."""
    second = int(call[:9], 36) // 1000
    return [call, second if remembered == REMEMBER_MS else f"{second}.{remembered}", remembered]


class NewJob(msgspec.Struct, gc=False):
    """A job to be added: its record with the payload in it, and when it may run."""

    record: Record
    due: float | None = None
    """Unix seconds by the server's clock; None: now."""
    given_id: bool = False
    """Whether the user gave the id, which then is unique among jobs that have not finished."""
    large: bool = False
    """Whether the payload, over `OUTSIDE_BYTES`, is to live under a key of its own."""


class Addition:
    """One enqueue call in the making: what enqueue.lua reads, job by job, first in first out."""

    def __init__(self, call: str) -> None:
        self.call = call
        self.singles: list[int] = []
        """Positions of the jobs that the script answers for one by one."""
        self.number = 0
        """Of jobs; who appends to a group sets it before the next `add`, and at the end."""
        self._flat: list[Argument] = []
        self._groups: dict[tuple[str, str], list[Argument]] = {}

    def group(self, queue: str, priority: str) -> list[Argument]:
        """Where encoded records of plain jobs are appended, until the next `add` of a job that is not plain."""
        return self._groups.setdefault((queue, priority), [])

    def add(self, job: NewJob) -> bool:
        """Adds a job of any kind. Returns whether it was a plain one, so that groups stay as they are."""
        record = job.record
        plain = not (job.given_id or job.large or job.due is not None)
        if plain:
            self.group(record.queue, record.priority).append(encode(record))
        else:
            # First in, first out holds across the kinds: what came before goes before.
            self._close_groups()
            payload = b""
            if job.large:
                payload = bytes(record.payload)
                # A number of this run's own: another run of this id keeps its payload elsewhere.
                record = msgspec.structs.replace(record, flags=f"{record.flags}p{secrets.randbits(48)}", payload=NIL)
            due = "" if job.due is None else str(int(job.due * 1000))
            self._flat += ("single", record.id if job.given_id else "", due, payload, encode(record))
            self.singles.append(self.number)
        self.number += 1
        return plain

    def arguments(self, remembered: int = REMEMBER_MS) -> list[Argument]:
        """All of it. `remembered`: for how many milliseconds."""
        return [*named(self.call, remembered), *self.body()]

    def body(self) -> list[Argument]:
        """The jobs alone, as settle.lua reads them too."""
        self._close_groups()
        return self._flat

    def created(self, answer: bytes) -> list[bool]:
        """What the script answered, for all jobs of the call: those that have automatic ids are always created."""
        created = [True] * self.number
        for position, mark in zip(self.singles, answer, strict=True):
            created[position] = mark == ord("1")
        return created

    def _close_groups(self) -> None:
        for (queue, priority), records in self._groups.items():
            if not records:
                continue
            self._flat += ("group", queue, priority, len(records))
            self._flat += records
        self._groups.clear()
