"""States that differ only in what can make no difference are one.

- Of the numbers of a worker's turns only the order counts: they are replaced by their ranks.
- Who has started a job is of no interest once that excuses nothing.
- What is late arrives in any order.
"""

from __future__ import annotations

from model.actions.running import is_excused
from model.state import NOBODY, SERVER, Batch, Held, Name, Process, Request, State

HELD, ORDERS = SERVER.index("held"), SERVER.index("orders")
"""Where a snapshot has them."""


def canonical(state: State, before: State | None = None) -> tuple[object, ...]:
    """The key of the state that stands for all of these. `before` was canonical: what is as it was there need not be
    looked at."""
    state = state.copy()
    if any(state.begun):
        state.begun = tuple(
            None if mark is None or state.outcomes[job] or is_excused(state, mark[1]) else mark
            for job, mark in enumerate(state.begun)
        )
    elsewhere = before is None or not (
        state.late is before.late
        and state.supervisors is before.supervisors
        and state.orders is before.orders
        and state.snapshot is before.snapshot
    )
    for worker in state.setting.workers:
        if (
            elsewhere
            or before is None
            or state.processes[worker] is not before.processes[worker]
            or state.held[worker] is not before.held[worker]
        ):
            _renumber(state, worker)
    if len(state.late) > 1:
        state.late = tuple(sorted(state.late, key=repr))
    return state.key()


def _renumber(state: State, worker: int) -> None:
    process, held = state.processes[worker], state.held[worker]
    if process.number == 0 and held.last == 0:
        return
    mails = [told for leader in state.supervisors for told in leader.mail]
    orders = [told for some in state.orders for told in some]
    numbers = {0, process.number, process.name[0], held.last, held.open[0], held.idle}
    if process.hand is not None:
        numbers.add(process.hand.batch.name[0])
    if process.reply is not None and process.reply.batch is not None:
        numbers.add(process.reply.batch.name[0])
    if process.sentence is not None:
        numbers.add(process.sentence[1][0])
    numbers.update(name[0] for name, _ in process.cancels)
    numbers.update(message.name[0] for message in held.wake if message is not None)
    for sent in state.late:
        if isinstance(sent, Request) and sent.worker == worker:
            numbers.add(sent.number)
            if sent.results is not None:
                numbers.add(sent.results.name[0])
    numbers.update(told[2][0] for told in mails if told[0] == "tail" and told[1] == worker)  # type: ignore[index]
    numbers.update(told[2][0] for told in orders if told[0] == "cancel" and told[1] == worker)  # type: ignore[index]
    for told in mails:
        if told[0] == "compare":
            numbers.update(name[0] for other, name, _ in told[1] if other == worker)  # type: ignore[attr-defined]
    if state.snapshot is not None:
        numbers.update(_numbers_of(state.snapshot[HELD][worker]))  # type: ignore[index]
        for told in (told for some in state.snapshot[ORDERS] for told in some):  # type: ignore[attr-defined]
            if told[0] == "cancel" and told[1] == worker:
                numbers.add(told[2][0])
    if max(numbers) == len(numbers) - 1:
        return
    Renumbering(worker, {number: position for position, number in enumerate(sorted(numbers))}).apply(state)


def _numbers_of(held: Held) -> set[int]:
    return {held.last, held.open[0], held.idle, *(message.name[0] for message in held.wake if message is not None)}


class Renumbering:
    """Other numbers for the turns of a worker: `rank` by the old ones."""

    def __init__(self, worker: int, rank: dict[int, int]) -> None:
        self.worker = worker
        self.rank = rank

    def apply(self, state: State) -> None:
        """Wherever a number of that worker's stands."""
        worker, told = self.worker, self._told
        state.put(worker, self._process(state.processes[worker]))
        state.hold(worker, self._held(state.held[worker]))
        state.late = tuple(map(self._late, state.late))
        if any(leader.mail for leader in state.supervisors):
            state.supervisors = tuple(
                leader._replace(mail=tuple(map(told, leader.mail))) for leader in state.supervisors
            )
        if any(state.orders):
            state.orders = tuple(tuple(map(told, some)) for some in state.orders)
        if state.snapshot is not None:
            kept = list(state.snapshot)
            held: tuple[Held, ...] = kept[HELD]  # type: ignore[assignment]
            kept[HELD] = (*held[:worker], self._held(held[worker]), *held[worker + 1 :])
            kept[ORDERS] = tuple(tuple(map(told, some)) for some in kept[ORDERS])  # type: ignore[attr-defined]
            state.snapshot = tuple(kept)

    def _name(self, old: Name) -> Name:
        return (self.rank[old[0]], old[1]) if old != NOBODY else old

    def _batch(self, old: Batch) -> Batch:
        return old._replace(name=self._name(old.name))

    def _held(self, old: Held) -> Held:
        wake = tuple(message and self._batch(message) for message in old.wake)
        return old._replace(last=self.rank[old.last], open=self._name(old.open), idle=self.rank[old.idle], wake=wake)

    def _process(self, old: Process) -> Process:
        reply, hand, sentence = old.reply, old.hand, old.sentence
        if reply is not None and reply.batch is not None:
            reply = reply._replace(batch=self._batch(reply.batch))
        if hand is not None:
            hand = hand._replace(batch=self._batch(hand.batch))
        if sentence is not None:
            sentence = (sentence[0], self._name(sentence[1]), sentence[2])
        cancels = tuple((self._name(its), index) for its, index in old.cancels)
        return old._replace(
            number=self.rank[old.number], name=self._name(old.name), reply=reply, hand=hand, sentence=sentence,
            cancels=cancels,
        )  # fmt: skip

    def _told(self, old: tuple[object, ...]) -> tuple[object, ...]:
        """Of a supervisor to the server, or an order for one."""
        if old[0] in ("tail", "cancel") and old[1] == self.worker:
            return (*old[:2], self._name(old[2]), *old[3:])  # type: ignore[arg-type]
        if old[0] == "compare":
            held = tuple(
                (other, self._name(its) if other == self.worker else its, runs)
                for other, its, runs in old[1]  # type: ignore[attr-defined]
            )
            return ("compare", held)
        return old

    def _late(self, old: Request | int) -> Request | int:
        if not isinstance(old, Request) or old.worker != self.worker:
            return old
        results = old.results and old.results._replace(name=self._name(old.results.name))
        return old._replace(number=self.rank[old.number], results=results)
