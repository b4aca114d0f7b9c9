"""Arrays of numpy in payloads and results: small ones travel in them, large ones by files (shelf.py).

What travels is a MessagePack extension: dtype, shape, order, and the bytes or the place of a file. numpy is looked at
only where an array comes along, and imported only to make one.

Who gets an array may change it: a small one is his own copy, and of a large one the system copies the pages that he
writes to. The jobs that are given an array see it as it was when they were enqueued.
"""

from __future__ import annotations

import ast
import contextlib
import pickle
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal
from weakref import WeakValueDictionary

import msgspec
from msgspec.msgpack import Ext

from tempotask import shelf
from tempotask.errors import InvalidPayload, ResultExpired
from tempotask.shelf import Shelf, ShelfFile

if TYPE_CHECKING:
    import numpy as np

CODE = 78
"""The type of the extension."""
LARGE = 256 * 1024
"""Bytes from which an array goes by a file. A file is quicker sooner than that, but it stays on its host, and a large
result is for one reader: what is smaller has no such limits, and costs the server little."""
PLAIN = (bool, int, float, str, bytes)
"""What a single number or text of numpy becomes."""
LONGEST_DTYPE = 10_000
"""Characters of the description of a dtype."""

Hook = Callable[[int, memoryview], Any]
"""What msgspec calls for an extension."""


class Large(Exception):
    """Raised out of encoding when it comes to an array that does not belong into a payload."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size
        """Bytes."""


class _Packed(msgspec.Struct, array_like=True):
    dtype: str
    shape: tuple[Annotated[int, msgspec.Meta(ge=0)], ...]
    order: Literal["C", "F"]
    body: bytearray | ShelfFile


_decode = msgspec.msgpack.Decoder(_Packed).decode
_taken: WeakValueDictionary[str, Any] = WeakValueDictionary()
"""Arrays of results that this process has taken from their files, by the names of these."""


# -- on the way out


def pack(value: Any) -> Any:
    """For msgspec, what it does not know as something that it does.

    Raises:
        Large: an array that has to go by a file.
        InvalidPayload: an array that can't be sent.
        TypeError: something else.
    """
    if _is_array(value) and value.nbytes >= LARGE:
        raise Large(value.nbytes)
    return _packed(value, None)


class Sender:
    """Puts the large arrays of what one call sends into files.

    `find` returns the shelf, once it is needed; `written` takes down the files, for who has to let go of them.
    """

    def __init__(
        self,
        find: Callable[[], Shelf],
        kind: Literal["data", "result"] = "data",
        written: list[ShelfFile] | None = None,
    ) -> None:
        self._find = find
        self._kind = kind
        self._written = written
        self._seen: set[ShelfFile] = set()
        """What has been compared in this call: nobody changes an array in the middle of it."""
        self.used = False
        """Whether there were any."""

    def encode(self, value: object, job: str) -> bytes:
        """`value` as MessagePack, for the job of this id; nothing is left behind if it can't be."""
        files: list[ShelfFile] = []
        self.used = True

        def put(array: np.ndarray) -> ShelfFile:
            files.append(self._put(array, job))
            return files[-1]

        try:
            encoded = msgspec.msgpack.Encoder(enc_hook=lambda part: _packed(part, put)).encode(value)
            if self._written is not None:
                self._written += files
            return encoded
        except BaseException:
            for file in files:
                shelf.remove(file)
            raise

    def _put(self, array: np.ndarray, job: str) -> ShelfFile:
        data = _bytes_of(array)
        if self._kind == "result":
            return self._find().write("result", job, data)
        owner = _owner(array)
        return self._find().share(job, data, array.__array_interface__["data"][0], owner, self._seen)


