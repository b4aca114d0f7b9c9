"""How queues, tasks, namespaces and ids are spelt."""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Iterable, Mapping

from tempotask.errors import InvalidName

_NAME = re.compile(r"[A-Za-z0-9._\-:/]{1,200}")
_AUTOMATIC = re.compile(r"0[0-9a-z]{14}(-\d+)+")
"""The 0 is the first digit of the time, in milliseconds since 1970 to the base of 36: it is one until 2059."""


def check_name(kind: str, value: object) -> str:
    """`value`, if it is spelt as the name of a `kind` ("queue", "task", "namespace"); else `InvalidName`."""
    if isinstance(value, str) and _NAME.fullmatch(value):
        return plain(value)
    raise InvalidName(f"{kind} {short(value)}: a name is 1 to 200 ASCII letters, digits and . _ - : /")


def check_id(value: object) -> str:
    """`value`, if a user may call a job so; else `InvalidName`."""
    if not (isinstance(value, str) and 0 < len(value) <= 200 and value.isprintable() and " " not in value):
        raise InvalidName(f"id {short(value)}: an id is a str of 1 to 200 printable characters without spaces")
    if is_automatic(value):
        raise InvalidName(
            f"id {value!r} looks like an automatic one; put a word in front of it, or to run that job again retry it"
        )
    return plain(value)


def check_sought(value: object) -> str:
    """`value`, if a job may be called so; else `InvalidName`. Whether it is well chosen is not asked."""
    if isinstance(value, str) and value:
        # Half of a character, which a command line may hold, can't be sent.
        with contextlib.suppress(UnicodeEncodeError):
            value.encode()
            return plain(value)
    raise InvalidName(f"id {short(value)}: give the id of a job, a str")


def plain(value: str) -> str:
    """The characters alone of what may be a member of an enum, or of some other class of texts."""
    return value if type(value) is str else str.__str__(value)


def is_automatic(id: str) -> bool:
    """Whether an id was made by us: users may not give such."""
    return _AUTOMATIC.fullmatch(id) is not None


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Which of those known may have been meant, if one is near."""
    return next(iter(difflib.get_close_matches(name, list(known), 1)), None)


def unknown(what: str, name: str, known: Iterable[str], meant: Mapping[str, str] = {}) -> str:
    """One line for the name of a `what` that is none of those known. `meant`: what others call so."""
    known = list(known)
    near = meant[name] if meant.get(name) in known else nearest(name, known)
    hint = f"did you mean {near!r}?" if near else f"there are {', '.join(known)}"
    return f"there is no {what} {name!r}; {hint}"


def short(value: object) -> str:
    """A value as messages show it."""
    try:
        shown = repr(value)
    except Exception:
        # An int may have more digits than Python writes down.
        shown = "a huge int" if type(value) is int else f"a {type(value).__name__} that can't be shown"
    return shown if len(shown) <= 80 else shown[:60] + "…"
