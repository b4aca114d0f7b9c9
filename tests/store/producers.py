"""Producers, and those who wait for jobs."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import rule
from play import addition
from stage import KINDS, MOST_JOBS, QUEUES, Stage, fates, some

jobs = st.sampled_from([(queue, kind, number) for number in (1, 4) for kind in KINDS for queue in QUEUES])


class Producers(Stage):
    """They enqueue, and wait."""

    @rule(jobs=st.lists(jobs, min_size=1, max_size=6), fate=fates)
    def enqueue(self, jobs: list[tuple[str, str, int]], fate: str) -> None:
        if self.jobs >= MOST_JOBS:
            return
        call = self.store.new_call()
        each = [(queue, kind) for queue, kind, number in jobs for _ in range(number)]
        made = addition(call, [self.make(f"{call}-{i}", queue, kind) for i, (queue, kind) in enumerate(each)])
        arguments, body = made.arguments(), made.body()
        self.send(fate, lambda: self.check(self.store.run("enqueue", *arguments), self.model.enqueue(call, body)))

    @rule()
    def time_passes(self) -> None:
        """Delays and pauses are over."""
        pipe = self.store.server.client().pipeline(transaction=False)
        for key, held in (("due", self.model.due), ("retries", self.model.retries)):
            for i, encoded in enumerate(sorted(held, key=lambda encoded: (held[encoded], encoded))):
                held[encoded] = float(i + 1)
                pipe.zadd(f"{self.store.prefix}{key}", {encoded: held[encoded]}, xx=True)
        pipe.execute()

    @rule(client=st.sampled_from(["me", "you"]), which=some, width=st.integers(1, 3), give_up=st.booleans())
    def wait(self, client: str, which: int, width: int, give_up: bool) -> None:
        known = sorted({*(record.id for record in self.model.unfinished()), *self.model.outcomes})
        ids = sorted(set((known * 2)[which % len(known) :][:width])) if known else []
        if not ids:
            return
        if give_up:
            self.store.unwait(client, ids)
            for id in ids:
                left = [name for name in self.model.waiters.pop(id, []) if name != client]
                self.model.waiters |= {id: left} if left else {}
            self.arrived()
        else:
            self.check(self.store.ask(client, ids), self.model.ask(client, ids))
