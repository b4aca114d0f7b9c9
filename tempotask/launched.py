"""A supervisor that a program has started: the other end of launch.py.

Run as `python -m tempotask.launched APPLICATION FD ARGUMENT…`, with the program's own arguments, which the application
finds as it is imported; the rest is in the environment. It does what the command
`tempotask-supervisor` does, and is ready sooner, as somebody waits: it takes no command line apart, and its nursery is
a fork of it, so that what both need is imported once.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, BinaryIO, NoReturn

if TYPE_CHECKING:
    from tempotask.launch import Start


def main() -> None:
    """Supervises. Writes a line of JSON to FD when all workers are ready, or why they will not be: exit status 2."""
    import msgspec
    from setproctitle import setproctitle

    from tempotask import launch
    from tempotask.errors import TempoTaskError

    # Before the title is set: that takes the place of the whole environment, up to what is no part of it any more.
    mark = f"{launch.MARK}={os.environ.pop(launch.MARK)}"
    application, fd = sys.argv[1], int(sys.argv[2])
    sys.argv[:] = sys.argv[3:]
    setproctitle(f"tempotask: supervisor {application}")
    os.set_inheritable(fd, False)
    report = os.fdopen(fd, "wb")
    start = msgspec.json.decode(os.environ.pop(launch.START), type=launch.Start)
    try:
        _supervise(application, start, mark, report)
    except TempoTaskError as error:
        launch.Report(error=str(error), kind=type(error).__name__).write(report)
        if not start.quiet:
            print(f"tempotask: {error}", file=sys.stderr)
        sys.exit(2)


def _supervise(application: str, start: Start, mark: str, report: BinaryIO) -> NoReturn:
    # What the nursery, and all workers, need besides.
    import tempotask.pool.worker  # noqa: F401
    from tempotask import launch
    from tempotask.futures import permission
    from tempotask.pool.settings import Settings
    from tempotask.pool.supervise import supervise

    permission.allow(start.allow_pickle)
    settings = Settings(
        application,
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
