"""How jobs ended, as the scripts that settle read it."""

from __future__ import annotations

import msgspec

from tempotask.store.script import Argument
from tempotask.store.sheets import sheet


class Settlement(msgspec.Struct):
    """How jobs ended, in the order in which the scripts read it (settle.lua)."""

    endings: dict[int, list[Argument]] = {}
    """id, outcome, id, outcome ... by the milliseconds for which they are kept."""
    retries: list[Argument] = []
    """milliseconds from now, record, ..."""
    pages: list[Argument] = []
    """queue, status, number of jobs, limit of the history, page, ..."""
    outside: list[Argument] = []
    """keys that are let go: payloads outside."""
    children: list[Argument] = []
    """jobs that are added because these ended well: `Addition.body`."""
    events: list[Argument] = []
    """kind, event, ..."""
    said: list[Argument] = []
    """id, number of lines, lines, ... that tries which are not the last have logged."""
    logs: int = 0
    """How many ids `said` has."""

    def arguments(self) -> list[Argument]:
        """As the scripts read them."""
        flat: list[Argument] = [len(self.endings)]
        for keep, outcomes in self.endings.items():
            flat += (keep, sheet(outcomes))
        flat.append(len(self.retries) // 2)
        flat += self.retries
        flat.append(len(self.pages) // 5)
        flat += self.pages
        for part, size in ((self.outside, 1), (self.children, 1), (self.events, 2)):
            flat.append(len(part) // size)
            flat += part
        flat.append(self.logs)
        flat += self.said
        return flat
