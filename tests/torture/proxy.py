"""A proxy in front of the server, which does to the way there whatever a network and a server can do to it.

It forwards whole messages, each in its place. So it knows which script a request calls and which reply answers it, and
can lose just that one. One thread does it all; what a fault wants done is done in that thread too.
"""

from __future__ import annotations

import collections
import contextlib
import heapq
import itertools
import os
import random
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable, Collection
from typing import Literal, TypeVar

from torture.resp import Frames, name_of

T = TypeVar("T")
Direction = Literal["request", "reply"]
Target = str | tuple[str, int]
"""The path of a unix socket, or a host and a port."""
PIECE = 1 << 18
EVERYBODY: frozenset[int] = frozenset()


class Loss:
    """Replies of one script that get lost after the script ran."""

    def __init__(self, script: str, times: int, every: int, pids: Collection[int], swallow: bool) -> None:
        self.script = script
        self.left = times
        self.every = every
        self.pids = pids
        self.swallow = swallow
        self.seen = 0
        self.lost = 0
        self.done = threading.Event()
        """Set when all are lost."""

    def takes(self, script: str, pid: int, reply: bytes) -> bool:
        """Whether this reply gets lost. An error says that the script did not run."""
        if script != self.script or not self.left or reply.startswith(b"-") or (self.pids and pid not in self.pids):
            return False
        self.seen += 1
        if self.seen % self.every:
            return False
        self.left -= 1
        self.lost += 1
        if not self.left:
            self.done.set()
        return True


class Hold:
    """The next request of a script, or its reply, which stays in the proxy until it is let go."""

    def __init__(self, proxy: Proxy, script: str, direction: Direction, pids: Collection[int]) -> None:
        self._proxy = proxy
        self.script = script
        self.direction = direction
        self.pids = pids
        self.reached = threading.Event()
        """Set when it is there."""
        self.pid = 0
        """The process at the client's end, once it is reached."""
        self.link: Link | None = None

    def release(self) -> None:
        """Lets it go on, or gives up waiting for it."""
        self._proxy.do(lambda: self._proxy.let_go(self))

    def lose(self) -> None:
        """Breaks the connection: it never arrives."""
        self._proxy.do(lambda: self._proxy.let_go(self, lose=True))


class Flow:
    """One direction of a connection."""

    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        self.source = source
        self.target = target
        self.frames = Frames()
        self.waiting: collections.deque[tuple[float, bytes | None]] = collections.deque()
        """What is on its way: from when it may arrive, and the message, or None for the end."""
        self.out = bytearray()
        self.held: Hold | None = None
        self.mute = False
        self.ended = False


class Link:
    """A client's connection, and the one to the server that belongs to it."""

    def __init__(self, client: socket.socket, server: socket.socket, pid: int) -> None:
        self.sockets = (client, server)
        self.pid = pid
        self.asked: collections.deque[str] = collections.deque()
        """What the server has not answered yet."""
        self.request = Flow(client, server)
        self.reply = Flow(server, client)
        self.closed = False

    def flow(self, direction: Direction) -> Flow:
        return self.request if direction == "request" else self.reply


