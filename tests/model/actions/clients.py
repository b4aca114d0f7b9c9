"""What producers and people do: they add jobs, cancel, pause queues, and wait for an outcome."""

from __future__ import annotations

from model import scripts
from model.actions import FALLBACK, FAULT, PROGRESS, Moves
from model.state import Client, State, replaced


def moves(state: State) -> Moves:
    """All moves of this kind."""
    if not state.up:
        return
    yield from _adds(state)
    yield from _acts(state)
    for client, waiting in enumerate(state.clients):
        yield from _asks(state, client, waiting)


def _adds(state: State) -> Moves:
    for call, known in enumerate(state.enqueued):
        if known == "acknowledged":
            continue
        jobs = list(state.setting.calls[call])
        what = f"jobs {jobs} are added again" if known else f"jobs {jobs} are added"
        after = state.copy()
        scripts.enqueue(after, call)
        after.enqueued = replaced(state.enqueued, call, "acknowledged")  # type: ignore[assignment]
        yield what, PROGRESS, after
        if state.left("losses"):
            lost = after.copy()
            lost.spend("losses")
            lost.enqueued = replaced(state.enqueued, call, "sent")  # type: ignore[assignment]
            yield f"{what}, and the reply is lost", FAULT, lost
            late = state.copy()
            late.spend("losses")
            late.enqueued = replaced(state.enqueued, call, "sent")  # type: ignore[assignment]
            late.late = (*state.late, call)
            yield f"the call to add jobs {jobs} is held up, and its connection breaks", FAULT, late
    for at, sent in enumerate(state.late):
        if isinstance(sent, int):
            after = state.copy()
            after.late = (*state.late[:at], *state.late[at + 1 :])
            scripts.enqueue(after, sent)
            yield f"the call to add jobs {list(state.setting.calls[sent])} arrives after all", FAULT, after


def _acts(state: State) -> Moves:
    if state.left("cancels"):
        after = state.copy()
        after.spend("cancels")
        if not state.outcomes[0]:
            scripts.cancel(after, 0)
        # A job that never ends is cancelled some time.
        kind = PROGRESS if state.setting.endless and "limits" not in state.setting.can else FAULT
        if after.outcomes[0] and not state.outcomes[0]:
            yield "job 0 is cancelled", kind, after
    if state.left("pauses"):
        after = state.copy()
        after.spend("pauses")
        scripts.pause(after, 0)
        yield "queue 0 is paused", FAULT, after
    for queue in state.paused:
        after = state.copy()
        scripts.resume(after, queue)
        yield f"queue {queue} is resumed", PROGRESS, after


def _asks(state: State, client: int, waiting: Client) -> Moves:
    lacks = state.setting.lacks

    def so(known: str, told: bool) -> State:
        after = state.copy()
        after.clients = replaced(state.clients, client, Client(known, told))  # type: ignore[assignment]
        return after

    if waiting.state == "answered":
        if waiting.told:
            # Told twice, it knows already.
            yield f"client {client} is told again", PROGRESS, so("answered", False)
        return
    if waiting.told:
        yield f"client {client} is told", PROGRESS, so("answered", False)
        if state.left("swallows"):
            lost = so(waiting.state, False)
            lost.spend("swallows")
            yield f"what client {client} was told is lost", FAULT, lost
    if waiting.state == "new" and "asking and registering is one step" in lacks:
        yield (
            f"client {client} asks: {state.outcomes[0] or 'no outcome'}",
            PROGRESS,
            so("answered" if state.outcomes[0] and state.kept else "asked", False),
        )
    elif waiting.state == "asked":
        after = so("waits", waiting.told)
        after.waiters = (*state.waiters, client)
        yield f"client {client} registers", PROGRESS, after
    elif waiting.state in ("new", "waits") and not waiting.told:
        if waiting.state == "new" and state.outcomes[0] and not state.kept:
            return
        after = state.copy()
        answered = scripts.ask(after, client)
        after.clients = replaced(state.clients, client, Client("answered" if answered else "waits"))  # type: ignore[assignment]
        again = waiting.state == "waits"
        yield f"client {client} asks{' again' if again else ''}", FALLBACK if again else PROGRESS, after
