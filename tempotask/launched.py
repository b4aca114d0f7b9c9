"""A supervisor that a program has started: the other end of launch.py and process.py.

Run as `python -m tempotask.launched FD ARGUMENT…`, with the program's own arguments, which the application finds as it
is imported; the rest is told on the standard input, in a line. It does what the command `tempotask-supervisor` does,
and is ready sooner, as somebody waits: it imports what it can before it is told, and its nursery is a fork of it, so
that what both need is imported once.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, BinaryIO, NoReturn

if TYPE_CHECKING:
    from tempotask.launch import Start


def main() -> None:
    """Supervises. Writes a line of JSON to FD when all workers are ready, or why they will not be: exit status 2."""
    from setproctitle import setproctitle

    from tempotask.process import MARK

    # Before the title is set: that takes the place of the whole environment, up to what is no part of it any more.
    mark, fd = f"{MARK}={os.environ.pop(MARK)}", int(sys.argv[1])
    setproctitle("tempotask: supervisor")
    sys.argv[:] = sys.argv[2:]
    os.set_inheritable(fd, False)

    # All that takes long, before it is known what to supervise.
    import tempotask.pool.worker  # noqa: F401
    from tempotask import launch
    from tempotask.errors import TempoTaskError
    from tempotask.futures import permission  # noqa: F401
    from tempotask.pool import supervise  # noqa: F401

    start = launch.Start.read(sys.stdin.buffer)
    if start is None:
        return
    setproctitle(f"tempotask: supervisor {start.application}")
    os.environ.update(start.environment)
    report = os.fdopen(fd, "wb")
    try:
        _supervise(start, mark, report)
    except TempoTaskError as error:
        launch.Report(error=str(error), kind=type(error).__name__).write(report)
        if not start.quiet:
            print(f"tempotask: {error}", file=sys.stderr)
        sys.exit(2)


def _supervise(start: Start, mark: str, report: BinaryIO) -> NoReturn:
    from tempotask import launch
    from tempotask.futures import permission
    from tempotask.pool.settings import Settings
    from tempotask.pool.supervise import supervise

    permission.allow(start.allow_pickle)
    settings = Settings(
        start.application,
        db=start.db,
        namespace=start.namespace,
        concurrency=start.concurrency,
        lease=start.lease,
        quiet=start.quiet,
        tasks=start.tasks,
        watched_fd=sys.stdin.fileno(),
        ready=lambda: launch.Report(ready=True).write(report),
    )
    supervise(settings, mark)


if __name__ == "__main__":
    main()
