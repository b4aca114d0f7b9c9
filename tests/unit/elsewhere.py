"""A module whose handlers are registered by another, with types of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from tempotask import Context, Job

if TYPE_CHECKING:
    from nowhere import Ghost


class Thumb(msgspec.Struct):
    name: str


class Result(msgspec.Struct):
    size: int


class Ghostly(msgspec.Struct):
    ghost: Ghost | None = None


def handler(job: Job[Thumb], ctx: Context[Any]) -> Result:
    return Result(len(job.data.name))
