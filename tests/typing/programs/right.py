"""A user's program without a mistake."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, assert_type

import msgspec

from tempotask import (
    Context,
    Job,
    JobHandle,
    JobHandles,
    JobInfo,
    JobOptions,
    QueueInfo,
    QueueManager,
    Retry,
    Task,
    TempoTaskError,
    as_completed,
)


class Thumb(msgspec.Struct):
    path: str
    width: int = 256


class App:
    def __init__(self) -> None:
        self.model = "a model"


def make_app() -> App:
    return App()


tempotask = QueueManager.init(
    db="redis://localhost:6379/1",
    ctx=App,
    concurrency=10,
    options={"max_jobs_per_status": 10},
    namespace="tempotask",
)
assert_type(tempotask, QueueManager[App])
assert_type(QueueManager.init(ctx=make_app), QueueManager[App])
assert_type(QueueManager.init(ctx=App()), QueueManager[App])
bare = QueueManager.init()


@tempotask.task(queue="images", attempts=3, timeout=30)
def thumbnail(job: Job[Thumb], ctx: Context[App]) -> str:
    assert_type(job.data, Thumb)
    assert_type(ctx.app, App)
    assert_type(job.enqueued_at, datetime)
    ctx.enqueue(name="index", queue="search", data={"path": job.data.path})
    ctx.publish(name="image.ready", queues=["notifications", "analytics"], data={"path": job.data.path})
    job.logger(ctx.app.model)
    return "out.png"


@tempotask.task(queue="images", retry_delay=timedelta(seconds=2), backoff="exponential")
async def resize(job: Job[Thumb], ctx: Context[App]) -> int:
    await job.logger({"width": job.data.width})
    await ctx.aenqueue(name="index", queue="search", options={"priority": 3})
    return job.data.width


@tempotask.task(queue="images", retry_on=(OSError, TimeoutError), fail_on=FileNotFoundError, cancel_grace=5)
def upload(job: Job[Thumb], ctx: Context[App]) -> None:
    child = ctx.enqueue(name="index", queue="search", data={"path": job.data.path}, on_success=True)
    assert_type(child, JobHandle[Any])
    copies = ctx.publish(name="image.ready", queues=["notifications"], on_success=True)
    assert_type(copies, JobHandles[Any])
    while not job.cancelled:
        raise Retry(after=timedelta(seconds=3), reason="the other side is busy")
    raise Retry


@bare.task(queue="plain")
def plain(job: Job[None], ctx: Context[Any]) -> None:
    ctx.anything_of_the_application()


def index(job: Job[dict[str, str]], ctx: Context[App]) -> None: ...


def thumbnail_again(job: Job[Thumb], ctx: Context[App]) -> str:
    return str(thumbnail(job, ctx))


async def resize_again(job: Job[Thumb], ctx: Context[App]) -> int:
    return job.data.width


indexing = tempotask.register_job(name="index", queue="search", handler=index, options=JobOptions(attempts=5))
second = tempotask.register_job(Task[Thumb, str](name="thumb2", queue="images", handler=thumbnail_again))

third = tempotask.register_job(Task(name="thumb3", queue="images", handler=thumbnail_again))
fourth = tempotask.register_job(Task(name="resize", queue="later", handler=resize_again))

assert_type(thumbnail, Task[Thumb, str])
assert_type(third, Task[Thumb, str])
assert_type(fourth, Task[Thumb, int])
assert_type(resize, Task[Thumb, int])
assert_type(indexing, Task[dict[str, str], None])
assert_type(second, Task[Thumb, str])


def produce() -> None:
    handle = thumbnail.enqueue(Thumb("a.png"), priority=5, delay=timedelta(minutes=1))
    assert_type(handle, JobHandle[str])
    assert_type(handle.result(timeout=3), str)
    assert_type(handle.result(timeout=timedelta(seconds=3)), str)
    assert_type(resize.enqueue(Thumb("a.png"), delay_until=datetime.now(UTC)).result(), int)
    plain.enqueue()
    untyped = tempotask.enqueue(name="thumbnail", queue="images", data=Thumb("a.png"), options={"id": "a.png"})
    assert_type(untyped, JobHandle[Any])
    options: Mapping[str, Any] = {"priority": 5}
    handles = tempotask.publish(name="user.created", queues=["a", "b"], data={"user_id": 123}, options=options)
    assert_type(handles, JobHandles[Any])
    many = tempotask.enqueue_many({"name": "thumbnail", "queue": "images", "data": {"path": p}} for p in "abc")
    print(many.results(timeout=10), tempotask.get_queues_list(), tempotask.get_jobs_list())
    plain(Job("an id", "plain", "q", None), None)
    for finished in as_completed([handle], timeout=timedelta(seconds=5)):
        assert_type(finished, JobHandle[str])
    assert_type(tempotask.get_job_by_id("a.png"), JobInfo | None)
    assert_type(tempotask.get_jobs(queue="images", status="failed", limit=10)[0], JobInfo)
    assert_type(tempotask.get_sorted_jobs(5), list[QueueInfo])
    assert_type(tempotask.retry_jobs(queue="images"), int)
    assert_type(tempotask.toggle_pause_job_by_id("a.png"), bool)
    assert_type(handle.cancel(), bool)
    assert_type(thumbnail.map([Thumb("a.png")]), Generator[str, None, None])
    names: Iterator[str] = thumbnail.map((Thumb(path) for path in "abc"), ordered=True, in_flight=100, on_error="raise")
    either = resize.map([Thumb("a.png")], on_error="yield")
    assert_type(either, Generator[int | TempoTaskError, None, None])
    print([f"{one}" if isinstance(one, TempoTaskError) else one + 1 for one in either], next(names))
    print(handle.status(), handle.info().started_at, handle.logs()[0].message, handle.created)


async def thumbs() -> AsyncIterator[Thumb]:
    yield Thumb("a.png")


async def consume() -> None:
    async with tempotask:
        handle = await thumbnail.aenqueue(Thumb("a.png"))
        assert_type(await handle, str)
        print(await handle.wait(timeout=5), await handle.astatus())
        async for finished in as_completed([handle]):
            assert_type(await finished.aresult(), str)
        assert_type(await tempotask.aget_job_by_id("a.png"), JobInfo | None)
        assert_type(await tempotask.acancel_job_by_id("a.png"), bool)
        assert_type(await tempotask.adelete_jobs(queue="images", name="thumbnail"), int)
        print((await tempotask.aget_jobs(limit=10)).cursor, await handle.acancel())
        assert_type(thumbnail.amap(thumbs()), AsyncGenerator[str, None])
        async for one in resize.amap([Thumb("a.png")], on_error="yield"):
            assert_type(one, int | TempoTaskError)
        await tempotask.join(delayed=True)


if __name__ == "__main__":
    produce()
    asyncio.run(consume())
    tempotask.run()
