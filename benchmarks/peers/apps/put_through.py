"""Puts so many no-op jobs through a pool: `python put_through.py MODULE PROCESSES CHUNK COUNT`.

Prints how long that took, as JSON. Runs in the pool's environment, which has nothing else.
"""

import importlib
import json
import sys
import time

if __name__ == "__main__":
    module, processes, chunk, count = sys.argv[1:]
    started = importlib.import_module(module).started
    with started(int(processes), int(chunk) if chunk.isdigit() else chunk) as results:
        # Starts the processes, and lets them import what they need.
        sum(1 for _ in results(range(1000)))
        began = time.monotonic()
        done = sum(1 for _ in results(range(int(count))))
        seconds = time.monotonic() - began
    assert done == int(count), f"{done} of {count} results"
    print(json.dumps({"seconds": seconds}))
