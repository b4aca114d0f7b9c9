"""Pickled and signed: what a call brings that plain data can't say, from programs that hold a key.

A pickle can do anything when it is loaded. What has no signature made with the key of both ends (permission.py) is
never loaded. A signature covers what the bytes are for, too: a result can't pass as a call.
"""

from __future__ import annotations

import hmac

from tempotask import arrays
from tempotask.arrays import Sender
from tempotask.errors import InvalidPayload
from tempotask.futures.permission import KEY

_SIZE = 32


class Signer:
    """Signs what goes out and checks what comes in, with one key (HMAC-SHA256)."""

    def __init__(self, key: str) -> None:
        # To take a copy of one that knows the key takes a third of the time that the key does.
        self._keyed = hmac.new(key.encode(), digestmod="sha256")

    def sign(self, body: bytes, purpose: str) -> bytes:
        """The body with its signature in front."""
        return self.signature(body, purpose) + body

    def body(self, signed: bytes, purpose: str) -> bytes:
        """The body of what was signed for this purpose.

        Raises:
            InvalidPayload: it was not, or with another key.
        """
        body = signed[_SIZE:]
        self.check(signed[:_SIZE], body, purpose)
        return body

    def check(self, signature: bytes, body: bytes, purpose: str) -> None:
        """Raises `InvalidPayload` unless that is the body's signature for this purpose."""
        if not hmac.compare_digest(signature, self.signature(body, purpose)):
            raise InvalidPayload(f"a bad signature: this was not signed with our ${KEY}, so it is not looked at")

    def signature(self, body: bytes, purpose: str) -> bytes:
        """What proves that the body was made for this purpose by who has the key."""
        made = self._keyed.copy()
        # No purpose has a zero byte in it, so that none can pass as the beginning of another's body.
        made.update(purpose.encode() + b"\0")
        made.update(body)
        return made.digest()

    def dumps(self, value: object, purpose: str, sender: Sender, job: str) -> bytes:
        """A value, pickled (as `arrays.dumps` does) and signed. Raises what its pickling raises."""
        return self.sign(arrays.dumps(value, sender, job), purpose)
