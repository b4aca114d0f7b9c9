"""Writes `format-<n>.jsonl`: a namespace of today's format, with jobs in every place. What is there already stays: a
later version is to read what this one wrote.

    PYTHONPATH=tests .venv/bin/python tests/store/snapshots/make.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from servers import OwnServer
from store.play import Results, act, failed, results_of, tried_again, turn
from store.stored import save

from tempotask import QueueManager
from tempotask.store import lists
from tempotask.store.format import FORMAT
from tempotask.store.records import Registration, encode
from tempotask.store.store import Store

HUNDRED_YEARS = 100 * 365 * 86400.0 - 1
PATH = Path(__file__).with_name(f"format-{FORMAT}.jsonl")


def fill(manager: QueueManager[None]) -> None:
    """Jobs of `echo` in queue `q`, one or more in every place where a job may be; their ids tell in which."""
    store = manager._client.store

    def add(id: str | None, data: object, queue: str = "q", **options: object) -> None:
        given = {} if id is None else {"id": id}
        manager.enqueue(name="echo", queue=queue, data=data, options={"keep_result": HUNDRED_YEARS, **given, **options})

    # On another machine, so that its lease tells that it is gone.
    registration = Registration("far", "boot", 1, 0.0, [("q", "echo")], 1, [], "app:tempotask", "/srv")
    assert store.register("s1", 1, encode(registration), ["w1"])
    add(None, "in a sheet")
    batch = turn(store, "w1", 1, 1).batch
    assert batch is not None
    turn(store, "w1", 2, 0, _kept(results_of(batch)))
    for id in ("failed", "completed", "retries", "claimed"):
        add(id, "x" * 5000 if id in ("failed", "retries") else id)
    for number, how in enumerate((failed, None, lambda record: tried_again(record, 60_000)), 2):
        batch = turn(store, "w1", 2 * number, 1).batch
        assert batch is not None
        ended = results_of(batch) if how is None else results_of(batch, how=how)
        turn(store, "w1", 2 * number + 1, 0, _kept(ended))
    assert turn(store, "w1", 10, 1).ids == ["claimed"]
    add("cancelled", None)
    assert manager.cancel_job_by_id("cancelled")
    for id in ("waiting-1", "hole", "waiting-2"):
        add(id, id)
    assert act(store, "cancel", "list", "queue:0:q", 0, 100, id="hole")[0] == 1
    add(None, "of an automatic id")
    add("large", "y" * 5000)
    add("urgent", {"a": [1, 2.5, None, b"bytes"]}, priority=7)
    add("low", None, priority=-7, attempts=3, retry_delay=1.5, backoff="exponential", timeout=10.0)
    add("due", "due", delay=1.0)
    add("parked", "parked")
    add("parked-due", "parked", delay=1.0)
    assert manager.pause_job_by_id("parked")
    assert manager.pause_job_by_id("parked-due")
    manager.enqueue(name="echo", queue="q", data="again", options={"id": "yearly", "repeat": "0 0 1 1 *"})
    manager.pause_queue("paused")
    add("in-paused", None, queue="paused")


def _kept(results: Results) -> Results:
    """The same, their outcomes kept as long as the file may be read."""
    keep = int(HUNDRED_YEARS * 1000)
    return results._replace(endings=tuple(ending._replace(keep=keep) for ending in results.endings))


def main() -> None:
    if PATH.exists():
        raise SystemExit(f"{PATH} is there: what was written stays as it was")
    server = OwnServer(Path(tempfile.mkdtemp()))
    try:
        with QueueManager.init(server.url, namespace="snapshot") as manager:
            fill(manager)
            store: Store = manager._client.store
            save(store, PATH)
            for found in lists.jobs(store)[0]:
                print(found.id, found.status)
    finally:
        server.kill()


if __name__ == "__main__":
    main()
