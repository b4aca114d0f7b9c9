"""QueueManager: the door. Declares, produces, starts pools and waits for them. Others do the work."""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, Unpack, overload

import msgspec
import redis

from tempotask import launch
from tempotask.client import Client
from tempotask.declaration import AsyncHandler, Declaration, Handler, check_fields, context_factory
from tempotask.errors import DuplicateTask, InvalidOptions, JobTimeout, NotImportable, TempoTaskError
from tempotask.events import Callback, Subscription
from tempotask.handle import JobHandle, JobHandles
from tempotask.job import Context
from tempotask.jobs import Jobs
from tempotask.names import check_name, check_sought
from tempotask.options import GivenOptions, JobFields, JobOptions, Options, whole
from tempotask.process import AT_ONCE
from tempotask.producer import Producer
from tempotask.store.schedules import encode_schedules
from tempotask.task import Task, declaring_frame
from tempotask.twins import twin

if TYPE_CHECKING:
    from tempotask.pool.control_block import ControlBlock
    from tempotask.pool.report import AppReport, WorkerSpec

A = TypeVar("A")
C = TypeVar("C")
D = TypeVar("D")
R = TypeVar("R")

FIRST_LOOK, LONGEST_LOOK = 0.005, 0.1
"""Seconds between two looks of `join`: at first, and at last."""
CANT_START = "a handler can't start the pool that it runs in; start it in a program"
CANT_JOIN = "a handler can't wait until nothing is left, as its own job is; join in a program"


