"""A small web application: each request adds a job and waits for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from door.app import echo, left

HERE_BEFORE = left.enqueue().id
"""With --preload, added in the parent: connections are open when it forks."""


def application(environ: dict[str, Any], start: Callable[..., object]) -> Iterable[bytes]:
    handle = echo.enqueue(environ["PATH_INFO"])
    answer = f"{os.getpid()} {handle.id} {handle.result(timeout=60)} {left.enqueue().id} {HERE_BEFORE}"
    start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(answer)))])
    return [answer.encode()]
