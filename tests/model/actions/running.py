"""What a worker does between two turns: it starts jobs and ends them, and may die (runner.py, deaths.py)."""

from __future__ import annotations

from model import leases, scripts
from model.actions import FAULT, PROGRESS, Moves
from model.actions.turns import early_request, request
from model.setting import MOST_CRASHES
from model.state import (
    ALIVE,
    BURIED,
    COMPLETED,
    DEAD,
    KNOWN,
    RETRIED,
    RUNNING,
    STOPPED,
    TURNING,
    UNBORN,
    Process,
    Record,
    State,
    replaced,
)


def moves(state: State) -> Moves:
    """All moves of this kind."""
    for worker, process in enumerate(state.processes):
        if process.life == ALIVE:
            if process.doing == RUNNING:
                yield from _runs(state, worker, process)
            yield from _is_killed(state, worker, process)
        elif process.life == DEAD:
            yield from _is_buried(state, worker, process)
        elif process.life == BURIED:
            yield from _is_followed(state, worker)


def _runs(state: State, worker: int, process: Process) -> Moves:
    hand = process.hand
    assert hand is not None
    after = state.copy()
    if process.inside:
        record = hand.batch.records[process.started]
        ended = process._replace(inside=False, hand=hand._replace(fates=(*hand.fates, COMPLETED)))
        if record.job not in state.setting.endless:
            after.put(worker, ended)
            yield f"worker {worker} ends job {record.job}", PROGRESS, after
        if state.left("failures"):
            after = state.copy()
            after.spend("failures")
            after.put(worker, ended._replace(hand=hand._replace(fates=(*hand.fates, RETRIED))))
            yield f"job {record.job} fails on worker {worker}, and is to be tried again", FAULT, after
        return
    index = process.started + 1
    if index < process.limit and index < len(hand.batch.records):
        record = hand.batch.records[index]
        _is_started(after, worker, process, record)
        after.put(worker, process._replace(started=index, inside=True))
        if record.job in state.setting.deadly:
            lose_host(after, state.setting.owners[worker])
            yield f"worker {worker} starts job {record.job}, which is the end of its host", PROGRESS, after
        else:
            yield f"worker {worker} starts job {record.job}", PROGRESS, after
    else:
        after.put(worker, process._replace(doing=TURNING, started=index))
        yield f"worker {worker} is through with its batch", PROGRESS, after


def _is_started(state: State, worker: int, process: Process, record: Record) -> None:
    """What no start may do. A worker whose host was taken for lost, or whose batch is of another life of the server,
    does not know better."""
    assert process.hand is not None
    if process.hand.batch.life != state.life or state.held[worker].registered != KNOWN:
        return
    job, before = record.job, state.begun[record.job]
    if job in state.cancelled:
        state.blame(f"job {job} was cancelled while no worker had it, and is started")
    elif state.outcomes[job] not in ("", "was cancelled"):
        state.blame(f"job {job} {state.outcomes[job]}, and is started again")
    elif before is not None and before[0] == record.tries:
        state.blame(f"job {job} is started again, and worker {before[1]} has started the same try")
    state.begun = replaced(state.begun, job, (record.tries, worker))  # type: ignore[assignment]


def is_excused(state: State, worker: int) -> bool:
    """Whether a job that this worker has started may be started again: it is dead, or counts as lost."""
    return state.processes[worker].life != ALIVE or state.held[worker].registered != KNOWN


def _is_killed(state: State, worker: int, process: Process) -> Moves:
    if not state.left("kills"):
        return
    after = state.copy()
    after.spend("kills")
    after.put(worker, process._replace(life=DEAD, reply=None, early=0))
    yield f"worker {worker} is killed", FAULT, after
    if process.reply is not None or not state.up:
        return
    hand = process.hand
    if process.doing == TURNING:
        sent = request(state, worker, process)
    elif process.doing == RUNNING and hand and hand.acknowledged < len(hand.fates) and "early" in state.setting.can:
        sent = early_request(worker, process, len(hand.fates))
    else:
        return
    after = after.copy()
    after.late = (*after.late, sent)
    yield f"worker {worker} is killed, its turn {sent.number} still on the way", FAULT, after


