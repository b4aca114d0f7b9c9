"""The parts of producers, workers and supervisors as the tests of the store play them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from tempotask.names import is_automatic
from tempotask.store.acting import _around, _page_begin
from tempotask.store.addition import Addition, NewJob
from tempotask.store.pages import Page, decode_finished, decode_raw_page, encode_page, keys_of, stored_page
from tempotask.store.records import (
    OUTSIDE_BYTES,
    Batch,
    Failure,
    Finished,
    Outcome,
    Record,
    decode_batch,
    encode,
    payload_key,
    raised,
    without_payload,
)
from tempotask.store.script import Argument
from tempotask.store.settlement import Settlement
from tempotask.store.store import Store
from tempotask.store.turns import message_of

HOUR = 3_600_000
ROOM = 1 << 20
moments = itertools.count(1)
"""No two pages of history are alike: jobs end at different times."""


class Ending(NamedTuple):
    """How a worker says a job ended: its outcome, or the record of its next try."""

    record: Record
    outcome: bytes = b""
    keep: int = HOUR
    again: Record | None = None
    pause: int = 0
    child: Addition | None = None
    """A job that is added because this one ended well."""

    @property
    def status(self) -> str:
        return msgspec.msgpack.decode(self.outcome, type=Outcome).status


def new_job(id: str, queue: str = "q", *, priority: int = 0, payload: Any = None, **rest: Any) -> NewJob:
    """A job that waits to be enqueued."""
    given = {name: rest.pop(name) for name in ("due", "given_id") if name in rest}
    payload = Raw(msgspec.msgpack.encode(payload))
    rest = {"flags": "", "name": "n", "enqueued_at": 0.0, **rest}
    given.setdefault("large", len(bytes(payload)) > OUTSIDE_BYTES)
    return NewJob(Record(id=id, queue=queue, priority=str(priority), payload=payload, **rest), **given)


def addition(call: str, jobs: Sequence[NewJob]) -> Addition:
    """An enqueue call, which may be sent again and again."""
    made = Addition(call)
    for job in jobs:
        made.add(job)
    return made


def enqueue(store: Store, *ids: str, **rest: Any) -> list[bool]:
    """Adds jobs in one call."""
    return store.enqueue(store.new_call(), [new_job(id, **rest) for id in ids])


def completed(record: Record, result: Any = None, keep: int = HOUR, child: Addition | None = None) -> Ending:
    outcome = Outcome("completed", record.queue, record.name, Raw(msgspec.msgpack.encode(result)))
    return Ending(record, encode(outcome), keep, child=child)


def failed(record: Record, message: str = "no", keep: int = HOUR) -> Ending:
    return Ending(record, encode(Outcome("failed", record.queue, record.name, failure=Failure("E", message))), keep)


def tried_again(record: Record, pause: int = 0) -> Ending:
    return Ending(record, again=msgspec.structs.replace(record, tries=record.tries + 1), pause=pause)


def settlement(endings: Sequence[Ending], limit: int = 200, events: bool = False) -> Settlement:
    """What a worker sends about these endings, with their events or without; `limit` is how many finished jobs the
    history keeps."""
    told = Settlement()
    pages: dict[tuple[str, str], list[Finished]] = {}
    for ending in endings:
        record = ending.record
        if events:
            told.events += ("retrying" if ending.again else ending.status, encode(record.id))
        if ending.child:
            told.children += ending.child.body()
        if ending.again:
            told.retries += (ending.pause, encode(ending.again))
            continue
        told.endings.setdefault(ending.keep, []).extend((record.id, ending.outcome))
        if ending.status == "completed" and "p" in record.flags:
            told.outside.append(payload_key(record))
            record = without_payload(record)
        pages.setdefault((record.queue, ending.status), []).append(Finished(record, 0.0, 0.0))
    for (queue, status), jobs in pages.items():
        told.pages += (queue, status, len(jobs), limit, encode_page(Page("w", "h", next(moments), jobs)))
    return told


class Results(NamedTuple):
    """The finished part of a batch: of the indices from `first` up to `stop`, without those known to be missing."""

    turn: str = ""
    first: int = 0
    stop: int = 0
    missing: tuple[int, ...] = ()
    endings: tuple[Ending, ...] = ()


class Verdict(NamedTuple):
    """What a supervisor knows of jobs that a dead worker held: records to put in their place, and how some ended."""

    turn: str = ""
    judged: tuple[int, ...] = ()
    replaced: tuple[tuple[int, bytes], ...] = ()
    endings: tuple[Ending, ...] = ()


class Reply(NamedTuple):
    """A turn's reply."""

    kind: str
    numbers: tuple[int, ...] = ()
    batch: Batch | None = None

    @property
    def ids(self) -> list[str]:
        """The jobs it brings."""
        return [record.id for record in self.batch.records] if self.batch else []


