"""What handlers print and what they log by `logging`: each line says which job it is of.

Only in worker processes, and only text: what is written as bytes, or by programs that a handler starts, passes as it
is. Nothing of this costs anything while nothing is printed.
"""

from __future__ import annotations

import io
import logging
import sys
import threading
from collections.abc import Callable
from typing import Any, TextIO, cast

from tempotask.job import Job

Current = Callable[[], Job[Any] | None]
"""The job that runs in this process."""

PLAIN = "%(levelname)s %(name)s: %(message)s"
"""How log records look where the application does not say."""


LONGEST_LINE = 8192
"""Characters of a line after which it is put out in parts."""


class NamedStream(io.TextIOWrapper):
    """A text stream whose lines begin with the queue, name and id of the job that runs: `[files/compress abc-0] text`.

    A line that several calls make together is put out as a whole, so that threads do not mix theirs: with its end, or
    when it is flushed.
    """

    def __init__(self, stream: io.TextIOWrapper, current: Current) -> None:
        # The other one lives on, and both have the same buffer: so neither is to keep anything of its own.
        stream.flush()
        super().__init__(stream.buffer, stream.encoding, stream.errors, line_buffering=True)
        self._current = current
        self._line = _Line()

    def write(self, text: str) -> int:
        """Puts out whole lines, and keeps what is left."""
        if not isinstance(text, str):
            return super().write(text)
        line, job, out = self._line, self._current(), ""
        if line.begun and line.job is not job:
            # Left without an end by a job before this one.
            out, line.begun = line.text + "\n", False
        *ends, rest = text.split("\n")
        prefix = "" if job is None else f"[{job.queue}/{job.name} {job.id}] "
        for end in ends:
            out += f"{line.text if line.begun else prefix}{end}\n"
            line.begun = False
        if rest:
            line.text = (line.text if line.begun else prefix) + rest
            line.begun, line.job = True, job
        if out:
            super().write(out)
        if line.begun and len(line.text) > LONGEST_LINE:
            self.flush()
        return len(text)

    def close(self) -> None:
        """Only flushes: the jobs after the one that closes it print as well."""
        self.flush()

    def flush(self) -> None:
        """Puts out what this thread has of a line; what follows goes on with it."""
        line = self._line
        if line.begun and line.text:
            text, line.text = line.text, ""
            super().write(text)
        super().flush()


class _Line(threading.local):
    """The line that a thread has begun and not ended, as far as it has not been put out."""

    text = ""
    begun = False
    job: Job[Any] | None = None


def speak_for(current: Current) -> None:
    """From now on what this process prints and logs says which job it is of.

    Log records get `queue`, `job_name` and `job_id` (None between jobs), for the application's own formats. A handler
    of log records that just writes to a standard stream, in a format that does not name the job, gets its lines marked
    as printed ones are.
    """
    out, err = sys.stdout, sys.stderr
    sys.stdout = _named(out, current)
    # They may be one: made twice of it, the first would close it as it goes.
    sys.stderr = sys.stdout if err is out else _named(err, current)
    loggers = [logging.getLogger(), *logging.Logger.manager.loggerDict.values()]
    for handler in [handler for logger in loggers if isinstance(logger, logging.Logger) for handler in logger.handlers]:
        if type(handler) is logging.StreamHandler and _is_nameless(handler.formatter):
            if handler.stream is out:
                handler.setStream(sys.stdout)
            elif handler.stream is err:
                handler.setStream(sys.stderr)
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(logging.Formatter(PLAIN))
    _name_records(current)


def _named(stream: TextIO, current: Current) -> TextIO:
    # What the application has put there instead is its own business.
    return cast(TextIO, NamedStream(stream, current)) if type(stream) is io.TextIOWrapper else stream


def _is_nameless(formatter: logging.Formatter | None) -> bool:
    if formatter is None:
        return True
    if type(formatter) is not logging.Formatter:
        return False
    format = formatter._fmt or ""
    # One with such a beginning makes JSON, which other words in front would spoil.
    json = "{{" if isinstance(formatter._style, logging.StrFormatStyle) else "{"
    return "job_id" not in format and not format.startswith(json)


def _name_records(current: Current) -> None:
    """Gives log records their job. By a record factory, an application that gives them such attributes itself, in
    `extra`, would be refused by `logging`; so it is done afterwards, and only where there is none."""
    make = logging.Logger.makeRecord

    def make_record(logger: logging.Logger, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record, job = make(logger, *args, **kwargs), current()
        told = (None, None, None) if job is None else (job.queue, job.name, job.id)
        for name, value in zip(("queue", "job_name", "job_id"), told, strict=True):
            record.__dict__.setdefault(name, value)
        return record

    logging.Logger.makeRecord = make_record  # type: ignore[method-assign, assignment]
