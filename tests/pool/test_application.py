"""The application as the nursery imports it, with real processes. The applications are in the folder `apps`."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable

import psutil
import pytest
from pool.owner import APPS, Owner, title

from tempotask.pool.pool import Died, Imported, ImportFailed, Warned


def test_the_nursery_tells_what_the_application_declares(own: Callable[..., Owner]) -> None:
    owner = own("plain:app")
    report = owner.wait_for(Imported).report
    assert (report.db, report.namespace, report.concurrency) == ("redis://localhost/1", "plain", 2)
    assert [(task.queue, task.name) for task in report.tasks] == [("images", "thumbnail")]
    assert owner.pool.imported
    assert title(psutil.Process(owner.pool.pid)) == "tempotask: nursery plain:app"


def test_the_only_manager_of_a_module_need_not_be_named(own: Callable[..., Owner]) -> None:
    assert own("plain").wait_for(Imported).report.namespace == "plain"


def test_a_script_is_imported_again_under_the_name_that_its_guard_does_not_let_in(own: Callable[..., Owner]) -> None:
    owner = own("scripts/script.py:app")
    assert owner.wait_for(Imported).report.namespace == "__mp_main__"
    owner.ask("tell")
    assert json.loads(owner.answer())["main"] == "__mp_main__"


def test_what_the_import_prints_goes_to_standard_error(own: Callable[..., Owner], capfd: pytest.CaptureFixture) -> None:
    own("plain:app").wait_for(Imported)
    out, err = capfd.readouterr()
    assert out == ""
    assert "printed by the import" in err


@pytest.mark.parametrize(
    ("application", "summary"),
    [
        ("plian:app", 'no module "plian" in {apps}; did you mean plain?'),
        ("xxxxxx:app", 'no module "xxxxxx" in {apps}; there are: boss, broken, '),
        ("plain.sub:app", 'no module "sub" in plain, which is one file; did you mean plain:sub?'),
        ("plain:apps", '"plain" has no attribute "apps"; it has plain:app'),
        ("plain:number", "plain:number is of type int, and is not a QueueManager; it has plain:app"),
        ("standin:StandIn", "standin:StandIn is the class StandIn, and is not a QueueManager"),
        ("two", '"two" has 2 QueueManagers; say which one: two:first and two:second'),
        ("standin", '"standin" has no QueueManager; make one there'),
        ("scripts/scirpt.py:app", 'no file "scirpt.py" in {apps}/scripts; did you mean script.py?'),
        ("nowhere/app.py:app", "nowhere, which does not exist"),
        (":app", '":app" names no module; write module:attribute'),
        ("two:", '"two:" names no attribute; write module:attribute'),
        ("leaves:app", "importing leaves ended in sys.exit(0): put what runs as a script under"),
    ],
)
def test_an_application_that_is_not_there_is_told_in_one_line_with_what_to_type_instead(
    own: Callable[..., Owner], application: str, summary: str
) -> None:
    failure = own(application).wait_for(ImportFailed)
    assert summary.format(apps=APPS) in failure.summary
    assert "\n" not in failure.summary
    if application != "leaves:app":
        assert failure.traceback == ""


def test_an_error_of_the_import_comes_with_the_frames_of_the_user_and_no_others(own: Callable[..., Owner]) -> None:
    failure = own("broken:app").wait_for(ImportFailed)
    frames = [line for line in failure.traceback.splitlines() if line.startswith("  File")]
    assert [f'"{APPS}/broken.py", line {n}' in frame for n, frame in zip((5, 2), frames, strict=True)] == [True, True]
    assert failure.summary == (
        f"importing broken failed: ZeroDivisionError: division by zero ({APPS}/broken.py, line 2)"
    )


def test_a_module_that_the_application_lacks_is_not_taken_for_the_application(own: Callable[..., Owner]) -> None:
    failure = own("needs:app").wait_for(ImportFailed)
    assert "No module named 'a_module_that_nobody_has'" in failure.summary
    assert "import a_module_that_nobody_has" in failure.traceback


def test_workers_of_an_application_with_threads_are_spawned_and_one_warning_names_the_threads(
    own: Callable[..., Owner],
) -> None:
    owner = own("threaded:app")
    owner.wait_for(Imported)
    assert "left threads running (listener)" in owner.wait_for(Warned).text
    worker = owner.ask("tell")
    told = json.loads(owner.answer())
    assert told["imported_in"] == told["pid"] == told["group"] == worker.pid
    assert told["argv"] == f"tempotask: worker {worker.id}"
    assert told["omp"] == "1"
    assert worker.block.words[8] == 4242
    nursery = psutil.Process(owner.pool.pid)
    assert nursery.num_threads() == 1
    assert title(nursery) == "tempotask: nursery threaded:app"
    worker.kill_group()
    assert owner.wait_for(Died, worker).status.signal == signal.SIGKILL
    other = owner.ask("leave 3")
    assert owner.wait_for(Died, other).status.code == 3
    assert not [event for event in owner.told if isinstance(event, Warned)]
