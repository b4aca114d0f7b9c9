"""ProcessPoolExecutor: `map`, whose page advises a large `chunksize` for very long iterables."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager


@contextmanager
def started(processes: int, chunk: int) -> Iterator[Callable[[range], Iterable[int]]]:
    with ProcessPoolExecutor(processes) as executor:
        yield lambda numbers: executor.map(abs, numbers, chunksize=chunk)
