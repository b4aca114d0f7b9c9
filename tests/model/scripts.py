"""The moves of the server, each in one step, as the Lua scripts of the same names make them.

What is left out, as no job can be lost or doubled by it: bytes, counters, history, priorities, holes in queues, and the
fair part of the backlog (a turn gets as many jobs as it wants, so that few jobs show what batches do).
"""

from __future__ import annotations

from model.state import (
    COMPLETED,
    GONE,
    KNOWN,
    NEVER,
    NOBODY,
    RETRIED,
    SWEPT,
    Batch,
    Held,
    Name,
    Record,
    Reply,
    Request,
    Results,
    State,
    replaced,
)

# -- queues.lua


def push(state: State, record: Record, *, front: bool = False) -> None:
    """A record waits at the end of its queue, or at its front; the queue is on the ring unless it is paused."""
    queue = state.setting.queues[record.job]
    line = state.queues[queue]
    pauses = queue in state.paused and "a paused queue stays off the ring" not in state.setting.lacks
    if not line and not pauses:
        state.ring = (*state.ring, queue)
    state.queues = replaced(state.queues, queue, (record, *line) if front else (*line, record))  # type: ignore[assignment]


def level(sizes: list[int], count: int) -> int:
    """How many each queue gives, so that all give the same."""
    left = count
    for position, size in enumerate(sorted(sizes)):
        share = left // (len(sizes) - position)
        if size > share:
            return share
        left -= size
    return count


def fitting(part: tuple[Record, ...], before: int, lacks: frozenset[str]) -> tuple[int, bool]:
    """How many of these may run with those before, and whether the batch ends with them."""
    if "a job that was on a lost host is claimed alone" in lacks:
        return len(part), False
    for at, record in enumerate(part):
        if record.alone:
            return (at, True) if before + at else (1, True)
    return len(part), False


def claim(state: State, worker: int, name: Name, want: int) -> tuple[Record, ...]:
    """Claims a batch, round-robin over the ring."""
    names = state.ring[:want]
    sizes = [len(state.queues[queue]) for queue in names]
    share = level(sizes, want) if names else 0
    parts: list[tuple[Record, ...]] = []
    total = 0
    for queue in names:
        line = state.queues[queue]
        kept, ended = fitting(line[:share], total, state.setting.lacks)
        parts.append(line[:kept])
        if queue in state.paused:
            state.blame("a job of a paused queue was claimed")
        state.queues = replaced(state.queues, queue, line[kept:])  # type: ignore[assignment]
        state.ring = state.ring[1:]
        if line[kept:]:
            stays = ended and total > 0 and "the cursor stays on a queue whose turn was cut" not in state.setting.lacks
            state.ring = (queue, *state.ring) if stays else (*state.ring, queue)
        total += kept
        if ended:
            break
    batch = tuple(part[at] for at in range(max(map(len, parts), default=0)) for part in parts if at < len(part))
    if batch:
        state.hold(worker, state.held[worker]._replace(open=name, claims=batch))
        if state.leases[state.setting.owners[worker]] == SWEPT:
            state.blame(f"jobs are claimed for worker {worker}, whose host was swept")
    return batch


def hand_over(state: State) -> None:
    """Hands what waits to idle workers: claims for each, and pushes the batch on the list on which it blocks."""
    lacks = state.setting.lacks
    while state.ring and state.idle:
        worker = state.idle[0]
        state.idle = state.idle[1:]
        held = state.held[worker]
        if not held.idle:
            continue
        name = (held.idle, 0 if "the name of a hand-over carries the time" in lacks else state.life)
        batch = claim(state, worker, name, state.setting.want)
        held = state.held[worker]
        state.hold(worker, held._replace(wake=(*held.wake, Batch(name, batch, state.life))))


def promote(state: State) -> bool:
    """What is due waits from now on."""
    if not state.ripe or not state.due:
        return False
    for record in state.due:
        push(state, record)
    state.due = ()
    return True


# -- endings.lua


def end(state: State, job: int, outcome: str) -> None:
    """A job has ended; who waits for it is told."""
    if state.outcomes[job]:
        state.blame(f"job {job}, which had {state.outcomes[job]}, {outcome} as well: it is settled twice")
    state.outcomes = replaced(state.outcomes, job, outcome)  # type: ignore[assignment]
    if job == 0 and state.setting.clients:
        silent = outcome == "was cancelled" and "a cancel tells who waits" in state.setting.lacks
        for client in state.waiters if not silent else ():
            state.clients = replaced(state.clients, client, state.clients[client]._replace(told=True))  # type: ignore[assignment]
        kept = bool(state.waiters) and "an outcome that somebody waits for is kept" not in state.setting.lacks
        state.kept = state.setting.kept or kept
        state.waiters = ()