class Proxy:
    """A proxy in front of `target`, at `path` (a unix socket) or at a port of its own. It runs until `close`."""

    def __init__(self, target: Target, path: str | None = None, seed: int = 0) -> None:
        self._target = target
        self.path = path if path is not None or isinstance(target, tuple) else f"{target}.p"
        self.port = 0
        self.counts: collections.Counter[str] = collections.Counter()
        """How often each script was called, or another command."""
        self.lost: collections.Counter[str] = collections.Counter()
        """How many replies of each script got lost."""
        self._random = random.Random(seed)
        self._links: set[Link] = set()
        self._losses: list[Loss] = []
        self._holds: list[Hold] = []
        self._delays: dict[str, tuple[float, float]] = {}
        self._refused: Collection[int] | None = None
        self._muted: tuple[Collection[Direction], Collection[int]] | None = None
        self._timers: list[tuple[float, int, Link, Flow]] = []
        self._numbers = itertools.count()
        self._actions: collections.deque[Callable[[], None]] = collections.deque()
        self._selector = selectors.DefaultSelector()
        self._woken, self._wake = socket.socketpair()
        self._woken.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ, self._on_woken)
        self._listener: socket.socket | None = None
        self._listen()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"unix://{self.path}" if self.path else f"redis://127.0.0.1:{self.port}"

    # -- what a fault may want. `pids` are the processes whose connections it concerns; without any, all

    def delay(self, low: float, high: float, direction: Direction | None = None) -> None:
        """Each message takes so many seconds, at random between the two, in each direction or in one."""
        self.do(
            lambda: self._delays.update(dict.fromkeys([direction] if direction else ["request", "reply"], (low, high)))
        )

    def cut(self, pids: Collection[int] = EVERYBODY) -> None:
        """Breaks all connections and refuses new ones, until `restore`."""
        self.do(lambda: self._cut(pids))

    def half_open(self, *directions: Direction, pids: Collection[int] = EVERYBODY, new: bool = False) -> None:
        """Connections stay open, and what is sent on them arrives nowhere (both ways, or in the given direction). With
        `new`, those too that are opened until `restore`."""
        self.do(lambda: self._half_open(directions or ("request", "reply"), pids, new))

    def drop_reply(
        self, script: str, times: int = 1, *, every: int = 1, pids: Collection[int] = EVERYBODY, swallow: bool = False
    ) -> Loss:
        """Each request reaches the server and is carried out; then the connection breaks without the reply, or with
        `swallow` stays open without it. Of replies that could get lost only each `every`-th does."""
        loss = Loss(script, times, every, pids, swallow)
        self.do(lambda: self._losses.append(loss))
        return loss

    def keep_reply(self, loss: Loss) -> None:
        """Ends a loss before all of its replies are lost."""
        self.do(lambda: self._losses.remove(loss))

    def hold(self, script: str, direction: Direction, pids: Collection[int] = EVERYBODY) -> Hold:
        """Stops the next request or reply of a script on its way."""
        hold = Hold(self, script, direction, pids)
        self.do(lambda: self._holds.append(hold))
        return hold

    def break_all(self, pids: Collection[int] = EVERYBODY) -> int:
        """Breaks all connections; new ones are welcome. How many there were."""
        return self.do(lambda: self._break(pids))

    def restore(self) -> None:
        """A good way to the server again. Connections that are half open stay so."""
        self.do(self._restore)

    def owners(self) -> set[int]:
        """The processes that are connected."""
        return self.do(lambda: {link.pid for link in self._links})

    def close(self) -> None:
        """Ends it, with all connections."""
        if self._stopped:
            return
        self.do(self._stop)
        self._thread.join()
        self._selector.close()
        self._wake.close()
        self._woken.close()

    def do(self, action: Callable[[], T]) -> T:
        """Does something in the proxy's thread, between two messages."""
        answers: list[T] = []
        done = threading.Event()

        def act() -> None:
            try:
                answers.append(action())
            finally:
                done.set()

        self._actions.append(act)
        self._wake.send(b".")
        done.wait()
        return answers[0]

    # -- the thread

    def _run(self) -> None:
        while not self._stopped:
            left = max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None
            for key, events in self._selector.select(left):
                # One that was closed a moment ago may still be among these.
                if key.fileobj in self._selector.get_map():
                    key.data(events)
            now = time.monotonic()
            while self._timers and self._timers[0][0] <= now:
                _, _, link, flow = heapq.heappop(self._timers)
                self._pump(link, flow)

    def _on_woken(self, events: int) -> None:
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(4096)
        while self._actions:
            self._actions.popleft()()

    def _stop(self) -> None:
        self._cut(EVERYBODY)
        self._stopped = True

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
        self._selector.register(listener, selectors.EVENT_READ, self._on_client)
        self._listener = listener

    def _on_client(self, events: int) -> None:
        assert self._listener is not None
        with contextlib.suppress(BlockingIOError):
            client, _ = self._listener.accept()
            pid = _peer(client) if self.path is not None else 0
            if self._refused is not None and pid in self._refused:
                client.close()
                return
            self._connect(client, pid)

    def _connect(self, client: socket.socket, pid: int) -> None:
        server = socket.socket(socket.AF_UNIX if isinstance(self._target, str) else socket.AF_INET)
        for end in (client, server):
            end.setblocking(False)
        try:
            server.connect(self._target)
        except BlockingIOError:
            if isinstance(self._target, str):  # it has no room for another one
                client.close()
                server.close()
                return
        except OSError:
            client.close()
            server.close()
            return
        link = Link(client, server, pid)
        self._links.add(link)
        if self._muted is not None and _concerns(self._muted[1], pid):
            self._mute(link, self._muted[0])
        for flow in (link.request, link.reply):
            self._watch(link, flow)

    def _watch(self, link: Link, flow: Flow) -> None:
        """Has the selector look for what may happen at the source of a flow, which is the target of the other."""
        other = link.reply if flow is link.request else link.request
        wanted = (0 if flow.ended else selectors.EVENT_READ) | (selectors.EVENT_WRITE if other.out else 0)
        known = self._selector.get_map().get(flow.source)
        if known is not None and known.events == wanted:
            return
        if known is not None and wanted:
            self._selector.modify(flow.source, wanted, known.data)
        elif known is not None:
            self._selector.unregister(flow.source)
        elif wanted:
            self._selector.register(flow.source, wanted, lambda events: self._on_ready(link, flow, other, events))

    def _on_ready(self, link: Link, flow: Flow, other: Flow, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            self._send(link, other)
        if events & selectors.EVENT_READ and not link.closed:
            self._receive(link, flow)

    def _receive(self, link: Link, flow: Flow) -> None:
        try:
            data = flow.source.recv(PIECE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            flow.ended = True
            if not flow.mute:  # who is at the other end of a muted one never hears of it
                flow.waiting.append((0.0, None))
            self._watch(link, flow)
        elif not flow.mute:
            for message in flow.frames.feed(data):
                if not self._pass(link, flow, message):
                    return
        self._pump(link, flow)

    def _pass(self, link: Link, flow: Flow, message: bytes) -> bool:
        """Puts a message on its way; false if the connection broke over it."""
        if flow is link.request:
            script = name_of(message)
            self.counts[script] += 1
            link.asked.append(script)
            direction: Direction = "request"
        else:
            script = link.asked.popleft() if link.asked and not message.startswith(b">") else ""
            direction = "reply"
            for loss in self._losses:
                if loss.takes(script, link.pid, message):
                    self.lost[script] += 1
                    if not loss.swallow:
                        self._close(link)
                    return loss.swallow
        for hold in self._holds:
            if hold.script == script and hold.direction == direction and _concerns(hold.pids, link.pid):
                self._holds.remove(hold)
                # What came before it goes on.
                self._pump(link, flow)
                flow.held, hold.link, hold.pid = hold, link, link.pid
                hold.reached.set()
                break
        low, high = self._delays.get(direction, (0.0, 0.0))
        due = time.monotonic() + self._random.uniform(low, high) if high else 0.0
        flow.waiting.append((due, message))
        return True

    def _pump(self, link: Link, flow: Flow) -> None:
        """Sends on what has been on its way long enough."""
        now = time.monotonic()
        while flow.waiting and flow.held is None and not link.closed:
            due, message = flow.waiting[0]
            if due > now:
                heapq.heappush(self._timers, (due, next(self._numbers), link, flow))
                break
            flow.waiting.popleft()
            if message is None:
                self._send(link, flow)
                self._end(link, flow)
                return
            flow.out += message
        self._send(link, flow)

    def _send(self, link: Link, flow: Flow) -> None:
        if link.closed or not flow.out:
            return
        try:
            del flow.out[: flow.target.send(flow.out)]
        except BlockingIOError:
            pass
        except OSError:
            # Nobody reads there any more. What comes from there may still be read.
            flow.out.clear()
        self._watch(link, link.reply if flow is link.request else link.request)

    def _end(self, link: Link, flow: Flow) -> None:
        """The source has ended, and all that it said is on its way."""
        with contextlib.suppress(OSError):
            flow.target.shutdown(socket.SHUT_WR)
        if link.request.ended and link.reply.ended:
            self._close(link)

    def _close(self, link: Link) -> None:
        link.closed = True
        self._links.discard(link)
        for flow in (link.request, link.reply):
            if flow.source in self._selector.get_map():
                self._selector.unregister(flow.source)
        for end in link.sockets:
            end.close()

    # -- what faults want, in the thread

    def _concerned(self, pids: Collection[int]) -> list[Link]:
        return [link for link in self._links if _concerns(pids, link.pid)]

    def _break(self, pids: Collection[int]) -> int:
        links = self._concerned(pids)
        for link in links:
            self._close(link)
        return len(links)

    def _cut(self, pids: Collection[int]) -> None:
        if pids:
            self._refused = pids
        elif self._listener is not None:
            listener, self._listener = self._listener, None
            self._selector.unregister(listener)
            listener.close()
            if self.path is not None:
                os.unlink(self.path)
        self._break(pids)

    def _half_open(self, directions: Collection[Direction], pids: Collection[int], new: bool) -> None:
        if new:
            self._muted = (directions, pids)
        for link in self._concerned(pids):
            self._mute(link, directions)

    def _mute(self, link: Link, directions: Collection[Direction]) -> None:
        for direction in directions:
            flow = link.flow(direction)
            flow.mute = True
            flow.waiting.clear()

    def _restore(self) -> None:
        self._delays.clear()
        self._losses.clear()
        self._refused = self._muted = None
        self._holds.clear()
        for link in list(self._links):
            for flow in (link.request, link.reply):
                if flow.held is not None:
                    self.let_go(flow.held)
            if all(flow.mute for flow in (link.request, link.reply)) and link.request.ended:
                # The client has given it up, and now the server hears of it.
                self._close(link)
        if self._listener is None:
            self._listen()

    def let_go(self, hold: Hold, lose: bool = False) -> None:
        """In the proxy's thread: ends a hold."""
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


def _concerns(pids: Collection[int], pid: int) -> bool:
    return not pids or pid in pids


def _peer(client: socket.socket) -> int:
    """The process at the other end of a unix socket."""
    told = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", told)[0])
