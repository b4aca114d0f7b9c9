"""What can be set for a job and for an application, checked when it is given."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, ClassVar, Literal, Self, TypedDict, Unpack, cast

import msgspec
from msgspec import UNSET, UnsetType

from tempotask.durations import Duration, duration
from tempotask.errors import InvalidOptions
from tempotask.names import check_id, plain, unknown
from tempotask.repeat import Repeat, checked
from tempotask.store.durability import KINDS, Kind
from tempotask.store.records import FINISHED, RunOptions

Backoff = Literal["fixed", "exponential"]
ErrorTypes = type[BaseException] | Iterable[type[BaseException]]
"""One type of exceptions, or several."""


class CallFields(TypedDict, total=False):
    """The options of a job that is added, as keyword arguments: see `JobOptions`."""

    id: str
    priority: int
    delay: Duration
    delay_until: datetime
    attempts: int
    retry_delay: Duration
    backoff: Backoff
    max_retry_delay: Duration
    timeout: Duration | None
    kill_after: Duration
    cancel_grace: Duration
    max_crashes: int
    keep_result: Duration
    repeat: Repeat | str


class JobFields(CallFields, total=False):
    """The options of a task as keyword arguments: those of a job, and what only its registration says."""

    retry_on: ErrorTypes
    fail_on: ErrorTypes


class InitFields(TypedDict, total=False):
    """The options of an application as keyword arguments: see `Options`."""

    max_jobs_per_status: int | Mapping[str, int]
    max_results: int
    max_results_bytes: int
    max_payload_bytes: int
    connect_timeout: Duration
    lease: Duration
    grace: Duration
    max_memory: int | str | None
    max_jobs_per_worker: int | None
    durability: Kind


def whole(least: int, most: int = 2**53) -> Callable[[str, object], int]:
    """A check that an option is a whole number within bounds."""

    def check(name: str, value: object) -> int:
        # What counts as one, of numpy say, is taken; a member of an enum becomes its number.
        try:
            number = None if isinstance(value, bool) else operator.index(cast(Any, value))
        except TypeError:
            number = None
        if number is None or not least <= number <= most:
            large = number is not None and number > most
            bounds = f"from {least:,} to {most:,}" if most < 2**53 or large else f"of at least {least:,}"
            raise InvalidOptions(f"{name}={value!r}: give a whole number {bounds}")
        return int(number)

    return check


def _patience(name: str, value: object) -> float:
    return duration(name, value, least=0.1)


def _lease(name: str, value: object) -> float:
    return duration(name, value, least=0.5)


def _time_limit(name: str, value: object) -> float | None:
    return None if value is None else duration(name, value, zero=False)


def _moment(name: str, value: object) -> datetime:
    if not isinstance(value, datetime):
        raise InvalidOptions(f"{name}={value!r}: give an aware datetime, as in datetime.now(UTC) + timedelta(hours=1)")
    if value.utcoffset() is None:
        raise InvalidOptions(
            f"{name}={value.isoformat()} has no time zone; give a time with its zone, as in 2030-01-31T12:00:00+01:00"
        )
    return value


def _one_of(*known: str) -> Callable[[str, object], str]:
    """A check that an option is one of a few words."""

    def check(name: str, value: object) -> str:
        if value not in known:
            *others, last = (f'"{word}"' for word in known)
            raise InvalidOptions(f"{name}={value!r}: give {', '.join(others)} or {last}")
        return plain(value)

    return check


_SIZES = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_SIZE = re.compile(r"(\d+(?:\.\d+)?) *([A-Za-z]*)")


def _memory(name: str, value: object) -> int | None:
    """Bytes, from a number or from text with a unit."""
    size = value
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())) and match[2].upper() in _SIZES:
        size = int(float(match[1]) * _SIZES[match[2].upper()])
    if size is None:
        return None
    if not isinstance(size, int) or isinstance(size, bool) or not 2**20 <= size < 2**60:
        raise InvalidOptions(f'{name}={value!r}: give bytes, at least 1 MiB, or text as in "500MiB"')
    return size


def _jobs(name: str, value: object) -> int | None:
    return None if value is None else whole(1)(name, value)


def _error_types(name: str, value: object) -> tuple[type[BaseException], ...]:
    types = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else (value,)
    if not all(isinstance(one, type) and issubclass(one, BaseException) for one in types):
        raise InvalidOptions(f"{name}={value!r}: give an exception type, or a tuple of them, as in {name}=(OSError,)")
    return types


def _by_status(name: str, value: object) -> dict[str, int]:
    """A number for every status, or some statuses' numbers, as all the finished statuses' numbers."""
    count = whole(0)
    if not isinstance(value, Mapping):
        return dict.fromkeys(FINISHED, count(name, value))
    for status in value:
        if status not in FINISHED:
            raise InvalidOptions(f"{name} has no status {status!r}; there are {', '.join(FINISHED)}")
    kept = dict(_KEPT)
    kept.update({plain(status): count(f"{name}[{status!r}]", number) for status, number in value.items()})
    return kept


_KEPT = {"completed": 200, "failed": 10_000, "cancelled": 200}


_ELSEWHERE = {
    "max_retries": "attempts",
    "retries": "attempts",
    "max_tries": "attempts",
    "countdown": "delay",
    "eta": "delay_until",
    "run_at": "delay_until",
    "job_id": "id",
    "task_id": "id",
    "job_timeout": "timeout",
    "time_limit": "timeout",
    "result_ttl": "keep_result",
}
"""What other queues call our options."""


class _Checked:
    """What both kinds of options share: they are checked, name by name, and then stay as they are."""

    _checks: ClassVar[Mapping[str, Callable[[str, Any], Any]]]

    def _take(self, given: Mapping[str, Any]) -> None:
        for name, value in given.items():
            if value is UNSET:
                # As `dataclasses.replace` says that it was not given.
                continue
            check = self._checks.get(name)
            if check is None and name == "options":
                raise InvalidOptions("there is no option 'options'; give options as keywords, as in priority=5")
            if check is None and name == "on_success":
                raise InvalidOptions("on_success is for children: give it to ctx.enqueue or ctx.publish, in a handler")
            if check is None:
                raise InvalidOptions(unknown("option", str(name), self._checks, _ELSEWHERE))
            # The dataclass is frozen, also for itself.
            object.__setattr__(self, name, check(name, value))

    @classmethod
    def of(cls, given: Any) -> Self:
        """Options as they may be given anywhere: none, a mapping, or made already."""
        if isinstance(given, cls):
            return given
        if given is None:
            return cls()
        if not isinstance(given, Mapping):
            raise InvalidOptions(f"options={given!r}: give {cls.__name__}(…) or a mapping of names to values")
        return cls(**{plain(name) if isinstance(name, str) else str(name): value for name, value in given.items()})


@dataclass(frozen=True, init=False, repr=False)
class JobOptions(_Checked):
    """What can be set for a job, when it is declared or when it is added; `UNSET` is what was not given.

    Durations are seconds, or a `timedelta`; they are kept as seconds.

    `id`: of the job; as long as one of this id has not finished, none is added.
    `priority`: -1,000,000 to 1,000,000, of a queue's jobs the higher ones go first; 0.
    `delay`, `delay_until`: when it may start, from now or by the clock; at once.
    `attempts`: tries in all; 1.
    `retry_delay`, `backoff`, `max_retry_delay`: the pause before another try; 0. It is always the same ("fixed") or
    doubles up to the third of these ("exponential": of it a random part between half and whole); "fixed", 3600.
    `timeout`: the time of one try; no limit.
    `kill_after`: what a handler has to end after its `timeout`, before its process group is killed; 0.2.
    `cancel_grace`: what a handler has to end after its job was cancelled; 0.2.
    `max_crashes`: at this crash of its process it fails as `WorkerCrashed`; 3.
    `keep_result`: how long the outcome can be asked for; 3600.
    `repeat`: when it fires, as a schedule; never.
    `retry_on`, `fail_on`: exceptions after which alone there is another try, or after which there is none; any, none.

    Raises:
        InvalidOptions: an option that does not exist, or a value that makes no sense.
        InvalidName: an `id` that is not spelt as ids are.
    """

    id: str | UnsetType = UNSET
    priority: int | UnsetType = UNSET
    delay: float | UnsetType = UNSET
    delay_until: datetime | UnsetType = UNSET
    attempts: int | UnsetType = UNSET
    retry_delay: float | UnsetType = UNSET
    backoff: Backoff | UnsetType = UNSET
    max_retry_delay: float | UnsetType = UNSET
    timeout: float | UnsetType | None = UNSET
    kill_after: float | UnsetType = UNSET
    cancel_grace: float | UnsetType = UNSET
    max_crashes: int | UnsetType = UNSET
    keep_result: float | UnsetType = UNSET
    repeat: Repeat | UnsetType = UNSET
    retry_on: tuple[type[BaseException], ...] | UnsetType = UNSET
    fail_on: tuple[type[BaseException], ...] | UnsetType = UNSET

    _checks = {  # noqa: RUF012
        "id": lambda name, value: check_id(value),
        "priority": whole(-1_000_000, 1_000_000),
        "delay": duration,
        "delay_until": _moment,
        "attempts": whole(1),
        "retry_delay": duration,
        "backoff": _one_of("fixed", "exponential"),
        "max_retry_delay": duration,
        "timeout": _time_limit,
        "kill_after": duration,
        "cancel_grace": duration,
        "max_crashes": whole(1),
        "keep_result": duration,
        "repeat": checked,
        "retry_on": _error_types,
        "fail_on": _error_types,
    }

    def __init__(self, **options: Unpack[JobFields]) -> None:
        # Who hands on what somebody may have left out has None for it.
        self._take({name: value for name, value in options.items() if value is not None or name not in _MAY_BE_NONE})
        if self.delay is not UNSET and self.delay_until is not UNSET:
            raise InvalidOptions("delay and delay_until exclude each other; give one of them")

    def run(self) -> RunOptions | None:
        """The part that a job needs when it runs, as far as it was given."""
        given = {name: value for name in RunOptions.__struct_fields__ if (value := getattr(self, name)) is not UNSET}
        return RunOptions(**given) if given else None

    def insist_on_a_call(self) -> None:
        """Raises `InvalidOptions` for what only a task can have: under what a job runs is to be known without code."""
        for name in ("retry_on", "fail_on"):
            if getattr(self, name) is not UNSET:
                raise InvalidOptions(f"{name} belongs to the task, as in @tempotask.task(…, {name}=…), not to a call")

    def given(self) -> dict[str, Any]:
        """The options that were given, by name."""
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: value for name, value in values if value is not UNSET}

    def __repr__(self) -> str:
        return f"JobOptions({', '.join(f'{name}={value!r}' for name, value in self.given().items())})"


_MAY_BE_NONE = frozenset({"id", "delay", "delay_until", "repeat"})
"""Options that have no value of their own: None is as if they were left out."""
GivenOptions = JobOptions | Mapping[str, Any] | None
"""Options of a job as they may be given."""
DEFAULTS = RunOptions(
    attempts=1,
    retry_delay=0.0,
    backoff="fixed",
    max_retry_delay=3600.0,
    timeout=None,
    kill_after=0.2,
    cancel_grace=0.2,
    max_crashes=3,
    keep_result=3600.0,
)
"""What holds for a job when neither its call nor its task says otherwise."""


def merged(given: RunOptions | None, default: RunOptions) -> RunOptions:
    """What holds for a job: what its call gave, else `default`."""
    if given is None:
        return default
    names = RunOptions.__struct_fields__
    chosen = ((name, getattr(given, name)) for name in names)
    return RunOptions(**{name: getattr(default, name) if value is UNSET else value for name, value in chosen})


@dataclass(frozen=True, init=False)
class Options(_Checked):
    """What can be set for an application.

    `max_jobs_per_status`: finished jobs kept for looking at, per queue and status: a number for all, or a mapping.
    `max_results`, `max_results_bytes`: outcomes kept in a namespace; the oldest go first.
    `max_payload_bytes`: the largest payload and the largest result.
    `connect_timeout`: seconds, at least 0.1, that a server which is away is waited for.
    `lease`: seconds, at least 0.5, after which a host that is not heard of counts as lost.
    `grace`: seconds that a stop waits for what runs.
    `max_memory`: bytes (RSS), or text as in "500MiB". A worker that holds more ends after the job that it runs, and
    another takes its place; at twice as much it is killed, and the job that ran is blamed for a crash. None: no limit.
    `max_jobs_per_worker`: how many jobs a worker runs until another takes its place. None: no limit.
    `durability`: what must hold before a call returns that adds, cancels, deletes, pauses or retries: "memory" the
    server has it, "disk" its append-only file is synced, "replica" a replica has it too.

    Raises:
        InvalidOptions: an option that does not exist, or a value that makes no sense.
    """

    max_jobs_per_status: Mapping[str, int]
    max_results: int
    max_results_bytes: int
    max_payload_bytes: int
    connect_timeout: float
    lease: float
    grace: float
    max_memory: int | None
    max_jobs_per_worker: int | None
    durability: Kind

    _checks = {  # noqa: RUF012
        "max_jobs_per_status": _by_status,
        "max_results": whole(0),
        "max_results_bytes": whole(0),
        "max_payload_bytes": whole(1, 256 * 2**20),
        "connect_timeout": _patience,
        "lease": _lease,
        "grace": duration,
        "max_memory": _memory,
        "max_jobs_per_worker": _jobs,
        "durability": _one_of(*KINDS),
    }
    _defaults: ClassVar[InitFields] = {
        "max_jobs_per_status": _KEPT,
        "max_results": 1_000_000,
        "max_results_bytes": 256 * 2**20,
        "max_payload_bytes": 8 * 2**20,
        "connect_timeout": 10.0,
        "lease": 10.0,
        "grace": 30.0,
        "max_memory": None,
        "max_jobs_per_worker": None,
        "durability": "memory",
    }

    def __init__(self, **options: Unpack[InitFields]) -> None:
        self._take({**self._defaults, **options})

    def encode(self) -> bytes:
        """These options as MessagePack, for another process of this application."""
        return msgspec.msgpack.encode(vars(self))

    @classmethod
    def decode(cls, encoded: bytes) -> Options:
        """The reverse of `encode`."""
        return cls(**msgspec.msgpack.decode(encoded))
