"""What a URL of a server may say, what it shows, and what of a client becomes one."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import redis
from redis.sentinel import Sentinel, SentinelConnectionPool

from tempotask.errors import InvalidOptions
from tempotask.store.connect import Server, resolve

LIMIT = 60.0


@pytest.mark.parametrize(
    ("url", "label"),
    [
        ("redis://user:p%40ss@host:1/2", "redis://host:1/2"),
        ("rediss://:secret@host", "rediss://host:6379/0"),
        ("valkey://host", "valkey://host:6379/0"),
        ("valkeys://host/1", "valkeys://host:6379/1"),
        ("redis://[::1]/3", "redis://[::1]:6379/3"),
        ("unix:///a%20b.sock?db=3&password=secret", "unix:///a%20b.sock?db=3"),
        ("redis+sentinel://user:secret@a,b:99/main/2", "redis+sentinel://a:26379,b:99/main/2"),
        (" redis://host \n", "redis://host:6379/0"),
    ],
)
def test_a_label_shows_where_the_server_is_and_no_password(url: str, label: str) -> None:
    server = Server(url)
    assert server.label == label
    assert server.url == url.strip()


@pytest.mark.parametrize(
    "url",
    [
        *(
            "localhost:6379",
            "http://host",
            "redis://host/name",
            "redis://host:99999",
            "unix://host/path",
            "unix://",
        ),
        *(
            "redis://:se/cret@host",
            "redis://:se#cret@host",
            "redis://:secret@host:port",
            "redis://user:secret@host/0/1",
        ),
        *("redis://:secret@a..b", "redis://:secret@.local", f"redis://:secret@{'a' * 70}", "redis://:secret@x\udcff"),
        *("redis//user:secret@host", "redis://host/x?password=secret", "redis+sentinel://:secret@host"),
    ],
)
def test_a_wrong_url_is_refused_by_an_example_of_a_right_one_that_shows_no_password(url: str) -> None:
    with pytest.raises(InvalidOptions, match="redis://user:password@host:6379/0") as told:
        Server(url)
    assert "\n" not in str(told.value)
    assert "cret" not in str(told.value)


def test_an_empty_url_may_be_a_variable_that_is_not_set() -> None:
    with pytest.raises(InvalidOptions, match="is empty: is the variable set"):
        Server(" ")


def test_an_unknown_setting_in_a_url_is_named() -> None:
    with pytest.raises(InvalidOptions, match="no connection has a setting 'timeot'"):
        Server("redis://host?timeot=3")


def test_a_setting_that_is_an_object_is_not_taken_from_a_url() -> None:
    with pytest.raises(InvalidOptions, match=r"a URL can't say event_dispatcher; give a redis\.Redis"):
        Server("redis://localhost/0?event_dispatcher=x")


def test_what_is_neither_a_url_nor_a_client_is_refused() -> None:
    with pytest.raises(InvalidOptions, match=r"not a redis\.asyncio\.client\.Redis"):
        Server(redis.asyncio.Redis())  # type: ignore[arg-type]


def test_the_server_is_what_was_given_else_the_environments_else_the_embedded(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(short_path)
    assert resolve(None).label == f"{short_path.resolve()}/.tempotask (embedded)"
    assert not (short_path / ".tempotask").exists(), "the first use opens it, not the name"
    monkeypatch.setenv("TEMPOTASK_DB", "redis://there")
    assert resolve(None).label == "redis://there:6379/0"
    assert resolve("redis://given").label == "redis://given:6379/0"


@pytest.mark.parametrize(
    ("client", "url"),
    [
        (redis.Redis(), "redis://localhost:6379/0"),
        (redis.Redis("h", 7, 3, "p/@:"), "redis://:p%2F%40%3A@h:7/3"),
        (redis.Redis("h", username="u", password="p", client_name="a b"), "redis://u:p@h:6379/0?client_name=a+b"),
        (redis.Redis(unix_socket_path="/a b", db=2, password="p"), "unix://:p@/a%20b?db=2"),
        (redis.Redis("h", ssl=True, ssl_ca_certs="/ca"), "rediss://h:6379/0?ssl_ca_certs=%2Fca"),
        (redis.Redis("h", ssl=True, ssl_cert_reqs=None), "rediss://h:6379/0?ssl_cert_reqs=none"),
        (redis.Redis("h", ssl=True, ssl_cert_reqs=ssl.CERT_NONE), "rediss://h:6379/0?ssl_cert_reqs=none"),
        (
            Sentinel([("a", 1), ("b", 2)], sentinel_kwargs={"password": "q"}).master_for("main", password="p", db=3),
            "redis+sentinel://:p@a:1,b:2/main/3?sentinel_password=q",
        ),
    ],
)
def test_a_clients_settings_become_a_url_that_says_the_same(client: redis.Redis, url: str) -> None:
    server = Server(client)
    assert server.url == url
    assert server.why_not_handed_over == ""
    again = Server(url)
    assert again.label == server.label
    ours, theirs = (dict(each.client().connection_pool.connection_kwargs) for each in (again, server))
    for name in ("host", "port", "path", "db", "username", "password", "client_name", "ssl_ca_certs"):
        assert ours.get(name) == theirs.get(name) or not (ours.get(name) or theirs.get(name)), name


def test_sentinels_that_speak_tls_are_asked_by_tls() -> None:
    given = Sentinel([("a", 1)], sentinel_kwargs={"ssl": True, "ssl_ca_certs": "/ca", "password": "q"}).master_for(
        "main"
    )
    pool = Server(given).client().connection_pool
    assert isinstance(pool, SentinelConnectionPool)
    (watcher,) = pool.sentinel_manager.sentinels
    assert watcher.connection_pool.connection_class is redis.SSLConnection
    settings = watcher.connection_pool.connection_kwargs
    assert (settings["ssl_ca_certs"], settings["password"]) == ("/ca", "q")


def test_a_client_that_no_url_can_describe_works_here_and_says_why_not_elsewhere(
    server_url: str, namespace: str
) -> None:
    class Special(redis.UnixDomainSocketConnection):
        pass

    path = redis.connection.parse_url(server_url).get("path")
    if path is None:
        pytest.skip("the test's server is not on a unix socket")
    given = redis.Redis(connection_pool=redis.ConnectionPool(connection_class=Special, path=path))
    server = Server(given)
    assert server.url is None
    assert server.why_not_handed_over == "the connection class Special"
    assert server.client().set(f"{{{namespace}}}:x", 1)
    assert isinstance(server.connection(timeout=LIMIT), Special)
    server.close()


def test_a_credential_provider_is_named_as_what_cant_be_handed_over() -> None:
    provider = redis.UsernamePasswordCredentialProvider("user", "secret")
    server = Server(redis.Redis("h", credential_provider=provider))
    assert server.url is None
    assert server.why_not_handed_over == "credential_provider"
    assert server.client().connection_pool.connection_kwargs["credential_provider"] is provider


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("socket_timeout=-1", r"socket_timeout=-1 in a server's URL: give seconds, more than 0"),
        ("socket_connect_timeout=0", r"socket_connect_timeout=0 in a server's URL: give seconds, more than 0"),
        ("ssl_keyfile=key.pem", "ssl_keyfile in a server's URL is of no use alone: give ssl_certfile, too"),
        ("socket_keepalive_options=5", "a URL can't say socket_keepalive_options"),
    ],
)
def test_settings_that_no_connection_can_be_made_with_are_refused_where_they_are_given(setting: str, says: str) -> None:
    with pytest.raises(InvalidOptions, match=says):
        Server(f"rediss://localhost/0?{setting}")
