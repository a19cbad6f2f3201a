"""The demo of the incident workflow, started as its head says; what it prints at its end can be typed."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pointsman.cli import app
from tests.rooms.actors import ROOT

APPLIED = "Done to the clusters so far: "
ALL_APPROVED = "; without an approval on record: 0"


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory, url: str) -> Iterator[dict[str, str]]:
    """An environment with a home and a database of its own; the cluster that is started for it is ended."""
    home = tmp_path_factory.mktemp("demo")
    yield {**os.environ, "POINTSMAN_HOME": str(home), "DATABASE_URL": url, "COLUMNS": "300"}
    pid = (home / "cluster" / "lock").read_text().strip()
    subprocess.run(["kill", pid], check=False)


def typed(line: str, place: dict[str, str]) -> str:
    """What a command prints; it has to end well."""
    program, *arguments = shlex.split(line)
    if program.endswith("pointsman"):
        done = CliRunner().invoke(app, arguments, env=place)
        assert done.exit_code == 0, f"{line}: {done.output}"
        return done.output
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=place, stdout=subprocess.PIPE, text=True, check=True, timeout=200
    ).stdout


def test_nothing_is_done_until_somebody_types_what_the_demo_says(place: dict[str, str]) -> None:
    shown = typed("python -m samples.incident_demo", place)
    assert f"{APPLIED}nothing{ALL_APPROVED}" in shown
    assert "RECORDED ANSWERS" in shown
    assert re.search(r"ambiguous +high risk, approve\?", shown)
    assert re.search(r"redelivered +duplicate", shown)
    assert re.search(r"unknown-alert +asks an operator +nothing has moved in the metrics; CapacitorMisaligned", shown)
    commands = re.findall(rf"POINTSMAN_HOME={re.escape(place['POINTSMAN_HOME'])} (\.venv/bin/pointsman [^#\n]+)", shown)
    assert len(commands) == 2
    for command in commands:
        typed(command, place)
    again = typed("python -m samples.incident_demo", place)
    [done] = re.findall(rf"{APPLIED}(.+){ALL_APPROVED}", again)
    assert len(done.split(", ")) == 1
    assert "resolved" in again
    log = (Path(place["POINTSMAN_HOME"]) / "recorded-answers.log").read_text()
    assert len(log.splitlines()) == 3
