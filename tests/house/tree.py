"""The files of this repository, as the tests of the house see them."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]

ROOMS = ("pointsman", "graphs", "nodes", "tools", "guards", "evals")
"""The runtime, and what a project has beside it."""


def modules(*rooms: str) -> list[Path]:
    """The Python files of the rooms."""
    return sorted(path for room in rooms for path in (ROOT / room).rglob("*.py"))


def tracked() -> list[Path]:
    """Every file that is in version control or would be with the next `git add`; without git, every file outside of hidden folders."""
    listed = subprocess.run(["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode == 0:
        found = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    else:
        found = [path for path in ROOT.rglob("*") if not any(part.startswith(".") for part in path.relative_to(ROOT).parts[:-1])]
    return [path for path in found if path.is_file()]
