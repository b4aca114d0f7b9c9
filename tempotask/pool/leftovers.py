"""Leftovers: files of large arrays (shelf.py) that nobody will come for, since somebody has died.

A supervisor looks for them when it begins, and every minute, in a thread of its own. It removes
 - what a process that is gone has kept for more jobs;
 - in its own namespace, data of jobs that have ended, or were never added, and results that the server does not hold:
   soon if the process that wrote them is gone, else after a while, as it may be about to send them;
 - elsewhere, what is old, and what was written without a server.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import redis

from tempotask import linux, machine, shelf
from tempotask.errors import TempoTaskError
from tempotask.shelf import Name
from tempotask.store import look
from tempotask.store.records import FINISHED
from tempotask.store.store import Store

log = logging.getLogger("tempotask")

ON_ITS_WAY = 30.0
"""Seconds after which what a process sent before it died has arrived at the server, or never will."""
PATIENCE = 600.0
"""Seconds after which what a process that lives has written has been sent, too."""
FORGOTTEN = 7 * 86400.0
"""Seconds after which nobody comes back to a namespace that no supervisor serves."""
TIME = 1.0
"""Seconds that one look takes at most, or one question to the server longer."""


class Leftovers:
    """Looks for leftovers for one supervisor."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._thread: threading.Thread | None = None

    def look(self) -> None:
        """Begins to look, unless the last look goes on."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._look, name="tempotask-leftovers", daemon=True)
            # Without a thread, another time.
            with contextlib.suppress(RuntimeError):
                self._thread.start()

    def _look(self) -> None:
        try:
            removed = clear(self._store)
        except (TempoTaskError, redis.RedisError, OSError) as error:
            log.debug("leftovers could not be looked for: %s", error)
            return
        if removed:
            log.info("%d files of arrays were left by processes that are gone, and removed", removed)


def clear(store: Store) -> int:
    """Removes leftovers, as far as it comes; how many links there were.

    Raises:
        ServerUnavailable, redis.RedisError: the server did not say which jobs there are.
    """
    ours, end, removed = shelf.folder_of(store.server.place, store.namespace), time.monotonic() + TIME, 0
    paths = list(_files())
    # Not always the same ones first.
    random.shuffle(paths)
    for path in paths:
        name = shelf.read_name(path.name)
        if name is not None and _is_left(store, name, path, path.parent.name == ours):
            shelf.remove_link(path)
            removed += 1
        if time.monotonic() > end:
            break
    return removed


def _files() -> Iterator[Path]:
    for root in shelf.roots():
        for folder in root.iterdir():
            # Who removes the last file removes the folder.
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                yield from folder.iterdir()


def _is_left(store: Store, name: Name, path: Path, ours: bool) -> bool:
    """Whether nobody will come for a file."""
    near = name.machine == machine.mark()
    gone = near and linux.has_ended(name.pid, name.born)
    age = time.time() - name.made
    if name.kind == "kept":
        # Who misses it writes another.
        return gone or (not near and age > FORGOTTEN)
    if gone and shelf.is_inline(path.parent.name):
        return age >= ON_ITS_WAY
    if not ours:
        return age > FORGOTTEN and (gone or not near)
    return age >= (ON_ITS_WAY if gone else PATIENCE) and not _is_held(store, name, path.name)


def _is_held(store: Store, name: Name, file: str) -> bool:
    """Whether the server has a job that is to come with the file, or a result that it belongs to."""
    if name.kind == "result":
        (outcome,) = store.outcomes_of([name.job])
        if outcome is not None:
            return file.encode() in outcome
        # It may have been written, and not be told yet: of a worker whose next job holds it up, or of an outage.
    found = look.find(store, name.job)
    return found is not None and found.status not in FINISHED
