"""What others get: the runtime and nothing else, so that nobody's `tools` is ever shadowed by ours."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tests.house.tree import ROOT, built_wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel as a release would be built."""
    return zipfile.ZipFile(built_wheel(tmp_path_factory.mktemp("wheel")))


def test_it_holds_the_runtime_only(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"pointsman"}


def test_it_holds_every_file_of_the_runtime(wheel: zipfile.ZipFile) -> None:
    """The statements and migrations, the mark of a typed package, and each module."""
    ours = {str(path.relative_to(ROOT)) for path in (ROOT / "pointsman").rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert "pointsman/py.typed" in ours
    assert [name for name in ours if name.endswith((".orig", ".rej", "~"))] == [], "what a merge left behind"
    assert {"pointsman/store/queries.sql", "pointsman/starter/template/.gitignore"} <= ours
    assert {name for name in wheel.namelist() if name.startswith("pointsman/")} == ours


def test_it_says_its_licence_and_its_command(wheel: zipfile.ZipFile) -> None:
    names = {Path(name).name: name for name in wheel.namelist()}
    assert {"LICENSE", "NOTICE"} <= set(names)
    assert "pointsman = pointsman.cli:app" in wheel.read(names["entry_points.txt"]).decode()
    assert "License-Expression: MIT" in wheel.read(names["METADATA"]).decode()
