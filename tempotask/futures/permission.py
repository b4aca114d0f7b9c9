"""Whether pickles may be loaded, and the key that says whose they are.

A pickle can do anything when it is loaded. So it is loaded only where two things were chosen: the supervisor was told
`--allow-pickle`, and both ends have the same key in `$TEMPOTASK_PICKLE_KEY`.
"""

from __future__ import annotations

import os

from tempotask.errors import InvalidOptions

KEY = "TEMPOTASK_PICKLE_KEY"
"""The variable that holds the key."""
ALLOWED = "TEMPOTASK_ALLOW_PICKLE"
"""The variable by which a supervisor tells its workers that they may load pickles."""
SHORTEST = 16
"""Characters of a key, at least."""


def new_key() -> str:
    """A key that nobody else has."""
    return os.urandom(32).hex()


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
