"""Declaring tasks: names, handlers, types."""

from __future__ import annotations

import functools
import typing
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Annotated, Any
from unittest.mock import AsyncMock

import msgspec
import pytest
from unit import elsewhere

from tempotask import (
    Context,
    DuplicateTask,
    InvalidName,
    InvalidOptions,
    Job,
    JobOptions,
    JobTimeout,
    QueueManager,
    Task,
)
from tempotask.options import DEFAULTS, merged
from tempotask.store.records import RunOptions

if typing.TYPE_CHECKING:
    from decimal import Decimal as OnlyForCheckers


@dataclass
class Thumb:
    path: str
    width: int = 256


Positive = Annotated[int, msgspec.Meta(gt=0)]


class Custom:
    pass


def typed(job: Job[Thumb], ctx: Context[Any]) -> str:
    """Makes a thumbnail.

    And more.
    """
    return job.data.path


def untyped(job, ctx):  # type: ignore[no-untyped-def]
    return job.data


def constrained(job: Annotated[Job[Positive], "the job"], ctx: Context[Any]) -> dict[str, Positive]:
    return {"data": job.data}


async def asynchronous(job: Job[int], ctx: Context[Any]) -> list[int]:
    return [job.data]


def passed_through(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def with_more(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(job: Any, ctx: Any) -> Any:
        return function(job, ctx, "more")

    return wrapper


@with_more
def takes_more(job: Job[Thumb], ctx: Context[Any], more: str) -> str:
    return more


def with_first(first: int, job: Job[Thumb], ctx: Context[Any]) -> str:
    """Comes with something."""
    return job.data.path


def with_session(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(job: Any, ctx: Any) -> Any:
        return function(None, job, ctx)

    return wrapper


@with_session
def takes_session(session: OnlyForCheckers | None, job: Job[Thumb], ctx: Context[Any]) -> str:
    return job.data.path


def returns_the_awaited(job: Job[int], ctx: Context[Any]) -> Awaitable:  # type: ignore[type-arg]
    return asynchronous(job, ctx)


def returns_what_is_awaited(job: Job[int], ctx: Context[Any]) -> Awaitable[list[int]]:
    return asynchronous(job, ctx)


class Callable_:
    def __call__(self, job: Job[Thumb], ctx: Context[Any]) -> str:
        return job.data.path

    async def method(self, job: Job[Thumb], ctx: Context[Any]) -> str:
        return job.data.path


class Inherited(Callable_):
    pass


@pytest.mark.parametrize(
    ("handler", "types", "is_async"),
    [
        (typed, (Thumb, str), False),
        (untyped, (Any, Any), False),
        (asynchronous, (int, list[int]), True),
        (passed_through(typed), (Thumb, str), False),
        (Callable_(), (Thumb, str), False),
        (Callable_().method, (Thumb, str), True),
        (constrained, (Positive, dict[str, Positive]), False),
        (functools.partial(typed), (Thumb, str), False),
        (functools.partial(with_first, 1), (Thumb, str), False),
        (takes_more, (Thumb, str), False),
        (takes_session, (Thumb, str), False),
        (Inherited(), (Thumb, str), False),
        (returns_the_awaited, (int, Any), False),
        (Task(name="first", queue="q", handler=typed), (Thumb, str), False),
        (returns_what_is_awaited, (int, list[int]), False),
        (AsyncMock(), (Any, Any), True),
        (lambda job, ctx: None, (Any, Any), False),
    ],
)
def test_types_come_from_the_handlers_annotations(handler: Any, types: tuple[Any, Any], is_async: bool) -> None:
    task: Task[Any, Any] = Task(name="t", queue="q", handler=handler)
    assert task.types == types
    assert task.is_async is is_async


def test_types_given_to_the_task_come_first() -> None:
    task = Task[Thumb, int](name="t", queue="q", handler=untyped)
    assert task.types == (Thumb, int)
    assert task.decoder.decode(msgspec.msgpack.encode({"path": "a"})) == Thumb("a")


class Declared(Task[Thumb, int]):
    pass


D = typing.TypeVar("D")
R = typing.TypeVar("R")


class Ours(Task[D, R]):
    pass


def test_types_given_to_a_class_of_tasks_are_those_of_its_tasks() -> None:
    assert Declared(name="t", queue="q", handler=untyped).types == (Thumb, int)
    assert Ours[Thumb, int](name="t", queue="q", handler=untyped).types == (Thumb, int)
    assert Ours(name="t", queue="q", handler=typed).types == (Thumb, str)


def test_a_task_under_a_second_name_keeps_the_types_that_it_was_given() -> None:
    first = Task[Thumb, int](name="t", queue="q", handler=untyped)
    assert Task(name="second", queue="q", handler=first).types == (Thumb, int)


def test_a_name_means_in_an_annotation_what_it_means_in_the_handlers_module() -> None:
    Job = Result = Custom  # noqa: F841 - as things are called there, too
    task = Task(name="t", queue="q", handler=elsewhere.handler)
    assert task.types == (elsewhere.Thumb, elsewhere.Result)


def test_a_field_that_does_not_exist_at_run_time_is_refused_where_the_task_is_declared() -> None:
    def handler(job: Job[elsewhere.Ghostly], ctx: Context[Any]) -> None: ...

    with pytest.raises(InvalidOptions, match=r"test_task.py:\d+: name 'Ghost' is not defined"):
        QueueManager.init().register_job(name="t", queue="q", handler=handler)


def test_types_may_be_local_to_the_function_that_declares() -> None:
    class Local(msgspec.Struct):
        x: int

    def handler(job: Job[Local], ctx: Context[Any]) -> Local:
        return job.data

    task = Task(name="t", queue="q", handler=handler)
    assert task.types == (Local, Local)


def test_a_type_that_does_not_exist_at_run_time_is_refused_where_it_is_declared() -> None:
    def handler(job: Job[OnlyForCheckers], ctx: Context[Any]) -> None: ...

    with pytest.raises(InvalidOptions, match=r"test_task.py:\d+ can't be resolved .*OnlyForCheckers.*declare Task\["):
        QueueManager.init().register_job(name="t", queue="q", handler=handler)


def test_other_annotations_need_not_exist_at_run_time() -> None:
    def handler(job: Job[Thumb], ctx: Context[OnlyForCheckers]) -> None: ...

    assert Task(name="t", queue="q", handler=handler).types == (Thumb, type(None))


def test_a_type_that_can_not_be_sent_is_refused_where_it_is_declared() -> None:
    def handler(job: Job[Custom], ctx: Context[Any]) -> None: ...

    with pytest.raises(InvalidOptions, match=r"test_task.py:\d+: Custom is no type that can be sent; make it a"):
        QueueManager.init().register_job(name="t", queue="q", handler=handler)


def context_first(ctx: Context[None], job: Job[int]) -> None:
    pass


@pytest.mark.parametrize(
    "handler", [lambda: None, lambda job: None, lambda job, ctx, more: None, 5, "typed", context_first]
)
def test_a_handler_takes_a_job_and_a_context(handler: Any) -> None:
    with pytest.raises(InvalidOptions, match=r"\(job, ctx\)"):
        Task(name="t", queue="q", handler=handler)


@pytest.mark.parametrize("name", ["", "a b", "ü", "x" * 201, "a{b}", None, 5])
def test_names_that_are_not_spelt_as_names_are_refused(name: Any) -> None:
    for fields in ({"name": name, "queue": "q"}, {"name": "t", "queue": name}):
        with pytest.raises(InvalidName, match="a name is 1 to 200 ASCII letters"):
            Task(handler=typed, **fields)
    with pytest.raises(InvalidName):
        QueueManager.init(namespace=name)


def test_a_task_knows_its_options_and_where_it_was_declared() -> None:
    task = Task(name="t", queue="q", handler=typed, options={"attempts": 3, "priority": 5})
    assert task.options == JobOptions(attempts=3, priority=5)
    assert task.run_options == merged(RunOptions(attempts=3), DEFAULTS)
    assert task.run_options.keep_result == 3600.0
    assert task.description == "Makes a thumbnail."
    assert Task(name="t", queue="q", handler=functools.partial(with_first, 1)).description == "Comes with something."
    assert task.where.startswith("tests/unit/test_task.py:")


def test_what_the_call_says_comes_before_what_the_task_says() -> None:
    task = Task(name="t", queue="q", handler=typed, options=JobOptions(attempts=3, timeout=5))
    run = merged(RunOptions(timeout=None, keep_result=0.0), task.run_options)
    assert (run.attempts, run.timeout, run.keep_result, run.max_crashes) == (3, None, 0.0, 3)
    assert merged(None, task.run_options) is task.run_options


def test_a_task_can_be_called_by_tests() -> None:
    task = Task(name="t", queue="q", handler=typed)
    manager = QueueManager.init()
    assert task(Job("id", "t", "q", Thumb("a")), manager.context()) == "a"


def test_the_decorator_takes_the_functions_name() -> None:
    manager = QueueManager.init()
    task = manager.task(queue="q", attempts=2)(typed)
    named = manager.task(queue="q", name="other")(typed)
    assert (task.name, named.name) == ("typed", "other")
    assert task.options.attempts == 2
    assert manager.get_jobs_list() == ["other", "typed"]


def test_the_same_queue_and_name_twice_is_refused_naming_both_places() -> None:
    manager = QueueManager.init()
    first = manager.register_job(name="t", queue="q", handler=typed)
    with pytest.raises(DuplicateTask) as refused:
        manager.register_job(name="t", queue="q", handler=typed)
    assert first.where in str(refused.value)
    assert str(refused.value).count("test_task.py:") == 2
    manager.register_job(name="t", queue="other", handler=typed)


def test_a_task_belongs_to_one_manager() -> None:
    task = Task(name="t", queue="q", handler=typed)
    with pytest.raises(InvalidOptions, match="register_job\\(task\\) comes first"):
        task.enqueue(Thumb("a"))
    QueueManager.init().register_job(task)
    with pytest.raises(InvalidOptions, match="another manager"):
        QueueManager.init().register_job(task)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"name": "t", "queue": "q"}, "needs handler, or a Task"),
        ({}, "needs name and queue and handler"),
        ({"name": "t", "queue": "q", "handler": typed, "attempts": 3}, "takes no 'attempts'"),
    ],
)
def test_register_job_says_what_it_takes(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidOptions, match=says):
        QueueManager.init().register_job(**fields)


