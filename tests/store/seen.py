"""All that the server holds of a namespace, at one moment."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from tempotask.store.store import Store

LOOK = """#!lua flags=no-writes
local all, keys, call, cursor = {}, {}, redis.call, '0'
repeat
  local reply = call('SCAN', cursor, 'MATCH', ARGV[1], 'COUNT', 1000)
  cursor = reply[1]
  for _, key in ipairs(reply[2]) do keys[#keys + 1] = key end
until cursor == '0'
for i, key in ipairs(keys) do
  local kind, value = call('TYPE', key).ok, nil
  if kind == 'list' then value = call('LRANGE', key, 0, -1)
  elseif kind == 'hash' then value = call('HGETALL', key)
  elseif kind == 'zset' then value = call('ZRANGE', key, 0, -1, 'WITHSCORES')
  elseif kind == 'set' then value = call('SMEMBERS', key)
  elseif kind == 'stream' then value = call('XREVRANGE', key, '+', '-')
  else value = call('GETRANGE', key, 0, 40) end
  all[i] = { key, kind, value }
end
return all
"""


class Seen:
    """The keys of a namespace, without their prefix."""

    def __init__(self, store: Store) -> None:
        self.keys: dict[str, Any] = {}
        client, cut = store.server.client(), len(store.prefix)
        for key, kind, value in client.register_script(LOOK)(keys=[store.ring], args=[f"{store.prefix}*"]):
            if kind == b"hash":
                value = {value[i].decode(): value[i + 1] for i in range(0, len(value), 2)}
            elif kind == b"zset":
                value = {value[i]: float(value[i + 1]) for i in range(0, len(value), 2)}
            self.keys[key[cut:].decode()] = value

    def get(self, key: str, otherwise: Any) -> Any:
        return self.keys.get(key, otherwise)

    def under(self, start: str) -> Iterator[tuple[str, Any]]:
        """The keys that begin so, without that beginning."""
        return ((key[len(start) :], value) for key, value in self.keys.items() if key.startswith(start))


def opened(sheet: bytes) -> Iterator[tuple[str, bytes]]:
    """The ids and outcomes of a sheet, read by its description."""
    number, size = struct.unpack_from(">II", sheet)
    at = len(sheet) - size
    ids, lengths = msgspec.msgpack.decode(b"\x92" + sheet[8:at])
    assert (len(ids), len(lengths), sum(lengths)) == (number, number, size)
    for id, length in zip(ids, lengths, strict=True):
        yield id, sheet[at : at + length]
        at += length


def news(told: Sequence[bytes]) -> Iterator[bytes]:
    """What a client was told, job by job: some of it comes in sheets."""
    for part in told:
        if part.startswith(b"\0"):
            yield from (b"%s %s" % (id.encode(), outcome) for id, outcome in opened(part))
        else:
            yield part
