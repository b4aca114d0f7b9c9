"""A state of the model: what the server holds, what processes hold, what is on its way, and what was seen to happen.

All parts are tuples, so that a state is compared and remembered as a whole. `Held` and `Process` are by worker id; ids
are never used again, so a worker that died leaves its place in these tuples empty.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from model.setting import Setting

# -- jobs


class Record(NamedTuple):
    """A job as it waits, is claimed, or is in a worker's hand."""

    job: int
    tries: int = 0
    crashes: int = 0
    hosts: int = 0

    @property
    def alone(self) -> bool:
        """Whether it is claimed alone."""
        return self.crashes > 0 or self.hosts > 0


COMPLETED, RETRIED, STOPPED = 0, 1, 2
"""What became of a run: STOPPED is one that a signal ended."""

Name = tuple[int, int]
"""Of a turn whose claims these are: its number, and for a hand-over the time, which tells one life of the server from
another."""
NOBODY: Name = (0, 0)


class Batch(NamedTuple):
    """What a turn or a hand-over brings to a worker."""

    name: Name
    records: tuple[Record, ...]
    life: int
    """Of the server."""


# -- what a worker says, and hears


class Results(NamedTuple):
    """What became of the jobs of a batch, from one index to before another."""

    name: Name
    first: int
    fates: tuple[int, ...]
    missing: tuple[int, ...]
    ran: tuple[Record, ...]
    """Which records these are the results of. The server is not told; it is how the model knows of a mistake."""

    @property
    def stop(self) -> int:
        """The index behind the last."""
        return self.first + len(self.fates)


class Request(NamedTuple):
    """A turn as it is sent."""

    worker: int
    number: int
    want: int
    results: Results | None


class Reply(NamedTuple):
    """What a turn is answered."""

    kind: str
    batch: Batch | None = None
    refused: tuple[int, ...] = ()


# -- who is there

UNBORN, ALIVE, DEAD, BURIED = 0, 1, 2, 3
TURNING, RUNNING, BLOCKING = 0, 1, 2


class Hand(NamedTuple):
    """The batch in hand."""

    batch: Batch
    fates: tuple[int, ...] = ()
    acknowledged: int = 0
    missing: tuple[int, ...] = ()


class Process(NamedTuple):
    """A worker's process and its control block."""

    life: int = UNBORN
    number: int = 0
    """Of its last sending."""
    doing: int = TURNING
    reply: Reply | None = None
    """On its way to it."""
    early: int = 0
    """Not 0: that reply is to an early settling of all before this index."""
    hand: Hand | None = None
    name: Name = NOBODY
    """Of the batch in hand, or of the last one: what the control block says."""
    started: int = -1
    limit: int = 0
    inside: bool = False
    """Whether a handler runs."""
    cancels: tuple[tuple[Name, int], ...] = ()
    """Orders that its supervisor keeps for it."""
    sentence: tuple[str, Name, int] | None = None
    """Why a job is to end, and which."""
    executed: bool = False
    """Whether it was killed for that sentence."""

    @property
    def running(self) -> int | None:
        """The index that runs, as the control block tells."""
        return self.started if 0 <= self.started < self.limit else None

    @property
    def job(self) -> Record | None:
        """The record in the handler."""
        return self.hand.batch.records[self.started] if self.inside and self.hand else None


GONE, KNOWN, LOST = 0, 1, 2


class Held(NamedTuple):
    """What the server holds of a worker."""

    registered: int = GONE
    last: int = 0
    open: Name = NOBODY
    claims: tuple[Record | None, ...] = ()
    """None: a hole."""
    idle: int = 0
    """The number under which it went idle."""
    wake: tuple[Batch | None, ...] = ()
    """What lies on the list on which it blocks; None: a nudge."""


NEVER, SWEPT, OTHER = -1, -2, -3
"""Leases that do not run out. OTHER: one that was seen, and has been renewed since."""


class Supervisor(NamedTuple):
    """A supervisor's process."""

    life: int = UNBORN
    stalled: bool = False
    renewed: bool = False
    """Within this tick of the clock."""
    reached: bool = True
    """Whether nothing kept it from renewing since its lease began to run: then it may not be taken for lost."""
    seen: tuple[tuple[int, int], ...] = ()
    """Of each other: its lease as it was seen, and for how many ticks."""
    mail: tuple[tuple[object, ...], ...] = ()
    """What its clerk has to tell the server, in order."""
    looked: int = 0
    """How many ticks ago it looked last."""


class Client(NamedTuple):
    """Somebody who waits for the first job."""

    state: str = "new"
    told: bool = False
    """Whether the outcome lies on its list."""


