"""The command `tempotask server`: the server, and who works there."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from tempotask.cli import output
from tempotask.cli.command import everywhere, opened

if TYPE_CHECKING:
    from tempotask.store.store import Store


@click.command()
@everywhere
def server(db: str | None, namespace: str, as_json: bool) -> None:
    """Shows the server, and who works there."""
    with opened(db, namespace) as store:
        told = _report(store)
    output.print_json(told) if as_json else output.print_fields(_fields(told))


def _report(store: Store) -> dict[str, Any]:
    """Where the server is, what it is, what a namespace has there."""
    from tempotask.store.snapshot import names
    from tempotask.store.values import number

    who = store.server.check()
    memory = store.server.patiently(lambda: store.server.client().info("memory"))
    workers = Counter(_texts(store, "workers").values())
    leases, now = _texts(store, "leases"), store.now()
    return {
        "server": store.server.label,
        "embedded": store.server.is_embedded,
        "name": who.name,
        "version": who.version,
        "used_memory_bytes": memory["used_memory"],
        "maxmemory_bytes": memory["maxmemory"] or None,
        "maxmemory_policy": who.policy,
        "namespace": store.namespace,
        "keys": sum(1 for _ in names(store)),
        "supervisors": [
            {
                "id": id,
                "lease": "swept" if leases.get(id) == "swept" else "none" if id not in leases else "held",
                "lease_seconds": number(leases[id]) / 1000 - now if leases.get(id, "swept") != "swept" else None,
                "workers": workers[id],
                **_registration(told),
            }
            for id, told in sorted(store.registrations().items())
        ],
        "workers": sum(workers.values()),
    }


def _fields(told: dict[str, Any]) -> dict[str, Any]:
    """The same for people."""
    most = told.pop("maxmemory_bytes")
    told["memory"] = f"{told.pop('used_memory_bytes') / 2**20:.1f} MiB" + (f" of {most / 2**20:.1f}" if most else "")
    if told["maxmemory_policy"] != "noeviction":
        told["maxmemory_policy"] += ", which may throw jobs away: set maxmemory-policy to noeviction"
    supervisors = told.pop("supervisors")
    told["supervisors"] = len(supervisors)
    for supervisor in supervisors:
        seconds = supervisor["lease_seconds"]
        lease = f"lease {supervisor['lease']}"
        if seconds is not None:
            lease = f"lease for {seconds:.1f} s" if seconds > 0 else f"lease over since {-seconds:.1f} s"
        where = f"on {supervisor['host']}, pid {supervisor['pid']}, " if supervisor["host"] else ""
        workers = "1 worker" if supervisor["workers"] == 1 else f"{supervisor['workers']} workers"
        told[f"  {supervisor['id']}"] = f"{where}{workers}, {lease}"
    return told


def _texts(store: Store, name: str) -> dict[str, str]:
    from tempotask.store.values import text

    return {text(field): text(value) for field, value in store.read("HGETALL", name).items()}


def _registration(told: bytes) -> dict[str, Any]:
    """What a supervisor said of itself; nothing for one of another version."""
    from tempotask.store.records import read_registration

    said = read_registration(told)
    if said is None:
        return {"host": None, "pid": None, "started_at": None, "tasks": []}
    return {"host": said.host, "pid": said.pid, "started_at": said.started, "tasks": said.tasks}
