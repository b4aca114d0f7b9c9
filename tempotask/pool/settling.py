"""From what became of jobs to what settles them on the server."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Mapping

from tempotask.pool.run import Run
from tempotask.store.records import Finished, Page, Record, Status, encode_page, without_payload
from tempotask.store.script import Argument
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
        lists: dict[tuple[str, Status], list[Run]] = {}
        keep, endings = -1, list[Argument]()
        for run in runs:
            record, status = run.record, run.status
            if status is None:
                if run.retry is not None:
                    settled.retries += run.retry
                continue
            if run.keep_ms != keep:
                keep = run.keep_ms
                endings = settled.endings.setdefault(keep, [])
            endings += (record.id, run.outcome)
            if record.flags and status == "completed" and "p" in record.flags:
                settled.payloads.append(record.id)
            try:
                lists[record.queue, status].append(run)
            except KeyError:
                lists[record.queue, status] = [run]
        for (queue, status), finished in lists.items():
            limit = self._limits[status]
            # Only what survives the trim is sent.
            kept = finished[-limit:] if limit else []
            page = self._page(kept) if kept else b""
            settled.pages += (queue, status, len(finished), limit, page)
        return settled

    def _page(self, runs: list[Run]) -> bytes:
        jobs = [
            Finished(
                run.record if not run.record.flags else _kept(run.record, run.status), run.started, run.ended,
                run.cpu_seconds, run.peak_memory, run.result, run.failure, run.lines,
            )
            for run in runs
        ]  # fmt: skip
        return encode_page(Page(self._worker, HOST, time.time() - time.monotonic(), jobs))


def _kept(record: Record, status: str | None) -> Record:
    """A large payload is let go when its job completes."""
    return without_payload(record) if status == "completed" and "p" in record.flags else record
