"""Adds so many jobs by a peer's `add`, and prints how long that took: `python add.py MODULE COUNT PATH`.

Runs in the peer's environment, which has nothing else.
"""

import importlib
import json
import sys
import time

module, count, path = sys.argv[1:]
add = importlib.import_module(module).add
paths = [f"{path}{number:06d}" for number in range(int(count))]
began = time.monotonic()
add(paths)
print(json.dumps({"seconds": time.monotonic() - began}))