def turn(
    store: Store,
    worker: str,
    number: int,
    want: int = 10,
    results: Results | None = None,
    *,
    room: int = ROOM,
    limit: int = 200,
    told: bool = False,
) -> Reply:
    """One turn of a worker; `told` if its results bring their events."""
    results = results or Results()
    which = (results.turn, results.first, results.stop, len(results.missing), *results.missing)
    rest = settlement(results.endings, limit, told).arguments()
    reply = store.try_once("turn", worker, number, want, room, *store.limits, "1" if told else "", *which, *rest)
    kind = reply[0].decode()
    if kind == "jobs":
        return Reply(kind, batch=decode_batch(message_of(reply)))
    return Reply(kind, tuple(int(number) for number in reply[1:]))


def results_of(batch: Batch, first: int = 0, stop: int | None = None, how: Any = completed) -> Results:
    """All jobs of that part of a batch ended alike."""
    stop = len(batch.records) if stop is None else stop
    return Results(batch.turn, first, stop, (), tuple(how(record) for record in batch.records[first:stop]))


def act(
    store: Store, action: str, *place: Argument, id: str = "", queue: str = "", name: str = "", limit: int = 200
) -> tuple[int, str]:
    """Cancels, deletes, pauses or resumes in one place: how many jobs, and where to go on."""
    terms = (action, id, queue, name, *store.limits, HOUR, limit, *_around(action, next(moments)))
    if place[0] == "claims":
        place = (*place, _page_begin(str(place[1]), "h"))
    acted, following = store.change("act", *terms, *place)
    return int(acted), following.decode()


def woken(store: Store, worker: str, number: int) -> Batch | None:
    """What was handed over to a worker that went idle in that turn; it has it now."""
    message = store.server.client().lpop(f"{store.prefix}wake:{worker}:{number}")
    return decode_batch(message) if message else None


def revision(queue: str, status: str, stored: bytes, index: int, again: bool, forget: bool = False) -> list[Argument]:
    """What rewrites a page of history: that job of it waits again, or is deleted, its outcome forgotten."""
    old, keys = decode_raw_page(stored), keys_of(stored)
    job = decode_finished(old.jobs.pop(index))
    own = {key for key in keys if key.endswith(f":{job.record.id}")}
    page = stored_page(old, [key for key in keys if key not in own]) if old.jobs else b""
    record = job.record
    if again:
        own = {key for key in own if not key.startswith("payload:")}
    forgotten = [record.id] if forget else []
    flat: list[Argument] = [queue, status, stored, page, 1, index, len(forgotten), *forgotten, len(own), *own]
    if not again:
        return [*flat, 0]
    return [*flat, 1, "" if is_automatic(record.id) else "1", encode(fresh(record))]


def revise(store: Store, call: list[Argument]) -> Any:
    """Sends it; what it may have to forget is in no sheet then."""
    store.outcomes_of([])
    return store.change("revise", *call)


def fresh(record: Record) -> Record:
    """A record as it is when its job is to run again from the beginning."""
    flags = "".join(re.findall(r"p\d+", record.flags))
    return msgspec.structs.replace(record, flags=flags, tries=0, errors=None, children=None)


def hire(store: Store, *workers: str, supervisor: str = "s", lease: float = 3600) -> None:
    """Registers workers with a supervisor, which it makes known if it is not."""
    known = supervisor in store.registrations()
    assert store.register(supervisor, lease, b"" if known else b"{}", workers)


def crashed(batch: Batch, index: int) -> tuple[int, bytes]:
    """A replacement for `give_back_all`: the job of that index, one crash more."""
    return index, encode(raised(batch.records[index], "c"))


def waiting(store: Store, queue: str = "q", priority: int = 0) -> list[str]:
    """The ids that wait in a queue, in their order."""
    records = store.read("LRANGE", f"queue:{priority}:{queue}", 0, -1)
    return [msgspec.msgpack.decode(record, type=Record).id for record in records]


def ring(store: Store) -> list[str]:
    """The queues on the ring, in their order."""
    return [name.decode() for name in store.read("LRANGE", "ring", 0, -1)]


def names(store: Store) -> set[str]:
    """All keys of the namespace, without their prefix."""
    return {key.decode().removeprefix(store.prefix) for key in store.server.client().scan_iter(f"{store.prefix}*")}
