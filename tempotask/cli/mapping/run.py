"""A map as a command: opens what it reads and writes, starts its pool, goes its course, and leaves nothing behind.

What takes long to import is imported while the pool starts.
"""

from __future__ import annotations

import contextlib
import math
import signal
import sys
import time
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any

from tempotask.cli.command import say
from tempotask.cli.mapping.arguments import Arguments
from tempotask.cli.mapping.files import Files
from tempotask.cli.mapping.tally import Tally, clock, pace
from tempotask.cli.mapping.target import why_not_written
from tempotask.cli.mapping.work import GRACE, VARIABLE
from tempotask.cli.output import tell
from tempotask.errors import ServerUnavailable, TempoTaskError
from tempotask.launch import STOP_WITHIN, Launch, Start, how_ended
from tempotask.process import SupervisorProcess
from tempotask.store import namespaces

if TYPE_CHECKING:
    from tempotask.cli.mapping.course import Course
    from tempotask.cli.mapping.view import View
    from tempotask.manager import QueueManager

APPLICATION = "tempotask.cli.mapping.application:tempotask"
INPUTS = 4096
"""Inputs on their way for each worker at most, unless somebody says otherwise."""
SOON = 1.0
"""Seconds for what runs, when nobody wants it any more."""
PAUSE = 0.02
"""Seconds between two looks whether the pool has ended."""
FAILED, BAD, INTERRUPTED = 1, 2, 130
"""Exit status."""


