"""RQ: jobs are added by `enqueue_many`, and run in the worker's own process (SimpleWorker), without a fork for each."""

import os

from redis import Redis
from rq import Queue

queue = Queue("bench", connection=Redis(unix_socket_path=os.environ["BENCHMARK_SOCKET"]))


def noop(path: str) -> None:
    pass


def add(paths: list[str]) -> None:
    for first in range(0, len(paths), 1000):
        queue.enqueue_many([Queue.prepare_data(noop, (path,), result_ttl=0) for path in paths[first : first + 1000]])
