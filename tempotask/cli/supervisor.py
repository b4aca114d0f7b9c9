"""The entry point of `tempotask-supervisor`; what it does is in supervise.py."""

from __future__ import annotations

import signal


def main() -> None:
    """Holds signals back, then runs the command."""
    # Before all that takes long to import: one that came before the supervisor listens would end the process. It lets
    # them in as soon as it does.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
    from tempotask.cli import supervise

    supervise.main()


if __name__ == "__main__":
    main()
