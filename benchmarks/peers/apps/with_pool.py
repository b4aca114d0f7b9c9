"""multiprocessing.Pool: `imap_unordered`, whose page advises a large `chunksize` for very long iterables."""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager


@contextmanager
def started(processes: int, chunk: int) -> Iterator[Callable[[range], Iterable[int]]]:
    with multiprocessing.Pool(processes) as pool:
        yield lambda numbers: pool.imap_unordered(abs, numbers, chunksize=chunk)
