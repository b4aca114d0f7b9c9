"""Huey: no results are kept, and workers are processes, as its documentation advises for jobs that need the CPU."""

import os

from huey import RedisHuey
from redis import ConnectionPool, UnixDomainSocketConnection

pool = ConnectionPool(connection_class=UnixDomainSocketConnection, path=os.environ["BENCHMARK_SOCKET"])
huey = RedisHuey("bench", results=False, connection_pool=pool)


@huey.task()
def noop(path: str) -> None:
    pass


def add(paths: list[str]) -> None:
    for path in paths:
        noop(path)
