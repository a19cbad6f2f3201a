"""A stranger with the wheel and an empty folder: what is printed is typed, and ends in a run that was paused, approved and proved."""

from __future__ import annotations

import json
import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pointsman.cli import app
from pointsman.errors import BadInput
from pointsman.principal import os_user
from pointsman.starter import begin
from tests.house.tree import ROOT, built_wheel


@pytest.mark.parametrize(
    "name", ["", "Shop", "my shop", "1st", "..", "../shop", "/tmp/shop", ".shop", "shop-", "a--b", "büro", "x" * 65, "-h", "a\n"]
)
def test_a_bad_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="cannot be the name"):
        begin(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("full", "file", "link"):
        with pytest.raises(BadInput, match="exists"):
            begin(name, tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "full", "link", "mine"]
    (tmp_path / "empty").mkdir()
    assert (tmp_path / "empty" / begin("empty", tmp_path)[0]).is_file()


def test_it_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    """With room for the first files only, as on a full disk."""
    program = "import resource, sys, pathlib\nfrom pointsman.starter import begin\nbegin('shop', pathlib.Path(sys.argv[1]))"

    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))

    ended = subprocess.run(
        [sys.executable, "-B", "-c", program, str(tmp_path)], preexec_fn=no_room, capture_output=True, text=True, check=False
    )
    assert "cannot be written" in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_it_says_what_it_wrote_and_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ended = CliRunner().invoke(app, ["new", "shop", "--json"])
    told = json.loads(ended.stdout)
    written = {str(path.relative_to(tmp_path / "shop")) for path in (tmp_path / "shop").rglob("*") if path.is_file()}
    assert set(told["files"]) == written
    assert {"graphs", "nodes", "guards", "tools", "evals", "tests"} < {name.partition("/")[0] for name in written}
    assert tomllib.loads((tmp_path / "shop" / "guards" / "roles.toml").read_text())["roles"]["lead"] == [os_user()]
    ours, theirs = (json.loads((root / "langgraph.json").read_text()) for root in (ROOT, tmp_path / "shop"))
    assert theirs | {"graphs": None} == ours | {"graphs": None}, "what LangGraph's server needs is the same for every project"
    assert not [name for name in written if re.search(r"\{\{\w+\}\}", (tmp_path / "shop" / name).read_text())]
    assert CliRunner().invoke(app, ["new", "shop"]).exit_code == 2
    assert CliRunner().invoke(app, ["new", "Shop", "--json"]).exit_code == 2


def test_its_code_is_clean_and_its_makefile_does_what_its_ci_wants(tmp_path: Path) -> None:
    begin("shop", tmp_path)
    shop = tmp_path / "shop"
    ended = subprocess.run(["make", f"PYTHON={sys.executable}", "check", "measure"], cwd=shop, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "'right': 2" in ended.stdout
    targets = set(re.findall(r"^([a-z]+):", (shop / "Makefile").read_text(), re.MULTILINE))
    wanted = re.findall(r"run: make (.*)$", (shop / ".github" / "workflows" / "check.yml").read_text(), re.MULTILINE)
    assert wanted and set(wanted) <= targets
    assert set(re.findall(r"^make ([a-z]+)", (shop / "README.md").read_text(), re.MULTILINE)) <= targets


@dataclass(frozen=True)
class Stranger:
    """Somebody with an environment that has pointsman, and a terminal in a folder of their own."""

    folder: Path
    environment: dict[str, str]

    def types(self, command: str, inside: str = ".") -> str:
        """What a command prints, typed in a shell; it has to succeed."""
        ended = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder / inside,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=250,
            check=False,
        )
        assert ended.returncode == 0, f"{command}\n{ended.stdout}{ended.stderr}"
        return ended.stdout


@pytest.fixture(scope="module")
def stranger() -> Iterator[Stranger]:
    """A fresh venv with the wheel and what it depends on, in the locked versions, and nothing of this repository."""
    folder = Path(tempfile.mkdtemp(prefix="pm-new-"))
    wheel = built_wheel(folder)
    shutil.rmtree(folder / "tree")
    locked = re.findall(r"^[\w.-]+(?:\[[\w,-]+\])?==[^\\\n]+", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    (folder / "locked").write_text("\n".join(re.sub(r"\[.*?\]", "", line) for line in locked))
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    kept = {
        name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_", "SSL_")) or name.lower().endswith("_proxy")
    }
    place = {
        "PATH": f"{folder / 'venv' / 'bin'}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(folder),
        "PIP_CONSTRAINT": str(folder / "locked"),
    }
    # Only what is imported is compiled: half a minute of processor time less.
    environment = kept | place | {"LANG": "C.UTF-8", "LANGSMITH_TRACING": "false", "UV_COMPILE_BYTECODE": "0", "PIP_NO_COMPILE": "1"}
    try:
        if not _installed(folder, environment, "rfc8785"):
            pytest.skip("NOT SHOWN: neither uv nor pip could install a package here, from an index or a cache")
        assert _installed(folder, environment, str(wheel))
        (folder / "work").mkdir()
        yield Stranger(folder / "work", environment)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _installed(folder: Path, environment: dict[str, str], what: str) -> bool:
    """Whether a package is in the venv now; by uv, which is quicker, where it is there and knows an index."""
    python = str(folder / "venv" / "bin" / "python")
    ways = [[python, "-m", "pip", "install", "-q", what]]
    if uv := shutil.which("uv"):
        ways.insert(0, [uv, "pip", "install", "-q", "--python", python, "-c", str(folder / "locked"), what])
    return any(subprocess.run(way, env=os.environ | environment, capture_output=True, check=False).returncode == 0 for way in ways)


def following(printed: str) -> list[str]:
    """The commands under `Next`, as they are printed."""
    return [line.strip() for line in printed.rpartition("\nNext\n")[2].splitlines() if line.startswith("  ") and not line.startswith("   ")]


def test_from_the_wheel_to_a_verified_run_by_typing_what_is_printed(stranger: Stranger) -> None:
    go_in, run, tests = following(stranger.types("pointsman new shop"))
    shop = shlex.split(go_in.removeprefix("cd "))[0]
    waiting = stranger.types(run, shop)
    assert "MAY THIS HAPPEN? pay_back" in waiting
    paused = stranger.types("pointsman runs --json", shop)
    assert [told["state"] for told in json.loads(paused)] == ["waiting"]
    done = stranger.types(following(waiting)[0], shop)
    assert "80.00 paid back for A-17" in done
    proved = stranger.types(following(done)[0], shop)
    assert f"approved by {os_user()} (known by os)" in " ".join(proved.split())
    assert "chain whole" in proved
    assert " passed" in stranger.types(tests, shop)
    places = stranger.types("python -c 'import pointsman; print(pointsman.__file__)'", shop)
    assert "site-packages" in places, "it is the wheel that was used"
