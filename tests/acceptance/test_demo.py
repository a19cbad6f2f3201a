"""What the demo prints is true, and what it says to type next works: typed one after the other, it takes every document to its end."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pointsman.cli import app
from pointsman.store.embedded import EmbeddedPostgres
from samples.stage import asked, serving

ROOT = Path(__file__).parents[2]
TRUTH: dict[str, dict[str, Any]] = json.loads((ROOT / "samples" / "invoices.json").read_text(encoding="utf-8"))
WAITING = {"clerk": "waiting for a clerk", "controller": "waiting for a controller"}


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data folder whose server is kept up between commands."""
    folder = Path(tempfile.mkdtemp(prefix="pm-demo-"))
    folder.chmod(0o755)
    monkeypatch.setenv("POINTSMAN_HOME", str(folder))
    monkeypatch.chdir(ROOT)
    client = EmbeddedPostgres.start(folder, linger=0)
    yield folder
    url = serving(folder / "ledger")
    if url is not None:
        os.kill(asked(url, "/health")["pid"], signal.SIGTERM)
    client.close()
    shutil.rmtree(folder, ignore_errors=True)


def demo(*arguments: str, columns: int = 100) -> str:
    """What the demo prints."""
    environment = os.environ | {"COLUMNS": str(columns)}
    done = subprocess.run(
        [sys.executable, "-m", "samples.demo", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def ends(page: str) -> dict[str, str]:
    """The documents under their headings."""
    found: dict[str, str] = {}
    heading = ""
    for line in page.splitlines():
        if match := re.fullmatch(r"([a-z ]+) \((\d+)\)", line.strip()):
            heading = match[1]
        elif match := re.match(r"  (\S+)\s+[0-9a-f]{8}  ", line):
            found[match[1]] = heading
    return found


def typed(page: str) -> list[list[str]]:
    """The commands that a page prints, each for the data folder of the demo."""
    program = f"  POINTSMAN_HOME={os.environ['POINTSMAN_HOME']} .venv/bin/pointsman "
    return [shlex.split(line.removeprefix(program)) for line in page.splitlines() if line.startswith(program)]


def entered(*command: str) -> str:
    """What one of them prints."""
    done = CliRunner().invoke(app, list(command))
    assert done.exit_code == 0, f"{command}: {done.output}"
    return done.output


def ended(page: str) -> dict[str, str]:
    told = {name: WAITING.get(truth["end"], truth["end"]) for name, truth in TRUTH.items()}
    assert ends(page) == told
    for end, number in Counter(told.values()).items():
        assert f"{end} {number}" in page
    return told


def test_the_printed_commands_take_every_document_to_its_end(home: Path) -> None:
    page = demo()
    ended(page)
    [line] = [line for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines() if line.startswith("posted ")]
    assert line in page, "the README shows what is printed"
    assert "read by openai:recorded-answers" in page
    assert "RECORDED ANSWERS: no model gave them" in page
    commands = typed(page)
    assert Counter(command[0] for command in commands) == {"show": 1, "inbox": 1, "answer": 6, "reject": 1, "approve": 2}
    assert "openai:recorded-answers" in entered(*commands[0])
    for command in commands[1:]:
        entered(*command)
    page = demo()
    wanted = {name: "quarantined" if truth["end"] == "quarantined" or "rejected" in truth else "posted" for name, truth in TRUTH.items()}
    assert ends(page) == wanted
    assert "28 of 28 had settled before this start" in page
    commands = typed(page)
    assert [command[0] for command in commands] == ["show", "inbox", "rerun", "show"]
    for command in commands:
        assert "NOT WHOLE" not in entered(*command)
    assert ends(demo())["SB-4480.pdf"] == "waiting for a clerk", "it asks again"


def test_without_a_model_the_clerk_reads_and_a_model_that_comes_later_reads_what_nobody_has_answered(home: Path) -> None:
    page = demo("--no-model", columns=80)
    assert "No model was asked." in page
    assert "6 documents without an answer: no model is configured" in page
    assert "recorded" not in page
    assert {name for name, end in ends(page).items() if end == "waiting for a clerk"} == {
        name for name, truth in TRUTH.items() if truth["end"] == "clerk"
    } | {"RR-118.pdf", "SB-4471.pdf", "FL-2207.pdf"}
    [command] = [command for command in typed(page) if "invoice.number=RR/118" in command]
    entered(*command)
    page = demo(columns=120)
    ended(page)
    assert "Asked openai:recorded-answers: 5 calls" in page
