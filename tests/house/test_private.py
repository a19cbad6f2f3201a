"""No file that others see names the machine it was written on, or the place its packages came from."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.house.tree import ROOT, tracked

COMMON = {
    "",
    "localhost",
    "root",
    "main",
    "user",
    "home",
    "runner",
    "debian",
    "ubuntu",
    "docker",
    "tmp",
    "usr",
    "opt",
    "var",
    "etc",
    "workspace",
    "src",
}


def package_indexes() -> set[str]:
    """Hosts and folders from which pip takes packages here: its own default, its configuration, the environment."""
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False).stdout
    settings = re.findall(r"^\S*(?:index-url|find-links|proxy|trusted-host)\S*='(.*)'$", listed, re.MULTILINE)
    settings += [
        value
        for name, value in os.environ.items()
        if re.fullmatch(r"(PIP|UV)_.*(INDEX|FIND_LINKS|PROXY|HOST).*|HTTPS?_PROXY|https?_proxy", name)
    ]
    # Put together here, so that this file does not name them either.
    found = {f"{name}.org" for name in ("pypi", "files.pythonhosted")}
    for place in (place for setting in settings for place in setting.split()):
        parts = urlsplit(place)
        found.add(parts.hostname or parts.path)
    return {place for place in found if len(place) > 3 and place.strip("/") not in COMMON}


def machine() -> set[str]:
    """The folders that this tree and its user live in, and the machine's name where it is more than a word."""
    folders = {str(ROOT), str(Path.home()), sys.base_prefix}
    host = socket.gethostname()
    return {place for place in folders if len(Path(place).parts) > 2} | ({host} if len(host) > 4 and re.search(r"[\d.-]", host) else set())


def text_of(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "ignore")


@pytest.mark.parametrize("places", [package_indexes, machine])
def test_no_file_names(places: object) -> None:
    assert callable(places)
    wanted = {place: re.compile(rf"(?<![\w.-]){re.escape(place)}(?![\w-])") for place in places()}
    found = [
        f"{path.relative_to(ROOT)}: {place}" for path in tracked() for place, pattern in wanted.items() if pattern.search(text_of(path))
    ]
    assert found == []


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-studio.lock"])
def test_a_lock_holds_hashes_and_no_addresses(name: str) -> None:
    lock = (ROOT / name).read_text(encoding="utf-8")
    assert "://" not in lock
    assert "--find-links" not in lock
    assert "--index" not in lock
    pinned = re.findall(r"^[\w.-]+(?:\[[\w,-]+\])?==[^\n]+\\$", lock, re.MULTILINE)
    assert len(pinned) > 50
    assert lock.count("--hash=sha256:") >= len(pinned)


@pytest.mark.parametrize(("name", "without"), [("requirements.lock", {"studio"}), ("requirements-studio.lock", set())])
def test_a_lock_holds_what_is_declared(name: str, without: set[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {extra: lines for extra, lines in project["optional-dependencies"].items() if extra not in without}
    wanted = [*project["dependencies"], *(line for lines in extras.values() for line in lines)]
    declared = {re.split(r"[\[<>=~!;@ ]", line)[0].lower().replace("_", "-") for line in wanted} - {"pointsman"}
    locked = set(re.findall(r"^([a-z0-9._-]+)", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE))
    assert declared - locked == set(), "write the lock anew: CONTRIBUTING.md says how"
