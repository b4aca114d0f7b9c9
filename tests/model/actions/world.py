"""What happens to the world: time comes, the server is away, or is back with an older state; and what supervisors do
about it (housekeeper.py)."""

from __future__ import annotations

from model import scripts
from model.actions import FAULT, PROGRESS, Moves
from model.actions.running import is_at_work
from model.state import ALIVE, BLOCKING, DEAD, NOBODY, SERVER, TURNING, State


def moves(state: State) -> Moves:
    """All moves of this kind."""
    if state.setting.delayed and not state.ripe:
        after = state.copy()
        after.ripe = True
        yield "the time of the delayed jobs has come", PROGRESS, after
    if state.ripe and state.due and state.up and "supervisors promote what is due" not in state.setting.lacks:
        after = state.copy()
        if scripts.promote(after):
            scripts.hand_over(after)
        yield "a supervisor promotes what is due", PROGRESS, after
    yield from _restarts(state)
    if "compare" in state.setting.can:
        yield from _compares(state)


def _restarts(state: State) -> Moves:
    if state.left("restarts") and state.snapshot is None:
        after = state.copy()
        after.snapshot = tuple(getattr(state, name) for name in SERVER)
        yield "the server writes its state to disk", FAULT, after
    if state.left("restarts") and state.snapshot is not None:
        after = state.copy()
        after.spend("restarts")
        for name, value in zip(SERVER, state.snapshot, strict=True):
            setattr(after, name, value)
        after.snapshot, after.life = None, state.life + 1
        after.begun = (None,) * len(state.begun)
        after.cancelled = ()
        for worker, process in enumerate(state.processes):
            doing = TURNING if process.doing == BLOCKING else process.doing
            after.put(worker, process._replace(reply=None, early=0, doing=doing))
        yield "the server is killed, and is back with the state that it had written", FAULT, after


def _compares(state: State) -> Moves:
    """After an outage, and now and then: only where that can find something, so that nothing else leans on it."""
    needless = state.life == 1 and "orders" not in state.setting.faults
    if "what workers hold is compared" in state.setting.lacks or not state.up or needless:
        return
    for supervisor, leader in enumerate(state.supervisors):
        if not is_at_work(state, supervisor) or leader.mail:
            continue
        mine = [each for each in state.setting.workers if state.setting.owners[each] == supervisor]
        if any(state.processes[worker].life == DEAD for worker in mine):
            continue
        holdings = tuple(
            (worker, state.processes[worker].name, state.processes[worker].running)
            for worker in mine
            if state.processes[worker].life == ALIVE
        )
        after = state.copy()
        after.ask(supervisor, "compare", holdings)
        if _finds_something(state, holdings, mine):
            yield f"supervisor {supervisor} looks at what its workers have", PROGRESS, after


def _finds_something(state: State, holdings: object, mine: list[int]) -> bool:
    """Whether a comparison would change anything: else it need not be searched."""
    alive = {worker: process for worker, process in enumerate(state.processes) if process.life == ALIVE}
    for worker in mine:
        held = state.held[worker]
        if held.registered and worker not in alive:
            return True
        if held.open not in (NOBODY, alive[worker].name if worker in alive else NOBODY):
            return True
        process = alive.get(worker)
        if process and held.open == process.name and process.running is not None:
            claims = held.claims
            if process.running < len(claims) and claims[process.running] is None and process.sentence is None:
                return True
    return False