class Command:
    """Carries out what was typed."""

    def __init__(self, arguments: Arguments, pool: SupervisorProcess | None) -> None:
        self._arguments = arguments
        self._pool = pool
        self._files = Files(arguments)
        self._tally = Tally()
        self._told = 0
        """How often somebody wanted it to stop."""
        self._interrupted = False
        """Whether that was before there was anything to finish."""
        self._away = False
        """Whether the server can't be asked any more."""
        self._launch: Launch

    def run(self) -> int:
        """The exit status.

        Raises:
            TempoTaskError: the server or the pool can't be had, or the inputs are others than those of the output.
        """
        kept = self._arguments.output is not None and self._files.output.regular
        name = self._arguments.own_namespace(kept=kept)
        start = Start(
            APPLICATION,
            db=self._arguments.db,
            namespace=name,
            concurrency=self._arguments.concurrency,
            quiet=True,
            environment={VARIABLE: self._arguments.work.encode()},
        )
        self._launch = Launch(start, GRACE)
        self._files.lines.begin()
        if not self._arguments.files and sys.stdin.isatty():
            say("reading lines from the terminal; Ctrl-D ends them")
        # Where no pool has anything to finish, TERM ends it as Ctrl-C does.
        before = {number: signal.signal(number, self._interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, before)
            if not kept:
                # Nothing can be left in there. And what follows takes as long as it takes the pool to start.
                self._begin()
            return self._on_server(name, kept)
        finally:
            self._launch.stop(SOON)
            with contextlib.suppress(OSError):  # what could not be put on the disk has been told of
                self._files.close()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self._interrupted = True
        raise KeyboardInterrupt

    def _begin(self) -> None:
        # What its workers print is no row.
        self._launch.begin(self._pool or SupervisorProcess(output=2))

    def _on_server(self, name: str, kept: bool) -> int:
        from tempotask.cli.mapping.left_behind import left_behind
        from tempotask.cli.mapping.settings import options
        from tempotask.manager import QueueManager

        with QueueManager.init(self._arguments.db, namespace=name, options=options()) as manager:
            manager._client.own_pool = True
            store = manager._client.store
            store.server.check()
            left = {}
            if kept and (host := namespaces.occupant(store)) is not None:
                raise TempoTaskError(
                    f"another command works for an output of this name right now, on {host}; wait for it, stop it, or "
                    "give -o another name"
                )
            if self._arguments.resume:
                left = left_behind(store)
            elif kept:
                # What a killed command has left, whose output is gone.
                namespaces.clear(store, name)
            if kept:
                self._begin()
            status: int | None = None
            try:
                held = self._with_pool(manager, left)
                # Before the server lets go of the answers.
                self._files.sync()
            except ServerUnavailable:
                raise  # before it is taken for an OSError, which it is too
            except TempoTaskError:
                # Refused before anything was sent, there is nothing to go on with.
                if not store.read("EXISTS", "queues"):
                    self._launch.stop(SOON)
                    namespaces.clear(store, name)
                raise
            except OSError as error:
                # Whoever has given a file goes on with it, when there is room again.
                status, held = self._not_written(error), True
                self._launch.stop(SOON)
            if not self._away:
                if not (held and kept):
                    namespaces.clear(store, name)
                namespaces.clear_left_behind(store, self._arguments.kind)
        return self._end() if status is None else status

    def _with_pool(self, manager: QueueManager[Any], left: dict[int, tuple[int, str]]) -> bool:
        """Goes the course, and ends the pool: gently, if nothing goes wrong. Whether answers are held back."""
        from tempotask.cli.mapping.view import View, Workers, view_of

        arguments, view = self._arguments, View(self._tally)
        try:
            with self._signals():
                if self._interrupted:
                    # It was raised where that is dropped: in what an import calls when it lets go of a lock.
                    raise KeyboardInterrupt
                self._ready()
                workers = Workers(lambda: self._launch.pid)
                name = arguments.shell or arguments.function
                view = view_of(
                    self._tally,
                    name,
                    workers,
                    quiet=arguments.quiet,
                    as_json=arguments.as_json,
                    among_rows=self._files.output.is_terminal,
                )
                with contextlib.closing(self._course(manager, view, left)) as course:
                    held = self._go(course, view)
        finally:
            view.close()
        self._launch.stop(GRACE)
        return held

    def _ready(self) -> None:
        """Waits until the workers are ready. Raises `TempoTaskError` with one line, if they will not be."""
        try:
            self._launch.ready()
        except TempoTaskError as error:
            # A module that fails when it is imported brings its traceback.
            *traceback, summary = str(error).splitlines() or [""]
            for line in traceback:
                say(line)
            raise type(error)(summary) from None

    def _course(self, manager: QueueManager[Any], view: View, left: dict[int, tuple[int, str]]) -> Course:
        from tempotask.cli.mapping.course import Course

        arguments, files = self._arguments, self._files
        return Course(
            work=arguments.work,
            manager=manager,
            lines=files.lines,
            ready=files.ready,
            output=files.output,
            failed=files.failed,
            view=view,
            workers=arguments.workers,
            in_flight=arguments.in_flight or INPUTS * arguments.workers,
            ordered=arguments.ordered,
            answered=files.answered,
            left_behind=left,
        )

    def _go(self, course: Course, view: View) -> bool:
        """Until all is done, or until somebody wants it to stop and what runs has ended. Whether answers are held back
        then, as the order has it."""
        while not (course.over or self._told):
            course.send()
            course.step()
            if not self._told and (status := self._launch.ended()) is not None:
                raise TempoTaskError(f"the pool {how_ended(status)}; {self._how_to_go_on()}")
        if not self._told:
            course.check_end()
            return False
        view.say("tempotask map: stopping: what runs is finished; Ctrl-C again stops it at once")
        slow, at_once = time.monotonic() + GRACE + STOP_WITHIN, math.inf
        while self._launch.ended() is None:
            course.step()
            if course.over:
                time.sleep(PAUSE)
            if self._told > 1 and at_once == math.inf:
                at_once = time.monotonic() + SOON
            if time.monotonic() > min(slow, at_once):
                # It does not hear: somebody has stopped it, say.
                self._launch.stop(SOON)
        end = time.monotonic() + SOON
        try:
            return course.last(lambda: self._told > 1 and time.monotonic() > end)
        except ServerUnavailable:
            # It keeps what it has, for a command that goes on.
            self._away = True
            return True

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """While it lasts, Ctrl-C and TERM stop the pool: gently at first, at once when they come again."""

        def tell(number: int, frame: FrameType | None) -> None:
            self._told += 1
            self._launch.tell()
            if self._told > 1:
                self._files.output.give_up()

        before = {number: signal.signal(number, tell) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _end(self) -> int:
        tally, quiet = self._tally, self._arguments.quiet
        if self._arguments.as_json:
            tell({**tally.state(), "per_second": tally.average})
            return INTERRUPTED if self._told else FAILED if tally.failed else 0
        failed = f", {tally.failed:,} failed" if tally.failed else ""
        if self._told:
            say(f"tempotask map: interrupted: {tally.done:,} done{failed}; {self._how_to_go_on()}")
            return INTERRUPTED
        if not quiet:
            before = f"{tally.before:,} were answered before, " if tally.before else ""
            where = f" (see {self._arguments.failed})" if tally.failed and self._arguments.failed else ""
            took = f"{clock(tally.seconds)}, {pace(tally.average)}"
            say(f"tempotask map: {before}{tally.done:,} done{failed}{where} in {took}")
        return FAILED if tally.failed else 0

    def _how_to_go_on(self) -> str:
        if self._arguments.bare:
            return "without --bare, and with -o FILE, it can be gone on with by --resume"
        if self._arguments.output is None or not self._files.output.regular:
            return "with -o FILE it can be gone on with by --resume"
        return "the same command goes on" if self._arguments.resume else "the same command with --resume goes on"

    def _not_written(self, error: OSError) -> int:
        """The exit status when nothing can be written any more: whoever reads has read enough, or reads nothing and the
        user has waited enough, or the disk is full."""
        if isinstance(error, BrokenPipeError):
            return 0
        if isinstance(error, InterruptedError):
            return self._end()
        say(f"tempotask: {why_not_written(error)}; {self._how_to_go_on()}")
        return BAD
