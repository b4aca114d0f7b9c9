"""Talking to the server: connections, patience with outages, and who it is that answers."""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import NoReturn, TypeVar, cast

import redis
from redis import exceptions as wrong
from redis.connection import AbstractConnection
from redis.sentinel import MasterNotFoundError

from tempotask.errors import InvalidOptions, JobFailed, ServerFull, ServerUnavailable, TempoTaskError
from tempotask.store import address, rights, tls
from tempotask.store.embedded import OLDEST_REDIS, EmbeddedServer, home_folder

T = TypeVar("T")

WAITED: ContextVar[float] = ContextVar("WAITED", default=0.0)
"""Seconds for which this call has waited for a thread: where a server is away, many may."""
OTHERWISE = "give another server with --db, QueueManager.init(db=...) or $TEMPOTASK_DB"
FIRST_PAUSE, LONGEST_PAUSE = 0.01, 0.5  # seconds between two tries

REFUSED = (
    wrong.AuthenticationError,
    wrong.AuthorizationError,
    wrong.AuthenticationWrongNumberOfArgsError,
    wrong.NoPermissionError,
)
PASSING = (
    wrong.ConnectionError,  # LOADING, too many clients and a Sentinel that knows no master yet among them
    wrong.TimeoutError,
    wrong.ReadOnlyError,
    wrong.ClusterDownError,  # MASTERDOWN too
    wrong.TryAgainError,
)
BROKEN = (redis.RedisError, OSError, ServerUnavailable)
"""With these it is not known whether the server has done what it was told; it may be gone."""
LEFT_BEHIND = (wrong.ConnectionError, wrong.TimeoutError, wrong.ReadOnlyError)
"""With these a connection leads nowhere, or to a master that has become a replica."""
PASSING_WORDS = (
    *("BUSY", "MISCONF", "NOREPLICAS"),  # a slow script, a full disk, replicas on their way
    *("UNBLOCKED", "WAITAOF cannot"),  # who waits there would wait in vain: for a replica by now, without a file by now
)


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """Who answers: `name` is `redis` or `valkey`, `policy` what it does when it is full (should be `noeviction`)."""

    name: str
    version: str
    policy: str


