"""What the documents show works: Python blocks run, commands exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = (
    "README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs/agents.md", "docs/evaluation.md", "docs/studio.md", "docs/incident.md",
)  # fmt: skip


@dataclass(frozen=True)
class Block:
    """One fenced block of a document."""

    document: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    found: list[Block] = []
    for name in DOCUMENTS:
        text = (ROOT / name).read_text(encoding="utf-8") if (ROOT / name).is_file() else ""
        fences = re.finditer(r"^```(\w+)[^\n]*\n(.*?)^```\s*$", text, re.MULTILINE | re.DOTALL)
        found += [Block(name, text.count("\n", 0, fence.start()) + 1, fence[1], fence[2]) for fence in fences]
    return [block for block in found if block.language in languages]


PYTHON = blocks("python")
SHELL = blocks("bash", "sh", "shell", "console")
COMMANDS = [(block, line.strip().removeprefix("$ ")) for block in SHELL for line in block.text.splitlines()]


def called(word: str) -> list[tuple[str, str]]:
    """(place, first argument) of every command line that begins with `word`."""
    found = [(str(block), re.match(rf"(?:\.venv/bin/)?{word}\s+([a-z][\w-]*)", line)) for block, line in COMMANDS]
    return [(place, match[1]) for place, match in found if match]


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_a_python_block_runs(block: Block, tmp_path: Path) -> None:
    """In a project of its own that has this repository's rooms, with nothing kept afterwards."""
    for name in ("graphs", "nodes", "tools", "guards", "evals", "samples", "langgraph.json"):
        if (ROOT / name).exists():
            (tmp_path / name).symlink_to(ROOT / name)
    # A block that names its file is there for those after it.
    for other in PYTHON:
        if other.document == block.document and other.line < block.line and (named := re.match(r"# (\w+\.py)\n", other.text)):
            (tmp_path / named[1]).write_text(other.text, encoding="utf-8")
    # Behind its real line number, so that a traceback points into the document.
    program = "\n" * block.line + block.text
    kept = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "POINTSMAN_HOME")}
    command = [
        sys.executable,
        "-c",
        f"import sys; exec(compile(sys.stdin.read(), {str(ROOT / block.document)!r}, 'exec'), {{'__name__': '__main__'}})",
    ]
    ran = subprocess.run(
        command,
        input=program,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=kept | {"PYTHONPATH": str(tmp_path)},
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, f"{block}:\n{ran.stdout}{ran.stderr}"


def test_the_readme_shows_python() -> None:
    assert "README.md" in {block.document for block in PYTHON}, "a stranger has to see how a workflow is written"


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert [(place, name) for place, name in called("make") if name not in targets] == []


def test_subcommands_exist() -> None:
    wanted = called("pointsman")
    if not wanted:
        pytest.skip("NOT CHECKED: no document shows a `pointsman` command in a bash block")
    import typer.main

    from pointsman.cli import app

    known = set(getattr(typer.main.get_command(app), "commands", {}))
    assert [(place, name) for place, name in wanted if name not in known] == []
