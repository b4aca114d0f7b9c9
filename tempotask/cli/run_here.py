"""`tempotask run-here`: the handler of one job, in this process and in the foreground, for who debugs it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from tempotask.cli import output
from tempotask.cli.command import end, everywhere, found, opened, say
from tempotask.cli.mistakes import insist_on_folder
from tempotask.pool import threads
from tempotask.pool.leaving import output_to_error

if TYPE_CHECKING:
    from types import TracebackType

    from tempotask.inline.foreground import Foreground
    from tempotask.manager import QueueManager
    from tempotask.pool.run import Run
    from tempotask.store.records import Record
    from tempotask.store.store import Store


@click.command("run-here")
@click.argument("id")
@click.option("--app", metavar="MODULE:ATTR", help="The application; else that of a supervisor that declares the task.")
@click.option("--pdb", is_flag=True, help="If the handler fails, or at Ctrl-C, open the debugger where it was.")
@everywhere
def run_here(db: str | None, namespace: str, as_json: bool, id: str, app: str | None, pdb: bool) -> None:
    """Runs the handler of job ID in this process; nothing changes on the server.

    There is no time limit, breakpoint() works, and jobs that the handler adds are only shown. Exit status 1 if the
    handler fails.
    """
    insist_on_folder()
    # As in a worker, and before numpy is imported.
    threads.limit(os.environ)
    with ExitStack() as aside:
        if as_json:
            # What the application and the handler print is none.
            aside.enter_context(output_to_error())

        def tell(run: Run) -> None:
            aside.close()
            _tell(id, run, as_json)

        run = _run(db, namespace, id, app, pdb, tell)
    if run.status != "completed":
        raise click.exceptions.Exit(1)


def _run(db: str | None, namespace: str, id: str, app: str | None, pdb: bool, tell: Callable[[Run], object]) -> Run:
    """Runs the job and has it told what came of it, before a debugger opens."""
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
        with _foreground(manager, store) as runner:
            run = runner.run_one(record, payload)
            if runner.left or (runner.interrupted and not pdb):
                # Who presses Ctrl-C, or leaves the debugger, knows where.
                raise click.Abort
            tell(run)
            if pdb and runner.where is not None:
                _debug(runner.where)
        if runner.interrupted:
            raise click.Abort
    return run


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
        if one is not None and task in one.tasks and one.application and os.path.isdir(one.folder):
            os.chdir(one.folder)
            return one.application
    where = f"no supervisor of this machine declares {record.queue}/{record.name}"
    return end(2, f"{where}; say where it is, as in --app app:tempotask")


@contextmanager
def _foreground(manager: QueueManager[Any], store: Store) -> Iterator[Foreground]:
    from tempotask.inline.bystander import look_on
    from tempotask.inline.foreground import Foreground

    look_on(manager, store, _show_child)
    runner = Foreground(manager)
    try:
        yield runner
    finally:
        runner.loop.close()
        manager.close()


def _show_child(child: Record) -> None:
    say(f"not added: {child.queue}/{child.name} {child.id}")


def _debug(where: TracebackType) -> None:
    import pdb

    say("the debugger opens where it was: w shows the calls, u and d go up and down, q leaves")
    pdb.post_mortem(where)


def _tell(id: str, run: Run, as_json: bool) -> None:
    from tempotask.inline.stand_ins import additions
    from tempotask.store.records import plain

    for child, _, _ in additions(run.held or ()):
        _show_child(child)
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