def _is_array(value: Any) -> bool:
    """Whether it is an array as it can be sent: of the kinds that numpy makes itself, only these are no more than
    their bytes."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and type(value) in (numpy.ndarray, numpy.memmap, numpy.recarray)


def _packed(value: Any, put: Callable[[np.ndarray], ShelfFile] | None) -> Any:
    if _is_array(value):
        order: Literal["C", "F"] = "F" if value.flags.fnc else "C"
        dtype = _told(value.dtype)
        large = put is not None and value.nbytes >= LARGE
        body = put(_contiguous(value)) if put is not None and large else bytearray(value.tobytes(order))
        return Ext(CODE, msgspec.msgpack.encode(_Packed(dtype, value.shape, order, body)))
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.generic) and type(plain := value.item()) in PLAIN:
        return plain
    raise TypeError(f"Encoding objects of type {type(value).__name__} is unsupported")


def _told(dtype: np.dtype[Any]) -> str:
    """What makes the same dtype again."""
    from numpy.lib import format

    if not dtype.hasobject:
        text = dtype.str if dtype.names is None else repr(format.dtype_to_descr(dtype))
        try:
            if len(text) <= LONGEST_DTYPE and _dtype(text) == dtype:
                return text
        except (TypeError, ValueError):
            pass
    raise InvalidPayload(
        f"an array of dtype {str(dtype)[:100]} is not only its bytes, and can't be sent; send one of numbers, dates or "
        "text of a fixed length, or a list"
    )


def _contiguous(array: np.ndarray) -> np.ndarray:
    """The same in one piece."""
    import numpy

    return array if array.flags.forc else numpy.ascontiguousarray(array)


def _bytes_of(array: np.ndarray) -> memoryview:
    import numpy

    flat: Any = array.view(numpy.ndarray).reshape(-1, order="A").view(numpy.uint8)
    return memoryview(flat)


def _owner(array: np.ndarray) -> object:
    """What holds the bytes: arrays, and views that Python has of them, may be made for a moment."""
    owner: Any = array
    while True:
        below = owner.obj if isinstance(owner, memoryview) else getattr(owner, "base", None)
        if below is None or not (isinstance(below, memoryview) or _is_array(below)):
            return owner
        owner = below


# -- on the way in


def opener(opened: list[ShelfFile]) -> Hook:
    """For msgspec, what makes arrays of extensions, and notes the files that it opens."""

    def unpack_and_note(code: int, data: memoryview) -> Any:
        return _unpacked(code, data, opened)

    return unpack_and_note


def unpack(code: int, data: memoryview) -> Any:
    """For msgspec: makes arrays of extensions."""
    return _unpacked(code, data, [])


def take(code: int, data: memoryview) -> Any:
    """For msgspec: makes arrays of the extensions of a result, and removes their files.

    Raises:
        ResultExpired: somebody else has taken it.
    """
    opened: list[ShelfFile] = []
    try:
        array = _unpacked(code, data, opened, _taken)
    except shelf.Missing as error:
        raise ResultExpired(f"{error}; who reads the result first takes its large arrays") from None
    for file in opened:
        _taken[file.name] = array
        shelf.remove(file)
    return array


def shown(code: int, data: memoryview) -> Any:
    """For msgspec: what is told of an array where jobs are only looked at."""
    try:
        packed = _decode(data) if code == CODE else None
    except msgspec.MsgspecError:
        packed = None
    if packed is None:
        return Ext(code, bytes(data))
    return f"<array of {packed.dtype[:100]}, shape {packed.shape}>"


# -- within pickles


def dumps(value: object, sender: Sender, job: str, pickled: Callable[..., bytes] = pickle.dumps) -> bytes:
    """A value, pickled, with its large arrays in files of the `sender`. `pickled` is called as `pickle.dumps` is."""
    outside: list[Any] = []

    def stays_inside(buffer: pickle.PickleBuffer) -> bool:
        try:
            data = buffer.raw()
        except BufferError:  # it is not in one piece
            return True
        numpy = sys.modules.get("numpy")
        if numpy is None or data.nbytes < LARGE:
            return True
        outside.append(numpy.frombuffer(data, numpy.uint8))
        return False

    body = pickled(value, protocol=5, buffer_callback=stays_inside)
    return sender.encode([body, *outside], job)


def loads(encoded: bytes, hook: Hook) -> Any:
    """The reverse of `dumps`; `hook` opens the files (`unpack`, `opener`, `take`). Only for bytes that can be
    trusted: a pickle can do anything."""
    body, *outside = msgspec.msgpack.Decoder(ext_hook=hook).decode(encoded)
    return pickle.loads(body, buffers=outside)


def discard(encoded: bytes) -> None:
    """Removes the files of what was encoded, if they are there still."""

    def remove(code: int, data: memoryview) -> None:
        if code == CODE and isinstance(file := _decode(data).body, ShelfFile):
            shelf.remove(file)

    # What can't be read has none of ours.
    with contextlib.suppress(msgspec.MsgspecError, ValueError, TypeError, RecursionError):
        msgspec.msgpack.decode(encoded, ext_hook=remove)


def is_array_type(type_: Any) -> bool:
    """Whether an annotation means an array, as `numpy.ndarray` and `numpy.typing.NDArray[…]` do."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and getattr(type_, "__origin__", type_) is numpy.ndarray


def _unpacked(code: int, data: memoryview, opened: list[ShelfFile], known: Any = None) -> Any:
    if code != CODE:
        return Ext(code, bytes(data))
    try:
        import numpy
    except ImportError:
        raise InvalidPayload("there is an array in it, and numpy is not installed here; install numpy") from None
    try:
        packed = _decode(data)
        dtype, body = _dtype(packed.dtype), packed.body
        if isinstance(body, bytearray):
            return numpy.ndarray(packed.shape, dtype, body, order=packed.order)
        if known is not None and (array := known.get(body.name)) is not None:
            return array
        count = dtype.itemsize
        for length in packed.shape:
            count *= length
        mapped = shelf.map_file(body, count)
        array = numpy.ndarray(packed.shape, dtype, mapped, order=packed.order)
    except (InvalidPayload, ResultExpired):
        raise
    except (ValueError, TypeError, OverflowError, MemoryError) as error:
        raise InvalidPayload(f"there is an array in it that can't be read: {error}") from None
    opened.append(body)
    return array


def _dtype(text: str) -> np.dtype[Any]:
    """The dtype that `_told` describes. Raises ValueError or TypeError for what it can't have told."""
    import numpy
    from numpy.lib import format

    if len(text) > LONGEST_DTYPE:
        raise ValueError("its dtype is too long")
    try:
        dtype = format.descr_to_dtype(ast.literal_eval(text)) if text.startswith("[") else numpy.dtype(text)
    except (SyntaxError, RecursionError, MemoryError, KeyError, IndexError) as error:
        raise ValueError(f"its dtype is none: {error}") from None
    if dtype.hasobject:
        # Their bytes would be taken for pointers.
        raise ValueError("it holds Python objects")
    return dtype
