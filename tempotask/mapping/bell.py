"""A bell: wakes the one who waits for many things, in a thread or in an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading


class Bell:
    """Wakes who waits in a thread, or in an event loop. Ringing twice is cheap."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._rung = False
        self._in_loop: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None

    def ring(self) -> None:
        """From any thread."""
        if self._rung:
            return
        self._rung = True
        self._event.set()
        if self._in_loop is not None:
            loop, event = self._in_loop
            with contextlib.suppress(RuntimeError):  # a loop that was closed
                loop.call_soon_threadsafe(event.set)

    def clear(self) -> None:
        """What rings from now on is heard; look at what there is behind this."""
        self._event.clear()
        if self._in_loop is not None:
            self._in_loop[1].clear()
        # Behind the others: who rings between has changed something before, which is looked at next.
        self._rung = False

    def wait(self, seconds: float | None) -> None:
        """Until it rings, or for so long."""
        self._event.wait(seconds)

    async def awaited(self, seconds: float | None) -> None:
        """`wait`, to be awaited."""
        if self._in_loop is None:
            self._in_loop = asyncio.get_running_loop(), asyncio.Event()
            if self._rung:
                return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._in_loop[1].wait()
