"""What a worker says to the server: turns, early settlings, waiting; and what is lost or late of that (worker.py)."""

from __future__ import annotations

from model import scripts
from model.actions import FALLBACK, FAULT, PROGRESS, Moves
from model.state import ALIVE, BLOCKING, DEAD, RUNNING, TURNING, Batch, Hand, Process, Reply, Request, Results, State


def moves(state: State) -> Moves:
    """All moves of this kind."""
    for worker, process in enumerate(state.processes):
        if process.life != ALIVE:
            continue
        if process.reply is not None:
            yield from _hears(state, worker, process)
        elif process.doing == TURNING:
            yield from _sends(state, worker, process, request(state, worker, process))
        elif process.doing == BLOCKING:
            yield from _waits(state, worker, process)
        elif process.hand is not None and "early" in state.setting.can:
            hand = process.hand
            if len(hand.fates) < len(hand.batch.records):
                for stop in range(hand.acknowledged + 1, len(hand.fates) + 1):
                    yield from _sends(state, worker, process, early_request(worker, process, stop), stop)
    yield from _late(state)


def request(state: State, worker: int, process: Process) -> Request:
    """The worker's next turn."""
    hand, results = process.hand, None
    if hand is not None and hand.acknowledged < len(hand.fates):
        results = _results(hand, len(hand.fates))
    return Request(worker, process.number + 1, state.setting.want, results)


def early_request(worker: int, process: Process, stop: int) -> Request:
    """Settles what was finished before a long job."""
    assert process.hand is not None
    return Request(worker, process.number + 1, 0, _results(process.hand, stop))


def _results(hand: Hand, stop: int) -> Results:
    missing = tuple(index for index in hand.missing if hand.acknowledged <= index < stop)
    done = slice(hand.acknowledged, stop)
    return Results(hand.batch.name, hand.acknowledged, hand.fates[done], missing, hand.batch.records[done])


def _sends(state: State, worker: int, process: Process, sent: Request, early: int = 0) -> Moves:
    if not state.up:
        return
    what = f"the early settling {sent.number}" if early else f"turn {sent.number}"
    process = process._replace(number=sent.number)
    if early and "a turn carries what was not acknowledged" in state.setting.lacks:
        assert process.hand is not None
        process = process._replace(hand=process.hand._replace(acknowledged=early))
    after = state.copy()
    reply = scripts.turn(after, sent)
    after.put(worker, process._replace(reply=reply, early=early))
    yield f"{what} of worker {worker} is applied: {_answer(reply)}", PROGRESS, after
    if state.left("losses"):
        after = state.copy()
        after.spend("losses")
        after.put(worker, process)
        after.late = (*after.late, sent)
        yield f"{what} of worker {worker} is held up on its way, and its connection breaks", FAULT, after


def _answer(reply: Reply) -> str:
    if reply.batch:
        return f"jobs {[record.job for record in reply.batch.records]}"
    return f"refused {list(reply.refused)}" if reply.refused else reply.kind


def _hears(state: State, worker: int, process: Process) -> Moves:
    reply = process.reply
    assert reply is not None
    after = state.copy()
    heard = process._replace(reply=None, early=0)
    hand = process.hand
    if reply.kind == "refused" and hand is not None:
        heard = heard._replace(hand=hand._replace(missing=tuple(sorted({*hand.missing, *reply.refused}))))
    elif process.early and hand is not None:
        if reply.kind == "settled":
            heard = heard._replace(hand=hand._replace(acknowledged=max(hand.acknowledged, process.early)))
    elif reply.kind == "jobs" and reply.batch is not None:
        heard = take_in_hand(heard, reply.batch)
    elif reply.kind == "idle":
        heard = heard._replace(hand=None, doing=BLOCKING)
    elif reply.kind == "gone":
        heard = heard._replace(hand=None, life=DEAD)
    after.put(worker, heard)
    yield f"worker {worker} hears: {_answer(reply)}", PROGRESS, after
    if state.left("losses"):
        after = state.copy()
        after.spend("losses")
        after.put(worker, process._replace(reply=None, early=0))
        yield f"the reply to worker {worker} is lost ({_answer(reply)})", FAULT, after


def take_in_hand(process: Process, batch: Batch) -> Process:
    """A new batch: the control block says so."""
    return process._replace(
        hand=Hand(batch), doing=RUNNING, name=batch.name, started=-1, limit=len(batch.records), inside=False
    )


def _waits(state: State, worker: int, process: Process) -> Moves:
    held, lacks = state.held[worker], state.setting.lacks
    turns = process._replace(doing=TURNING)
    again = "after a wait that broke comes a turn" in lacks
    named = held.idle == process.number or "wake lists are named by the turn" in lacks
    if state.up and held.wake and named:
        message, rest = held.wake[0], held.wake[1:]
        after = state.copy()
        after.hold(worker, held._replace(wake=rest))
        after.put(worker, take_in_hand(process, message) if message is not None else turns)
        told = f"jobs {[record.job for record in message.records]}" if message is not None else "a nudge"
        yield f"worker {worker} is woken with {told}", PROGRESS, after
        if state.left("swallows"):
            after = state.copy()
            after.spend("swallows")
            after.hold(worker, held._replace(wake=rest))
            yield f"a half-open connection swallows what worker {worker} was to be woken with ({told})", FAULT, after
    if state.left("losses") and not again:
        after = state.copy()
        after.spend("losses")
        after.put(worker, turns)
        yield f"the connection on which worker {worker} waits breaks", FAULT, after
    if "timeouts" in state.setting.can and not again and not (held.wake and named):
        after = state.copy()
        after.put(worker, turns)
        yield f"worker {worker} has waited long enough", FALLBACK, after


def _late(state: State) -> Moves:
    for at, sent in enumerate(state.late):
        if not state.up or not isinstance(sent, Request):
            continue
        after = state.copy()
        after.late = (*state.late[:at], *state.late[at + 1 :])
        reply = scripts.turn(after, sent)
        yield f"turn {sent.number} of worker {sent.worker} arrives after all: {_answer(reply)}", FAULT, after
