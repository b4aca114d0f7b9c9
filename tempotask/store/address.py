"""Where a server is: what a URL, or somebody's `redis.Redis`, says about reaching it.

The settings that decide how we talk are ours, whatever was given: bytes in and out, RESP2, no retries inside the
library. A retry that it makes on its own could run a script twice, or wait for a list that has another name by now.
"""

from __future__ import annotations

import inspect
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.connection import (
    AbstractConnection,
    Connection,
    ConnectionPool,
    SSLConnection,
    UnixDomainSocketConnection,
    parse_url,
)
from redis.retry import Retry
from redis.sentinel import (
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)

from tempotask.errors import InvalidOptions
from tempotask.names import short
from tempotask.store.interrupts import Packer, whole

SCHEMES = {"redis": "redis", "rediss": "rediss", "valkey": "redis", "valkeys": "rediss", "unix": "unix"}
SENTINEL_SCHEMES = {"redis+sentinel": "redis", "rediss+sentinel": "rediss"}
SENTINEL_PORT = 26379
PLENTY = 1 << 31  # connections: a thread must wait for its answer, never be refused one

_QUIET: dict[str, Any] = (
    {"driver_info": None}  # no CLIENT SETINFO, two commands less a connection; named differently before redis 7.2
    if "driver_info" in inspect.signature(AbstractConnection.__init__).parameters
    else {"lib_name": None, "lib_version": None}
)
OURS: dict[str, Any] = {
    "decode_responses": False,
    "encoding": "utf-8",
    "encoding_errors": "strict",
    "health_check_interval": 0,
    "protocol": 2,
    "retry": Retry(NoBackoff(), 0),
    **_QUIET,
}
# Idle for 30 s, then three questions: a peer that vanished is noticed within the minute.
KEEPALIVE = {
    option: seconds
    for name, seconds in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
    if (option := getattr(socket, name, None)) is not None
}
# What a URL can carry to another process, besides where the server is.
CARRIED = {"client_name"} | {
    f"ssl_{name}"
    for name in (
        *("ca_certs", "ca_data", "ca_path", "cert_reqs", "certfile", "check_hostname"),
        *("ciphers", "keyfile", "min_version", "password"),
    )
}
# Settings that are objects of Python.
OBJECTS = {
    *("command_packer", "credential_provider", "encoder_class", "event_dispatcher", "parser_class"),
    *("maint_notifications_config", "redis_connect_func", "socket_keepalive_options", "socket_type"),
}
REACHED = {"host", "port", "path", "db", "username", "password"}
# Ours to choose: how long and how often we try, how we keep count of connections.
NEEDLESS = OURS.keys() | {
    *("cache", "cache_config", "connection_pool", "event_dispatcher", "legacy_responses", "lib_name", "lib_version"),
    *("maint_notifications_config", "max_connections", "retry_on_error", "retry_on_timeout", "socket_connect_timeout"),
    *("socket_keepalive", "socket_keepalive_options", "socket_read_size", "socket_timeout"),
}
USUAL = {
    name: parameter.default
    for make in (redis.Redis.__init__, SSLConnection.__init__)
    for name, parameter in inspect.signature(make).parameters.items()
}


@dataclass(frozen=True, slots=True)
class Address:
    """How to reach a server.

    `label` is its URL without user and password, for people; `url` the whole URL, for a child process, or None when
    that can't say it all: then `why_not_handed_over` names the settings that it can't say.
    """

    label: str
    url: str | None = field(repr=False)
    kind: type[Any]
    settings: Mapping[str, Any] = field(repr=False)
    sentinels: tuple[tuple[str, int], ...] = ()
    sentinel_settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    service: str = ""
    why_not_handed_over: str = ""

    def pool(self, defaults: Mapping[str, Any], **forced: Any) -> ConnectionPool:
        """A new pool of connections, which connects to nothing yet.

        `defaults` are settings for what the address leaves open, `forced` those that hold whatever it says.
        """
        settings = {
            **defaults,
            **self.settings,
            **OURS,
            **forced,
            "max_connections": PLENTY,
            "command_packer": Packer(),
        }
        if issubclass(self.kind, Connection):
            settings = {"socket_keepalive": True, "socket_keepalive_options": KEEPALIVE, **settings}
        if not self.sentinels:
            return ConnectionPool(connection_class=whole(self.kind), **settings)
        timeout = settings.get("socket_connect_timeout")
        watching = {"socket_timeout": timeout, "socket_connect_timeout": timeout, **OURS, **self.sentinel_settings}
        watch = Sentinel(self.sentinels, sentinel_kwargs=watching)  # type: ignore[no-untyped-call]
        return SentinelConnectionPool(  # type: ignore[no-untyped-call]
            self.service, watch, connection_class=whole(self.kind), **settings
        )


