"""Every name that users were promised is there; what is still to come is refused by name."""

from __future__ import annotations

import inspect
import operator
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import pytest

import tempotask as package
from tempotask import JobOptions, Options, QueueManager
from tempotask.cli.main import cli
from tempotask.cli.supervise import command as supervisor

PUBLIC = """
    QueueManager Task Job Context JobHandle JobHandles JobInfo QueueInfo JobOptions Options Repeat Retry Event
    as_completed TempoTaskError DuplicateTask UnknownTask InvalidPayload InvalidOptions InvalidName NotImportable
    ServerUnavailable NotDurable ServerFull JobFailed JobTimeout WorkerCrashed JobCancelled JobNotFound ResultExpired
"""
ERRORS = {
    "TempoTaskError": "DuplicateTask UnknownTask InvalidPayload InvalidOptions InvalidName NotImportable "
    "ServerUnavailable ServerFull JobFailed JobCancelled JobNotFound ResultExpired",
    "JobFailed": "JobTimeout WorkerCrashed",
    "ServerUnavailable": "NotDurable",
}
TALKING = {
    "QueueManager": """
        enqueue enqueue_many publish close
        get_queues_list get_jobs get_job_by_id get_sorted_jobs
        pause_queue resume_queue pause_job_by_id resume_job_by_id toggle_pause_job_by_id
        retry_job_by_id retry_jobs cancel_job_by_id delete_job_by_id
        delete_all_jobs_by_queue delete_all_jobs_by_status delete_all_jobs delete_jobs
    """,
    "Task": "enqueue",
    "JobHandle": "status info logs result cancel",
    "JobHandles": "results",
    "Context": "enqueue publish",
}
"""What talks to the server, and has an awaitable twin."""
OTHERS = {
    "QueueManager": "init task register_job handle get_jobs_list on start join stop run __aenter__ __aexit__ __enter__",
    "Task": "map amap",
    "JobHandle": "id queue name created wait __await__",
    "Job": "id name queue data attempt priority enqueued_at parent token cancelled logger progress",
    "Context": "app",
    "Event": "event id queue name at",
    "JobInfo": """
        id name queue status paused priority tries enqueued_at started_at finished_at wait_seconds run_seconds
        cpu_seconds peak_memory_bytes worker host parent error result data logs progress errors children
    """,
    "QueueInfo": "name paused stats jobs",
}
AWAITED = {"QueueManager": "start join stop", "JobHandle": "wait"}
PARAMETERS = {
    "QueueManager.init": "db ctx concurrency options namespace inline",
    "QueueManager.enqueue": "name queue data options",
    "QueueManager.publish": "name queues data options",
    "QueueManager.join": "delayed",
    "QueueManager.get_jobs": "queue status name limit cursor",
    "QueueManager.get_sorted_jobs": "max_jobs_per_status",
    "QueueManager.retry_jobs": "queue status name",
    "QueueManager.delete_jobs": "queue status name",
    "QueueManager.on": "event callback queue name",
    "Context.enqueue": "name queue data options on_success",
    "Context.publish": "name queues data options on_success",
    "Task": "name queue handler options description",
    "Task.map": "inputs ordered in_flight on_error",
    "Task.amap": "inputs ordered in_flight on_error",
    "JobHandle.result": "timeout",
    "JobHandle.wait": "timeout",
    "JobHandles.results": "timeout",
    "as_completed": "handles timeout",
    "Repeat": "pattern every tz limit jitter overlap catch_up",
    "Retry": "after reason",
    "Job.progress": "done total note",
}
OF_A_JOB = """
    id priority delay delay_until attempts retry_on fail_on retry_delay backoff max_retry_delay timeout kill_after
    cancel_grace max_crashes keep_result repeat
"""
OF_AN_APPLICATION = """
    max_jobs_per_status max_results max_results_bytes max_payload_bytes connect_timeout lease grace max_memory
    max_jobs_per_worker durability
"""
STATUSES = "waiting delayed processing completed failed cancelled"
EVENTS = "waiting started progress completed failed retrying cancelled stalled worker"
COMMANDS = {
    "enqueue": "--data --id --priority --delay --delay-until --attempts --retry-delay --backoff --max-retry-delay"
    " --timeout --kill-after --cancel-grace --max-crashes --keep-result --repeat",
    "publish": "--data",
    "queues": "",
    "jobs": "--queue --status --name --limit --cursor",
    "job": "",
    "logs": "--follow",
    "schedules": "",
    "events": "--event --queue --name",
    "pause": "--job",
    "resume": "--job",
    "retry": "--queue --status --name",
    "cancel": "--queue --status --name",
    "delete": "--queue --status --name --all --yes",
    "check": "--repair",
    "server": "",
    "stacks": "",
    "top": "--once",
    "run-here": "--app",
}
OF_A_MAP = (
    "--shell -o --output --failed --resume --ordered --bare --jsonl -0 --null -j --concurrency --in-flight"
    " --attempts --timeout --quiet --db --namespace --json"
)
OF_EVERY_COMMAND = "--db --namespace --json"
OF_THE_SUPERVISOR = "--db --namespace --concurrency --drain --lease --grace --log-format --pin --nice"


