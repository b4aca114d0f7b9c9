"""A shop's jobs, for the pictures in the documentation: some fail, some take long."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.apps.burning import burn
from tempotask import Context, Job, QueueManager

tempotask = QueueManager.init()


@tempotask.task(queue="images")
def thumbnail(job: Job[int], ctx: Context[Any]) -> None:
    burn(0.02)
    if job.data % 97 == 0:
        raise ValueError(f"photo-{job.data}.jpg is no picture: it begins with 3c 68 74 6d")


@tempotask.task(queue="reports")
def monthly(job: Job[str], ctx: Context[Any]) -> None:
    burn(600)


@tempotask.task(queue="mail")
def welcome(job: Job[int], ctx: Context[Any]) -> None:
    time.sleep(0.05)
    if job.data % 40 == 0:
        raise ConnectionError("mx.example.org does not answer")


@tempotask.task(queue="search")
def index(job: Job[int], ctx: Context[Any]) -> None:
    burn(0.001)
