"""What a handler raises or returns and nobody can do much with."""

from __future__ import annotations

import sys
from typing import Any, NoReturn

from tempotask import Job
from torture.nasty.handler import nasty


class Unspeakable(Exception):
    """Nothing can be asked of it."""

    def __str__(self) -> str:
        return str(self)

    def __repr__(self) -> str:
        return repr(self)


class Liar(Exception):
    """Says that it is something else, and fails even at that."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


class Exiting(Exception):
    def __str__(self) -> str:
        sys.exit("while it was asked for its text")


def _named(name: str, module: object) -> Exception:
    kind = type("Named", (Exception,), {"__module__": module})
    kind.__qualname__ = name
    error: Exception = kind("odd")
    return error


@nasty
def raises(job: Job[str]) -> NoReturn:
    match job.data:
        case "surrogates":
            raise ValueError("\ud800\udfff\0")
        case "long":
            raise ValueError("x" * (64 << 20))
        case "strange name":
            raise _named("\ud800 \n\0", 7)
        case "long name":
            raise _named("N" * (16 << 20), "nasty")
        case "unspeakable":
            raise Unspeakable
        case "liar":
            raise Liar
        case "exiting":
            raise Exiting
        case "chain":
            error: BaseException = ValueError("0")
            for n in range(20_000):
                after = ValueError(str(n))
                after.__cause__ = error
                error = after
            raise error
        case "group":
            raise BaseExceptionGroup("many", [ValueError("\ud800"), SystemExit(3), Unspeakable()])
        case "circle":
            first, second = ValueError("first"), ValueError("second")
            first.__cause__, second.__cause__ = second, first
            raise first
    raise AssertionError(job.data)


@nasty
def returns(job: Job[str]) -> Any:
    circle: list[Any] = []
    match job.data:
        case "object":
            return object()
        case "circle":
            circle.append(circle)
            return circle
        case "deep":
            for _ in range(100_000):
                circle = [circle]
            return circle
        case "surrogates":
            return "\ud800"
        case "large":
            return bytes(9 << 20)
        case "key":
            return {("a", object()): 1}
        case "number":
            return 1 << 70
        case "generator":
            return (n for n in range(3))
        case "exception":
            return Unspeakable()
    raise AssertionError(job.data)
