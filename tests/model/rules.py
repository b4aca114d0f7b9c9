"""The protocol's rules (docs/protocol.md), each in parts that can be left out, and what then goes wrong where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """One part of a rule: what the moves ask for by these words, left out together, breaks that scenario."""

    lacks: Sequence[str]
    scenario: str


@dataclass(frozen=True)
class Rule:
    """A rule by its number."""

    number: int
    text: str
    parts: tuple[Part, ...]


def _rule(number: int, text: str, *parts: tuple[str, ...]) -> Rule:
    return Rule(number, text, tuple(Part(lacks, scenario) for scenario, *lacks in parts))


RULES = (
    _rule(
        1, "Turns are numbered, and one that is not newer than the last does nothing.",
        ("replies", "turns are numbered"),
    ),
    _rule(
        2, "Claims carry the number of the turn that made them, and what settles or gives back names it.",
        ("replies", "results name the turn"),
        ("stealing", "a give-back names the turn"),
        ("restart", "a verdict names the turn"),
        ("restart beside adding", "the name of a hand-over carries the time"),
    ),
    _rule(
        3, "Every turn delivers again what is left in the worker's claims, and carries what was not acknowledged.",
        ("replies", "a turn delivers again what is left"),
        ("stealing beside early settling", "a turn carries what was not acknowledged"),
    ),
    _rule(
        4, "A turn never registers a worker.",
        ("deaths", "a turn never registers"),
    ),
    _rule(
        5, "A death gives back all that the server holds, and takes the worker off the idle list.",
        ("deaths", "a death gives back all that the server holds"),
        ("hand-over beside deaths", "a death takes the worker off the idle list"),
    ),
    _rule(
        6, "A hand-over is a claim, on a list that is named by the turn; after a wait that broke comes a turn.",
        ("hand-over", "after a wait that broke comes a turn"),
        ("hand-over", "wake lists are named by the turn"),
    ),
    _rule(
        7, "Cancelling takes the claim away in the same step; what was handed over becomes a nudge.",
        ("cancelling", "a cancel takes the claim away"),
        ("cancelling what is handed over", "what was handed over and cancelled becomes a nudge"),
    ),
    _rule(
        8, "Whoever ends or takes away a job looks at turn and index in a stopped worker first.",
        ("stealing", "a worker is stopped to be looked at"),
        ("cancelling what ends", "the kill looks at turn and index"),
        ("cancelling what ends", "an order names turn and index"),
        ("cancelling", "an order that comes too early is kept"),
        ("time limits", "a kill carries its verdict"),
    ),
    _rule(
        9, "A sweep marks the lease and unregisters the workers before their jobs go back.",
        ("leases and hosts", "the workers are unregistered before their jobs go back"),
        ("leases and deaths", "registering is refused from the sweep on"),
        ("leases and hosts", "renewing is refused from the sweep on"),
    ),
    _rule(
        10, "Only a lease seen unchanged over a whole lease time is swept, in looks none of which failed or was late.",
        ("leases", "a lease is watched over a whole lease time"),
        ("leases", "a sweep names the lease that was seen"),
        ("leases", "an outage begins the watch anew", "a look that comes late begins the watch anew"),
        ("leases", "a look that comes late begins the watch anew"),
    ),
    _rule(
        11, "After an outage, and now and then, what the server holds is compared with what the workers have.",
        ("restart", "what workers hold is compared"),
        ("lost orders", "what workers hold is compared"),
    ),
    _rule(
        12, "A call to add jobs is remembered.",
        ("adding", "calls are remembered"),
    ),
    _rule(
        13, "Supervisors promote what is due.",
        ("delayed", "supervisors promote what is due"),
    ),
    _rule(
        14, "Asking and registering as one who waits is one step; every ending tells all of them.",
        ("waiting", "asking and registering is one step"),
        ("waiting", "a job may have several waiters"),
        ("waiting", "a cancel tells who waits"),
        ("waiting for what is not kept", "an outcome that somebody waits for is kept"),
    ),
    _rule(
        15, "Lost hosts count; what was on one is claimed alone, and the cursor stays on a queue whose turn was cut.",
        ("lost hosts", "lost hosts count"),
        ("lost hosts", "a job that was on a lost host is claimed alone"),
        ("a busy queue beside a marked job", "the cursor stays on a queue whose turn was cut"),
    ),
    _rule(
        16, "Nothing is handed over from a paused queue; resuming hands over.",
        ("pausing", "a paused queue stays off the ring"),
        ("pausing", "resuming hands over"),
    ),
)  # fmt: skip
