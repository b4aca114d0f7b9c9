"""What an executor and its workers tell each other: how a worker begins, calls, and what came of them."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from tempotask import arrays, payload
from tempotask.arrays import Sender
from tempotask.errors import VERDICTS, InvalidPayload, JobCancelled, JobFailed
from tempotask.futures.functions import check_main, in_a_row, named
from tempotask.futures.pickled import Signer
from tempotask.shelf import Shelf, ShelfFile, remove_all
from tempotask.store.records import Failure, decode_outcome
from tempotask.store.wait import Ending

VARIABLE = "TEMPOTASK_CALLS"
"""The variable in which workers find their `Beginning`, as JSON."""
APPLICATION = "tempotask.futures.calls:tempotask"
QUEUE, PLAIN, PICKLED = "calls", "call", "pickled"
"""The queue of all calls, and the two tasks."""
FILE = "call"
"""What stands for the id of a job in the names of files: a call gets its id when it is sent."""
LARGEST = 256 * 2**20
"""Bytes of a call, and of an answer."""


class Beginning(msgspec.Struct):
    """How the workers of an executor begin."""

    main: dict[str, str] = {}
    """How `multiprocessing` has the main module of the starting program imported again."""
    authkey: bytes = b""
    """By which what `multiprocessing` shares through its managers knows who belongs together."""
    modules: list[str] = []
    """What is worth importing once, before workers are forked."""
    initializer: bytes = b""
    """A call as a `Writer` makes it, to be made once in each worker."""
    initializer_is_pickled: bool = False


class Call(msgspec.Struct, array_like=True):
    """A call as plain data. Its name alone is signed: that is what decides which code runs."""

    name: str
    """`module:name`."""
    signature: bytes
    arguments: Sequence[Any]
    keywords: Mapping[str, Any] = {}
    in_a_row: bool = False
    """Whether `arguments` are those of several calls, which have the same keywords."""


class Raised(msgspec.Struct, array_like=True):
    """What a function raised, as plain data."""

    module: str
    name: str
    """Where its type is found."""
    failure: Failure
    """As text."""
    arguments: bytes | None = None
    """Encoded, if they are plain and not large."""
    pickled: bytes | None = None
    """The exception itself, signed, if it can be pickled and calls are."""
    breaks: bool = False
    """Whether no worker can begin, since an initializer raised it."""


class Answer(msgspec.Struct, array_like=True):
    """What came of a call: a value (plain, or pickled and signed), or what was raised."""

    value: Any
    raised: Raised | None = None


class Written(NamedTuple):
    """A call as it is sent."""

    call: bytes
    files: Sequence[ShelfFile]
    """Of its large arrays; they are to be removed when it has ended."""


NOTHING = Written(b"", ())
"""For a call that can't be sent."""


def purpose_of_call(namespace: str) -> str:
    """What the signature of a call covers besides it."""
    return f"call {namespace}"


def purpose_of_answer(id: str) -> str:
    """What the signature of an answer covers besides it."""
    return f"answer {id}"


class Writer:
    """Encodes calls, in the program that makes them, and puts their large arrays on a shelf. Raises `NotImportable` for
    a function that workers can't import, `InvalidPayload` for what is no plain data, and when calls are pickled what
    pickling raises."""

    def __init__(self, signer: Signer, namespace: str, find_shelf: Callable[[], Shelf], *, pickles: bool) -> None:
        self._signer = signer
        self._find_shelf = find_shelf
        self._purpose = purpose_of_call(namespace)
        self._pickles = pickles
        self._last: tuple[object, str, bytes] = (None, "", b"")
        """A function, its name and the signature of that: as a rule the next call is of the same one."""

    def call(
        self, function: Callable[..., Any], arguments: tuple[Any, ...], keywords: Mapping[str, Any] | None = None
    ) -> Written:
        """One call."""
        keywords = keywords or {}
        if self._pickles:
            check_main(function)
            return self._pickled(function, arguments, keywords)
        last, name, signature = self._last
        if function is not last:
            name, first, fixed = named(function)
            signature = self._signer.signature(name.encode(), self._purpose)
            if first or fixed:
                arguments, keywords = (*first, *arguments), {**fixed, **keywords}
            else:
                self._last = function, name, signature
        return self._plain(Call(name, signature, arguments, keywords))

    def row(self, function: Callable[..., Any], chunk: Iterable[tuple[Any, ...]]) -> Written:
        """Several calls of a function as one, whose value is the list of their values."""
        if self._pickles:
            check_main(function)
            return self._pickled(in_a_row, (function, chunk), {})
        name, first, fixed = named(function)
        signature = self._signer.signature(name.encode(), self._purpose)
        calls = [(*first, *arguments) for arguments in chunk]
        return self._plain(Call(name, signature, calls, fixed, True))

    def _plain(self, call: Call) -> Written:
        # As a rule there is neither a large array in it nor anything wrong with it.
        try:
            if len(encoded := payload.to_bytes(call)) <= LARGEST:
                return Written(encoded, ())
        except (arrays.Large, *payload.UNENCODABLE):
            pass  # it is sent, or explained, below
        return self._written(lambda sender: payload.encode(call, LARGEST, "call", sender, FILE))

    def _pickled(self, *call: object) -> Written:
        def encoded(sender: Sender) -> bytes:
            return payload.encode(self._signer.dumps(call, self._purpose, sender, FILE), LARGEST, "call")

        return self._written(encoded)

    def _written(self, encoded: Callable[[Sender], bytes]) -> Written:
        files: list[ShelfFile] = []
        try:
            return Written(encoded(Sender(self._find_shelf, written=files)), files)
        except BaseException:
            remove_all(files)
            raise


