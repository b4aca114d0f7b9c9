"""Puts jobs of the kind $BENCHMARK_KIND through in one way, as often as it is told: `python -m benchmarks.real.driver
WAY`.

A line that comes in is a file of jobs and the size of a chunk. A line that goes out, as JSON, is the seconds from when
the first job was handed out until the last result was there, the seconds of a processor that the jobs took meanwhile,
those that all processes did, the server among them, and a digest of all results. Processes are started before the
first line goes out, which is empty.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import redis

from benchmarks.real.ways import WAYS, Results
from benchmarks.tally import tallied


def used(server: redis.Redis) -> float:
    """Seconds of CPU by now: of this process, all that it has started, and the server."""
    here = psutil.Process()
    processes = [here, *here.children(recursive=True)]
    # User and system, of each itself and of its children that have ended.
    clients = sum(sum(process.cpu_times()[:4]) for process in processes)
    cpu: dict[str, Any] = server.info("cpu")
    return clients + float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])


def run(results: Results, jobs: list[Any], chunk: int, server: redis.Redis, folder: Path) -> dict[str, Any]:
    before, done, began = used(server), tallied(folder), time.monotonic()
    found = list(results(jobs, chunk))
    seconds, work, cpu = time.monotonic() - began, tallied(folder) - done, used(server) - before
    if len(found) != len(jobs):
        raise RuntimeError(f"{len(found)} of {len(jobs)} results")
    lines = sorted(json.dumps(result) for result in found)
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return {"seconds": seconds, "work": work, "cpu": cpu, "digest": digest}


def main(way: str) -> None:
    server = redis.Redis.from_url(os.environ["TEMPOTASK_DB"])
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BENCHMARK_FOLDER"] = folder
        with WAYS[way]() as results:
            print(flush=True)
            for line in sys.stdin:
                path, chunk = line.split()
                told = run(results, json.loads(Path(path).read_text()), int(chunk), server, Path(folder))
                print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
