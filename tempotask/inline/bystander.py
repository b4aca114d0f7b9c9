"""Looking on: a manager that reads a server and changes nothing there. For `tempotask run-here`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tempotask.client import Client
from tempotask.errors import InvalidOptions
from tempotask.inline.stand_ins import additions
from tempotask.manager import QueueManager
from tempotask.store.records import Record
from tempotask.store.script import Argument
from tempotask.store.store import Store
from tempotask.store.stream import DirectStream

READING = ("ask", "unwait", "find", "quiet")
"""Scripts that change nothing that matters."""
Note = Callable[[Record], None]


def look_on(manager: QueueManager[Any], store: Store, note: Note) -> None:
    """Has the manager use the server of `store`; of jobs that it would add, `note` is told."""
    if store.server.url is None:
        raise InvalidOptions(f"a handler can't connect as this program: {store.server.why_not_handed_over}")
    manager.move(store.server.url, store.namespace)
    manager._use(_Client(manager, store, note))


class _Client(Client):
    def __init__(self, manager: QueueManager[Any], store: Store, note: Note) -> None:
        super().__init__(store.server.url, store.namespace, manager.options, manager.tasks)
        self._onlooker = _Store(store, note)

    @property
    def store(self) -> Store:
        return self._onlooker

    def stream(self) -> DirectStream:
        return DirectStream(self._onlooker)


class _Store(Store):
    def __init__(self, store: Store, note: Note) -> None:
        super().__init__(store.server, store.namespace, store.limits)
        self._note = note

    def once(self, name: str, *arguments: Argument, durable: bool = False) -> Any:
        """Runs scripts that read; of an addition, tells what it would be; lets go of no outcome."""
        if name == "forget":
            return 0
        if name == "enqueue":
            answer = b""
            for record, single, _ in additions(arguments[3:]):
                self._note(record)
                answer += b"1" if single else b""
            return answer
        if name in READING:
            return super().once(name, *arguments)
        raise InvalidOptions(f"run-here changes nothing on the server, and so does no {name}")
