"""joblib: its default backend, loky; results are taken as they come, so that none waits for another.

Its page says that `batch_size` is for calls that are very fast. "auto", the default, finds a size by itself.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from joblib import Parallel, delayed


@contextmanager
def started(processes: int, chunk: int | str) -> Iterator[Callable[[range], Iterable[int]]]:
    with Parallel(processes, batch_size=chunk, return_as="generator_unordered") as parallel:
        yield lambda numbers: parallel(delayed(abs)(number) for number in numbers)
