"""Rights: what a user of the server must be allowed, and what the one that we are lacks.

docs/security.md has the whole rule. Of its commands, those that scripts call are asked about before anything is changed
(rights.lua); a missing one of the others shows when it is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from redis import exceptions as wrong

PAGE = "docs/security.md has the whole rule"


def refused(error: wrong.RedisError) -> bool:
    """Whether the server says that our user may not do that, by itself or in a script."""
    return isinstance(error, wrong.NoPermissionError) or bool(
        # Within a script it is an error like any other: in the words of newer servers, and of Redis 7.0.
        re.match(r"(NOPERM )?ACL failure|The user executing the script", str(error))
    )


def missing(error: wrong.RedisError) -> str:
    """What the rule lacks, by the words of a refusal; spelt as in a rule."""
    command = re.search(r"run the '([^']+)'", str(error))
    if command:
        return f"+{command[1].lower()}"
    return "~{namespace}:*" if " access " in str(error) else "a command"


def without_name(error: wrong.RedisError) -> str:
    """An error of the server as it may stand in a log: a refusal names our user."""
    return f"our user's ACL rule lacks {missing(error)} ({PAGE})" if refused(error) else str(error)


def told(label: str, lacking: Iterable[str], otherwise: str) -> str:
    """The line for people. `lacking`: as rights.lua replies."""
    lacking = list(lacking)
    if off := [word[1:].upper() for word in lacking if word.startswith("!")]:
        return (
            f"the server at {label} has no {', '.join(off)}, which TempoTask needs: take that out of rename-command in "
            f"its configuration, or {otherwise}"
        )
    return (
        f"our user may not do all that is needed on the server at {label}: its ACL rule lacks {' '.join(lacking)} "
        f"({PAGE}); add that, or {otherwise}"
    )