def each(names: dict[str, str]) -> list[tuple[str, str]]:
    """A case for each owner and each of its names."""
    return [(owner, name) for owner, some in names.items() for name in some.split()]


def found(owner: str) -> Any:
    """A public name of the package, or what is under one."""
    return operator.attrgetter(owner)(package)


DOCS = Path(__file__).parents[2] / "docs"
TYPED = "\n".join(
    block
    for page in DOCS.glob("*.md")
    for block in re.findall(r"^```(?:python|sh)\n(.*?)^```", page.read_text(), re.M | re.S)
)
"""All that the pages for readers show, which `test_pages.py` runs."""
SHOWN = [
    *TALKING["QueueManager"].replace("close", "aclose").split(),
    *("init", "task", "register_job", "handle", "get_jobs_list", "on", "start", "join", "stop", "run"),
    *("created", "wait", "await", *TALKING["JobHandle"].split(), "results", "as_completed"),
    *(f"{name}=" for name in (*OF_A_JOB.split(), *PARAMETERS["QueueManager.init"].split())),
    *(f"{name}=" for call in ("Repeat", "Retry") for name in PARAMETERS[call].split()),
    *("ordered=", "in_flight=", "on_error="),
    *(f'"{name}"' for name in (*OF_AN_APPLICATION.split(), *EVENTS.split(), *STATUSES.split())),
    *(
        "map(",
        "amap(",
        "job.progress",
        "job.logger",
        "job.cancelled",
        "job.attempt",
        "job.data",
        "ctx.app",
        "ctx.enqueue",
        "on_success=",
    ),
]


def options_of(command: click.Command) -> set[str]:
    return {name for parameter in command.params for name in parameter.opts}


@pytest.mark.parametrize("name", PUBLIC.split())
def test_the_package_has_every_public_name(name: str) -> None:
    assert name in package.__all__
    assert getattr(package, name).__doc__


@pytest.mark.parametrize(("base", "name"), each(ERRORS))
def test_every_error_is_of_its_kind(base: str, name: str) -> None:
    assert issubclass(getattr(package, name), getattr(package, base))


@pytest.mark.parametrize(("owner", "name"), each(TALKING))
def test_whatever_talks_to_the_server_has_an_awaitable_twin(owner: str, name: str) -> None:
    plain, twin = getattr(found(owner), name), getattr(found(owner), f"a{name}")
    assert not inspect.iscoroutinefunction(plain)
    assert inspect.iscoroutinefunction(twin)
    assert list(inspect.signature(plain).parameters) == list(inspect.signature(twin).parameters)
    assert plain.__doc__
    assert twin.__doc__


@pytest.mark.parametrize(("owner", "name"), each(OTHERS))
def test_every_other_method_and_field_is_there(owner: str, name: str) -> None:
    assert hasattr(found(owner), name)


@pytest.mark.parametrize(("owner", "name"), each(AWAITED))
def test_what_is_awaited_has_no_other_form(owner: str, name: str) -> None:
    assert inspect.iscoroutinefunction(getattr(found(owner), name))


@pytest.mark.parametrize(("call", "name"), each(PARAMETERS))
def test_every_parameter_is_there(call: str, name: str) -> None:
    assert name in inspect.signature(found(call)).parameters


def test_the_options_of_a_job_are_those_promised() -> None:
    assert {field.name for field in fields(JobOptions)} == set(OF_A_JOB.split())


def test_the_options_of_an_application_are_those_promised() -> None:
    assert {field.name for field in fields(Options)} == set(OF_AN_APPLICATION.split())


@pytest.mark.parametrize("status", STATUSES.split())
def test_jobs_can_be_asked_for_by_every_status(server_url: str, namespace: str, status: str) -> None:
    with QueueManager.init(server_url, namespace=namespace) as manager:
        assert manager.get_jobs(status=status) == []


@pytest.mark.parametrize("event", EVENTS.split())
def test_every_event_can_be_subscribed_to(server_url: str, namespace: str, event: str) -> None:
    with QueueManager.init(server_url, namespace=namespace) as manager:
        manager.on(event, print).close()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_with_its_options(name: str) -> None:
    assert options_of(cli.commands[name]) >= {*COMMANDS[name].split(), *OF_EVERY_COMMAND.split()}


def test_the_map_has_its_options() -> None:
    assert options_of(cli.commands["map"]) == {"function", "files", *OF_A_MAP.split()}


def test_the_supervisor_has_its_options() -> None:
    assert options_of(supervisor) >= set(OF_THE_SUPERVISOR.split())


@pytest.mark.parametrize("name", SHOWN)
def test_every_function_and_option_has_an_example_that_runs(name: str) -> None:
    assert re.search(rf"(?<!\w){re.escape(name)}" + ("" if name[-1] in "=(" else r"(?!\w)"), TYPED)


@pytest.mark.parametrize("name", [*COMMANDS, "map"])
def test_every_command_and_each_of_its_options_has_an_example_that_runs(name: str) -> None:
    lines = [line for line in TYPED.replace("\\\n", " ").splitlines() if f"tempotask {name} " in f"{line} "]
    assert lines
    for option in {**COMMANDS, "map": OF_A_MAP}[name].split():
        assert any(f" {option} " in f"{line} " for line in lines), option
