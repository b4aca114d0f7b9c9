"""What docs/services.md shows for other programs: a server, systemd, a container engine."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from docs.reader import BLOCK

from tempotask import QueueManager
from tempotask.cli.supervise import command

PAGE = (Path(__file__).parents[2] / "docs" / "services.md").read_text()
SUPERVISOR = Path(sys.executable).with_name("tempotask-supervisor")
INSTRUCTIONS = {"FROM", "RUN", "WORKDIR", "COPY", "USER", "HEALTHCHECK", "CMD"}
FILES = {named[1]: code for _, _, code in BLOCK.findall(PAGE) if (named := re.match(r"# (\S+)\n", code))}
"""The files of the page, by name."""


def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(FILES["shop.service"])
    return parser


def options_of(words: list[str]) -> dict[str, Any]:
    """What the supervisor makes of a command line. Raises `click.UsageError` for one that it refuses."""
    assert Path(words[0]).name == "tempotask-supervisor"
    return command.make_context("tempotask-supervisor", words[1:]).params


def instructions() -> list[tuple[str, str]]:
    """Of the container file, each with what it says."""
    lines = [line for line in FILES["Dockerfile"].splitlines() if line and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def test_the_unit_starts_a_supervisor_and_leaves_it_time_to_stop() -> None:
    service = unit()["Service"]
    options = options_of(shlex.split(service["ExecStart"]))
    assert options["application"] == "app:tempotask"
    assert float(service["TimeoutStopSec"]) > options["grace"]
    assert service["ExecReload"].split()[-2:] == ["-HUP", "$MAINPID"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd's own look at it")
def test_systemd_has_nothing_to_say_against_the_unit(tmp_path: Path) -> None:
    file = tmp_path / "shop.service"
    here = FILES["shop.service"].replace("/srv/shop/.venv/bin/tempotask-supervisor", str(SUPERVISOR))
    file.write_text(here.replace("User=shop\n", ""))
    assert _said_of(file) == ""
    file.write_text(here.replace("User=shop\n", "").replace("OOMPolicy", "OomPolicy"))
    assert "OomPolicy" in _said_of(file)


def _said_of(file: Path) -> str:
    words = ["systemd-analyze", "verify", "--man=no", str(file)]
    looked = subprocess.run(words, capture_output=True, text=True, check=False)
    return "\n".join(line for line in looked.stderr.splitlines() if str(file) in line)


def test_the_container_runs_a_supervisor_as_its_first_process() -> None:
    steps = instructions()
    assert {word for word, _ in steps} <= INSTRUCTIONS
    word, image = steps[0]
    assert word == "FROM"
    assert re.fullmatch(r"python:3\.\d+-slim", image), "no host in front of it"
    (start,) = [json.loads(rest) for word, rest in steps if word == "CMD"]
    assert options_of(start)["application"] == "app:tempotask"
    (look,) = [rest.partition("CMD ")[2] for word, rest in steps if word == "HEALTHCHECK"]
    assert json.loads(look) == ["python", "healthy.py"]
    (copied,) = [rest.split()[:-1] for word, rest in steps if word == "COPY" and "app.py" in rest]
    assert set(copied) <= FILES.keys()


def test_a_server_with_the_settings_keeps_jobs_and_takes_the_next_step(start_server: Callable[..., Any]) -> None:
    lines = [line.split() for line in FILES["shop.conf"].splitlines() if line and not line.startswith("#")]
    options = [word for name, value in lines for word in (f"--{name}", value)]
    server = start_server(*options)
    with redis.Redis.from_url(server.url) as client:
        told = client.config_get(*(name for name, _ in lines))
        assert told["maxmemory"] == str(2 * 2**30)
        assert told["maxmemory-policy"] == "noeviction"
        client.config_set("appendfsync", "always")
    with QueueManager.init(server.url, namespace="shop", options={"durability": "disk"}) as manager:
        manager.enqueue(name="bill", queue="invoices", data=1, options={"id": "first"})
        server.kill()
        server.start()
        assert manager.handle("first").status() == "waiting"
