"""The application of an executor's workers: one task that calls plain functions, one that calls what was pickled.

All calls are signed, also those that are plain data: who can write to the server can't have functions of his choice
called. What a function raises is the call's answer, as a value is: a job fails only where there is no answer, when its
process died say.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import pickle
import sys
from collections.abc import Callable
from concurrent.futures import _base
from functools import partial
from multiprocessing import process, spawn
from typing import Any

import msgspec

from tempotask import arrays, payload
from tempotask.arrays import Sender
from tempotask.errors import InvalidPayload
from tempotask.futures import permission, pickled
from tempotask.futures.answers import (
    LARGEST,
    PICKLED,
    PLAIN,
    QUEUE,
    VARIABLE,
    Answer,
    Beginning,
    Call,
    Raised,
    purpose_of_answer,
    purpose_of_call,
)
from tempotask.futures.functions import found, in_a_row
from tempotask.job import Context, Job
from tempotask.manager import QueueManager
from tempotask.options import JobOptions
from tempotask.pool.failure import describe
from tempotask.shelf import Shelf

PLAIN_ARGUMENTS = 64 * 1024
"""Bytes of an exception's arguments, at most: with more it arrives as text."""
KEEP_ANSWER = 600.0
"""Seconds that an answer can be asked for again, should it get lost on its way."""
Made = tuple[Callable[..., Any], list[Any], dict[str, Any]]
"""A call that can be made: the function, what to call it with."""


class Callee:
    """A worker's side of calls: checks, calls, answers. One is made in each worker, as its context."""

    def __init__(self, beginning: Beginning, namespace: str, find_shelf: Callable[[], Shelf]) -> None:
        self._find_shelf = find_shelf
        self._signer = pickled.Signer(permission.given_key())
        self._purpose = purpose_of_call(namespace)
        self._pid = os.getpid()
        self._unfit: Answer | None = None
        self._known: dict[str, bytes] = {}
        """Signatures that were found to be good, by name."""
        _print_as_it_is()
        if beginning.initializer:
            self._begin(beginning)

    def _begin(self, beginning: Beginning) -> None:
        try:
            if beginning.initializer_is_pickled:
                function, arguments, keywords = _unpickled(
                    self._signer.body(msgspec.msgpack.decode(beginning.initializer), self._purpose)
                )
            else:
                call = msgspec.msgpack.decode(beginning.initializer, type=Call, ext_hook=arrays.unpack)
                function, arguments, keywords = found(call.name), [*call.arguments], {**call.keywords}
            function(*arguments, **keywords)
        except BaseException as error:
            _base.LOGGER.critical("Exception in initializer:", exc_info=True)
            raised = _raised(error)
            raised.breaks = True
            self._unfit = Answer(None, raised)

    def call(self, call: Call) -> Answer:
        """Makes a plain call: an `Answer`.

        Raises:
            InvalidPayload: it was not signed with our key.
        """
        name, arguments = call.name, call.arguments
        if self._known.get(name) != call.signature:
            self._signer.check(call.signature, name.encode(), self._purpose)
            self._known[name] = call.signature
        if self._unfit is not None:
            return self._unfit
        try:
            function, keywords = found(name), call.keywords
            if call.in_a_row:
                return Answer(in_a_row(partial(function, **keywords), arguments))
            # It is encoded by who called us, and if it can't be, the job fails.
            return Answer(function(*arguments, **keywords))
        except BaseException as error:
            if os.getpid() != self._pid:
                # A child that the function forked: it has no answer to give.
                raise
            return Answer(None, _raised(error))

    def call_pickled(self, signed: bytes, id: str) -> Answer:
        """Makes a pickled call, if pickles may be loaded here.

        Raises:
            InvalidPayload: they may not, or it was not signed with our key.
        """
        if not permission.allowed():
            raise InvalidPayload(
                "pickled calls are refused here: start the supervisor with --allow-pickle, and with the key of the "
                f"program that sends them in ${permission.KEY}"
            )
        body = self._signer.body(signed, self._purpose)
        if self._unfit is not None:
            return self._unfit
        purpose = purpose_of_answer(id)
        try:
            function, arguments, keywords = _unpickled(body)
            value = function(*arguments, **keywords)
            return Answer(self._signer.dumps(value, purpose, Sender(self._find_shelf, "result"), id))
        except BaseException as error:
            if os.getpid() != self._pid:
                raise
            raised = _raised(error)
            with contextlib.suppress(Exception):
                # Many an exception can be pickled, and can't be made again of that.
                pickle.loads(pickle.dumps(error))
                raised.pickled = self._signer.dumps(error, purpose, Sender(self._find_shelf, "result"), id)
            return Answer(None, raised)


def _unpickled(body: bytes) -> Made:
    try:
        function, arguments, keywords = arrays.loads(body, arrays.unpack)
    except BaseException as error:
        raise InvalidPayload(f"a worker can't unpickle the call: {type(error).__name__}: {error}") from error
    return function, arguments, keywords


def _raised(error: BaseException) -> Raised:
    kind = type(error)
    if error.__traceback__ is not None and error.__traceback__.tb_next is not None:
        # Without our own frame, which called.
        error.with_traceback(error.__traceback__.tb_next)
    arguments = None
    # They may be anything: a large array, or a property that raises.
    with contextlib.suppress(Exception):
        # An OSError's leave out its file names.
        made_of = error.__reduce__()[1] if isinstance(error, OSError) else error.args
        encoded = payload.to_bytes(made_of)
        arguments = encoded if len(encoded) <= PLAIN_ARGUMENTS else None
    return Raised(kind.__module__, kind.__qualname__, describe(error), arguments)


class _AsItIs(io.TextIOWrapper):
    """A text stream that workers leave alone: what a function prints looks as if it had been printed at home."""


def _print_as_it_is() -> None:
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if type(stream) is io.TextIOWrapper:
            stream.flush()
            setattr(sys, name, _AsItIs(stream.buffer, stream.encoding, stream.errors, line_buffering=True))


def _import_for_all(beginning: Beginning) -> None:
    """What workers need is imported once, and they share the memory."""
    if beginning.authkey:
        process.current_process().authkey = beginning.authkey
    if beginning.main:
        spawn.prepare(dict(beginning.main))
    for module in beginning.modules:
        # Whatever it raises, the call will raise it too, and tell who made it.
        with contextlib.suppress(Exception, SystemExit):
            importlib.import_module(module)


def _handle_plain(job: Job[Call], context: Context[Callee]) -> Any:
    return context.app.call(job.data)


def _handle_pickled(job: Job[bytes], context: Context[Callee]) -> Any:
    return context.app.call_pickled(job.data, job.id)


def _application() -> QueueManager[Callee]:
    beginning = msgspec.json.decode(os.environ.get(VARIABLE, "{}"), type=Beginning)
    _import_for_all(beginning)

    def callee() -> Callee:
        return Callee(beginning, manager.namespace, lambda: manager._client.shelf)

    manager: QueueManager[Callee] = QueueManager.init(
        ctx=callee, options={"max_payload_bytes": LARGEST, "max_jobs_per_status": 0}
    )
    # A call whose process died is not made again: nobody knows how far it came.
    options = JobOptions(attempts=1, max_crashes=1, keep_result=KEEP_ANSWER)
    manager.register_job(name=PLAIN, queue=QUEUE, handler=_handle_plain, options=options)
    manager.register_job(name=PICKLED, queue=QUEUE, handler=_handle_pickled, options=options)
    return manager


tempotask = _application()
