"""Messages as they go over the wire, as far as a proxy must know them: where one ends, and which script it calls."""

from __future__ import annotations

from tempotask.store.script import SCRIPTS

SCRIPT_NAMES = {script.sha: name for name, script in SCRIPTS.items()}
AGGREGATES, PAIRS, BLOBS = b"*~>", b"%|", b"$=!"


class Frames:
    """Cuts what arrives into whole messages, requests or replies."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._at = 0
        """Where the next part of the message begins."""
        self._left = 1
        """How many parts it has still to come."""

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are whole now."""
        buffer, whole = self._buffer, []
        buffer += data
        at, left = self._at, self._left
        while (end := buffer.find(b"\r\n", at)) >= 0:
            kind, after = buffer[at], end + 2
            if kind in AGGREGATES or kind in PAIRS:
                left += max(0, int(buffer[at + 1 : end])) * (2 if kind in PAIRS else 1)
            elif kind in BLOBS and (size := int(buffer[at + 1 : end])) >= 0:
                after += size + 2
                if len(buffer) < after:
                    break
            at, left = after, left - 1
            if left == 0:
                whole.append(bytes(buffer[:at]))
                del buffer[:at]
                at, left = 0, 1
        self._at, self._left = at, left
        return whole


def name_of(request: bytes) -> str:
    """The script that a request calls; of other requests the command, in capitals."""
    words = request[:200].split(b"\r\n", 5)
    if len(words) < 3 or not request.startswith(b"*"):
        return request[:20].decode("latin1")
    command = words[2].decode("latin1").upper()
    if command == "EVALSHA" and len(words) > 4:
        return SCRIPT_NAMES.get(words[4].decode("latin1"), command)
    return command
