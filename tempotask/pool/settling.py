"""From what became of jobs to what settles them on the server."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, Mapping

from tempotask.pool.runner import Run
from tempotask.store.records import Finished, Page, encode_page, without_payload
from tempotask.store.store import Settlement

HOST = socket.gethostname()


class Settling:
    """Writes settlements for one worker: outcomes for who asks, pages for the lists, records of the next tries.

    `worker` and `limits` (finished jobs kept, by status) are of the application.
    """

    def __init__(self, worker: str, limits: Mapping[str, int]) -> None:
        self._worker = worker
        self._limits = limits

    def settlement(self, runs: Iterable[Run]) -> Settlement:
        """What the store is to do for these runs."""
        settled = Settlement({}, [], [], [])
        lists: dict[tuple[str, str], list[Run]] = {}
        for run in runs:
            record = run.record
            if run.status is None:
                if run.retry is not None:
                    settled.retries += run.retry
                continue
            endings = settled.endings.get(run.keep_ms)
            if endings is None:
                endings = settled.endings[run.keep_ms] = []
            endings += (record.id, run.outcome)
            if "p" in record.flags and run.status == "completed":
                settled.payloads.append(record.id)
            key = record.queue, run.status
            finished = lists.get(key)
            if finished is None:
                finished = lists[key] = []
            finished.append(run)
        for (queue, status), finished in lists.items():
            limit = self._limits[status]
            # Only what survives the trim is sent.
            kept = finished[-limit:] if limit else []
            page = self._page(kept) if kept else b""
            settled.pages += (queue, status, len(finished), limit, page)
        return settled

    def _page(self, runs: list[Run]) -> bytes:
        jobs = []
        for run in runs:
            record = run.record
            if run.status == "completed" and "p" in record.flags:
                record = without_payload(record)
            usage = run.cpu_seconds, run.peak_memory
            jobs.append(Finished(record, run.started, run.ended, *usage, run.result, run.failure, run.lines))
        return encode_page(Page(self._worker, HOST, time.time() - time.monotonic(), jobs))


def process_id() -> str:
    """A worker as lists show it to people: host and pid."""
    return f"{HOST}:{os.getpid()}"
