"""The door, as far as it needs no server."""

from __future__ import annotations

import os
import sys
import types
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tempotask import Context, InvalidOptions, InvalidPayload, Job, NotImportable, QueueManager

AT_MODULE_LEVEL = QueueManager.init(namespace="here")


class App:
    def __init__(self) -> None:
        self.model = "a model"


def test_a_factory_is_called_once_for_each_context() -> None:
    manager = QueueManager.init(ctx=App)
    one, two = manager.context(), manager.context()
    assert one.app is not two.app
    assert QueueManager.init(ctx=lambda: 5).context().app == 5


def test_an_object_or_a_mapping_is_as_it_was_given() -> None:
    app, mapping = App(), {"model": 5}
    assert QueueManager.init(ctx=app).context().app is app
    assert QueueManager.init(ctx=mapping).context().app is mapping
    assert QueueManager.init().context().app is None


def test_the_contexts_other_attributes_are_the_applications() -> None:
    assert QueueManager.init(ctx=App).context().model == "a model"
    assert QueueManager.init(ctx={"model": 5}).context().model == 5
    with pytest.raises(AttributeError, match=r"neither the context nor the application's own \(App\) has 'nothing'"):
        _ = QueueManager.init(ctx=App).context().nothing
    with pytest.raises(AttributeError):
        _ = QueueManager.init(ctx={"model": 5}).context().nothing


async def make() -> App:
    return App()


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"concurrency": 0}, "concurrency=0: give a whole number"),
        ({"concurrency": 4097}, "concurrency=4097: give a whole number from 1 to 4,096"),
        ({"options": {"lease": 0.4}}, "lease=0.4: give seconds, 0.5 or more"),
        ({"inline": "yes"}, "inline='yes': give True or False"),
        ({"ctx": make}, "ctx is an async function"),
        ({"options": {"leese": 5}}, "did you mean 'lease'"),
        ({"db": "localhost"}, "localhost"),
        ({"db": 5}, "db"),
    ],
)
def test_init_refuses_what_makes_no_sense(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidOptions, match=says):
        QueueManager.init(**fields)


def test_a_manager_of_a_module_is_found_there() -> None:
    assert AT_MODULE_LEVEL.locate() == f"{__name__}:AT_MODULE_LEVEL"


def test_a_manager_of_a_script_is_found_by_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    script = types.ModuleType("__main__")
    script.__file__ = __file__
    vars(script)["app"] = manager = QueueManager.init()
    monkeypatch.setitem(sys.modules, "__main__", script)
    assert manager.locate() == f"{__file__}:app"


def test_a_script_whose_path_is_no_text_is_not_importable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = types.ModuleType("__main__")
    path = tmp_path / os.fsdecode(b"\xff.py")
    path.touch()
    script.__file__ = str(path)
    vars(script)["app"] = manager = QueueManager.init()
    monkeypatch.setitem(sys.modules, "__main__", script)
    with pytest.raises(NotImportable, match="is no UTF-8"):
        manager.locate()


def test_a_manager_typed_at_a_prompt_is_not_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = types.ModuleType("__main__")
    vars(prompt)["app"] = manager = QueueManager.init()
    monkeypatch.setitem(sys.modules, "__main__", prompt)
    with pytest.raises(NotImportable, match=r"put the application .* in a file of its own"):
        manager.locate()


def test_a_manager_in_a_function_is_not_importable() -> None:
    with pytest.raises(NotImportable, match="assign it at the top level of a module"):
        QueueManager.init().locate()


def test_a_pool_is_not_started_by_its_own_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempotask.pool.application.importing", True)
    with pytest.raises(NotImportable, match="__main__"):
        AT_MODULE_LEVEL.run()


def test_a_manager_describes_itself() -> None:
    manager = QueueManager.init("redis://:secret@localhost:1/3", namespace="n", concurrency=3)
    manager.task(queue="q")(handler)
    report = manager.describe()
    assert (report.db, report.namespace, report.concurrency) == ("redis://:secret@localhost:1/3", "n", 3)
    assert [(task.queue, task.name) for task in report.tasks] == [("q", "handler")]
    assert QueueManager.init().describe().db is None


def handler(job: Job[Any], ctx: Context[Any]) -> None: ...


def test_a_job_logs_text_and_data() -> None:
    lines: list[tuple[Job[Any], bytes]] = []
    sink = types.SimpleNamespace(log=lambda job, line: lines.append((job, line)))
    job = Job("id", "t", "q", None, _sink=sink, _enqueued=1.0)
    job.logger("text")
    job.logger({"a": 1})
    assert lines == [(job, b"\xa4text"), (job, b"\x81\xa1a\x01")]
    assert job.enqueued_at == datetime.fromtimestamp(1, UTC)
    with pytest.raises(InvalidPayload, match="the log line is of type object"):
        job.logger(object())
    job.logger("ä" * 100_000)
    assert len(lines[-1][1]) <= 64 * 1024