class State:
    """See the module's page. Changed only while it is being made."""

    __slots__ = (
        "begun", "budget", "calls", "cancelled", "clients", "due", "enqueued", "held", "idle", "kept",
        "late", "leases", "life", "orders", "outcomes", "paused", "processes", "queues", "ring", "ripe", "setting",
        "snapshot", "stranded", "supervisors", "up", "waiters", "wrong",
    )  # fmt: skip

    setting: Setting
    wrong: str
    """What invariant was broken on the way here."""
    # The server. What a restart brings back is `SERVER`.
    queues: tuple[tuple[Record, ...], ...]
    ring: tuple[int, ...]
    paused: tuple[int, ...]
    due: tuple[Record, ...]
    held: tuple[Held, ...]
    idle: tuple[int, ...]
    """Workers, the one that is idle longest first."""
    leases: tuple[int, ...]
    """By supervisor: for how many ticks it holds still; 0: it has run out; NEVER or SWEPT."""
    calls: tuple[int, ...]
    """Calls that are remembered."""
    outcomes: tuple[str, ...]
    """By job; empty: it has not ended."""
    waiters: tuple[int, ...]
    kept: bool
    """Whether the outcome of the first job, which nobody wanted kept, can still be read."""
    orders: tuple[tuple[tuple[object, ...], ...], ...]
    """By supervisor."""
    stranded: tuple[Record, ...]
    """Claims that nothing refers to any more."""
    # Everybody else.
    processes: tuple[Process, ...]
    supervisors: tuple[Supervisor, ...]
    enqueued: tuple[str, ...]
    """By call: what the producer knows of it."""
    clients: tuple[Client, ...]
    late: tuple[Request | int, ...]
    """Requests that may arrive at any time or never; an int is a call of a producer."""
    # The world.
    ripe: bool
    """Whether the time of delayed jobs has come."""
    up: bool
    life: int
    """Of the server."""
    snapshot: tuple[object, ...] | None
    budget: tuple[int, ...]
    # What was seen.
    begun: tuple[tuple[int, int] | None, ...]
    """By job: which try was started, and by whom, if nothing excuses a second start."""
    cancelled: tuple[int, ...]
    """Jobs that were cancelled while nobody had them."""

    def key(self) -> tuple[object, ...]:
        """The state as one tuple."""
        key: tuple[object, ...] = _key(self)
        return key

    def copy(self) -> State:
        """Another one, to be changed."""
        return load(self.setting, self.key())

    # -- shorter words for changes

    def hold(self, worker: int, held: Held) -> None:
        """The server holds this of a worker now."""
        self.held = (*self.held[:worker], held, *self.held[worker + 1 :])

    def put(self, worker: int, process: Process) -> None:
        """A worker's process is so now."""
        self.processes = (*self.processes[:worker], process, *self.processes[worker + 1 :])

    def lead(self, supervisor: int, process: Supervisor) -> None:
        """A supervisor's process is so now."""
        self.supervisors = (*self.supervisors[:supervisor], process, *self.supervisors[supervisor + 1 :])

    def ask(self, supervisor: int, *told: object) -> None:
        """A supervisor's clerk has something more to tell the server."""
        leader = self.supervisors[supervisor]
        self.lead(supervisor, leader._replace(mail=(*leader.mail, told)))

    def order(self, supervisor: int, *told: object) -> None:
        """Leaves an order for a supervisor."""
        mine = (*self.orders[supervisor], told)
        self.orders = (*self.orders[:supervisor], mine, *self.orders[supervisor + 1 :])

    def blame(self, what: str) -> None:
        """An invariant is broken; the first one counts."""
        self.wrong = self.wrong or what

    def left(self, fault: str) -> int:
        """How many more of these faults may happen."""
        at = self.setting.faults.get(fault)
        return 0 if at is None else self.budget[at]

    def spend(self, fault: str) -> None:
        """One of them happens."""
        at = self.setting.faults[fault]
        self.budget = (*self.budget[:at], self.budget[at] - 1, *self.budget[at + 1 :])


FIELDS = tuple(name for name in State.__slots__ if name not in ("setting", "wrong"))
_key = attrgetter(*FIELDS)
SERVER = (
    "queues", "ring", "paused", "due", "held", "idle", "leases", "calls", "outcomes", "waiters", "kept", "orders",
    "stranded",
)  # fmt: skip


def load(setting: Setting, key: tuple[object, ...]) -> State:
    """The state of that key."""
    state = State.__new__(State)
    state.setting, state.wrong = setting, ""
    # As the slots stand, but for these two.
    (
        state.begun, state.budget, state.calls, state.cancelled, state.clients, state.due, state.enqueued, state.held,
        state.idle, state.kept, state.late, state.leases, state.life, state.orders, state.outcomes, state.paused,
        state.processes, state.queues, state.ring, state.ripe, state.snapshot, state.stranded, state.supervisors,
        state.up, state.waiters,
    ) = key  # type: ignore[assignment]  # fmt: skip
    return state


def replaced(values: tuple[object, ...], at: int, value: object) -> tuple[object, ...]:
    """The same tuple but for one element."""
    return (*values[:at], value, *values[at + 1 :])