def lose_host(state: State, supervisor: int) -> None:
    """A supervisor and all its workers are gone at once."""
    state.lead(supervisor, state.supervisors[supervisor]._replace(life=DEAD, mail=()))
    for worker, process in enumerate(state.processes):
        if state.setting.owners[worker] == supervisor and process.life == ALIVE:
            state.put(worker, Process(BURIED))


def is_at_work(state: State, supervisor: int) -> bool:
    """Whether this supervisor can do anything now."""
    leader = state.supervisors[supervisor]
    return leader.life == ALIVE and not leader.stalled


def _is_buried(state: State, worker: int, process: Process) -> Moves:
    supervisor = state.setting.owners[worker]
    if not is_at_work(state, supervisor):
        # One that was swept buries its workers under its new id.
        supervisor = state.setting.reborn.get(supervisor, supervisor)
    if not is_at_work(state, supervisor) or state.supervisors[supervisor].mail or not state.up:
        return
    after = state.copy()
    held, lacks = state.held[worker], state.setting.lacks
    index, judged = process.running, list[tuple[int, Record | str]]()
    name_counts = held.open == process.name or "a verdict names the turn" in lacks
    if index is not None and name_counts and index < len(held.claims):
        record = held.claims[index]
        if record is not None:
            judged += _verdict(after, process, index, record)
    if "a death gives back all that the server holds" in lacks and held.open != process.name:
        after.stranded = (*after.stranded, *(record for record in held.claims if record is not None))
        after.hold(worker, held._replace(claims=()))
    scripts.give_back_all(after, worker, process.name, tuple(judged))
    after.put(worker, Process(BURIED))
    blamed = process.hand.batch.records[index].job if judged and process.hand and index is not None else None
    what = "blaming nobody" if blamed is None else f"with a verdict on job {blamed}"
    yield f"worker {worker} is dead: its jobs go back, {what}", PROGRESS, after


def _verdict(state: State, process: Process, index: int, record: Record) -> list[tuple[int, Record | str]]:
    """What becomes of the job that ran when its process died."""
    cause = process.sentence[0] if process.executed and process.sentence else "crash"
    if process.executed and "a kill carries its verdict" in state.setting.lacks:
        cause = "crash"
    if cause in ("cancel", "stop"):
        return []
    if cause == "time limit":
        return [(index, "has failed as JobTimeout")]
    if process.executed:
        state.blame(f"a crash of job {record.job} is counted, and it was its supervisor that killed it")
    if process.hand is not None and process.hand.batch.records[index].job != record.job:
        state.blame(f"job {record.job} is blamed, and job {process.hand.batch.records[index].job} ran")
    marked = record._replace(crashes=record.crashes + 1)
    return [(index, "has failed as WorkerCrashed" if marked.crashes >= MOST_CRASHES else marked)]


def _is_followed(state: State, worker: int) -> Moves:
    heir = state.setting.heirs.get(worker)
    if heir is None or state.processes[heir].life != UNBORN or not state.up:
        return
    supervisor = state.setting.owners[heir]
    # The clerk tells the server one thing after the other.
    if not is_at_work(state, supervisor) or state.supervisors[supervisor].mail:
        return
    after = state.copy()
    if leases.register(after, supervisor, heir):
        after.put(heir, Process(ALIVE))
        yield f"worker {heir} is registered and forked in the place of worker {worker}", PROGRESS, after


def stop(state: State, worker: int, process: Process) -> None:
    """A signal ends the job that runs: its handler raises, and comes to an end."""
    assert process.hand is not None
    fates = (*process.hand.fates, STOPPED)
    state.put(worker, process._replace(inside=False, sentence=None, hand=process.hand._replace(fates=fates)))
