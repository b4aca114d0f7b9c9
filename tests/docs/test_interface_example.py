"""The example that the interface promises, typed into a new folder and run as a user would."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

APP = """
import asyncio
import json
import sys

import msgspec
from tempotask import Context, Job, JobOptions, QueueManager, Task


class Thumb(msgspec.Struct):
    path: str
    width: int = 256


class App:                              # whatever handlers need
    def __init__(self) -> None:
        self.model = "a model"


tempotask = QueueManager.init(
    db=DB,                              # a URL, or a redis.Redis whose settings are taken over
    ctx=App,                            # a factory (class or function), a mapping, or an object
    concurrency=2,                      # worker processes in all, over ALL queues; default os.cpu_count()
    options={"max_jobs_per_status": 10},
    namespace=NAMESPACE,                # keys live under it; two namespaces never see each other
)


def seen(job: Job) -> None:
    with open("seen", "a") as file:
        file.write(json.dumps([job.queue, job.name, job.data, job.parent]) + "\\n")


@tempotask.task(queue="images", attempts=3, timeout=30)      # name defaults to the function's
def thumbnail(job: Job[Thumb], ctx: Context[App]) -> str:
    assert ctx.app.model == ctx.model == "a model"           # the application's own context, typed
    ctx.enqueue(name="index", queue="search", data={"path": job.data.path})
    ctx.publish(name="image.ready", queues=["notifications", "analytics"], data={"path": job.data.path})
    job.logger("resized")
    return f"{job.data.width} out.png"


def index(job: Job[dict], ctx: Context[App]) -> None:
    seen(job)


async def thumbnail_again(job: Job[Thumb], ctx: Context[App]) -> str:
    return "again"


def announce(job: Job[dict], ctx: Context[App]) -> None:
    seen(job)


tempotask.register_job(name="index", queue="search", handler=index, options=JobOptions(attempts=5))
tempotask.register_job(Task[Thumb, str](name="thumb2", queue="images", handler=thumbnail_again))
for queue in ("notifications", "analytics", "logging"):
    tempotask.register_job(name="image.ready", queue=queue, handler=announce)
    tempotask.register_job(name="user.created", queue=queue, handler=announce)


async def main() -> None:
    await tempotask.start()
    handle = tempotask.enqueue(
        name="thumbnail", queue="images", data=Thumb("a.png"), options={"id": "a.png", "priority": 5}
    )
    typed = thumbnail.enqueue(Thumb("b.png", 64), priority=5)
    handles = tempotask.publish(
        name="user.created", queues=["notifications", "analytics", "logging"], data={"user_id": 123}
    )
    many = tempotask.enqueue_many([{"name": "thumb2", "queue": "images", "data": {"path": p}} for p in "cde"])
    told = {
        "handle": await handle,
        "typed": await typed.aresult(timeout=60),
        "handles": await handles.aresults(timeout=60),
        "many": many.results(timeout=60),
        "log": [entry.message for entry in handle.logs()],
        "status": await handle.wait(timeout=60),
    }
    await tempotask.join()
    await tempotask.stop()
    print(json.dumps(told))


if __name__ == "__main__":
    asyncio.run(main())
"""


def test_the_interfaces_example_runs_as_it_is_written(server_url: str, namespace: str, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(f"DB, NAMESPACE = {server_url!r}, {namespace!r}\n{APP}")
    run = subprocess.run([sys.executable, "app.py"], cwd=tmp_path, capture_output=True, text=True, timeout=110)
    assert run.returncode == 0, run.stdout + run.stderr
    assert json.loads(run.stdout) == {
        "handle": "256 out.png",
        "typed": "64 out.png",
        "handles": [None] * 3,
        "many": ["again"] * 3,
        "log": ["resized"],
        "status": "completed",
    }
    seen = [json.loads(line) for line in (tmp_path / "seen").read_text().splitlines()]
    ran = Counter((queue, name, data.get("path")) for queue, name, data, _ in seen)
    children = {(queue, name, path) for path in ("a.png", "b.png") for queue, name in CHILDREN}
    users = {(queue, "user.created", None) for queue in ("notifications", "analytics", "logging")}
    assert ran == Counter(children | users)
    parents = [parent for _, _, data, parent in seen if data.get("path") == "a.png"]
    assert parents == ["a.png"] * 3


CHILDREN = [("search", "index"), ("notifications", "image.ready"), ("analytics", "image.ready")]
