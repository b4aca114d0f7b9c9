"""Looking on: a manager that reads a server and changes nothing there. For `tempotask run-here`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from tempotask.client import Client
from tempotask.errors import InvalidOptions
from tempotask.inline.stand_ins import additions
from tempotask.manager import QueueManager
from tempotask.store.connect import Server
from tempotask.store.outcomes import Outcomes
from tempotask.store.records import Record
from tempotask.store.script import Argument
from tempotask.store.store import Store
from tempotask.store.stream import DirectStream
from tempotask.store.wait import Wait

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

    @property
    def outcomes(self) -> Outcomes:
        if self._outcomes is None:
            self._outcomes = _Outcomes(self.server, self._onlooker, self.submit, self._onlooker.noted)
        return self._outcomes

    def stream(self) -> DirectStream:
        return DirectStream(self._onlooker)


class _Store(Store):
    def __init__(self, store: Store, note: Note) -> None:
        super().__init__(store.server, store.namespace, store.limits)
        self._note = note
        self.noted: set[str] = set()
        """Ids of what was not added."""

    def try_once(self, name: str, *arguments: Argument, durable: bool = False) -> Any:
        """Runs scripts that read; of an addition, tells what it would be; lets go of no outcome."""
        if name == "forget":
            return 0
        if name == "enqueue":
            answer = b""
            for record, single, _ in additions(arguments[3:]):
                self._note(record)
                self.noted.add(record.id)
                answer += b"1" if single else b""
            return answer
        if name in READING:
            return super().try_once(name, *arguments)
        raise InvalidOptions(f"run-here changes nothing on the server, and so does no {name}")


class _Outcomes(Outcomes):
    def __init__(self, server: Server, store: Store, submit: Callable[..., object], noted: Collection[str]) -> None:
        super().__init__(server, store, submit)
        self._noted = noted

    def begin(self, ids: Sequence[str], notify: Callable[[], object], known: bool) -> Wait:
        if (id := next((id for id in ids if id in self._noted), None)) is not None:
            raise InvalidOptions(f"job {id} was not added, as nothing is while a job runs here, so it has no result")
        return super().begin(ids, notify, known)
