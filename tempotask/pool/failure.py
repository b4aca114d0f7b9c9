"""A try that failed: what is told of it, and whether another one follows."""

from __future__ import annotations

import math
import random
import time
import traceback
from types import TracebackType
from typing import cast

import msgspec

from tempotask.children import SHOWN
from tempotask.errors import VERDICTS, InvalidPayload, JobFailed, JobTimeout
from tempotask.options import DEFAULTS, merged
from tempotask.pauses import growing
from tempotask.pool.run import Run, keep_ms
from tempotask.store.address import without_secrets
from tempotask.store.records import (
    NIL,
    UNREADABLE_TYPE,
    Failure,
    Outcome,
    Record,
    RunOptions,
    TryError,
    Unreadable,
    encode,
)

NAME_BYTES, TEXT_BYTES, TRACEBACK_BYTES, ERRORS = 512, 4096, 16384, 20
"""Bounds of what a failure may leave behind: of a type's name, a message, a traceback, errors of earlier tries."""
FRAMES = 50
"""Frames of a traceback, the innermost: where it was raised."""
CUT = "\n… (cut) …\n".encode()


def misfit(error: BaseException) -> InvalidPayload:
    """The error of a job whose data do not fit the handler's type."""
    return InvalidPayload(str(error) if isinstance(error, InvalidPayload) else f"the data does not fit: {error}")


def ended_badly(
    record: Record,
    options: RunOptions,
    failure: Failure,
    started: float,
    children: list[str] | None = None,
    *,
    final: bool = False,
    endless: bool = False,
    after: float | None = None,
) -> Run:
    """A try that failed: another one follows while there are attempts left, unless it is `final`.

    `children`: what this try added. `endless`: another one follows in any case. `after`: in how many seconds, where
    the options do not say.
    """
    ended, attempt = time.monotonic(), record.tries + 1
    if endless or (attempt < int(options.attempts or 1) and not final):
        errors = [*(record.errors or []), TryError(attempt, time.time(), *msgspec.structs.astuple(failure))]
        again = msgspec.structs.replace(with_children(record, children), tries=attempt, errors=errors[-ERRORS:])
        pause = math.ceil((retry_delay(options, attempt) if after is None else after) * 1000)
        retry = (pause, encode(again))
        return Run(record, started, ended, b"", 0, None, failure=failure, retry=retry, children=children)
    outcome = encode(Outcome("failed", record.queue, record.name, NIL, failure))
    return Run(record, started, ended, outcome, keep_ms(options), "failed", NIL, failure, children=children)


def with_children(record: Record, children: list[str] | None) -> Record:
    """The record for another try, with what one before it added."""
    if not children:
        return record
    return msgspec.structs.replace(record, children=[*(record.children or []), *children][:SHOWN])


def unsendable(run: Run, size: int) -> Run:
    """What becomes of a run when the server refuses the largest part, of so many bytes, of what settles it: it lacks
    what it logged, if that is most of it; else it fails, without its result and the children of its success."""
    logged = sum(len(bytes(line)) for line in run.lines or ())
    if run.status == "failed" or 2 * logged > size:
        return msgspec.structs.replace(run, lines=None)
    why = f"a result, or what goes with it, of {size:,} bytes is more than the server takes; write it to a file"
    options = merged(run.record.options, DEFAULTS)
    failed = ended_badly(run.record, options, describe(InvalidPayload(why)), run.started, final=True)
    return msgspec.structs.replace(
        run, status="failed", failure=failed.failure, outcome=failed.outcome, result=NIL, held=None,
        children=None if run.held else run.children,
    )  # fmt: skip


def put_aside(record: Unreadable, started: float) -> Run:
    """What becomes of a job whose record can't be read: it fails with the reason. Its bytes stay with it, so that it
    can be tried again where a later version reads them."""
    why = f"its record can't be read here: {record.reason}; if a newer TempoTask wrote it, upgrade and retry it"
    return ended_badly(record, DEFAULTS, Failure(UNREADABLE_TYPE, why), started, final=True)


def describe(error: BaseException) -> Failure:
    """An exception as text: its type as tracebacks print it, its message, its traceback without our own frames.

    Never raises, whatever the exception does when it is asked.
    """
    kind = type(error)
    try:
        name = _bounded(_name(kind, anothers=_is_anothers(error)), NAME_BYTES)
    except BaseException as second:
        name = f"(its name can't be made: {type(second).__name__})"
    try:
        own = issubclass(kind, JobTimeout) and not _is_anothers(error)
        message = _bounded(str(cast(JobTimeout, error).message if own else error), TEXT_BYTES)
    except BaseException as second:
        message = f"(its text can't be made: {type(second).__name__})"
    try:
        frames = handlers_part(error)
        text = "".join(traceback.format_exception(kind, error, frames, limit=-FRAMES)) if frames is not None else ""
        text = _bounded(text, TRACEBACK_BYTES)
    except BaseException as second:
        text = f"(its traceback can't be made: {type(second).__name__})"
    return Failure(name, message, text)


def handlers_part(error: BaseException) -> TracebackType | None:
    """Its traceback from the handler on: without the frames that called that. None if the handler was not reached."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_globals.get("__name__", "").startswith("tempotask.pool."):
        frames = frames.tb_next
    return frames


def _is_anothers(error: BaseException) -> bool:
    """Whether it is how another job failed, which a handler waited for; those of its own job have no id."""
    return isinstance(error, JobFailed) and bool(error.id)


def _name(kind: type[BaseException], *, anothers: bool = False) -> str:
    """As tracebacks print it. But the bare names of what we say of a job ourselves are for nothing else."""
    name, ours = kind.__qualname__, kind.__module__ in ("tempotask.errors", "tempotask.retry")
    if name in VERDICTS and (anothers or not ours):
        return f"{kind.__module__}.{name}"
    return name if ours or kind.__module__ in ("builtins", "__main__", "__mp_main__") else f"{kind.__module__}.{name}"


def _bounded(text: str, most: int) -> str:
    """The text in at most so many bytes, without passwords of URLs: of a longer one the middle is cut out."""
    # Not text.encode: a handler's own kind of text may do anything there.
    text = str.encode(text, "utf-8", "replace").decode()
    room = most + 1024  # beyond that it is cut in any case, and need not be searched
    if len(text) > 2 * room:
        text = text[:room] + CUT.decode() + text[-room:]
    whole = without_secrets(text).encode()
    if len(whole) <= most:
        return whole.decode()
    half = (most - len(CUT)) // 2
    return (whole[:half] + CUT + whole[-half:]).decode(errors="ignore")


def retry_delay(options: RunOptions, attempt: int) -> float:
    """Seconds until the next try, after that many failed ones: always the same, or exponentially more.

    Exponential backoff doubles each time up to the cap, then takes a random part between half and whole of it
    ("equal jitter": M. Brooker, Exponential Backoff And Jitter, 2015).
    """
    pause = float(options.retry_delay or 0)
    if options.backoff != "exponential":
        return pause
    return growing(pause, float(options.max_retry_delay or 0), attempt) * random.uniform(0.5, 1.0)
