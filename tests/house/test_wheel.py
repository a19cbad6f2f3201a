"""What others get: the runtime and nothing else, so that nobody's `tools` is ever shadowed by ours."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.house.tree import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel as a release would be built, offline, from a copy of the tree."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "tree"
    copy.mkdir()
    for name in (
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "NOTICE",
        "pointsman",
        "graphs",
        "nodes",
        "tools",
        "guards",
        "evals",
        "tests",
        "samples",
    ):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.is_file():
            shutil.copy(source, copy / name)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(copy)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_it_holds_the_runtime_only(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"pointsman"}


def test_it_holds_every_file_of_the_runtime(wheel: zipfile.ZipFile) -> None:
    """The statements and migrations, the mark of a typed package, and each module."""
    ours = {str(path.relative_to(ROOT)) for path in (ROOT / "pointsman").rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert "pointsman/py.typed" in ours
    assert "pointsman/store/queries.sql" in ours
    assert {name for name in wheel.namelist() if name.startswith("pointsman/")} == ours


def test_it_says_its_licence_and_its_command(wheel: zipfile.ZipFile) -> None:
    names = {Path(name).name: name for name in wheel.namelist()}
    assert {"LICENSE", "NOTICE"} <= set(names)
    assert "pointsman = pointsman.cli:app" in wheel.read(names["entry_points.txt"]).decode()
    assert "License-Expression: MIT" in wheel.read(names["METADATA"]).decode()
