"""A proxy in front of the server, which does to the way there whatever a network and a server can do to it.

It forwards whole messages, each in its turn. So it knows which script a request calls and which reply answers it, and
can lose just that one. One thread does it all; what a fault wants done is done in that thread too.
"""

from __future__ import annotations

import collections
import contextlib
import os
import random
import socket
import struct
import time
from collections.abc import Collection
from selectors import EVENT_READ, EVENT_WRITE

from torture.loop import Loop
from torture.mishap import Direction, Hold, Loss, concerns
from torture.resp import Frames, name_of

PIECE = 1 << 18
"""Bytes read at once."""
EVERYBODY: frozenset[int] = frozenset()


class Flow:
    """One direction of a connection."""

    def __init__(self, direction: Direction, source: socket.socket, target: socket.socket) -> None:
        self.direction = direction
        self.source = source
        self.target = target
        self.frames = Frames()
        self.waiting: collections.deque[tuple[float, bytes | None]] = collections.deque()
        """What is on its way: from when on it may arrive, and the message; None is the end."""
        self.out = bytearray()
        """What may arrive now."""
        self.held: Hold | None = None
        self.muted = False
        self.ended = False
        """Whether the source says nothing any more."""
        self.told = False
        """Whether the target is to know that."""


class Link:
    """A client's connection, and the one to the server that belongs to it."""

    def __init__(self, client: socket.socket, server: socket.socket, pid: int) -> None:
        self.pid = pid
        self.asked: collections.deque[str] = collections.deque()
        """Which scripts the server has not answered yet."""
        self.request = Flow("request", client, server)
        self.reply = Flow("reply", server, client)
        self.closed = False

    @property
    def muted(self) -> bool:
        return self.request.muted or self.reply.muted

    def flow(self, direction: Direction) -> Flow:
        return self.request if direction == "request" else self.reply

    def against(self, flow: Flow) -> Flow:
        """The flow the other way."""
        return self.reply if flow is self.request else self.request


