"""The moves of the server that are about hosts: renew.lua, register.lua, sweep.lua, and what a sweep gives back."""

from __future__ import annotations

from model import scripts
from model.setting import LEASE, MOST_HOSTS
from model.state import (
    ALIVE,
    DEAD,
    KNOWN,
    LOST,
    NEVER,
    OTHER,
    SWEPT,
    Held,
    Record,
    State,
    Supervisor,
    replaced,
)  # fmt: skip


def renew(state: State, supervisor: int) -> bool:
    """Renews a lease. False: it was swept."""
    refuses = "renewing is refused from the sweep on" not in state.setting.lacks
    if state.leases[supervisor] == NEVER or (refuses and state.leases[supervisor] == SWEPT):
        return False
    state.leases = replaced(state.leases, supervisor, LEASE)  # type: ignore[assignment]
    for other, leader in enumerate(state.supervisors):
        if leader.life == ALIVE and other != supervisor:
            _is_another_lease(state, other, leader, supervisor)
    return True


def _is_another_lease(state: State, other: int, leader: Supervisor, renewed: int) -> None:
    """A lease names the time at which it runs out, so whoever saw it before knows it from the renewed one."""
    seen, mail = leader.seen, leader.mail
    if seen[renewed][0] >= 0:
        seen = replaced(seen, renewed, (OTHER, 0))  # type: ignore[assignment]
    old = [told for told in mail if told[0] == "sweep" and told[1] == renewed and told[2] != SWEPT]
    mail = tuple(("sweep", renewed, OTHER) if told in old else told for told in mail)
    if seen is not leader.seen or old:
        state.lead(other, leader._replace(seen=seen, mail=mail))


def register(state: State, supervisor: int, worker: int) -> bool:
    """Makes a worker known. False: its supervisor was swept."""
    refuses = "registering is refused from the sweep on" not in state.setting.lacks
    if state.leases[supervisor] == NEVER or (refuses and state.leases[supervisor] == SWEPT):
        return False
    state.hold(worker, Held(KNOWN))
    return True


def sweep(state: State, own: int, lost: int, seen: int) -> tuple[int, ...] | None:
    """Takes the place of a lost host. None if it lives; else the workers whose jobs are to be given back. The last
    call, when there are none, removes the host."""
    if state.leases[own] in (NEVER, SWEPT) or state.leases[lost] == NEVER:
        return None
    renew(state, own)
    if state.leases[lost] != SWEPT:
        if "a sweep names the lease that was seen" not in state.setting.lacks and state.leases[lost] != seen:
            return None
        dead = "boots" in state.setting.can and state.supervisors[lost].life == DEAD
        if state.leases[lost] > 0 and not dead:
            return None
        if state.supervisors[lost].life == ALIVE and state.supervisors[lost].reached:
            state.blame(f"supervisor {lost} was swept, which lives and was never kept from renewing")
        state.leases = replaced(state.leases, lost, SWEPT)  # type: ignore[assignment]
        if "the workers are unregistered before their jobs go back" not in state.setting.lacks:
            for worker in _workers_of(state, lost, KNOWN):
                state.hold(worker, state.held[worker]._replace(registered=LOST))
                state.idle = tuple(other for other in state.idle if other != worker)
    left = _workers_of(state, lost, LOST)
    if "the workers are unregistered before their jobs go back" in state.setting.lacks:
        left = (*left, *_workers_of(state, lost, KNOWN))
    if not left:
        state.leases = replaced(state.leases, lost, NEVER)  # type: ignore[assignment]
    return left


def _workers_of(state: State, supervisor: int, registered: int) -> tuple[int, ...]:
    owners = state.setting.owners
    return tuple(
        worker
        for worker, held in enumerate(state.held)
        if owners[worker] == supervisor and held.registered == registered
    )


def lost_host(state: State, worker: int) -> None:
    """Gives back what a worker of a lost host held (deaths.py): each job carries a mark, or fails at the last one."""
    held = state.held[worker]
    judged: list[tuple[int, Record | str]] = []
    for index, record in enumerate(held.claims):
        if record is not None:
            marked = record._replace(hosts=record.hosts + 1)
            if "lost hosts count" in state.setting.lacks:
                marked = record
            fails = marked.hosts >= MOST_HOSTS
            judged.append((index, "has failed as WorkerCrashed" if fails else marked))
            if fails and record.job not in state.setting.deadly and state.setting.deadly:
                state.blame(f"job {record.job}, which never harmed a host, failed as WorkerCrashed")
    scripts.give_back_all(state, worker, held.open, tuple(judged))
