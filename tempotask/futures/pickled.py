"""Pickled and signed: what a call brings that plain data can't say, from programs that hold a key.

A pickle can do anything when it is loaded. So it is loaded only where two things were chosen: the supervisor was told
`--allow-pickle`, and both ends have the same key in `$TEMPOTASK_PICKLE_KEY`. What has no signature made with that key
is never loaded. A signature covers what the bytes are for, too: a result can't pass as a call.
"""

from __future__ import annotations

import hmac
import os
import secrets

from tempotask import arrays
from tempotask.arrays import Sender
from tempotask.errors import InvalidOptions, InvalidPayload

KEY = "TEMPOTASK_PICKLE_KEY"
"""The variable that holds the key."""
ALLOWED = "TEMPOTASK_ALLOW_PICKLE"
"""The variable by which a supervisor tells its workers that they may load pickles."""
SHORTEST = 16
"""Characters of a key, at least."""
_SIZE = 32


def new_key() -> str:
    """A key that nobody else has."""
    return secrets.token_hex(32)


def given_key() -> str:
    """The key of the environment; empty if there is none.

    Raises:
        InvalidOptions: one that is too short to keep anybody out.
    """
    key = os.environ.get(KEY, "")
    if key and len(key) < SHORTEST:
        raise InvalidOptions(
            f"${KEY} has {len(key)} characters, and needs at least {SHORTEST}; make one: "
            "python -c 'import secrets; print(secrets.token_hex(32))'"
        )
    return key


def allow(yes: bool) -> None:
    """Says for this process, and for those that it starts, whether pickles may be loaded.

    Raises:
        InvalidOptions: there is no key by which to tell whose they are.
    """
    os.environ.pop(ALLOWED, None)
    if yes:
        if not given_key():
            raise InvalidOptions(f"--allow-pickle needs the key that the programs sign with: set ${KEY}")
        os.environ[ALLOWED] = "1"


def allowed() -> bool:
    """Whether this process may load pickles."""
    return os.environ.get(ALLOWED) == "1"


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