def settle(state: State, held: Held, results: Results) -> bool:
    """Settles these results of a worker's claims. Returns whether something waits that did not before."""
    waits = False
    for index, fate in enumerate(results.fates, results.first):
        if index in results.missing:
            continue
        record = held.claims[index] if index < len(held.claims) else None
        if record is None:
            state.blame(f"a result of index {index} is settled, which was taken away")
        elif record != results.ran[index - results.first]:
            state.blame(f"a try of job {record.job} is settled that has not run")
        elif fate == RETRIED:
            push(state, record._replace(tries=record.tries + 1))
            waits = True
        else:
            end(state, record.job, "has completed" if fate == COMPLETED else "has failed")
    return waits


# -- turn.lua


def turn(state: State, request: Request) -> Reply:
    """Settles the finished batch, promotes what is due, claims the next one."""
    worker, number, results, lacks = request.worker, request.number, request.results, state.setting.lacks
    held = state.held[worker]
    if held.registered != KNOWN:
        if "a turn never registers" not in lacks:
            return Reply("gone")
        held = held._replace(registered=KNOWN)
    if number <= held.last and "turns are numbered" not in lacks:
        return Reply("stale")
    mine = results if results is not None and _is_mine(results, held, lacks) else None
    if mine is not None and (taken := _taken_away(mine, held)):
        state.hold(worker, held._replace(last=number))
        return Reply("refused", refused=taken)
    wake = held.wake if "wake lists are named by the turn" in lacks else ()
    state.hold(worker, held._replace(last=number, idle=0, wake=wake) if held.idle else held._replace(last=number))
    state.idle = tuple(other for other in state.idle if other != worker)
    waits = settle(state, held, mine) if mine is not None else False
    left = _unsettled(state, worker, mine, request.want)
    if not request.want:
        if waits:
            hand_over(state)
        return Reply("settled")
    waits = promote(state) or waits
    name = (number, 0)
    if left and "a turn delivers again what is left" in lacks:
        state.stranded = (*state.stranded, *left)
        left = ()
    if left:
        state.hold(worker, state.held[worker]._replace(open=name, claims=left))
    batch = left or claim(state, worker, name, request.want)
    if batch:
        if waits:
            hand_over(state)
        return Reply("jobs", Batch(name, batch, state.life))
    state.hold(worker, state.held[worker]._replace(idle=number))
    state.idle = (*state.idle, worker)
    return Reply("idle")


def _is_mine(results: Results, held: Held, lacks: frozenset[str]) -> bool:
    """Whether results are of the turn that is open."""
    return held.open != NOBODY and ("results name the turn" in lacks or results.name == held.open)


def _taken_away(results: Results, held: Held) -> tuple[int, ...]:
    """The indices that the worker says it has run and does not hold any more."""
    return tuple(
        index
        for index in range(results.first, results.stop)
        if index not in results.missing and (index >= len(held.claims) or held.claims[index] is None)
    )


def _unsettled(state: State, worker: int, mine: Results | None, want: int) -> tuple[Record, ...]:
    """Closes the open claims and returns what is left of them. With want = 0 they stay open, with holes."""
    held = state.held[worker]
    every = mine is not None and mine.first == 0 and mine.stop >= len(held.claims)
    settled = range(mine.first, mine.stop) if mine is not None else range(0)
    if not every and not want:
        if mine is not None:
            claims = tuple(None if index in settled else record for index, record in enumerate(held.claims))
            state.hold(worker, held._replace(claims=claims))
        return ()
    state.hold(worker, held._replace(open=NOBODY, claims=()))
    if every:
        return ()
    return tuple(record for index, record in enumerate(held.claims) if record is not None and index not in settled)


# -- give_back.lua


def give_back_tail(state: State, worker: int, name: Name, start: int) -> None:
    """What a worker holds from that index on goes to the front, if its open turn is that one."""
    held = state.held[worker]
    if held.registered == GONE and held.open == NOBODY:
        return
    if held.open == NOBODY or (held.open != name and "a give-back names the turn" not in state.setting.lacks):
        return
    for record in reversed(held.claims[start:]):
        if record is not None:
            push(state, record, front=True)
    state.hold(worker, held._replace(open=held.open if start else NOBODY, claims=held.claims[:start]))
    hand_over(state)


