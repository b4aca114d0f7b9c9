"""What a killed command has left in the namespace of a map."""

from __future__ import annotations

from tempotask.cli.mapping import span
from tempotask.store.store import Store
from tempotask.store.values import text


def left_behind(store: Store) -> dict[int, tuple[int, str]]:
    """The spans that a killed command has left, waiting or answered: first index -> how many inputs, and the id."""
    # In this order: what ends meanwhile goes from the one to the others.
    ids = store.read("HKEYS", "ids")
    for bucket in store.read("ZRANGE", "buckets", 0, -1):
        ids += store.read("HKEYS", f"outcomes:{text(bucket)}")
    found: dict[int, tuple[int, str]] = {}
    for id in map(text, ids):
        if (place := span.place(id)) is not None:
            first, count = place
            # Of two that begin there the longer one was answered in part.
            if first not in found or found[first][0] < count:
                found[first] = count, id
    return found
