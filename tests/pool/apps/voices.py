"""Handlers that say things: they print, they log, they tell how far they are, and wait at a gate."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import subprocess
import sys
import threading
import time
from typing import Any

from tempotask import Context, Job, QueueManager

TOLD = os.open(os.environ["TEST_TOLD"], os.O_RDWR)
GATE = os.open(os.environ["TEST_GATE"], os.O_RDWR)

tempotask = QueueManager.init(options={"max_jobs_per_status": 1})


formatted = logging.getLogger("formatted")
formatted.addHandler(logging.StreamHandler())
formatted.handlers[0].setFormatter(logging.Formatter("<%(queue)s|%(job_name)s|%(job_id)s> %(message)s"))
formatted.propagate = False


def tell(*words: object) -> None:
    os.write(TOLD, " ".join(map(str, words)).encode() + b"\n")


@tempotask.task(queue="q")
def echo(job: Job[Any], ctx: Context[Any]) -> Any:
    return job.data


@tempotask.task(queue="q")
def step(job: Job[list[str]], ctx: Context[Any]) -> int:
    """Logs each of its words, and says how far it is; waits at the gate behind each."""
    for number, word in enumerate(job.data, 1):
        job.logger(word)
        job.progress(number, len(job.data), word)
        tell("said", word)
        os.read(GATE, 1)
    return len(job.data)


@tempotask.task(queue="q")
def quick(job: Job[Any], ctx: Context[Any]) -> None:
    job.logger({"part": 1})
    job.logger("same")
    job.logger("same")
    job.progress(0.5)


@tempotask.task(queue="q")
async def astep(job: Job[Any], ctx: Context[Any]) -> None:
    await job.logger("awaited")
    await job.progress(1)


@tempotask.task(queue="q", attempts=3)
def stumble(job: Job[int], ctx: Context[Any]) -> str:
    """Fails so many times, and says which try it is."""
    job.logger(f"try {job.attempt}")
    if job.attempt <= job.data:
        if job.attempt == 1:
            tell("stumbles")
            os.read(GATE, 1)
        raise ValueError(f"attempt {job.attempt}")
    return "well"


@tempotask.task(queue="q")
def die(job: Job[Any], ctx: Context[Any]) -> None:
    job.logger("last words")
    tell("dies")
    os.read(GATE, 1)
    os._exit(3)


@tempotask.task(queue="q")
def die_once(job: Job[str], ctx: Context[Any]) -> None:
    """The first time it logs and dies, as soon as the gate is open; then it is short and says nothing."""
    try:
        os.mkdir(job.data)
    except FileExistsError:
        return
    job.logger("last words")
    os.read(GATE, 1)
    os._exit(3)


@tempotask.task(queue="q")
def misprogress(job: Job[Any], ctx: Context[Any]) -> None:
    job.progress(*job.data)


@tempotask.task(queue="q")
def large(job: Job[int], ctx: Context[Any]) -> str:
    return "x" * job.data


@tempotask.task(queue="q")
def chatter(job: Job[Any], ctx: Context[Any]) -> None:
    """More lines than are kept."""
    for number in range(1500):
        job.logger(number)
        if number == 900:
            tell("half")
            os.read(GATE, 1)


@tempotask.task(queue="files")
def out(job: Job[str], ctx: Context[Any]) -> None:
    """Says something, in one of several ways."""
    match job.data:
        case "print":
            print("one", 2, "three")
            print("two\nlines", file=sys.stderr)
        case "partly":
            print("begun", end="")
            print(" and ended")
            sys.stderr.write("left open")
        case "threads":
            say = functools.partial(print, "thread", file=sys.stderr)
            threads = [threading.Thread(target=say, args=(number, "speaks")) for number in range(20)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        case "bytes":
            sys.stderr.buffer.write(b"raw bytes\n")
            sys.stderr.flush()
        case "child":
            subprocess.run([sys.executable, "-c", "import sys; print('of a child', file=sys.stderr)"], check=True)
        case "warning":
            logging.getLogger("app.part").warning("mind %s", "the gap")
        case "extra":
            formatted.warning("of the job")
            formatted.warning("its own", extra={"queue": "mine"})
        case "late":
            # A thread that outlives its job speaks for none, and its lines are nobody's.
            def speak() -> None:
                os.read(GATE, 1)
                job.logger("too late")
                job.progress(9)
                tell("spoken")

            threading.Thread(target=speak, daemon=True).start()


@tempotask.task(queue="q")
def deaf(job: Job[Any], ctx: Context[Any]) -> None:
    """Takes longer than anybody lives, and does not mind its time limit."""
    while True:
        with contextlib.suppress(BaseException):
            time.sleep(600)
