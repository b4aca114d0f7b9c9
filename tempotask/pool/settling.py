"""From what became of jobs to what settles them on the server."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Mapping, Sequence

from tempotask.pool.run import Run
from tempotask.store.events import event
from tempotask.store.pages import Page, encode_page, log_of
from tempotask.store.records import Finished, Progress, Record, Status, payload_key, without_payload
from tempotask.store.script import Argument
from tempotask.store.settlement import Settlement

HOST = socket.gethostname()


class Settling:
    """Writes settlements for one worker: outcomes for who asks, pages for the lists, records of the next tries.

    `worker` and `limits` (finished jobs kept, by status) are of the application.
    """

    def __init__(self, worker: str, limits: Mapping[str, int]) -> None:
        self._worker = worker
        self._limits = limits

    def settlement(self, runs: Sequence[Run], events: bool = False) -> Settlement:
        """What the store is to do for these runs; with `events`, also what it is to tell those who listen."""
        settled = Settlement()
        lists: dict[tuple[str, Status], list[Run]] = {}
        keep, endings = -1, list[Argument]()
        for run in runs:
            record, status = run.record, run.status
            if status is None:
                if run.retry is not None:
                    settled.retries += run.retry
                if run.lines:
                    # They can't stay with its end, which is still to come.
                    settled.said += (record.id, len(run.lines), *map(bytes, run.lines))
                    settled.logs += 1
                continue
            if run.keep_ms != keep:
                keep = run.keep_ms
                endings = settled.endings.setdefault(keep, [])
            endings += (record.id, run.outcome)
            if run.held:
                settled.children += run.held
            if record.flags and status == "completed" and "p" in record.flags:
                settled.outside.append(payload_key(record))
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
        if events:
            epoch = time.time() - time.monotonic()
            for run in runs:
                settled.events += self._events(run, epoch)
        return settled

    def started(self, record: Record, at: float) -> bytes:
        """The event of a job's start."""
        return event(record.id, record.queue, record.name, at, record.tries + 1, self._worker)

    def progressed(self, record: Record, at: float, progress: Progress | None) -> bytes:
        """The event of a job's progress."""
        return event(record.id, record.queue, record.name, at, record.tries + 1, self._worker, progress=progress)

    def _events(self, run: Run, epoch: float) -> Iterator[Argument]:
        """What has not been told yet: kind, event, ..."""
        record, failure, told = run.record, run.failure, run.told
        if run.status is None and failure is None:
            return  # it was only passed on
        ended = run.ended + epoch
        if told is None or not told.started:
            yield "started"
            yield self.started(record, run.started + epoch)
        if run.progress is not None and (told is None or told.progress != run.progress):
            yield "progress"
            yield self.progressed(record, ended, run.progress)
        yield run.status or "retrying"
        yield event(
            record.id, record.queue, record.name, ended, record.tries + 1, self._worker,
            result=run.result,
            failure=None if failure is None else (failure.type, failure.message),
            delay=run.retry[0] / 1000 if run.retry else None,
        )  # fmt: skip

    def _page(self, runs: list[Run]) -> bytes:
        jobs = [
            Finished(
                run.record if not run.record.flags else _kept(run.record, run.status), run.started, run.ended,
                run.cpu_seconds, run.peak_memory, run.result, run.failure, run.lines, run.progress,
                run.children,
            )
            for run in runs
        ]  # fmt: skip
        epoch = time.time() - time.monotonic()
        logs = [
            log_of(run.record.id, epoch + run.ended)
            for run in runs
            if (run.record.tries or run.told or run.record.flags) and _may_have_logged(run)
        ]
        return encode_page(Page(self._worker, HOST, epoch, jobs), logs)


def _kept(record: Record, status: str | None) -> Record:
    """A large payload is let go when its job completes."""
    return without_payload(record) if status == "completed" and "p" in record.flags else record


def _may_have_logged(run: Run) -> bool:
    """Whether lines of this try, told while it ran, or of earlier ones, ended or lost, may be on the server."""
    told, flags = run.told is not None and run.told.logged, run.record.flags
    return told or run.record.tries > 0 or "c" in flags or "h" in flags
