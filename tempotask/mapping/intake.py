"""Intake: reads inputs, makes jobs of them, and enqueues these, one call ahead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, Raw

from tempotask import arrays, payload
from tempotask.errors import InvalidOptions, TempoTaskError
from tempotask.mapping.inputs import Inputs
from tempotask.names import check_id
from tempotask.options import GivenOptions, JobOptions
from tempotask.store.addition import Addition, NewJob
from tempotask.store.records import NIL, OUTSIDE_BYTES, Record, decode_outcome, encode

if TYPE_CHECKING:
    from tempotask.producer import Producer
    from tempotask.store.outcomes import Ending
    from tempotask.store.stream import Stream

CHUNK_BYTES = 4 * 2**20
"""Bytes after which a chunk is full."""
KEEP = 3600.0
"""Seconds that outcomes are kept at least: a server may be away, and who maps may be slow."""


class Held(msgspec.Struct, frozen=True, gc=False):
    """An input in flight."""

    order: int
    """Of how many it was read behind."""
    index: int
    id: str
    input: Any
    size: int
    """Bytes, encoded."""


class Chunk:
    """What was made of some inputs."""

    def __init__(self, call: str) -> None:
        self.addition = Addition(call)
        self.held: dict[str, Held] = {}
        """Inputs whose jobs are to be added, by their ids."""
        self.ended: list[tuple[Held, Ending]] = []
        """Inputs that have ended before: they can't be sent, or it is known what became of them."""


class Intake:
    """Makes jobs of inputs, all of one task and with the same options, and enqueues them.

    `ids`, `options`: as `Flow` takes them.
    """

    def __init__(
        self, producer: Producer, queue: str, name: str, inputs: Inputs, options: GivenOptions, ids: str | None
    ) -> None:
        self.inputs = inputs
        self.read = 0
        """Inputs read so far."""
        self.ids = ids or ""
        """What ids begin with."""
        if ids is not None:
            check_id(ids)
            check_id(f"{ids}-{10**15}")
        self._again = ids is not None
        """Whether there may be jobs of these ids."""
        self._client, self._largest = producer._client, producer._largest
        self._queue, self._name = queue, name
        self._kind = producer._kind(queue, name, _kept(producer, queue, name, options))
        self._stream: Stream | None = None
        self._under_way = False

    def take(self, most: int) -> Chunk:
        """Reads inputs, so many at most, and makes jobs of them. Raises what reading raises."""
        if self._stream is None:
            self._stream = self._client.stream()
            self.ids = self.ids or self._client.store.new_call()
        chunk, kind, now = Chunk(self._client.store.new_call()), self._kind, self._client.store.now()
        queue, name, prefix, run = self._queue, self._name, f"{self.ids}-", kind.run
        due = kind.due if kind.delay is None else now + kind.delay
        plain = not self._again and (due is None or due <= now)
        group, others, total, sender = None, list[NewJob](), 0, arrays.Sender(lambda: self._client.shelf)
        for index, data in self.inputs.some(most):
            id, order = f"{prefix}{index}", self.read
            self.read = order + 1
            try:
                try:
                    encoded = payload.to_bytes(data)
                except arrays.Large:
                    encoded = sender.encode(data, id)
            except payload.UNENCODABLE as error:
                chunk.ended.append((Held(order, index, id, data, 0), _refused(index, payload.refusal(data, error))))
                continue
            size = len(encoded)
            if size > self._largest:
                refusal = _refused(index, payload.oversize(size, self._largest))
                chunk.ended.append((Held(order, index, id, data, 0), refusal))
                continue
            record = Record("", id, queue, kind.priority, name, now, 0, NIL if data is None else Raw(encoded), run)
            chunk.held[id] = Held(order, index, id, data, size)
            if plain and size <= OUTSIDE_BYTES:
                if group is None:
                    group = chunk.addition.group(queue, kind.priority)
                group.append(encode(record))
                chunk.addition.number += 1
            else:
                others.append(NewJob(record, due, self._again, size > OUTSIDE_BYTES))
            total += size
            if total > CHUNK_BYTES:
                break
        for job in self._unknown(chunk, others) if self._again else others:
            chunk.addition.add(job)
        return chunk

    def _unknown(self, chunk: Chunk, jobs: list[NewJob]) -> list[NewJob]:
        """Those of which nobody knows how they ended. The others were added by a flow before, which did not live to
        hand them out; what it cancelled is to run."""
        unknown = []
        endings = self._client.store.outcomes_of([job.record.id for job in jobs])
        for job, ending in zip(jobs, endings, strict=True):
            if ending is None or decode_outcome(ending).status == "cancelled":
                unknown.append(job)
            else:
                chunk.ended.append((chunk.held.pop(job.record.id), ending))
        return unknown

    def send(self, chunk: Chunk) -> None:
        """Enqueues the jobs of a chunk; whether that worked shows at the next call, or in `answered`."""
        self.answered()
        if self._stream is not None:
            self._under_way = True
            self._stream.send(chunk.addition)
        if self._again:
            self._client.reruns += 1

    def answered(self) -> None:
        """Waits until the server has what was sent.

        Raises:
            ServerUnavailable, ServerFull, NotDurable: it does not take it.
        """
        if self._under_way and self._stream is not None:
            self._under_way = False
            self._stream.created()

    def close(self) -> None:
        """Reads and sends nothing more."""
        self.inputs.close()
        if self._stream is not None:
            self._stream.close()


def _refused(index: int, why: TempoTaskError) -> TempoTaskError:
    return type(why)(f"input {index}: {why}")


def _kept(producer: Producer, queue: str, name: str, options: GivenOptions) -> JobOptions:
    """The options of the jobs. Their outcomes are kept for a while, whatever their task says."""
    given = JobOptions.of(options)
    for field in ("id", "repeat"):
        if getattr(given, field) is not UNSET:
            raise InvalidOptions(f"a map takes no option {field!r}: its jobs have ids of their own, and run once")
    task = producer._tasks.get((queue, name))
    if given.keep_result is UNSET and (task is None or float(task.run.keep_result or 0) < KEEP):
        # Given only where it must be: jobs without options of their own run faster.
        return JobOptions(**{**given.given(), "keep_result": KEEP})
    return given
