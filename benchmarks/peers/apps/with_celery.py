"""Celery: results are ignored, and many short tasks are fetched at a time, as its page on optimizing advises."""

import os

from celery import Celery

app = Celery("bench", broker=f"redis+socket://{os.environ['BENCHMARK_SOCKET']}")
app.conf.update(task_ignore_result=True, worker_prefetch_multiplier=128, worker_send_task_events=False)


@app.task(name="noop")
def noop(path: str) -> None:
    pass


def add(paths: list[str]) -> None:
    with app.producer_pool.acquire(block=True) as producer:
        for path in paths:
            noop.apply_async((path,), producer=producer)
