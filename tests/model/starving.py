"""Whether a queue starves: a job that is claimed alone waits beside a queue in which new jobs come without end.

No state shows that, only a way that goes round for ever without the marked job being claimed. What happens is
determined here, so the way is simply followed until it comes round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from model.scripts import claim, push
from model.setting import Setting
from model.state import NOBODY, Record

BUSY, QUIET = 0, 1
SETTING = Setting(queues=(BUSY, BUSY, BUSY, QUIET), owners=(0,), first=(0,), heirs={}, want=2)


def starves(lacks: Sequence[str]) -> tuple[str, list[str], int]:
    """What goes wrong (empty: nothing), what happens until then, and after how many states it comes round."""
    setting = replace(SETTING, lacks=frozenset(lacks))
    state, trace = setting.start(), list[str]()
    state.queues = (state.queues[BUSY], (Record(3, hosts=1),))
    seen = set[object]()
    while state.queues[QUIET]:
        if (state.queues, state.ring) in seen:
            return "the marked job is never claimed: its queue starves", trace, len(seen)
        seen.add((state.queues, state.ring))
        batch = claim(state, 0, NOBODY, setting.want)
        trace.append(f"a turn claims jobs {[record.job for record in batch]}; as many are added to the busy queue")
        for record in batch:
            if record.job != 3:
                push(state, record)
    return "", trace, len(seen)
