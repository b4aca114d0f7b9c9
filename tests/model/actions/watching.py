"""What a supervisor does about its workers: it steals back, sees to cancelled jobs and time limits (watch.py), and has
its clerk tell the server (clerk.py)."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from model import scripts
from model.actions import FAULT, PROGRESS, Moves
from model.actions.running import is_at_work, stop
from model.state import ALIVE, DEAD, NOBODY, Name, Process, State


def moves(state: State) -> Moves:
    """All moves of this kind."""
    for worker, process in enumerate(state.processes):
        if process.life != ALIVE or not is_at_work(state, state.setting.owners[worker]):
            continue
        if "steal" in state.setting.can:
            yield from _steals(state, worker, process)
        if "limits" in state.setting.can:
            yield from _limits(state, worker, process)
        if process.cancels and process.name[0] >= process.cancels[0][0][0]:
            after = state.copy()
            _obey(after, worker)
            yield f"worker {worker} is stopped, to take out what was cancelled", PROGRESS, after
        if process.sentence is not None:
            yield from _executes(state, worker, process)
    for supervisor in range(len(state.supervisors)):
        if is_at_work(state, supervisor):
            yield from _reads_orders(state, supervisor)
            yield from _sends_mail(state, supervisor)


# -- stealing


def _steals(state: State, worker: int, process: Process) -> Moves:
    running = process.running
    if running is None or running + 1 >= process.limit:
        return
    after = state.copy()
    # Without the stop, the look may find the index before the one that has just been started.
    start = running if "a worker is stopped to be looked at" in state.setting.lacks else running + 1
    _shrink(after, worker, start)
    yield f"worker {worker} is stopped, and what waits behind its job is taken away", PROGRESS, after


def _shrink(state: State, worker: int, start: int) -> None:
    process = state.processes[worker]
    if start < process.limit:
        state.put(worker, process._replace(limit=max(start, 0)))
        state.ask(state.setting.owners[worker], "tail", worker, process.name, start)


# -- orders


def _reads_orders(state: State, supervisor: int) -> Moves:
    if not state.orders[supervisor] or not state.up:
        return
    what, *order = state.orders[supervisor][0]
    after = state.copy()
    orders = state.orders[supervisor][1:]
    after.orders = (*state.orders[:supervisor], orders, *state.orders[supervisor + 1 :])
    if what == "steal":
        for each, process in enumerate(state.processes):
            if state.setting.owners[each] == supervisor and process.life == ALIVE:
                _shrink(after, each, process.started + 1)
        yield f"supervisor {supervisor} reads the order to give back what has not started", PROGRESS, after
        return
    worker, name, index = cast(tuple[int, Name, int], tuple(order))
    told = f"the order to cancel index {index} of turn {name[0]} of worker {worker}"
    if state.processes[worker].life == ALIVE:
        _keep(after, worker, name, index)
        _obey(after, worker)
    yield f"supervisor {supervisor} reads {told}", PROGRESS, after
    if state.left("orders"):
        lost = state.copy()
        lost.spend("orders")
        lost.orders = after.orders
        yield f"{told} is lost", FAULT, lost


def _keep(state: State, worker: int, name: Name, index: int) -> None:
    process = state.processes[worker]
    newest = max(name[0], *(kept[0][0] for kept in process.cancels), 0)
    cancels = tuple(each for each in (*process.cancels, (name, index)) if each[0][0] == newest)
    if "an order that comes too early is kept" in state.setting.lacks and name[0] > process.name[0]:
        cancels = process.cancels
    state.put(worker, process._replace(cancels=cancels))


def _obey(state: State, worker: int) -> None:
    """Takes what is cancelled out of the batch in hand; the one that runs is told to end."""
    process = state.processes[worker]
    if not process.cancels or process.name[0] < process.cancels[0][0][0]:
        return
    running = process.running
    blind = "an order names turn and index" in state.setting.lacks
    here = [index for name, index in process.cancels if name == process.name or blind]
    process = process._replace(cancels=tuple(each for each in process.cancels if each[0][0] > process.name[0]))
    state.put(worker, process)
    ahead = [index for index in here if running is None or index > running if process.started < index < process.limit]
    if running is not None and (running in here or (blind and here)):
        state.put(worker, process._replace(sentence=("cancel", process.name, running)))
        if "a sentence shrinks the batch" not in state.setting.lacks:
            _shrink(state, worker, running + 1)
    elif ahead:
        _shrink(state, worker, min(ahead))


# -- ending the job that runs


def _limits(state: State, worker: int, process: Process) -> Moves:
    record = process.job
    if record is None or record.job not in state.setting.endless or process.sentence or process.running is None:
        return
    after = state.copy()
    after.put(worker, process._replace(sentence=("time limit", process.name, process.started)))
    _shrink(after, worker, process.started + 1)
    yield f"the time of job {record.job} on worker {worker} is over", PROGRESS, after


def _executes(state: State, worker: int, process: Process) -> Moves:
    assert process.sentence is not None
    why, name, index = process.sentence
    there = (process.name, process.running) == (name, index)
    blind = "the kill looks at turn and index" in state.setting.lacks
    if not there and not blind:
        after = state.copy()
        after.put(worker, process._replace(sentence=None))
        yield f"the supervisor of worker {worker} sees that the job has ended", PROGRESS, after
        return
    record = process.job
    wrong = record is not None and (not there or (why == "cancel" and state.outcomes[record.job] != "was cancelled"))
    told = (
        f"worker {worker} is to end index {index} for the {why}, and it is job {record.job} that is hit"
        if record
        else ""
    )
    if process.inside and there:
        after = state.copy()
        if wrong:
            after.blame(told)
        stop(after, worker, process)
        yield f"the signal for the {why} ends index {index} on worker {worker}", PROGRESS, after
    after = state.copy()
    after.put(worker, process._replace(life=DEAD, reply=None, early=0, executed=True))
    if wrong:
        after.blame(told)
    yield f"worker {worker} is killed for the {why} of index {index}", PROGRESS, after


# -- the clerk


def _sends_mail(state: State, supervisor: int) -> Moves:
    leader = state.supervisors[supervisor]
    if not leader.mail or not state.up:
        return
    what, *rest = leader.mail[0]
    after = state.copy()
    after.lead(supervisor, leader._replace(mail=leader.mail[1:]))
    told = MAIL[str(what)](after, supervisor, *rest)
    yield f"supervisor {supervisor}: {told}", PROGRESS, after
    if state.left("losses") and what == "tail":
        again = after.copy()
        again.spend("losses")
        again.lead(supervisor, leader)
        yield f"supervisor {supervisor}: {told}; the reply is lost", FAULT, again


def _tail(state: State, supervisor: int, worker: int, name: Name, start: int) -> str:
    scripts.give_back_tail(state, worker, name, start)
    return f"gives back turn {name[0]} of worker {worker} from index {start} on"


def _compare(state: State, supervisor: int, holdings: tuple[tuple[int, Name, int | None], ...]) -> str:
    """What the server holds against what the workers held (housekeeper.py)."""
    known = {worker: (name, running) for worker, name, running in holdings}
    for worker, held in enumerate(state.held):
        if state.setting.owners[worker] != supervisor or not held.registered:
            continue
        if worker not in known:
            scripts.give_back_all(state, worker)
            continue
        name, running = known[worker]
        if held.open == name:
            if running is not None and running < len(held.claims) and held.claims[running] is None:
                process = state.processes[worker]
                if process.life == ALIVE:
                    _keep(state, worker, name, running)
                    _obey(state, worker)
        elif held.open != NOBODY and held.open[0] <= name[0]:
            scripts.give_back_tail(state, worker, held.open, 0)
    return "compares what the server holds with what the workers have"


MAIL: dict[str, Callable[..., str]] = {"tail": _tail, "compare": _compare}
