"""Programs that end with the door open: no hang, no traceback, nothing left running."""

from __future__ import annotations

import time

import pytest
from door.conftest import Run

ENDINGS = {
    "after an enqueue": "left.enqueue()",
    "after a result": "echo.enqueue(1).result(60)",
    "with handles that nobody waits for": "handles = [echo.enqueue(n) for n in range(100)]",
    "after a wait that was given up": """
try:
    left.enqueue().result(0.01)
except TimeoutError:
    pass
""",
    "while a daemon thread waits": """
import threading
handle = left.enqueue()
threading.Thread(target=handle.result, daemon=True).start()
while not tempotask._client.outcomes._waiting:
    pass
""",
    "while daemon threads enqueue": """
import threading
def forever():
    while True:
        left.enqueue()
for _ in range(4):
    threading.Thread(target=forever, daemon=True).start()
import time; time.sleep(0.1)
""",
    "from a loop that is left with tasks waiting": """
import asyncio
async def main():
    handle = await left.aenqueue()
    asyncio.ensure_future(handle.aresult())
    await (await echo.aenqueue(1))
asyncio.run(main())
""",
    "with a bulk call's generator half-way": """
generator = iter([])
handles = tempotask.enqueue_many({"name": "left", "queue": "nobody"} for _ in range(2500))
""",
    "in an exit handler that enqueues": """
import atexit
atexit.register(lambda: left.enqueue())
echo.enqueue(1).result(60)
""",
    "with the manager closed": "echo.enqueue(1).result(60); tempotask.close()",
    "inline": """
from tempotask import QueueManager
manager = QueueManager.init(inline=True)
async def handler(job, ctx): return 1
assert manager.register_job(name="n", queue="q", handler=handler).enqueue().result() == 1
import asyncio
async def main(): return await (await manager.aenqueue(name="n", queue="q"))
assert asyncio.run(main()) == 1
""",
}


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS.keys())
def test_a_program_ends_quietly(run: Run, ending: str) -> None:
    program = f"""
from door.app import echo, left, tempotask
{ending}
print("end", flush=True)
"""
    began = time.monotonic()
    assert run(program) == [["end"]]
    # Any of its patience (seconds for a lost push, a minute for an outage) would show.
    assert time.monotonic() - began < 30
