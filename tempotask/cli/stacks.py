"""`tempotask stacks`: where every worker is in its code right now."""

from __future__ import annotations

import functools
import itertools
import os
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, cast

import click

from tempotask.cli import output
from tempotask.cli.command import end, everywhere, opened, say

if TYPE_CHECKING:
    from tempotask.pool.stacks import Answer, Stack
    from tempotask.store.store import Store

ANSWERS_WITHIN = 2.0
"""Seconds for which supervisors are waited for."""
OWN_CODE = "/tempotask/pool/runner.py"
"""Below it a stack is ours, and the same for every job."""


@click.command()
@everywhere
def stacks(db: str | None, namespace: str, as_json: bool) -> None:
    """Shows where every worker is in its code, the innermost call first."""
    with opened(db, namespace) as store:
        supervisors = sorted(store.registrations())
        if not supervisors:
            end(1, f"no supervisor works in namespace {namespace} at {store.server.label}")
        answers = ask(store, supervisors)
    for answer in answers:
        for stack in answer.workers:
            if as_json:
                output.print_json({"supervisor": answer.supervisor, "host": answer.host, **_fields(stack)})
            else:
                _show(answer, stack)
    silent = set(supervisors) - {answer.supervisor for answer in answers}
    for supervisor in sorted(silent):
        say(f"supervisor {supervisor} did not answer within {ANSWERS_WITHIN:.0f} s; `tempotask server` shows its lease")
    if silent:
        raise click.exceptions.Exit(1)


def ask(store: Store, supervisors: list[str], patience: float = ANSWERS_WITHIN) -> list[Answer]:
    """Asks all supervisors. Returns the answers that came in so many seconds."""
    import msgspec

    from tempotask.pool.stacks import Answer
    from tempotask.store.records import UNREADABLE

    key = f"stacks:{os.urandom(8).hex()}"
    client, patiently = store.server.client(), store.server.patiently
    orders = [f"orders:{supervisor}" for supervisor in supervisors]
    patiently(lambda: store.notify(orders, f"stacks {key}"))
    # Who was told twice, as a reply was lost, answers twice.
    answers, until = dict[str, Answer](), time.monotonic() + patience
    while len(answers) < len(supervisors) and (left := until - time.monotonic()) > 0:
        wait = max(0.01, min(0.5, left))
        told = patiently(functools.partial(client.blpop, [store.prefix + key], timeout=wait))
        if told:
            try:
                answer = msgspec.msgpack.decode(cast(bytes, told[1]), type=Answer)
                answers[answer.supervisor] = answer
            except UNREADABLE as error:
                say(f"an answer that this version can't read is left out: {error}")
    patiently(lambda: client.delete(store.prefix + key))
    return [answers[supervisor] for supervisor in sorted(answers)]


def _fields(stack: Stack) -> dict[str, object]:
    return {name: getattr(stack, name) for name in stack.__struct_fields__}


def _show(answer: Answer, stack: Stack) -> None:
    job = f"job {stack.id} ({stack.queue}/{stack.name})" if stack.id else stack.state
    output.print_line(f"worker {stack.worker} (pid {stack.pid} on {answer.host}): {job}")
    if stack.stack is None:
        _indented("it could not be asked: it is starting, or it is stopped")
        return
    if stack.state != "idle":
        for line in _shortened(stack.awaits.splitlines() if stack.awaits else _without_ours(stack)):
            _indented(line)


def _without_ours(stack: Stack) -> Iterator[str]:
    for line in (stack.stack or "").splitlines()[1:]:
        if stack.id and OWN_CODE in line:
            return
        yield line


def _shortened(lines: Iterable[str]) -> Iterator[str]:
    """Of a line that comes again and again, as in a recursion, one, and how often."""
    for line, same in itertools.groupby(line.strip() for line in lines):
        yield line
        if more := len(list(same)) - 1:
            yield f"(and {more} times more)"


def _indented(line: str) -> None:
    with output.reader_may_leave():
        click.echo(f"  {output.visible(line)}")