def give_back_all(
    state: State, worker: int, name: Name = NOBODY, judged: tuple[tuple[int, Record | str], ...] = ()
) -> None:
    """All that a worker holds goes back, and it is forgotten. The verdict, for each index what becomes of its job,
    counts if all are still held under that turn."""
    held, lacks = state.held[worker], state.setting.lacks
    if held == Held():
        return
    claims = list(held.claims)
    counts = name == held.open or "a verdict names the turn" in lacks
    counts = counts and all(index < len(claims) and claims[index] is not None for index, _ in judged)
    for index, verdict in judged if counts else ():
        record = claims[index]
        claims[index] = verdict if isinstance(verdict, Record) else None
        if isinstance(verdict, str) and record is not None:
            end(state, record.job, verdict)
    for record in reversed(claims):
        if record is not None:
            push(state, record, front=True)
    state.hold(worker, Held())
    if "a death takes the worker off the idle list" not in lacks:
        state.idle = tuple(other for other in state.idle if other != worker)
    else:
        state.hold(worker, Held(idle=held.idle))
    hand_over(state)


# -- enqueue.lua


def enqueue(state: State, call: int) -> None:
    """Adds the jobs of a call, once however often it is sent."""
    if call in state.calls:
        return
    if "calls are remembered" not in state.setting.lacks:
        state.calls = (*state.calls, call)
    for job in state.setting.calls[call]:
        push(state, Record(job))
    hand_over(state)


# -- act.lua


def cancel(state: State, job: int) -> None:
    """Ends a job where it is. A claimed one is taken out of its claims, and its supervisor is ordered to see to it."""
    queue = state.setting.queues[job]
    line = state.queues[queue]
    if any(record.job == job for record in line):
        rest = tuple(record for record in line if record.job != job)
        state.queues = replaced(state.queues, queue, rest)  # type: ignore[assignment]
        if not rest:
            state.ring = tuple(other for other in state.ring if other != queue)
        state.cancelled = (*state.cancelled, job)
        end(state, job, "was cancelled")
        return
    if any(record.job == job for record in state.due):
        state.due = tuple(record for record in state.due if record.job != job)
        state.cancelled = (*state.cancelled, job)
        end(state, job, "was cancelled")
        return
    for worker, held in enumerate(state.held):
        for index, record in enumerate(held.claims):
            if record is not None and record.job == job:
                _cancel_claimed(state, worker, index)


def _cancel_claimed(state: State, worker: int, index: int) -> None:
    held, lacks = state.held[worker], state.setting.lacks
    record = held.claims[index]
    assert record is not None
    handed = bool(held.idle and held.wake)
    if held.registered == KNOWN and not handed:
        state.order(state.setting.owners[worker], "cancel", worker, held.open, index)
    if "a cancel takes the claim away" not in lacks:
        held = held._replace(claims=replaced(held.claims, index, None))  # type: ignore[arg-type]
    if handed:
        state.cancelled = (*state.cancelled, record.job)
        if "what was handed over and cancelled becomes a nudge" not in lacks:
            held = held._replace(wake=(None,))
    state.hold(worker, held)
    end(state, record.job, "was cancelled")


# -- pause.lua


def pause(state: State, queue: int) -> None:
    """Nothing of this queue is claimed any more."""
    state.paused = (*state.paused, queue)
    state.ring = tuple(other for other in state.ring if other != queue)
    for supervisor, lease in enumerate(state.leases):
        if lease != NEVER:
            state.order(supervisor, "steal")


def resume(state: State, queue: int) -> None:
    """The reverse."""
    state.paused = tuple(other for other in state.paused if other != queue)
    if state.queues[queue]:
        state.ring = (*state.ring, queue)
        if "resuming hands over" not in state.setting.lacks:
            hand_over(state)


# -- ask.lua


def ask(state: State, client: int) -> bool:
    """How did the first job end? Who asks before it has is told. Returns whether there was an answer."""
    if state.outcomes[0] and state.kept:
        return True
    if client not in state.waiters:
        others = state.waiters if "a job may have several waiters" not in state.setting.lacks else ()
        state.waiters = (*others, client)
    return False
