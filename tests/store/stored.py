"""A namespace in a file: one key a line, with its kind, its elements and when it expires. Any server can read it, which
is not so of what DUMP gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tempotask.store.reading import scores
from tempotask.store.store import Store

READ = {
    "string": ("GET",),
    "list": ("LRANGE", 0, -1),
    "set": ("SMEMBERS",),
    "hash": ("HGETALL",),
    "zset": ("ZRANGE", 0, -1, "WITHSCORES"),
}
WRITE = {"string": "SET", "list": "RPUSH", "set": "SADD", "hash": "HSET", "zset": "ZADD"}


def save(store: Store, path: Path) -> None:
    """Writes all that the namespace holds."""
    client = store.server.client()
    lines = []
    for key in sorted(client.scan_iter(f"{store.prefix}*")):
        kind = client.type(key).decode()
        command, *rest = READ[kind]
        elements = [_word(element) for element in _flat(client.execute_command(command, key, *rest), kind)]
        name = key.decode().removeprefix(store.prefix)
        lines.append(json.dumps({"key": name, kind: elements, "expires": client.pttl(key)}, ensure_ascii=True))
    path.write_text("\n".join(lines) + "\n")


def load(store: Store, path: Path) -> None:
    """Makes the namespace, which is empty, hold what the file says."""
    client = store.server.client()
    for line in path.read_text().splitlines():
        told: dict[str, Any] = json.loads(line)
        name, expires = f"{store.prefix}{told.pop('key')}", told.pop("expires")
        ((kind, elements),) = told.items()
        client.execute_command(WRITE[kind], name, *(element.encode("latin-1") for element in elements))
        if expires > 0:
            client.pexpire(name, expires)


def _flat(reply: Any, kind: str) -> list[Any]:
    """The elements as the command that writes takes them: of a sorted set each behind its score."""
    if kind == "string":
        return [reply]
    if isinstance(reply, dict):
        return [part for pair in reply.items() for part in pair]
    if kind == "zset":
        return [part for member, score in scores(reply) for part in (repr(score), member)]
    return list(reply)


def _word(element: Any) -> str:
    return (element if isinstance(element, bytes) else str(element).encode()).decode("latin-1")