class TakenBack(JobCancelled):
    """A call was cancelled: what a function raises itself is never this."""


class Reader:
    """Reads endings of calls, in the program that made them. `signer`: if its calls are pickled."""

    def __init__(self, signer: Signer | None) -> None:
        self._signer = signer
        self._decode = msgspec.msgpack.Decoder(Answer, ext_hook=arrays.take).decode

    def read(self, id: str, ending: Ending) -> tuple[Any, BaseException | None, bool]:
        """The value, or the error; and whether that breaks the executor. Raises nothing."""
        if not isinstance(ending, bytes):
            return None, ending, False
        try:
            return self._read(id, ending)
        except Exception as error:
            # Types that others make can do anything, and whoever waits must hear of it.
            return None, error, False

    def _read(self, id: str, ending: bytes) -> tuple[Any, BaseException | None, bool]:
        outcome = decode_outcome(ending)
        if outcome.status == "completed":
            answer = self._decode(outcome.result)
            if answer.raised is not None:
                return None, self._error(id, answer.raised), answer.raised.breaks
            return answer.value if self._signer is None else self._loaded(id, answer.value), None, False
        failure = outcome.failure
        if outcome.status == "cancelled" or failure is None:
            return None, TakenBack(f"call {id} was cancelled"), False
        return None, _failed(id, failure), False

    def _loaded(self, id: str, signed: Any) -> Any:
        assert self._signer is not None
        body = self._signer.body(signed, purpose_of_answer(id)) if isinstance(signed, bytes) else b""
        try:
            return arrays.loads(body, arrays.take)
        except BaseException as error:
            # Also SystemExit: it is what somebody's pickle does, and not the end of a thread of ours.
            raise InvalidPayload(f"the result can't be unpickled: {type(error).__name__}: {error}") from error

    def _error(self, id: str, raised: Raised) -> BaseException:
        """The exception itself if it was pickled, else one like it; else `JobFailed`."""
        failure = raised.failure
        if raised.pickled is not None and self._signer is not None:
            # One that can't be made again here is told as one that was not pickled.
            with contextlib.suppress(InvalidPayload):
                error = self._loaded(id, raised.pickled)
                if isinstance(error, BaseException):
                    _because(error, _remote(failure.traceback))
                    return error
        text = JobFailed(id, failure.type, failure.message, failure.traceback)
        again = _like(raised)
        if again is None:
            return text
        _because(again, text)
        return again


def _remote(traceback: str) -> BaseException:
    """What shows where an exception was raised, as `ProcessPoolExecutor` does."""
    from concurrent.futures import process

    remote: Any = process._RemoteTraceback
    shown: BaseException = remote(f'\n"""\n{traceback}"""')
    return shown


def _because(error: BaseException, cause: BaseException) -> None:
    # Past what the type does when it is written to: a frozen dataclass refuses.
    BaseException.__setattr__(error, "__cause__", cause)


def _like(raised: Raised) -> BaseException | None:
    """An exception of the same type with the same arguments; None if this program has not imported that type, or it
    can't be made so."""
    home = sys.modules.get("__main__" if raised.module == "__mp_main__" else raised.module)
    kind: Any = home
    for part in raised.name.split("."):
        kind = getattr(kind, part, None)
    if raised.arguments is None or not isinstance(kind, type) or not issubclass(kind, BaseException):
        return None
    try:
        error: object = kind(*msgspec.msgpack.decode(raised.arguments, ext_hook=arrays.unpack))
    except BaseException:
        # Made of other arguments than those that it keeps, or it ends programs: not a thread of ours.
        return None
    # A type may make whatever it likes.
    return error if isinstance(error, BaseException) else None


def _failed(id: str, failure: Failure) -> BaseException:
    """The error of a call that has no answer: its process died, or it was refused."""
    text = VERDICTS.get(failure.type, JobFailed)(id, failure.type, failure.message, failure.traceback)
    if failure.type != "InvalidPayload":
        return text
    refused = InvalidPayload(failure.message)
    refused.__cause__ = text
    return refused