class Server:
    """Where the state lives, and how to reach it. Making one opens nothing.

    `db` is a URL, a `redis.Redis` whose settings are taken over, or None for the embedded server. `connect_timeout`
    (seconds) is how long an outage is waited for.

    Raises InvalidOptions when `db` says nothing that could be connected to.
    """

    def __init__(self, db: str | redis.Redis | None, *, connect_timeout: float = 10.0) -> None:
        self.connect_timeout = connect_timeout
        self.outages = 0
        """How often `patiently` had to try again: who sees it grow knows that the server may have lost something."""
        self._closings = 0
        """How often it was closed: who waits for it sees by that to wait no longer."""
        self._home = home_folder() if db is None else None
        self._held: dict[str, EmbeddedServer] = {}
        """The hold on the embedded server, at most one: of threads that take one at the same time, the first has it."""
        self._address: address.Address | None = None
        self._clients: dict[int, redis.Redis] = {}
        self._makers: dict[float | None, redis.ConnectionPool] = {}
        """What makes connections for loops of the callers' own, by the timeout of their sockets. They keep none, but
        are kept: Ctrl-C that comes while one is let go of would get lost."""
        self._info: ServerInfo | None = None
        if isinstance(db, str):
            self._address = address.from_url(db)
        elif isinstance(db, redis.Redis):
            self._address = address.from_client(db)
        elif db is not None:
            raise InvalidOptions(
                f"db is a URL or a redis.Redis, not a {type(db).__module__}.{type(db).__name__}: "
                "a cluster of several nodes and the asyncio client are not supported"
            )

    @property
    def label(self) -> str:
        """The URL without user and password, for people to read."""
        return self._address.label if self._address and not self._home else f"{self._home} (embedded)"

    @property
    def place(self) -> str:
        """The URL without user and password, also that of the embedded server, which it starts."""
        return self._reached().label

    @property
    def is_embedded(self) -> bool:
        """Whether it is the embedded server, started by us and for us."""
        return self._home is not None

    @property
    def url(self) -> str | None:
        """The whole URL, to hand to a child process, or None: see `why_not_handed_over`. Starts the embedded server."""
        return self._reached().url

    @property
    def why_not_handed_over(self) -> str:
        """The settings of the given client that no URL can carry to another process; empty if there are none."""
        return self._address.why_not_handed_over if self._address else ""

    def client(self) -> redis.Redis:
        """A client for all threads of this process, bytes in and out. After a fork the child gets its own."""
        if made := self._clients.get(os.getpid()):
            return made
        # One try must not eat up all the patience: a connection that died silently leaves time for a fresh one.
        part = self.connect_timeout / 2
        pool = self._reached().pool({"socket_timeout": part, "socket_connect_timeout": part})
        return self._clients.setdefault(os.getpid(), redis.Redis(connection_pool=pool))

    def connection(self, *, timeout: float | None) -> AbstractConnection:
        """A fresh connection for a loop of the caller's own, already connected; `timeout` (seconds) is its socket's.

        The caller uses `send_packed_command` and `read_response`, and disconnects it. Errors are the library's:
        `patiently` makes ours of them.
        """
        made = cast(AbstractConnection, self._maker(timeout).make_connection())
        try:
            made.connect()  # type: ignore[no-untyped-call]
        except (wrong.ConnectionError, wrong.TimeoutError):
            if not self._held:
                raise
            try:
                self._ensure()
            except ServerUnavailable as error:
                # What keeps one that ran from starting again may pass.
                raise wrong.ConnectionError(str(error)) from error
            made.connect()  # type: ignore[no-untyped-call]
        return made

    def _maker(self, timeout: float | None) -> redis.ConnectionPool:
        if made := self._makers.get(timeout):
            return made
        pool = self._reached().pool({"socket_connect_timeout": self.connect_timeout / 2}, socket_timeout=timeout)
        return self._makers.setdefault(timeout, pool)

    def patiently(self, call: Callable[[], T], *, deadline: float | None = None) -> T:
        """What `call` returns, tried again through an outage until `deadline`.

        That is a time of `time.monotonic`; without it, `connect_timeout` from now, less what was waited before. `call`
        must be safe to do twice: its answer may be what was lost. Raises ServerUnavailable when the time is over, or at
        once when the server refuses us or is closed meanwhile, and ServerFull when it is at its `maxmemory`. Other
        errors, of an unknown script say, pass through.
        """
        if deadline is None:
            deadline = time.monotonic() + max(0.0, self.connect_timeout - WAITED.get())
        pause, closings = FIRST_PAUSE, self._closings
        while True:
            try:
                return call()
            except TempoTaskError as error:
                if isinstance(error, JobFailed):  # the time of a handler is over
                    self._drop_idle()
                raise
            except redis.RedisError as error:
                if not may_pass(error):
                    self._give_up(error)
                self.outages += 1
                if self._closings != closings:
                    raise ServerUnavailable(
                        f"the server at {self.label} can't be used ({_in_words(error)}), and was closed by this "
                        "program while a call waited for it"
                    ) from error
                left = deadline - time.monotonic()
                if left <= 0:
                    raise ServerUnavailable(
                        f"the server at {self.label} can't be used ({_in_words(error)}), after waiting for it: "
                        f"{self._advice(error)}, or {OTHERWISE}"
                    ) from error
                try:
                    self._mend(error)
                except ServerUnavailable:
                    # What keeps the embedded server from starting again may pass, too.
                    if deadline - time.monotonic() <= pause:
                        raise
            except BaseException:
                self._drop_idle()
                raise
            # Not in step: after an outage all clients come back, and need not do so at once.
            time.sleep(min(pause * random.uniform(0.5, 1), max(left, 0)))
            pause = min(pause * 2, LONGEST_PAUSE)

    def check(self) -> ServerInfo:
        """Who answers, asked once. Raises ServerUnavailable when it is too old, or a cluster of several nodes."""
        if self._info is None:
            self._info = self.patiently(self._ask)
        return self._info

    def close(self) -> None:
        """Lets go of this process's connections and of the embedded server, and ends the waiting of other threads for
        one that is away. The next use opens them again."""
        self._closings += 1
        if client := self._clients.pop(os.getpid(), None):
            # Those in use are let go by whoever uses them: closed under another thread, their number would soon be
            # some other connection's, and that thread would read what is meant for somebody else.
            client.connection_pool.disconnect(inuse_connections=False)
        for url in list(self._held):
            if (embedded := self._held.pop(url, None)) is not None:
                self._address = None
                self._makers.clear()
                embedded.close()

    def _reached(self) -> address.Address:
        reached = self._address
        if reached is None:
            ours = EmbeddedServer.open(self._home)
            reached = self._address = address.from_url(ours.url)
            if self._held.setdefault(ours.url, ours) is not ours:
                # Another thread was faster.
                ours.close()
        return reached

    def _ensure(self) -> None:
        """Sees to it that the embedded server runs, if it is held. Raises ServerUnavailable when it does not start."""
        for embedded in list(self._held.values()):
            embedded.ensure()

    def _drop_idle(self) -> None:
        """After what a signal's handler has raised: an answer may be to come on one that the library takes for idle."""
        if client := self._clients.get(os.getpid()):
            client.connection_pool.disconnect(inuse_connections=False)

    def _mend(self, error: redis.RedisError) -> None:
        if isinstance(error, LEFT_BEHIND):
            # A new connection may lead to the new master, and the old ones never do; those that nobody uses are likely
            # to be as broken as this one, and would cost a try each.
            self._drop_idle()
        if isinstance(error, wrong.ConnectionError):
            self._ensure()

    def _advice(self, error: redis.RedisError) -> str:
        """What to do about an error that waiting has not cured."""
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, wrong.ReadOnlyError):
                return "it is a replica: name its primary"
            cause = cause.__cause__
        return tls.doubt(self.label, error) or "start it or see what ails it"

    def _give_up(self, error: redis.RedisError) -> NoReturn:
        """Raises what there is to say about an error that waiting does not cure."""
        if rights.refused(error):
            raise ServerUnavailable(rights.told(self.label, [rights.missing(error)], OTHERWISE)) from error
        if trouble := tls.trouble(error):
            raise ServerUnavailable(f"no TLS with the server at {self.label}: {trouble}, or {OTHERWISE}") from error
        if _refused_by_sentinel(error):
            raise ServerUnavailable(
                f"the Sentinels of {self.label} refuse us: put ?sentinel_password=… behind that URL, and "
                f"sentinel_username=… if need be, or {OTHERWISE}"
            ) from error
        if isinstance(error, REFUSED):
            raise ServerUnavailable(
                f"the server at {self.label} refuses us ({error}): put a user and a password that may use it "
                f"into its URL, redis://user:password@host:6379/0, or {OTHERWISE}"
            ) from error
        if isinstance(error, wrong.OutOfMemoryError):
            raise ServerFull(
                f"the server at {self.label} is full (its maxmemory is reached): let jobs finish, or raise maxmemory"
            ) from error
        if isinstance(error, wrong.InvalidResponse):
            raise ServerUnavailable(f"what answers at {self.label} is neither Redis nor Valkey: {OTHERWISE}") from error
        if isinstance(error, (wrong.ConnectionError, wrong.AskError)) or _of_the_server(error):
            raise ServerUnavailable(f"the server at {self.label} can't be used ({error}): {OTHERWISE}") from error
        raise error

    def _ask(self) -> ServerInfo:
        told = self.client().info()
        info = ServerInfo(
            name=str(told.get("server_name") or "redis"),
            version=str(told.get("valkey_version") or told.get("redis_version") or "unknown"),
            policy=str(told.get("maxmemory_policy", "unknown")),
        )
        numbers = [int(part) if part.isdecimal() else 0 for part in info.version.split(".")[:2]]
        if info.name == "redis" and tuple(numbers) < OLDEST_REDIS:
            raise ServerUnavailable(
                f"the server at {self.label} is Redis {info.version}: TempoTask needs Redis 7.0 or newer, or Valkey; "
                f"upgrade it, or {OTHERWISE}"
            )
        if told.get("cluster_enabled"):
            cluster = self.client().execute_command("CLUSTER INFO")  # type: ignore[no-untyped-call]
            nodes = int(cluster.get("cluster_size", 1))
            if nodes > 1:
                raise ServerUnavailable(
                    f"the server at {self.label} is a cluster of {nodes} nodes, which TempoTask does not support yet: "
                    f"{OTHERWISE}"
                )
        return info


