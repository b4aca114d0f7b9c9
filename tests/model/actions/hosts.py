"""What supervisors do about each other: they renew their leases, look, sweep and come back; and what happens to hosts
(leases.py). Leases are told by the ticks for which they still hold, so that time needs no beginning."""

from __future__ import annotations

from model import leases
from model.actions import FAULT, PROGRESS, Moves
from model.actions.running import is_at_work, lose_host
from model.actions.watching import MAIL
from model.setting import LEASE
from model.state import ALIVE, DEAD, NEVER, SWEPT, State, Supervisor, replaced

LATE = 2
"""Ticks between two looks that are too many: what happened in between was not seen."""


def moves(state: State) -> Moves:
    """All moves of this kind."""
    if "boots" in state.setting.can:
        yield from _finds_dead(state)
    if "leases" not in state.setting.can:
        return
    for supervisor, leader in enumerate(state.supervisors):
        if leader.life != ALIVE:
            continue
        if state.left("stalls") and not leader.stalled:
            after = state.copy()
            after.spend("stalls")
            after.lead(supervisor, leader._replace(stalled=True))
            yield f"supervisor {supervisor} stands still", FAULT, after
        if leader.stalled:
            after = state.copy()
            after.lead(supervisor, leader._replace(stalled=False))
            yield f"supervisor {supervisor} goes on", PROGRESS, after
        elif state.up and not leader.renewed and not leader.mail:
            yield from _renews(state, supervisor, leader)
        if state.left("hosts"):
            after = state.copy()
            after.spend("hosts")
            lose_host(after, supervisor)
            yield f"the host of supervisor {supervisor} is lost", FAULT, after
    yield from _server(state)
    yield from _time(state)


def _finds_dead(state: State) -> Moves:
    """A supervisor that ran on this very machine, and whose process is gone, is lost at once."""
    for supervisor, leader in enumerate(state.supervisors):
        if not is_at_work(state, supervisor) or leader.mail:
            continue
        for other, process in enumerate(state.supervisors):
            if process.life == DEAD and state.leases[other] != NEVER:
                after = state.copy()
                after.ask(supervisor, "sweep", other, state.leases[other])
                yield f"supervisor {supervisor} sees that the process of supervisor {other} is gone", PROGRESS, after


def _server(state: State) -> Moves:
    if state.left("outages") and state.up:
        after = state.copy()
        after.spend("outages")
        after.up = False
        yield "the server is away", FAULT, after
    if not state.up:
        after = state.copy()
        after.up = True
        for supervisor, leader in enumerate(after.supervisors):
            after.lead(supervisor, leader._replace(renewed=False))
        yield "the server is back", PROGRESS, after


def _time(state: State) -> Moves:
    """Whoever can renew has done so before the clock goes on."""
    at_work = [is_at_work(state, each) for each in range(len(state.supervisors))]
    if state.up and any(able and not state.supervisors[each].renewed for each, able in enumerate(at_work)):
        return
    after = state.copy()
    after.leases = tuple(map(_older, state.leases))
    for supervisor, leader in enumerate(state.supervisors):
        if leader.life != ALIVE:
            continue
        forgets = not state.up and at_work[supervisor]
        if forgets and "an outage begins the watch anew" not in state.setting.lacks:
            seen = ((NEVER, 0),) * len(leader.seen)
        else:
            seen = tuple((_older(lease), min(age + 1, LEASE) if lease != NEVER else 0) for lease, age in leader.seen)
        mail = tuple((*told[:2], _older(told[2])) if told[0] == "sweep" else told for told in leader.mail)  # type: ignore[arg-type]
        after.lead(
            supervisor,
            leader._replace(
                renewed=False, seen=seen, mail=mail, looked=min(leader.looked + 1, LATE),
                reached=leader.reached and not leader.stalled,
            ),
        )  # fmt: skip
    if after.key() != state.key():
        yield "time passes", PROGRESS, after


def _older(lease: int) -> int:
    return max(lease - 1, 0) if lease > 0 else lease


def _renews(state: State, supervisor: int, leader: Supervisor) -> Moves:
    after = state.copy()
    if not leases.renew(after, supervisor):
        _start_over(after, supervisor)
        yield f"supervisor {supervisor} hears that it was swept, and starts over", PROGRESS, after
        return
    late = leader.looked >= LATE and "a look that comes late begins the watch anew" not in state.setting.lacks
    seen, lost = [], []
    for other, (lease, age) in enumerate(leader.seen):
        found = after.leases[other] if other != supervisor else NEVER
        age = 0 if lease != found or late else age  # an equal one is the same: see `leases.renew`
        seen.append((found, age))
        at_once = "a lease is watched over a whole lease time" in state.setting.lacks and found == 0
        if found == SWEPT or (found != NEVER and (age >= LEASE or at_once)):
            lost.append((other, found))
    after.lead(supervisor, leader._replace(renewed=True, reached=True, seen=tuple(seen), looked=0))
    for other, found in lost:
        after.ask(supervisor, "sweep", other, found)
    told = f", and takes {[other for other, _ in lost]} for lost" if lost else ", and looks at the others"
    yield f"supervisor {supervisor} renews its lease{told}", PROGRESS, after


def _start_over(state: State, supervisor: int) -> None:
    """Its workers are ended, and it comes back under a new id."""
    leader, heir = state.supervisors[supervisor], state.setting.reborn.get(supervisor)
    state.lead(supervisor, Supervisor(DEAD))
    for worker, process in enumerate(state.processes):
        if state.setting.owners[worker] == supervisor and process.life == ALIVE:
            sentence = ("stop", process.name, process.started)
            state.put(worker, process._replace(life=DEAD, reply=None, early=0, executed=True, sentence=sentence))
    if heir is not None:
        state.leases = replaced(state.leases, heir, LEASE)  # type: ignore[assignment]
        mail = tuple(told for told in leader.mail if told[0] == "tail")
        state.lead(heir, Supervisor(ALIVE, renewed=True, seen=((NEVER, 0),) * len(leader.seen), mail=mail))


def _sweep(state: State, supervisor: int, lost: int, seen: int) -> str:
    left = leases.sweep(state, supervisor, lost, seen)
    if left is None:
        return f"would sweep supervisor {lost}, which lives"
    leader = state.supervisors[supervisor]
    if left:
        steps = (*(("host", worker) for worker in left), ("sweep", lost, SWEPT))
        state.lead(supervisor, leader._replace(mail=(*steps, *leader.mail)))
        return f"sweeps supervisor {lost}"
    return f"has swept supervisor {lost}, which is forgotten"


def _host(state: State, supervisor: int, worker: int) -> str:
    leases.lost_host(state, worker)
    leases.renew(state, supervisor)
    return f"gives back what worker {worker} of the lost host held"


MAIL["sweep"], MAIL["host"] = _sweep, _host
