"""The awaitable twins of methods that talk to the server."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar

if TYPE_CHECKING:
    from tempotask.client import Client

P = ParamSpec("P")
R = TypeVar("R")


class HasClient(Protocol):
    """What talks to the server through a client."""

    _client: Client


S = TypeVar("S", bound=HasClient)


def twin(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], Coroutine[Any, Any, R]]:
    """The awaitable form of a method: it runs in a thread of the client's."""

    @functools.wraps(method)
    async def awaited(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self._client.apart(method, self, *args, **kwargs)

    awaited.__name__ = f"a{method.__name__}"
    awaited.__qualname__ = method.__qualname__.removesuffix(method.__name__) + awaited.__name__
    awaited.__doc__ = f"`{method.__name__}`, to be awaited."
    return awaited
