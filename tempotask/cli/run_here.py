"""`tempotask run-here`: the handler of one job, in this process and in the foreground, for who debugs it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from tempotask.cli import output
from tempotask.cli.command import end, everywhere, found, opened, say

if TYPE_CHECKING:
    from tempotask.manager import QueueManager
    from tempotask.pool.run import Run
    from tempotask.store.records import Record
    from tempotask.store.store import Store


@click.command("run-here")
@click.argument("id")
@click.option("--app", metavar="MODULE:ATTR", help="The application; else that of a supervisor that declares the task.")
@everywhere
def run_here(db: str | None, namespace: str, as_json: bool, id: str, app: str | None) -> None:
    """Runs the handler of job ID in this process; nothing changes on the server.

    There is no time limit, breakpoint() works, and jobs that the handler adds are only shown. Exit status 1 if the
    handler fails.
    """
    manager = _load(app) if app else None
    if manager is not None:
        db = db or manager.describe().db
        source = click.get_current_context().get_parameter_source("namespace")
        namespace = manager.namespace if source is ParameterSource.DEFAULT else namespace
    with opened(db, namespace) as store:
        record, payload = _job(store, id)
        target = app or _declared(store, record)
        manager = manager or _load(target)
        if (record.queue, record.name) not in manager.tasks:
            known = ", ".join(sorted(f"{queue}/{name}" for queue, name in manager.tasks)) or "nothing"
            end(2, f"{target} has no task {record.name!r} in queue {record.queue!r}; it declares {known}")
        say(f"running job {id} ({record.queue}/{record.name}) of {target} here; nothing changes on the server")
        run = _run(manager, store, record, payload)
    _tell(id, run, as_json)


def _load(target: str) -> QueueManager[Any]:
    from tempotask.pool import application

    try:
        manager: Any = application.load(target)
    except application.LoadError as error:
        for line in error.traceback.splitlines():
            say(line)
        end(2, error.summary)
    loaded: QueueManager[Any] = manager
    return loaded


def _job(store: Store, id: str) -> tuple[Record, bytes]:
    """A job that the server knows, and its payload."""
    from tempotask.store.records import flag, payload_key

    where = f"namespace {store.namespace} at {store.server.label}"
    record = found(store, id).record
    if record is None:
        end(1, f"of job {id} only its outcome is left in {where}; enqueue one like it and run that")
    payload: bytes | None = bytes(record.payload)
    if flag(record, "p"):
        payload = store.read("GET", payload_key(record))
    if payload is None or flag(record, "g"):
        end(1, f"the data of job {id} was let go when it completed; enqueue one like it and run that")
    return record, payload


def _declared(store: Store, record: Record) -> str:
    """The application of a supervisor that declares the job's task. Its folder becomes the working directory."""
    from tempotask.store.records import read_registration

    task = (record.queue, record.name)
    for told in store.registrations().values():
        one = read_registration(told)
        if one is not None and task in one.tasks and one.application and Path(one.folder).is_dir():
            os.chdir(one.folder)
            return one.application
    where = f"no supervisor of this machine declares {record.queue}/{record.name}"
    return end(2, f"{where}; say where it is, as in --app app:tempotask")


def _run(manager: QueueManager[Any], store: Store, record: Record, payload: bytes) -> Run:
    from msgspec import Raw, structs

    from tempotask.inline.bystander import look_on
    from tempotask.inline.stand_ins import NoBlock, additions
    from tempotask.pool.run import Hand
    from tempotask.pool.runner import Runner
    from tempotask.store.records import Batch

    def note(child: Record) -> None:
        say(f"not added: {child.queue}/{child.name} {child.id}")

    look_on(manager, store, note)
    block = NoBlock()
    runner = Runner(manager, block, lambda queue, name: False, lambda: None)
    # As a worker gets it, but for what has happened to it so far.
    record = structs.replace(record, flags="", payload=Raw(payload))
    hand = Hand(Batch("1", 1, [record], {}), len(payload))
    block.begin(1, 1)
    try:
        runner.run_batch(hand, lambda: None)
    finally:
        runner.close()
        manager.close()
    (run,) = hand.runs
    if run.failure is not None and run.failure.type == "KeyboardInterrupt":
        # Who presses Ctrl-C knows where.
        raise click.Abort
    for child, _, _ in additions(run.held or ()):
        note(child)
    return run


def _tell(id: str, run: Run, as_json: bool) -> None:
    from tempotask.store.records import plain

    failure, completed = run.failure, run.status == "completed"
    result = plain(run.result) if completed else None
    logs = [{"at": at, "message": message} for at, message in map(plain, run.lines or ())]
    if as_json:
        told: dict[str, Any] = {"id": id, "status": "completed" if completed else "failed", "result": result}
        told |= {"run_seconds": run.ended - run.started, "logs": logs}
        if failure is not None:
            told |= {"error": f"{failure.type}: {failure.message}", "traceback": failure.traceback}
        output.print_json(told)
    else:
        for line in logs:
            say(f"logged: {output.text(line['message'])}")
        if completed:
            output.print_line(output.text(result))
        elif failure is not None:
            for text in failure.traceback.splitlines() or [f"{failure.type}: {failure.message}"]:
                say(text)
    sys.stdout.flush()
    if not completed:
        raise click.exceptions.Exit(1)
