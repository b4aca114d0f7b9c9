"""What whoever starts a supervisor says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tempotask.pool.places import Places


@dataclass
class Settings:
    """What whoever starts a supervisor may say; what is left out, the application says."""

    application: str
    db: str | None = None
    namespace: str | None = None
    concurrency: int | None = None
    lease: float | None = None
    grace: float | None = None
    drain: bool = False
    pin: bool = False
    """Whether each worker is kept on a core of its own."""
    nice: int | None = None
    """The niceness at which workers run; None: the supervisor's."""
    log_format: str = "text"
    """Or json."""
    quiet: bool = False
    """Whether only warnings and worse are logged."""
    tasks: list[tuple[str, str]] = field(default_factory=list)
    """Those which the starting program declares: the application must declare them when workers import it."""
    ready: Callable[[], None] = lambda: None
    """Called when every worker is ready for the first time."""
    watched_fd: int | None = None
    """A pipe whose end means that whoever started us is gone."""

    @property
    def places(self) -> Places:
        """Where the workers run."""
        return Places(self.pin, self.nice)
