"""The end of a command that has let go of everything."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import NoReturn


def leave(status: int) -> NoReturn:
    """Ends this process. The interpreter would take itself apart first, which is as long as a job or two, and frees
    nothing that the system does not. For commands in which no code of the user's has run, which may count on that."""
    flush()
    os._exit(status)


def flush() -> None:
    """Writes out what Python holds back, which a fork would write again."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()


@contextlib.contextmanager
def output_to_error() -> Iterator[None]:
    """While it lasts, what is printed to the standard output, by whomever, goes to the standard error."""
    flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        flush()
        os.dup2(kept, 1)
        os.close(kept)
