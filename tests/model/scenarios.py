"""Scenarios: small worlds that each show one part of the protocol, and are each searched to their end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from model.setting import Setting


@dataclass(frozen=True)
class Scenario:
    """A world, and what may go wrong in it."""

    name: str
    about: str
    setting: Setting
    prompt: bool = False
    """Whether all must end well without what happens only after half a minute."""

    def without(self, *parts: str) -> Scenario:
        """The same, with parts of rules left out."""
        return replace(self, setting=replace(self.setting, lacks=frozenset(parts)))


def scenario(
    name: str,
    about: str,
    *,
    prompt: bool = False,
    can: str = "",
    faults: dict[str, int] | None = None,
    **world: Any,
) -> Scenario:
    """A scenario; `can` names what is enabled, `faults` how often which may happen."""
    faults = faults or {}
    setting = Setting(
        faults={fault: at for at, fault in enumerate(faults)},
        budget=tuple(faults.values()),
        can=frozenset(can.split()),
        **world,
    )
    return Scenario(name, about, setting, prompt)


PAIR: dict[str, Any] = {"owners": (0, 0), "heirs": {}}
"""Two workers, which live as long as the world."""
HEIR: dict[str, Any] = {"owners": (0, 0, 0), "heirs": {0: 2}}
"""Two workers, and one that comes in the place of the first."""
ONE: dict[str, Any] = {"owners": (0, 0, 0), "first": (0,), "heirs": {0: 1, 1: 2}}
"""One worker, and two that come in its place, one after the other."""
HOSTS: dict[str, Any] = {
    "owners": (0, 1, 2), "first": (0, 1), "heirs": {0: 2}, "supervisors": 3, "leading": (0, 1), "reborn": {0: 2},
}  # fmt: skip
"""Two hosts with a worker each; the first one comes back under another id if it is swept."""
ENDLESS = frozenset({0})

SCENARIOS = (
    scenario(
        "replies", "two workers, batches of two, lost replies and late turns, a job that is tried again",
        queues=(0, 0, 0), faults={"losses": 2, "failures": 1}, **PAIR,
    ),
    scenario(
        "two queues", "the same with four jobs in two queues, whose batches are mixed",
        queues=(0, 0, 1, 1), faults={"losses": 1, "failures": 1}, **PAIR,
    ),
    scenario(
        "stealing", "what waits behind a job is stolen back, while replies are lost",
        can="steal", queues=(0, 0, 0), faults={"losses": 1, "failures": 1}, **PAIR,
    ),
    scenario(
        "stealing beside early settling", "the same, while what is finished is settled early",
        can="steal early", queues=(0, 0, 0), faults={"losses": 1}, **PAIR,
    ),
    scenario(
        "deaths", "two workers of two lives each are killed at any moment, their turns still on the way",
        queues=(0, 0), faults={"kills": 2},
    ),
    scenario(
        "deaths beside stealing", "a worker dies while jobs are stolen and replies are lost",
        can="steal", queues=(0, 0, 0), faults={"kills": 1, "losses": 1}, **HEIR,
    ),
    scenario(
        "deaths beside early settling", "a worker dies while what it finished is settled",
        can="early", queues=(0, 0), faults={"kills": 2, "losses": 1}, **ONE,
    ),
    scenario(
        "hand-over", "jobs are added one by one and handed to idle workers; wake-ups are swallowed, replies lost",
        can="timeouts", queues=(0, 0), calls=((0,), (1,)), faults={"losses": 1, "swallows": 1}, **PAIR,
    ),
    scenario(
        "hand-over beside deaths", "the same while workers die",
        can="timeouts", queues=(0, 0), calls=((0, 1),), faults={"kills": 1, "swallows": 1}, **HEIR,
    ),
    scenario(
        "adding", "the same call is sent twice, or arrives late",
        can="timeouts", queues=(0, 0, 0), calls=((0, 1), (2,)), faults={"losses": 2}, **ONE,
    ),
    scenario(
        "cancelling", "a job that never ends is cancelled wherever it is, and replies are lost",
        queues=(0, 0, 0), endless=ENDLESS, faults={"cancels": 1, "losses": 1}, **PAIR,
    ),
    scenario(
        "cancelling what ends", "a job is cancelled that may have ended before the order comes",
        can="steal", queues=(0, 0, 0), faults={"cancels": 1}, **PAIR,
    ),
    scenario(
        "cancelling what is handed over", "a job is cancelled that was handed over, and may not have been taken",
        can="timeouts", queues=(0, 0), calls=((0, 1),), faults={"cancels": 1}, **PAIR,
    ),
    scenario(
        "lost orders", "a job that never ends is cancelled, and the order to its supervisor is lost",
        can="compare", queues=(0, 0, 0), endless=ENDLESS, faults={"cancels": 1, "orders": 1}, **PAIR,
    ),
    scenario(
        "time limits", "a job that never ends is ended by its time limit, or killed; it may be cancelled meanwhile",
        can="limits early", queues=(0, 0), endless=ENDLESS, faults={"cancels": 1}, **HEIR,
    ),
    scenario(
        "pausing", "a queue is paused and resumed while its jobs are claimed, stolen and given back",
        prompt=True, can="steal", queues=(0, 0, 1), faults={"pauses": 1}, **PAIR,
    ),
    scenario(
        "pausing beside deaths", "the same while a worker dies",
        prompt=True, queues=(0, 0), faults={"pauses": 1, "kills": 1}, **HEIR,
    ),
    scenario(
        "delayed", "delayed jobs with all workers idle",
        prompt=True, queues=(0, 0), delayed=frozenset({0, 1}), faults={"kills": 1}, **HEIR,
    ),
    scenario(
        "waiting", "two clients ask for the outcome of a job that ends, or is cancelled",
        prompt=True, queues=(0,), clients=2, faults={"cancels": 1}, **ONE,
    ),
    scenario(
        "waiting for what is not kept", "an outcome that nobody keeps is told, and the telling is lost",
        queues=(0,), clients=2, kept=False, faults={"cancels": 1, "swallows": 1}, **ONE,
    ),
    scenario(
        "restart", "the server comes back with an older state; a worker dies before or after",
        can="timeouts compare", queues=(0, 0, 0), faults={"restarts": 1, "kills": 1}, **ONE,
    ),
    scenario(
        "restart beside stealing", "the same with two workers, and jobs that are stolen",
        can="timeouts compare steal", queues=(0, 0), faults={"restarts": 1}, **PAIR,
    ),
    scenario(
        "restart beside adding", "the same while jobs are added and handed over",
        can="timeouts compare", queues=(0, 0), calls=((0,), (1,)), faults={"restarts": 1},
        owners=(0,), first=(0,), heirs={},
    ),
    scenario(
        "leases", "a supervisor stands still, and the server is away for longer than a lease",
        can="timeouts leases", queues=(0,), faults={"stalls": 1, "outages": 1}, **{**HOSTS, "first": (0,)},
    ),
    scenario(
        "leases and hosts", "a host is lost, or its supervisor stands still while its worker goes on",
        can="timeouts leases", queues=(0,), faults={"stalls": 1, "hosts": 1}, owners=(0, 1, 2, 3), first=(0, 1),
        heirs={0: 2, 1: 3}, supervisors=4, leading=(0, 1), reborn={0: 2, 1: 3},
    ),
    scenario(
        "leases and deaths", "a supervisor that was swept and does not know it has a worker die, and forks another",
        can="timeouts leases", queues=(0,), faults={"stalls": 1, "kills": 1},
        owners=(0, 0, 1, 1), first=(0, 2), heirs={0: 1, 2: 3}, supervisors=2, leading=(0, 1),
    ),
    scenario(
        "lost hosts", "a job whose start is the end of its host, and one beside it that does no harm",
        can="timeouts boots", queues=(0, 0), deadly=ENDLESS, owners=(0, 1, 2), first=(0, 1, 2), heirs={},
        supervisors=3, leading=(0, 1, 2),
    ),
)  # fmt: skip
