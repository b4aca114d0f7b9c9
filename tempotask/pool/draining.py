"""Draining: finding out that all is done, for a supervisor that ends then."""

from __future__ import annotations

from collections.abc import Callable

from tempotask.pool.clerk import Clerk
from tempotask.store.left import Left, left_in

QUIET = 0.05
"""Seconds between two looks whether nothing is left."""


class Draining:
    """Asks the server, while all workers are idle, whether nothing waits or runs, and calls `drained` with what is left
    all the same: jobs of paused queues, say. `after` calls something in so many seconds; `goes_on` is called when
    something came in the last moment."""

    def __init__(
        self,
        clerk: Clerk,
        after: Callable[[float, Callable[[], None]], None],
        drained: Callable[[Left], None],
        goes_on: Callable[[], None],
    ) -> None:
        self._clerk = clerk
        self._after = after
        self._drained = drained
        self._goes_on = goes_on
        self._asking = False
        self.closing = False
        """Whether nothing was left, and a last look is to show whether it is so. No schedule fires meanwhile."""

    def look(self) -> None:
        """All workers are idle; asks, unless that goes on."""
        if not self._asking:
            self._asking = True
            self._clerk.ask(self._clerk.store.quiet, self._quiet)

    def _quiet(self, quiet: bool) -> None:
        if quiet and self.closing:
            self._clerk.ask(lambda: left_in(self._clerk.store), self._drained)
        elif quiet:
            self.closing = True
            self._clerk.ask(self._clerk.store.quiet, self._quiet)
        else:
            if self.closing:
                self.closing = False
                self._goes_on()
            self._after(QUIET, self._ask_again)

    def _ask_again(self) -> None:
        self._asking = False