def from_url(url: str) -> Address:
    """What a URL says. Raises InvalidOptions, without showing a password, when it is not a server's URL."""
    url = url.strip()
    if not url:
        raise InvalidOptions(
            "the server's URL is empty: is the variable set that it was taken from? Leave it out for $TEMPOTASK_DB, or "
            "for the embedded server"
        )
    if unsaid := sorted(OBJECTS & parse_qs(url.partition("?")[2]).keys()):
        raise InvalidOptions(f"{_shown(url)}: a URL can't say {unsaid[0]}; give a redis.Redis that is made with it")
    try:
        return _parsed(url)
    except InvalidOptions:
        raise
    except (ValueError, TypeError, redis.RedisError) as error:
        # The words of TypeError come from a signature; those of others might quote a part of a password.
        unknown = re.search(r"unexpected keyword argument '(\w+)'", str(error))
        # An @ behind the question mark: the password has a ? in it, and what looks like a setting is a part of it.
        if unknown and "@" not in url.partition("?")[2]:
            raise InvalidOptions(f"{_shown(url)}: no connection has a setting {unknown[1]!r}") from None
        raise InvalidOptions(
            f"{_shown(url)} is not a server's URL. One looks like redis://user:password@host:6379/0 "
            "(rediss:// with TLS), unix:///path/to/socket or redis+sentinel://host:26379,host:26379/service/0; "
            "in a password write %40 for @, %2F for /, %3F for ?, %23 for #, %25 for %"
        ) from None


def from_client(client: redis.Redis) -> Address:
    """Takes over the settings of somebody's client, and writes them as a URL if that can say them."""
    pool = client.connection_pool
    kind: type[Any] = pool.connection_class
    schemes: dict[type[Any], str] = {
        Connection: "redis",
        SSLConnection: "rediss",
        UnixDomainSocketConnection: "unix",
        SentinelManagedConnection: "redis+sentinel",
        SentinelManagedSSLConnection: "rediss+sentinel",
    }
    known = kind in schemes
    # Besides what people give, the library keeps things of its own among the settings, others in each version.
    settings = {
        name: value
        for name, value in pool.connection_kwargs.items()
        if name not in NEEDLESS and (name in REACHED | USUAL.keys() or not known)
    }
    if "ssl_cert_reqs" in settings and settings["ssl_cert_reqs"] is None:
        # As the library has it; a URL can't say None.
        settings["ssl_cert_reqs"] = "none"
    special = {name: value for name, value in settings.items() if value not in (None, USUAL.get(name))}
    query = {name: _written(special[name]) for name in sorted(CARRIED & special.keys())}
    lost = [name for name in special if name in USUAL.keys() - CARRIED - REACHED]
    if not known:
        lost.append(f"the connection class {kind.__name__}")
    if isinstance(settings.get("ssl_ca_data"), bytes):
        lost.append("ssl_ca_data in bytes")
    watched = _watched(pool, query, lost) if isinstance(pool, SentinelConnectionPool) else {}
    label = _label(schemes.get(kind, "redis"), settings, watched.get("sentinels", ()), watched.get("service", ""))
    return Address(
        label=label,
        url=None if lost else _with_secrets(label, settings, query),
        kind=kind,
        settings=settings,
        why_not_handed_over=", ".join(sorted(lost)),
        **watched,
    )


def _watched(pool: SentinelConnectionPool, query: dict[str, str], lost: list[str]) -> dict[str, Any]:
    """The fields of an address that lie behind a Sentinel; adds to `query` and `lost` what they need."""
    if not pool.is_master:
        raise InvalidOptions(f"a client for the replicas of {pool.service_name} can't write: give master_for(...)")
    watchers = [watcher.connection_pool for watcher in pool.sentinel_manager.sentinels]
    given = [watcher.connection_kwargs for watcher in watchers]
    access = {name: given[0][name] for name in ("username", "password") if given[0].get(name)}
    query.update({f"sentinel_{name}": value for name, value in access.items()})
    if issubclass(watchers[0].connection_class, SSLConnection):
        tls = {name: value for name, value in given[0].items() if name.startswith("ssl_") and value is not None}
        access |= {"ssl": True, **tls}
    if any(watcher.connection_class is not Connection for watcher in watchers):
        lost.append("connections to Sentinel that are not plain TCP")
    return {
        "sentinels": tuple((str(place["host"]), int(place["port"])) for place in given),
        "sentinel_settings": access,
        "service": _text(pool.service_name),
    }


