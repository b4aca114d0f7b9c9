"""What must hold in every state, beside what moves blame themselves; and what it means that all is done."""

from __future__ import annotations

from model.state import ALIVE, BURIED, GONE, KNOWN, LOST, NOBODY, SWEPT, State


def violation(state: State) -> str:
    """What is wrong in a state; empty if nothing is."""
    return _places(state) or _ring(state) or _claims(state)


def _places(state: State) -> str:
    """A job that has not ended is in exactly one place, one that has is in none."""
    places = [0] * len(state.outcomes)
    for line in state.queues:
        for record in line:
            places[record.job] += 1
    for record in state.due:
        places[record.job] += 1
    for record in state.stranded:
        places[record.job] += 1
    for held in state.held:
        for claimed in held.claims:
            if claimed is not None:
                places[claimed.job] += 1
    absent = _absent(state)
    for job, number in enumerate(places):
        if state.outcomes[job]:
            if number:
                return f"job {job} {state.outcomes[job]}, and is there still"
        elif number > 1:
            return f"job {job} is in {number} places"
        elif number == 0 and job not in absent:
            return f"job {job} is nowhere"
    return ""


def _ring(state: State) -> str:
    """A queue is on the ring if and only if jobs wait in it and it is not paused, once."""
    for queue, line in enumerate(state.queues):
        if state.ring.count(queue) != (1 if line and queue not in state.paused else 0):
            return f"queue {queue} is {state.ring.count(queue)} times on the ring"
    return ""


def _claims(state: State) -> str:
    """Only workers that are known hold claims, and an idle one holds none."""
    for worker, held in enumerate(state.held):
        if held.registered == GONE and (held.open != NOBODY or held.claims):
            return f"jobs are held for worker {worker}, which nobody knows"
        if held.registered == KNOWN and state.life == 1 and _is_buried(state, worker):
            return f"worker {worker}, which is dead and buried, is registered"
        if held.registered == LOST and state.leases[state.setting.owners[worker]] != SWEPT:
            return f"worker {worker} counts as lost, and its supervisor was not swept"
    for worker in state.idle:
        held = state.held[worker]
        if held.registered == KNOWN and held.open != NOBODY:
            return f"worker {worker} is on the idle list, and holds jobs"
    return ""


def _is_buried(state: State, worker: int) -> bool:
    """Whether its supervisor, which lives, has given back all that it held."""
    return state.processes[worker].life == BURIED and state.supervisors[state.setting.owners[worker]].life == ALIVE


def is_done(state: State) -> bool:
    """Whether every job has ended, nobody holds anything, and all who wait have been told."""
    absent = _absent(state, acknowledged=True)
    if not all(outcome or job in absent for job, outcome in enumerate(state.outcomes)):
        return False
    if any(process.inside and process.life == ALIVE for process in state.processes):
        return False
    if any(client.state not in ("answered", "new") for client in state.clients):
        return False
    return all(known == "acknowledged" for known in state.enqueued)


def _absent(state: State, *, acknowledged: bool = False) -> set[int]:
    """Jobs that need not be there: not added yet, as far as the producer knows; or added since the state was written
    with which the server came back."""
    absent = set[int]()
    for call, jobs in enumerate(state.setting.calls):
        known = state.enqueued[call] == "acknowledged"
        if (not known and not acknowledged) or (state.life > 1 and call not in state.calls):
            absent.update(jobs)
    return absent