@pytest.mark.parametrize(
    ("options", "again", "final"),
    [
        ({}, (ValueError, KeyboardInterrupt, JobTimeout), ()),
        ({"retry_on": OSError}, (OSError, ConnectionError), (ValueError, JobTimeout)),
        ({"retry_on": ()}, (), (ValueError, JobTimeout)),
        ({"fail_on": (OSError, JobTimeout)}, (ValueError,), (ConnectionError, JobTimeout)),
        ({"retry_on": Exception, "fail_on": OSError}, (ValueError,), (ConnectionError, KeyboardInterrupt)),
        ({"retry_on": ConnectionError, "fail_on": OSError}, (), (ConnectionError, ValueError)),
    ],
)
def test_an_error_is_tried_again_if_retry_on_names_it_and_fail_on_does_not(
    options: dict[str, Any], again: tuple[type[BaseException], ...], final: tuple[type[BaseException], ...]
) -> None:
    task: Task[Any, Any] = Task(name="t", queue="q", handler=untyped, options=options)
    assert all(task.tries_again(kind) for kind in again)
    assert not any(task.tries_again(kind) for kind in final)


def test_who_adds_a_job_as_with_other_queues_is_told_how_it_is_done_here() -> None:
    task = QueueManager.init().register_job(name="thumb", queue="q", handler=lambda job, ctx: None)
    with pytest.raises(AttributeError, match=r"a task has no 'delay'; thumb\.enqueue\(data, .* adds a job"):
        getattr(task, "delay")("a.png")  # noqa: B009
    assert not hasattr(task, "nothing")


