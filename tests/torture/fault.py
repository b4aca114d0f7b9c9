"""What a fault is: a name, how to inject it, and the world that it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torture.world import World


class Violation(Exception):
    """Raised by a fault that sees for itself what must not be: say what, in one sentence."""


class NotHere(Exception):
    """Raised by a fault that this machine does not let happen: say why. It is listed, and counts as no violation."""


class Overtaken(Exception):
    """Raised by a fault that finds gone what it breaks, as another fault was there first: say what is gone."""


WAY = frozenset({"server", "network"})
"""Of these two groups, one fault at a time: each puts the server or the way to it right again at its end."""


@dataclass(frozen=True)
class Setting:
    """The world that a fault needs."""

    supervisors: int = 2
    workers: int = 2
    """Of each supervisor."""
    lease: float = 2.0
    server: tuple[str, ...] = ("--appendonly", "yes", "--appendfsync", "always")
    replicas: int = 0
    """If there are any, three Sentinels watch them and the server, and say where it is: no proxy is on the way."""
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Of the supervisors, beside what they have anyway."""
    options: tuple[str, ...] = ()
    """Of the command tempotask-supervisor."""
    application: str = "torture.chores:tempotask"
    files: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Written to the world's folder, from which supervisors import, before they start: name and text."""
    patience: float = 10.0
    """Seconds for which the producers of the world wait for the server."""
    load: bool = True
    """Whether the campaign keeps thousands of short jobs waiting while the fault is injected."""


@dataclass
class Injection:
    """What one injection did: filled in by the fault."""

    noticed: float | None = None
    """Seconds until it was noticed, where the fault can tell."""
    allows: frozenset[str] = frozenset()
    """Only what is inherent: "lost" (a server restarted empty, FLUSHALL), "rerun" (a server that forgot a second),
    "waiters" (two primaries at once)."""
    note: str = ""
    at: float | None = None
    """From when on "back at work" counts, by the monotonic clock; else from when `inject` returned."""


@dataclass(frozen=True)
class Fault:
    """One way to break something. `inject` returns when it is over: server back, proxy restored, process replaced."""

    name: str
    """Words for the table: "worker killed", "replies lost"."""
    group: str
    """process, handler, server, network, host."""
    inject: Callable[[World], Injection]
    setting: Setting = Setting()
    mixed: bool = True
    """Whether it may be mixed with others, at random, in the plain world; else it gets a world of its own."""
    quick: bool = False
    """Whether it is part of `quick`."""
    rare: bool = False
    """Whether once in a campaign is enough, as it takes minutes."""
    within: float = 240.0
    """Seconds that no injection takes."""
