"""What the supervisor says: lines for people, or one JSON object a line."""

from __future__ import annotations

import logging
import sys
from typing import Any

import msgspec

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """One object a line: `at` (Unix seconds), `level`, `message`, `traceback` of an exception that is logged, and
    whatever else the call gave."""

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, Any] = {"at": record.created, "level": record.levelname.lower(), "message": record.getMessage()}
        told |= {name: value for name, value in vars(record).items() if name not in _STANDARD and value is not None}
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        plain = {name: readable(value) if isinstance(value, str) else value for name, value in told.items()}
        return msgspec.json.encode(plain).decode()


def readable(text: str) -> str:
    """The text with what is no Unicode in it, as in the name of a file, shown by its number."""
    return text.encode(errors="backslashreplace").decode()


def set_up(format: str, *, quiet: bool = False) -> None:
    """Sends our own log to the standard error stream, as `text` or `json`; `quiet`: warnings and worse only, and none
    of workers that died: whoever waits for the job that did it is told."""
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%d %H:%M:%S")
    handler.setFormatter(JsonFormatter() if format == "json" else text)
    if quiet:
        handler.addFilter(lambda record: not hasattr(record, "worker"))
    log = logging.getLogger("tempotask")
    log.handlers[:] = [handler]
    log.setLevel(logging.WARNING if quiet else logging.INFO)
    log.propagate = False
