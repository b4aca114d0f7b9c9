"""The entry point of `tempotask`; what it does is in main.py."""

from __future__ import annotations

import contextlib
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tempotask.process import SupervisorProcess


def main() -> None:
    """Runs the command, and exits."""
    pool = None
    try:
        pool = _pool_of_map()
        from tempotask.cli import main as commands

        commands.main(pool=pool)
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        if pool is not None:
            pool.dismiss()


def _pool_of_map() -> SupervisorProcess | None:
    """For a map, the process of its pool: that takes longest to be there, so it is started before all else."""
    if sys.argv[1:2] != ["map"] or {"-h", "--help"} & {*sys.argv}:
        return None
    # What is raised within an import may be dropped. It lets them in as soon as it can be stopped.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    if sys.stdin is None or sys.stdout is None or sys.stderr is None:
        return None  # a pipe of ours would take the place of what is closed
    from tempotask.process import SupervisorProcess

    with contextlib.suppress(OSError):
        return SupervisorProcess(output=2)
    return None


if __name__ == "__main__":
    main()
