"""Intake: reads inputs, makes jobs of them, and enqueues these, one call ahead."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Raw

from tempotask import arrays, payload
from tempotask.errors import TempoTaskError
from tempotask.mapping.inputs import Inputs
from tempotask.options import JobOptions
from tempotask.shelf import ShelfFile, remove_all
from tempotask.store.addition import Addition, NewJob
from tempotask.store.records import NIL, OUTSIDE_BYTES, Record, encode

if TYPE_CHECKING:
    from tempotask.producer import Producer
    from tempotask.store.stream import Stream

CHUNK_BYTES = 4 * 2**20
"""Bytes after which a chunk is full."""
KEEP = 3600.0
"""Seconds that outcomes are kept at least: a server may be away, and who maps may be slow."""


class Held(msgspec.Struct, frozen=True, gc=False):
    """An input in flight."""

    index: int
    """Its number, from 0."""
    id: str
    """Its job's."""
    size: int
    """Bytes, encoded."""


class Chunk:
    """What was made of some inputs."""

    def __init__(self, call: str) -> None:
        self.addition = Addition(call)
        self.held: dict[str, Held] = {}
        """Inputs whose jobs are to be added, by their ids."""
        self.refused: list[tuple[Held, TempoTaskError]] = []
        """Inputs that can't be sent."""


class Intake:
    """Makes jobs of inputs, all of one task, and enqueues them."""

    def __init__(self, producer: Producer, queue: str, name: str, inputs: Inputs) -> None:
        self.inputs = inputs
        self.read = 0
        """Inputs read so far."""
        self.ids = ""
        """What ids begin with, once something has been read."""
        self._client, self._largest = producer.client, producer.largest
        self._queue, self._name = queue, name
        self._kind = producer.kind(queue, name, _kept(producer, queue, name))
        self._stream: Stream | None = None
        self._under_way = False

    def take(self, most: int) -> Chunk:
        """Reads inputs, so many at most, and makes jobs of them. Raises what reading raises."""
        files: list[ShelfFile] = []
        try:
            return self._taken(most, arrays.Sender(lambda: self._client.shelf, written=files))
        except BaseException:
            # Of large arrays: nobody will come for them.
            remove_all(files)
            raise

    def _taken(self, most: int, sender: arrays.Sender) -> Chunk:
        if self._stream is None:
            self._stream = self._client.stream()
            self.ids = self._client.store.new_call()
        chunk, kind = Chunk(self._client.store.new_call()), self._kind
        now = self._client.store.now(kind.within)
        queue, name, prefix, run = self._queue, self._name, f"{self.ids}-", kind.run
        due = kind.due if kind.delay is None else now + kind.delay
        plain = due is None or due <= now
        group, others, total = None, list[NewJob](), 0
        for index, data in enumerate(self.inputs.some(most), self.read):
            id, self.read = f"{prefix}{index}", index + 1
            try:
                try:
                    encoded = payload.to_bytes(data)
                except arrays.Large:
                    encoded = sender.encode(data, id)
            except payload.UNENCODABLE as error:
                chunk.refused.append((Held(index, id, 0), _refused(index, payload.refusal(data, error))))
                continue
            size = len(encoded)
            if size > self._largest:
                arrays.discard(encoded)
                chunk.refused.append((Held(index, id, 0), _refused(index, payload.oversize(size, self._largest))))
                continue
            record = Record("", id, queue, kind.priority, name, now, 0, NIL if data is None else Raw(encoded), run)
            chunk.held[id] = Held(index, id, size)
            if plain and size <= OUTSIDE_BYTES:
                if group is None:
                    group = chunk.addition.group(queue, kind.priority)
                group.append(encode(record))
                chunk.addition.number += 1
            else:
                others.append(NewJob(record, due, large=size > OUTSIDE_BYTES))
            total += size
            if total > CHUNK_BYTES:
                break
        for job in others:
            chunk.addition.add(job)
        return chunk

    def send(self, chunk: Chunk) -> None:
        """Enqueues the jobs of a chunk, once what was sent before is `answered`; whether that worked shows there."""
        if self._stream is not None:
            self._under_way = True
            self._stream.send(chunk.addition)

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


def _kept(producer: Producer, queue: str, name: str) -> JobOptions | None:
    """The options of the jobs: their outcomes are kept for a while, whatever their task says."""
    task = producer.tasks.get((queue, name))
    # Given only where it must be: jobs without options of their own run faster.
    return JobOptions(keep_result=KEEP) if task is None or float(task.run_options.keep_result or 0) < KEEP else None