def _parsed(url: str) -> Address:
    parts = urlsplit(url)
    scheme = SCHEMES.get(parts.scheme) or SENTINEL_SCHEMES.get(parts.scheme)
    path = [part for part in parts.path.split("/") if part]
    if scheme is None or parts.fragment:
        raise ValueError
    if scheme == "unix":
        if parts.hostname or not path:
            raise ValueError
        settings = _settings(url)
        kind = settings.pop("connection_class")
        kind(**settings)
        return Address(_label("unix", settings), url, kind, settings)
    access, _, hosts = parts.netloc.rpartition("@")
    sentinels: tuple[tuple[str, int], ...] = ()
    service, tls = "", scheme == "rediss"
    kind = SSLConnection if tls else Connection
    if parts.scheme in SENTINEL_SCHEMES:
        service, path = unquote(path[0]) if path else "", path[1:]
        sentinels = tuple(_host_and_port(host) for host in hosts.split(","))
        hosts = ""
        if not service or not all(host for host, _ in sentinels):
            raise ValueError
    if len(path) > 1 or (path and not path[0].isdecimal()):
        raise ValueError
    for host in [host for host, _ in sentinels] or [parts.hostname or ""]:
        # A UnicodeError, which is a ValueError, where no name can be looked up for it.
        host.encode("idna")
    netloc = f"{access}@{hosts}" if access else hosts
    plain = f"{scheme}://{netloc}/{''.join(path)}?{parts.query}"
    settings = _settings(plain)
    settings.pop("connection_class", None)
    watch = {name: settings.pop(f"sentinel_{name}", None) for name in ("username", "password")} if sentinels else {}
    kind(**{name: value for name, value in settings.items() if name != "max_connections"})
    if sentinels:
        kind = SentinelManagedSSLConnection if tls else SentinelManagedConnection
    return Address(
        label=_label(parts.scheme, settings, sentinels, service),
        url=url,
        kind=kind,
        settings=settings,
        sentinels=sentinels,
        sentinel_settings={name: value for name, value in watch.items() if value},
        service=service,
    )


def _settings(url: str) -> dict[str, Any]:
    """What the library reads in a URL. Raises InvalidOptions for what it finds to be wrong only when it connects."""
    settings: dict[str, Any] = parse_url(url)  # type: ignore[no-untyped-call]
    for name in ("socket_timeout", "socket_connect_timeout"):
        if settings.get(name) is not None and not settings[name] > 0:
            raise InvalidOptions(f"{name}={settings[name]:g} in a server's URL: give seconds, more than 0")
    if "ssl_keyfile" in settings and "ssl_certfile" not in settings:
        raise InvalidOptions("ssl_keyfile in a server's URL is of no use alone: give ssl_certfile, too")
    return settings


def _host_and_port(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    return parts.hostname or "", parts.port or SENTINEL_PORT


def _label(
    scheme: str, settings: Mapping[str, Any], sentinels: tuple[tuple[str, int], ...] = (), service: str = ""
) -> str:
    db = settings.get("db") or 0
    if "path" in settings:
        return f"unix://{quote(settings['path'])}" + (f"?db={db}" if db else "")
    hosts = sentinels or ((settings.get("host", "localhost"), settings.get("port", 6379)),)
    netloc = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in hosts)
    return f"{scheme}://{netloc}/{quote(service, safe='') + '/' if service else ''}{db}"


def _with_secrets(label: str, settings: Mapping[str, Any], query: Mapping[str, str]) -> str:
    parts = urlsplit(label)
    user, password = (quote(_text(settings.get(name) or ""), safe="") for name in ("username", "password"))
    access = f"{user}:{password}@" if user or password else ""
    wanted = {**{name: values[0] for name, values in parse_qs(parts.query).items()}, **query}
    # By hand: for unix:// with nothing before the path, urllib leaves the two slashes out.
    return f"{parts.scheme}://{access}{parts.netloc}{parts.path}" + (f"?{urlencode(wanted)}" if wanted else "")


def _text(value: Any) -> str:
    """What the library takes as bytes, too."""
    return value.decode() if isinstance(value, bytes) else str(value)


def _written(value: Any) -> str:
    """A setting as the library's URL parser reads it."""
    if (name := getattr(value, "name", "")).startswith("CERT_"):
        return str(name).removeprefix("CERT_").lower()
    return str(int(value)) if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _shown(url: str) -> str:
    """A URL for an error message: shown only when nothing in it can be a part of a password."""
    plain = re.fullmatch(r"([\w+]+://)?[\w.-]*(:\d{1,5})?(/[\w.-]*)*", url)
    if plain or not url:
        return short(url)
    scheme = re.match(r"[a-z+]+://", url)
    return f"{scheme[0]}..." if scheme else "what was given"


def without_secrets(text: str) -> str:
    """A text without what stands before the `@` of URLs in it, and without passwords in their queries."""
    if "://" not in text:
        return text
    return _QUERY.sub(r"\1…", _BEFORE_LAST_AT.sub(lambda part: _ACCESS.sub(r"\1…@", part[0]), text))


_BEFORE_LAST_AT = re.compile(r"^[^\n]*@", re.MULTILINE)
"""In each line: whatever begins there ends there, so that no look goes on to the end in vain."""
_ACCESS = re.compile(
    r"""(\w://)(?:
        [^\s"'<>/:@]*:[^\s"'<>]*          # user and password as they should be written
        | (?!                             # or with spaces and quotes in them, if it is not a host and its port
            (?:\[[\da-f:.]+\]|[\w.-]*):\d{1,5}["'>]?(?:[\s/?\#,;.)\]}:]|$)
        ) [^\s/:@]*:(?:\S*|[^@\n]*)
        | [^\s"'<>/:@]+                   # or a user alone
    )@""",
    re.VERBOSE,
)
_QUERY = re.compile(r"""([?&]\w*password=)(?:[^\s&"'<>]|["'<>](?=\w))+""")
