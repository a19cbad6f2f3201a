"""The files of this repository, as the tests of the house see them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

ROOMS = ("pointsman", "graphs", "nodes", "tools", "guards", "evals")
"""The runtime, and what a project has beside it."""


TEMPLATE = ROOT / "pointsman" / "starter" / "template"
"""A project that is yet to be written: no part of the runtime, and held to its own rules (`tests/acceptance/test_new.py`)."""


def modules(*rooms: str) -> list[Path]:
    """The Python files of the rooms."""
    return sorted(path for room in rooms for path in (ROOT / room).rglob("*.py") if not path.is_relative_to(TEMPLATE))


def tracked() -> list[Path]:
    """Every file that is in version control or would be with the next `git add`; without git, every file outside of hidden folders."""
    listed = subprocess.run(["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode == 0:
        found = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    else:
        found = [path for path in ROOT.rglob("*") if not any(part.startswith(".") for part in path.relative_to(ROOT).parts[:-1])]
    return [path for path in found if path.is_file()]


def built_wheel(folder: Path) -> Path:
    """The wheel, built offline in `folder` from a copy of the tree."""
    copy = folder / "tree"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE", ".gitignore", *ROOMS, "tests", "samples"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.is_file():
            shutil.copy(source, copy / name)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(copy)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return next(folder.glob("*.whl"))