class Proxy:
    """A proxy in front of `target`, the path of a unix socket, or a host and a port. It runs until `close`.

    It listens at `path`; in front of a port, at a port of its own. With unix sockets it knows whose connection is
    whose: `pids` are the processes that a fault is for. Without any, it is for all.
    """

    def __init__(self, target: str | tuple[str, int], path: str | None = None, seed: int = 0) -> None:
        self.target = target
        self.path = path or (f"{target}.p" if isinstance(target, str) else None)
        self.port = 0
        self.counts: collections.Counter[str] = collections.Counter()
        """How often each script was called, or another command."""
        self.lost: collections.Counter[str] = collections.Counter()
        """How many replies of each script got lost."""
        self._random = random.Random(seed)
        self._links: set[Link] = set()
        self._losses: list[Loss] = []
        self._holds: list[Hold] = []
        self._delays: dict[Direction, tuple[float, float]] = {}
        self._refused: Collection[int] | None = None
        self._muted: tuple[Collection[Direction], Collection[int]] | None = None
        self._listener: socket.socket | None = None
        self._loop = Loop("proxy")
        self._loop.do(self._listen)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"unix://{self.path}" if self.path else f"redis://127.0.0.1:{self.port}"

    # -- what a fault may want

    def delay(self, low: float, high: float, *directions: Direction) -> None:
        """Each message takes so many seconds, at random between the two, both ways or in the given direction."""
        delays = dict.fromkeys(directions or ("request", "reply"), (low, high))
        self._loop.do(lambda: self._delays.update(delays))

    def cut(self, pids: Collection[int] = EVERYBODY) -> None:
        """Breaks all connections and refuses new ones, until `restore`."""
        self._loop.do(lambda: self._cut(pids))

    def half_open(self, *directions: Direction, pids: Collection[int] = EVERYBODY, new: bool = False) -> None:
        """Connections stay open, and what is sent on them arrives nowhere, both ways or in the given direction. With
        `new`, on those too that are opened until `restore`."""
        self._loop.do(lambda: self._half_open(directions or ("request", "reply"), pids, new))

    def drop_reply(
        self,
        script: str,
        times: int = 1,
        *,
        chance: float = 1.0,
        pids: Collection[int] = EVERYBODY,
        swallow: bool = False,
    ) -> Loss:
        """Each request reaches the server and is carried out; then the connection breaks without the reply, or with
        `swallow` stays open without it. Each that it may hit gets lost with that chance, by the proxy's seed."""
        loss = Loss(script, times, chance, pids, swallow)
        self._loop.do(lambda: self._losses.append(loss))
        return loss

    def keep(self, loss: Loss) -> None:
        """Nothing more is lost by it."""
        self._loop.do(loss.end)

    def hold(self, script: str, direction: Direction, pids: Collection[int] = EVERYBODY) -> Hold:
        """Stops the next request or reply of a script on its way."""
        hold = Hold(self, script, direction, pids)
        self._loop.do(lambda: self._holds.append(hold))
        return hold

    def let_go(self, hold: Hold, *, lose: bool) -> None:
        """Ends a hold: see `Hold.release` and `Hold.lose`."""
        self._loop.do(lambda: self._let_go(hold, lose))

    def restore(self) -> None:
        """A good way to the server again. What is half open stays so; losses and holds, which may be another fault's,
        end by themselves."""
        self._loop.do(self._restore)

    def half_opened(self) -> int:
        """How many connections are half open, and their clients do not know it yet."""
        return self._loop.do(lambda: sum(not link.request.ended and link.muted for link in self._links))

    def owners(self) -> set[int]:
        """The processes that are connected."""
        return self._loop.do(lambda: {link.pid for link in self._links})

    def close(self) -> None:
        """Ends it, with all connections."""
        self.cut()
        self._loop.close()

    # -- connections

    def _listen(self) -> None:
        if self.path is not None:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(self.path)
        else:
            listener = socket.socket(socket.AF_INET)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", self.port))
            self.port = listener.getsockname()[1]
        listener.listen(4096)
        listener.setblocking(False)
        self._listener = listener
        self._loop.watch(listener, EVENT_READ, lambda events: self._on_client(listener))

    def _on_client(self, listener: socket.socket) -> None:
        if listener is not self._listener:
            return
        with contextlib.suppress(BlockingIOError):
            client, _ = listener.accept()
            pid = _peer(client) if self.path is not None else 0
            if self._refused is not None and pid in self._refused:
                client.close()
            else:
                self._connect(client, pid)

    def _connect(self, client: socket.socket, pid: int) -> None:
        server = socket.socket(socket.AF_UNIX if isinstance(self.target, str) else socket.AF_INET)
        client.setblocking(False)
        server.setblocking(False)
        try:
            server.connect(self.target)
        except OSError as error:
            if not isinstance(error, BlockingIOError) or isinstance(self.target, str):
                # Not there, or with no room for one more.
                client.close()
                server.close()
                return
        link = Link(client, server, pid)
        self._links.add(link)
        if self._muted is not None and concerns(self._muted[1], pid):
            self._mute(link, self._muted[0])
        self._watch(link, link.request)
        self._watch(link, link.reply)

    def _watch(self, link: Link, flow: Flow) -> None:
        """Looks for what may happen at the source of a flow, which is the target of the one against it."""
        if not link.closed:
            wanted = (0 if flow.ended else EVENT_READ) | (EVENT_WRITE if link.against(flow).out else 0)
            self._loop.watch(flow.source, wanted, lambda events: self._on_ready(link, flow, events))

    def _on_ready(self, link: Link, flow: Flow, events: int) -> None:
        if events & EVENT_WRITE and not link.closed:
            self._send(link, link.against(flow))
        if events & EVENT_READ and not link.closed and not flow.ended:
            self._receive(link, flow)

    def _receive(self, link: Link, flow: Flow) -> None:
        try:
            data = flow.source.recv(PIECE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data and flow.muted:
            return
        for message in flow.frames.feed(data):
            if not self._pass(link, flow, message):
                return
        if not data:
            self._on_end(link, flow)
        self._pump(link, flow)

    def _on_end(self, link: Link, flow: Flow) -> None:
        flow.ended = True
        if not flow.muted:  # else the other end never hears of it
            flow.waiting.append((0.0, None))
        elif link.against(flow).ended:
            self._close(link)
        self._watch(link, flow)

    def _pass(self, link: Link, flow: Flow, message: bytes) -> bool:
        """Puts a message on its way; false if it gets lost and the connection breaks."""
        if flow is link.request:
            script = name_of(message)
            self.counts[script] += 1
            link.asked.append(script)
        else:
            script = link.asked.popleft() if link.asked else ""
            for loss in self._losses:
                if loss.takes(script, link.pid, message, self._random.random):
                    self.lost[script] += 1
                    if not loss.swallow:
                        self._close(link)
                    return loss.swallow
        for hold in self._holds:
            if flow.held is None and hold.takes(script, flow.direction, link.pid, message):
                # What came before it goes on.
                self._pump(link, flow)
                self._holds.remove(hold)
                flow.held, hold.link, hold.pid = hold, link, link.pid
                hold.reached.set()
                break
        low, high = self._delays.get(flow.direction, (0.0, 0.0))
        due = time.monotonic() + self._random.uniform(low, high) if high else 0.0
        flow.waiting.append((due, message))
        return True

    def _pump(self, link: Link, flow: Flow) -> None:
        """Sends on what has been on its way long enough."""
        now = time.monotonic()
        while flow.waiting and flow.held is None and not link.closed:
            due, message = flow.waiting[0]
            if due > now:
                self._loop.at(due, lambda: self._pump(link, flow))
                break
            flow.waiting.popleft()
            if message is None:
                flow.told = True
            else:
                flow.out += message
        self._send(link, flow)

    def _send(self, link: Link, flow: Flow) -> None:
        if link.closed:
            return
        try:
            if flow.out:
                del flow.out[: flow.target.send(flow.out)]
        except BlockingIOError:
            pass
        except OSError:
            # Nobody reads there any more; what was said there before may still be read.
            flow.out.clear()
        if flow.told and not flow.out:
            with contextlib.suppress(OSError):
                flow.target.shutdown(socket.SHUT_WR)
            if link.against(flow).ended:
                self._close(link)
        self._watch(link, link.against(flow))

    def _close(self, link: Link) -> None:
        for flow in (link.request, link.reply):
            if not link.closed:
                self._loop.watch(flow.source, 0, lambda events: None)
        for flow in (link.request, link.reply):
            flow.source.close()
        link.closed = True
        self._links.discard(link)

    # -- what faults want, in the loop's thread

    def _concerned(self, pids: Collection[int]) -> list[Link]:
        return [link for link in self._links if concerns(pids, link.pid)]

    def _cut(self, pids: Collection[int]) -> None:
        if pids:
            self._refused = pids
        elif self._listener is not None:
            listener, self._listener = self._listener, None
            self._loop.watch(listener, 0, lambda events: None)
            listener.close()
            if self.path is not None:
                os.unlink(self.path)
        for link in self._concerned(pids):
            self._close(link)

    def _half_open(self, directions: Collection[Direction], pids: Collection[int], new: bool) -> None:
        if new:
            self._muted = (directions, pids)
        for link in self._concerned(pids):
            self._mute(link, directions)

    def _mute(self, link: Link, directions: Collection[Direction]) -> None:
        for direction in directions:
            link.flow(direction).muted = True
            link.flow(direction).waiting.clear()

    def _restore(self) -> None:
        self._delays.clear()
        self._refused = self._muted = None
        for link in list(self._links):
            if link.request.muted and link.request.ended:
                # The client has given it up; now the server hears of it.
                self._close(link)
        if self._listener is None:
            self._listen()

    def _let_go(self, hold: Hold, lose: bool) -> None:
        if hold in self._holds:
            self._holds.remove(hold)
        link, hold.link = hold.link, None
        if link is None or link.closed:
            return
        if lose:
            self._close(link)
            return
        link.flow(hold.direction).held = None
        self._pump(link, link.flow(hold.direction))


def _peer(client: socket.socket) -> int:
    """The process at the other end of a unix socket."""
    told = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", told)[0])
