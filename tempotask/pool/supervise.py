"""Supervising, from its start to the end of the process: the way of the command and of programs that start a pool."""

from __future__ import annotations

import contextlib
from typing import NoReturn

from tempotask.pool import log_format
from tempotask.pool.leaving import leave
from tempotask.pool.pool import UnifiedWorkerPool
from tempotask.pool.settings import Settings


def supervise(settings: Settings, fork_marked: str = "") -> NoReturn:
    """Runs a supervisor in this process, and ends it with the supervisor's exit status. `fork_marked` is for
    `UnifiedWorkerPool.start`.

    Raises:
        InvalidOptions: this system does not know the places of workers that were asked for.
        NotImportable: the application can't be imported, or lacks tasks that it should declare.
        ServerUnavailable: the server can't be used.
    """
    settings.places.check()
    pool = UnifiedWorkerPool(settings.application)
    with contextlib.suppress(OSError):
        # It imports the application while we import the rest. What was refused is tried again, and told of then.
        pool.start(fork_marked)
    # Not before, as it is ours alone, and no business of the application's.
    log_format.set_up(settings.log_format, quiet=settings.quiet)
    from tempotask.pool.supervisor import Supervisor

    leave(Supervisor(settings, pool).run())
