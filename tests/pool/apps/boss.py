"""A process that owns a pool, to be killed: starts one worker and says when it is at work."""

import os
import selectors
import sys

from tempotask.linux import become_subreaper
from tempotask.pool.pool import Imported, UnifiedWorkerPool
from tempotask.pool.report import WorkerSpec

become_subreaper()
pool = UnifiedWorkerPool(sys.argv[1])
selector = selectors.DefaultSelector()
pool.start()
print(f"nursery {pool.pid}", flush=True)
pool.register(selector)
while True:
    for key, _ in selector.select():
        for event in pool.events(key):
            if isinstance(event, Imported):
                pool.ask_for(WorkerSpec("w1", "s1", "", sys.argv[2], os.dup(1)))
            print(f"event {event}", file=sys.stderr, flush=True)