class QueueManager(Jobs, Generic[A]):
    """An application: its tasks, its server, its pool. `A` is the type of the application's own context.

    Made with `QueueManager.init`.
    """

    def __init__(self, db: str | redis.Redis | None, namespace: str, options: Options, concurrency: int | None) -> None:
        self.namespace = namespace
        self.options = options
        self.concurrency = concurrency
        self.tasks: dict[tuple[str, str], Task[Any, Any]] = {}
        """By queue and name."""
        self._make_context: Callable[[], A]
        self._use(Client(db, namespace, options, self.tasks))
        self._launch: launch.Launch | None = None
        self._is_worker = False
        """Whether this process is a worker of the application."""
        # The name of the module that makes the manager.
        self._module = str(declaring_frame().f_globals.get("__name__", "__main__"))

    @overload
    @classmethod
    def init(
        cls,
        db: str | redis.Redis | None = None,
        *,
        ctx: None = None,
        concurrency: int | None = None,
        options: Options | Mapping[str, Any] | None = None,
        namespace: str = "tempotask",
        inline: bool = False,
    ) -> QueueManager[Any]: ...
    @overload
    @classmethod
    def init(
        cls,
        db: str | redis.Redis | None = None,
        *,
        ctx: Callable[[], C],
        concurrency: int | None = None,
        options: Options | Mapping[str, Any] | None = None,
        namespace: str = "tempotask",
        inline: bool = False,
    ) -> QueueManager[C]: ...
    @overload
    @classmethod
    def init(
        cls,
        db: str | redis.Redis | None = None,
        *,
        ctx: C,
        concurrency: int | None = None,
        options: Options | Mapping[str, Any] | None = None,
        namespace: str = "tempotask",
        inline: bool = False,
    ) -> QueueManager[C]: ...
    @classmethod
    def init(
        cls,
        db: str | redis.Redis | None = None,
        *,
        ctx: Any = None,
        concurrency: int | None = None,
        options: Options | Mapping[str, Any] | None = None,
        namespace: str = "tempotask",
        inline: bool = False,
    ) -> QueueManager[Any]:
        """Makes an application. Opens no connection and starts nothing.

        `db`: a URL, or a `redis.Redis` whose settings are taken over; else $TEMPOTASK_DB, else the embedded server.
        `ctx`: what handlers need: a factory (class or function, called once in each worker), a mapping, or an object.
        `concurrency`: worker processes in all, over all queues, up to 4,096; one for each core if left out.
        `inline`: no server and no pool: a job runs in the caller, before `enqueue` returns. For tests. It is an
        `InlineManager` then, also for a subclass.

        Raises:
            InvalidOptions: something that does not exist or makes no sense.
            InvalidName: a namespace that is not spelt as names are.
        """
        if concurrency is not None:
            whole(1, 4096)("concurrency", concurrency)
        if not isinstance(inline, bool):
            raise InvalidOptions(f"inline={inline!r}: give True or False")
        kind: type[QueueManager[Any]] = cls
        if inline:
            from tempotask.inline.manager import InlineManager

            kind = InlineManager
        manager = kind(db, check_name("namespace", namespace), Options.of(options), concurrency)
        manager._make_context = context_factory(ctx)
        return manager

    # -- declaring

    @overload
    def register_job(self, task: Task[D, R], /) -> Task[D, R]: ...
    @overload
    def register_job(
        self,
        *,
        name: str,
        queue: str,
        handler: AsyncHandler[D, A, R],
        options: GivenOptions = None,
        description: str = "",
    ) -> Task[D, R]: ...
    @overload
    def register_job(
        self, *, name: str, queue: str, handler: Handler[D, A, R], options: GivenOptions = None, description: str = ""
    ) -> Task[D, R]: ...
    def register_job(self, task: Task[Any, Any] | None = None, **fields: Any) -> Task[Any, Any]:
        """Registers a task, given as a `Task` or as its fields, and returns it.

        Raises:
            DuplicateTask: there is one of this queue and name.
            InvalidOptions, InvalidName: as `Task` does; and types that can't be sent.
        """
        if task is None:
            check_fields(fields)
            task = Task(**fields)
        elif not isinstance(task, Task) or fields:
            raise InvalidOptions("register_job takes a Task, or its fields by name: name, queue, handler, options")
        key = (task.queue, task.name)
        if (other := self.tasks.get(key)) is not None:
            raise DuplicateTask(
                f"task {task.name!r} of queue {task.queue!r} is declared twice: at {other.where} and at {task.where}"
            )
        if task.manager is not None:
            raise InvalidOptions(f"{task!r} belongs to another manager; make a Task for each")
        # Both are made now, so that a type that can't be sent is refused where it is declared.
        _ = task.decoder, task.result_decoder
        task.check_schedule(self.tasks.values())
        task.manager = self
        self.tasks[key] = task
        return task

    def task(
        self, *, queue: str, name: str | None = None, description: str = "", **options: Unpack[JobFields]
    ) -> Declaration[A]:
        """A decorator that registers a handler, under its own name if none is given, and makes it a `Task`.

        Raises:
            DuplicateTask: that queue has a task of that name.
            InvalidName, InvalidOptions: what is not spelt right, or types that can't be sent.
        """
        return Declaration(self, queue, name, description, JobOptions(**options))

    # -- producing

    def enqueue(self, *, name: str, queue: str, data: object = None, options: GivenOptions = None) -> JobHandle[Any]:
        """Adds a job; returns when the server has it.

        Raises:
            InvalidName, InvalidOptions: what is not spelt right.
            InvalidPayload: data that can't be sent, or are too large.
            ServerUnavailable, ServerFull: the server does not take it.
        """
        return self._producer.enqueue(queue, name, data, options)

    def enqueue_many(self, jobs: Iterable[Mapping[str, Any]]) -> JobHandles[Any]:
        """Adds jobs, mappings with `name`, `queue`, `data`, `options`, by the thousand, each thousand all or none.

        Raises:
            What `enqueue` does, with the number of the job; the error's `.handles` are those that are in.
        """
        return self._producer.enqueue_many(jobs)

    def publish(
        self, *, name: str, queues: Iterable[str], data: object = None, options: GivenOptions = None
    ) -> JobHandles[Any]:
        """Adds one copy of a job to each of the queues, all or none; with an `id`, they are called `<id>:<queue>`.

        Raises:
            What `enqueue` does; `InvalidOptions` for no queues, or one twice.
        """
        return self._producer.publish(queues, name, data, options)

    aenqueue = twin(enqueue)
    aenqueue_many = twin(enqueue_many)
    apublish = twin(publish)

    # -- looking

    def handle(self, id: str) -> JobHandle[Any]:
        """A handle to a job that another process added. Its queue and name are empty until its result is known.

        Raises:
            InvalidName: what can be no id.
        """
        return JobHandle(check_sought(id), "", "", False, self._client, _known=False)

    def on(self, event: str, callback: Callback, queue: str | None = None, name: str | None = None) -> Subscription:
        """Calls `callback` with each `Event` of that kind from now on, of one queue and one task if they are given.

        Events: `waiting, started, progress, completed, failed, retrying, cancelled, stalled, worker`. Calls come one
        after the other, in a thread of this process, which need not run jobs; an `async def` is awaited there. What a
        call raises is logged, and the subscription goes on until it is closed. Events are recorded only while someone
        is subscribed; one who is cut off for up to a minute gets what it missed.

        Raises:
            InvalidOptions, InvalidName: an event that does not exist, or what is not spelt right.
            ServerUnavailable: the server can't be reached.
        """
        return self._client.events.on(event, callback, queue, name)

    # -- running

    async def start(self) -> None:
        """Starts the pool, as child processes; returns when every worker is ready.

        Raises:
            NotImportable: workers can't import this application, or a task was declared too late for them.
            InvalidOptions: the pool runs already, or a handler asks for it.
            ServerUnavailable: the server can't be reached.
        """
        started = self._begin()
        try:
            await self._client.apart(started.ready)
        except BaseException:
            self._launch = None
            await asyncio.shield(self._client.apart(started.stop))
            raise

    async def join(self, *, delayed: bool = False) -> None:
        """Waits until nothing is left in the namespace that would run now: waiting, processing or between two tries.

        With `delayed`, also until nothing is delayed. The log says how many jobs are left that are not waited for.

        Raises:
            TempoTaskError: the pool that `start` started has ended, and jobs are left.
            InvalidOptions: a handler asks for it.
            ServerUnavailable: the server can't be reached.
        """
        self._insist_on_no_handler(CANT_JOIN)
        pause, attendance = FIRST_LOOK, self._client.attendance
        attendance.waits()
        while not await self._client.apart(functools.partial(self._client.store.quiet, delayed=delayed)):
            if self._launch is not None and (status := self._launch.ended()) is not None:
                raise TempoTaskError(f"the pool {launch.how_ended(status)}, and jobs are left; see its log above")
            if attendance.due:
                await self._client.apart(attendance.look, self._client.store)
            await asyncio.sleep(pause)
            pause = min(LONGEST_LOOK, pause * 1.5)
        attendance.heard()
        await self._client.apart(self._client.tell_left)

    async def stop(self) -> None:
        """Stops the pool that `start` started: what runs is finished, what has not started is given back.

        When this is cancelled, as by a second Ctrl-C, the pool stops at once, and what runs is given back, too.
        """
        started = self._launch
        if started is None:
            return
        try:
            await self._client.apart(started.stop)
        except asyncio.CancelledError:
            # Who asks again waits for its end.
            started.signal(AT_ONCE)
            raise
        if self._launch is started:
            self._launch = None

    def run(self) -> int:
        """Starts the pool and waits until it is stopped, by Ctrl-C or TERM; a second one stops it at once. HUP has it
        take up changed code. For scripts.

        Returns:
            The supervisor's exit status, for `sys.exit`: 0, or 1 where it was stopped by force.

        Raises:
            What `start` does.
        """
        started = self._begin()
        try:
            with started.passing_on_signals():
                started.ready()
                status = started.wait()
        finally:
            self._launch = None
            started.stop()
        if status not in (0, 1):
            raise TempoTaskError(f"the pool {launch.how_ended(status)}; see its log above")
        return status

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(self, *exception: object) -> None:
        try:
            await self.stop()
        finally:
            await self.aclose()

    def close(self) -> None:
        """Lets go of connections and threads. A later use opens them again."""
        self._client.close()

    async def aclose(self) -> None:
        """`close`, to be awaited."""
        await asyncio.to_thread(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _insist_on_no_handler(self, why: str) -> None:
        """Refuses what a handler asks for."""
        if self._is_worker:
            raise InvalidOptions(why)

    def _begin(self) -> launch.Launch:
        from tempotask.pool import application

        if application.importing:
            raise NotImportable(
                "the pool was started while it imports this file; put what starts it under if __name__ == '__main__':"
            )
        self._insist_on_no_handler(CANT_START)
        if self._launch is not None and self._launch.ended() is None:
            raise InvalidOptions("the pool has been started already; stop() comes first")
        report = self.describe()
        if report.why_not_handed_over:
            raise InvalidOptions(f"workers can't connect as this program: {report.why_not_handed_over}; give a URL")
        where = self.locate()
        start = launch.Start(
            where,
            db=report.db,
            namespace=self.namespace,
            concurrency=self.concurrency,
            tasks=sorted(self.tasks),
            environment={application.MODULES: "\n".join([where, *self._modules_of_tasks(where)])},
        )
        started = launch.Launch(start, self.options.grace)
        started.begin()
        self._launch = started
        return started

    def _modules_of_tasks(self, where: str) -> list[str]:
        """The modules that declare tasks and can be imported by their names, but for that of the application."""
        names = {task.module for task in self.tasks.values()} - {where.rpartition(":")[0], "__main__", "__mp_main__"}
        return sorted(name for name in names if getattr(sys.modules.get(name), "__spec__", None) is not None)

    # -- what the pool asks

    def locate(self) -> str:
        """How another process finds this manager: `module:attribute` or `script.py:attribute`; else `NotImportable`."""
        return launch.locate(self, self._module)

    def describe(self) -> AppReport:
        """What a supervisor has to know of this application."""
        from tempotask.pool.report import AppReport, TaskReport

        server = self._client.server if self._client.db is not None else None
        return AppReport(
            db=server.url if server is not None else None,
            namespace=self.namespace,
            concurrency=self.concurrency,
            options=self.options.encode(),
            tasks=[
                TaskReport(t.queue, t.name, msgspec.msgpack.encode(t.run_options), not t.tries_again(JobTimeout))
                for t in self.tasks.values()
            ],
            why_not_handed_over=(server.why_not_handed_over or None) if server is not None else None,
            schedules=encode_schedules(task.schedule for task in self.tasks.values()),
        )

    def work(self, spec: WorkerSpec, block: ControlBlock) -> int | None:
        """Runs a worker in this process, on the server that its supervisor names."""
        from tempotask.pool.worker import work

        self.move(spec.db, spec.namespace)
        self._is_worker = self._client.attendance.in_worker = True
        return work(self, spec, block)

    def move(self, db: str, namespace: str) -> None:
        """Has this process's manager use another server and namespace: those of the supervisor it serves."""
        self._client.close()
        self.namespace = namespace
        self._use(Client(db, namespace, self.options, self.tasks))

    def _use(self, client: Client) -> None:
        """Has everything that talks to the server do so through this client."""
        self._client = client
        self._producer = Producer(client, self.tasks, self.options.max_payload_bytes)

    def context(self) -> Context[A]:
        """The context of handlers in this process: calls the factory."""
        return Context(self, self._make_context())
