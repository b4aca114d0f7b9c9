"""Pages of history: finished jobs of one queue, one status and one turn, newest last.

A page as it is stored begins with what scripts read of it (base.lua, page_head): two bytes say how many jobs it holds,
four how long the list is that follows, of keys that go when the page goes: payloads outside, logs. Behind that stands
the page itself, which only Python reads.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Raw

from tempotask.store.records import UNREADABLE, Finished, Time, decode_record, encode, payload_key

J = TypeVar("J", Finished, Raw)
_HEAD = struct.Struct(">HI")


class Page(msgspec.Struct, Generic[J], array_like=True, gc=False):
    """A page; its jobs are decoded, or raw.

    `epoch` is to be added to their times to make Unix seconds, so that the hot loop stores what the monotonic clock
    said and computes nothing.
    """

    worker: str
    host: str
    epoch: Time
    jobs: list[J]

    def with_jobs(self, jobs: list[J]) -> Page[J]:
        """The same page, with these jobs."""
        return Page(self.worker, self.host, self.epoch, jobs)


_decode_finished = msgspec.msgpack.Decoder(Finished).decode
_decode_page = msgspec.msgpack.Decoder(Page[Finished]).decode
_decode_raw_page = msgspec.msgpack.Decoder(Page[Raw]).decode


def encode_page(page: Page[Finished], logs: Iterable[str] = ()) -> bytes:
    """A page as it is stored, with the payloads of its jobs and these logs as the keys that go with it."""
    return stored_page(page, [*(payload_key(job.record) for job in page.jobs if "p" in job.record.flags), *logs])


def log_of(id: str, ended: float) -> str:
    """How a page names the log of a job that ended at that time, in Unix seconds: the log of a later run of that id,
    which is called the same, does not go with this one."""
    return f"log@{math.ceil(ended * 1000)}:{id}"


def stored_page(page: Page[Any], keys: Iterable[str]) -> bytes:
    """A page as it is stored, with all that goes with it: keys, without prefix, and logs as `log_of` names them."""
    names = " ".join(keys).encode()
    return _HEAD.pack(len(page.jobs), len(names)) + names + encode(page)


def number_of_jobs(stored: bytes) -> int:
    """How many jobs a page holds, by the beginning of what is stored."""
    return int.from_bytes(stored[:2])


def keys_of(stored: bytes) -> list[str]:
    """The keys that go with a page, by the beginning of what is stored."""
    return stored[_HEAD.size : _end_of_head(stored)].decode(errors="replace").split()


def decode_page(stored: bytes) -> Page[Finished]:
    """What is stored as a page with all its jobs, as far as they can be read."""
    try:
        return _decode_page(memoryview(stored)[_end_of_head(stored) :])
    except UNREADABLE:
        page = decode_raw_page(stored)
        return Page(page.worker, page.host, page.epoch, [decode_finished(job) for job in page.jobs])


def decode_raw_page(stored: bytes) -> Page[Raw]:
    """The same with the jobs as they are, to be decoded one by one as far as they are needed. A page that can't be read
    at all is shown as an empty one."""
    try:
        return _decode_raw_page(memoryview(stored)[_end_of_head(stored) :])
    except UNREADABLE:
        return Page("", "", 0.0, [])


def decode_finished(raw: Raw) -> Finished:
    """A job of a page; of one that can't be read no more than that it is there."""
    try:
        return _decode_finished(raw)
    except UNREADABLE:
        return Finished(decode_record(bytes(raw)), None, 0.0)


def is_readable(stored: bytes) -> bool:
    """Whether all of a page can be read."""
    try:
        _decode_page(memoryview(stored)[_end_of_head(stored) :])
    except UNREADABLE:
        return False
    return True


def newest_first(page: Page[Raw]) -> Iterator[Finished]:
    """Its jobs, decoded one by one."""
    return map(decode_finished, reversed(page.jobs))


def _end_of_head(stored: bytes) -> int:
    return _HEAD.size + int.from_bytes(stored[2 : _HEAD.size])