def resolve(db: str | redis.Redis | None = None, *, connect_timeout: float = 10.0) -> Server:
    """The server that `db` names, else `$TEMPOTASK_DB`, else the embedded one, which starts at the first use."""
    if db is None:
        db = os.environ.get("TEMPOTASK_DB") or None
    return Server(db, connect_timeout=connect_timeout)


def _refused_by_sentinel(error: redis.RedisError) -> bool:
    """Whether those that know the master do not tell us, for want of a password. The library gives it as text."""
    return isinstance(error, MasterNotFoundError) and "AuthenticationError" in str(error)


def _in_words(error: redis.RedisError) -> str:
    """Without the objects of the library that stand in its words."""
    return re.sub(r"<redis\.client\.Redis.*?\)>\)>\)> - ", "", str(error))


def _of_the_server(error: redis.RedisError) -> bool:
    """Whether an error is about the server: a command that it does not know, say, or a database that it does not have;
    and not about our script, or a key that somebody has put in the place of ours."""
    ours = isinstance(error, wrong.NoScriptError) or "script: " in str(error) or str(error).startswith("WRONGTYPE")
    return isinstance(error, wrong.ResponseError) and not ours


def may_pass(error: redis.RedisError) -> bool:
    """Whether waiting may cure it: an outage, a server that loads or is busy or full, a master that is a replica."""
    if isinstance(error, REFUSED) or tls.trouble(error) or _refused_by_sentinel(error):
        return False
    return isinstance(error, PASSING) or str(error).startswith(PASSING_WORDS)