def test_what_a_property_of_a_task_lacks_is_named() -> None:
    class Own(Task[Any, Any]):
        @property
        def broken(self) -> Any:
            return self.missing  # type: ignore[attr-defined]

    with pytest.raises(AttributeError, match="missing"):
        Own(name="own", queue="q", handler=lambda job, ctx: None).broken  # noqa: B018


@pytest.mark.parametrize("handler", [lambda job, ctx: None, functools.partial(context_first)])
def test_a_handler_without_a_name_needs_one(handler: Any) -> None:
    with pytest.raises(InvalidOptions, match="has no name of its own; give the task one with name=…"):
        QueueManager.init(inline=True).task(queue="q")(handler)


def test_the_job_may_be_annotated_as_one_of_several() -> None:
    def handler(job: Job[int] | None, ctx: Context[Any]) -> None: ...

    assert Task(name="t", queue="q", handler=handler).types[0] is int


class Strange: ...


@pytest.mark.parametrize("held", [list[Strange], dict[str, Strange], tuple[int, Strange]])
def test_a_collection_of_what_can_not_be_sent_is_refused_where_it_is_declared(held: Any) -> None:
    task = Task[held, None](name="t", queue="q", handler=lambda job, ctx: None)
    with pytest.raises(InvalidOptions, match="Strange is no type that can be sent"):
        task.types  # noqa: B018


def test_what_plain_data_may_be_is_taken_within_a_collection() -> None:
    task = Task[dict[str, object], list[Hashable]](name="t", queue="q", handler=lambda job, ctx: [])
    assert task.types == (dict[str, object], list[Hashable])
