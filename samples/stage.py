"""What a demo stands on: an outside system in a process of its own, and a model, or recorded answers where there is none."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from pointsman.home import data_folder

RECORDED = "openai:recorded-answers"

HOME = f"POINTSMAN_HOME={shlex.quote(os.environ['POINTSMAN_HOME'])} " if os.environ.get("POINTSMAN_HOME") else ""
POINTSMAN = f"{HOME}.venv/bin/pointsman"
"""How the command is typed after a demo: for its data folder, which may have been named for the demo's own command alone."""

IDLE = 900
"""Seconds for which an outside system stays, so that the commands printed at the end find it."""


@contextmanager
def model(answers: Path, *, none: bool) -> Iterator[None]:
    """The environment that names the model: as it is, with recorded answers where it names none, or without any."""
    if none:
        os.environ.pop("POINTSMAN_MODEL", None)
    if none or os.environ.get("POINTSMAN_MODEL"):
        yield
        return
    log = data_folder() / "recorded-answers.log"  # what it was asked, a line for each request
    command = [sys.executable, "-m", "pointsman.testing.openai_server", "--recorded", str(answers), "--log", str(log)]
    # It ends when its standard input does: with this process, however that ends.
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        try:
            # A key of its own: a real one is nothing for this server.
            os.environ |= {"POINTSMAN_MODEL": RECORDED, "OPENAI_BASE_URL": server.stdout.readline().strip(), "OPENAI_API_KEY": "recorded"}
            os.environ["NO_PROXY"] = f"127.0.0.1,{os.environ.get('NO_PROXY', '')}"
            yield
        finally:
            server.stdin.close()
            server.wait(timeout=10)


def batch(graph: str, folder: Path) -> tuple[int, list[dict[str, Any]] | None]:
    """The exit code of `pointsman run GRAPH --batch` on a folder, and what it says of each document; None where it said only why there is none."""
    command = [sys.executable, "-m", "pointsman.cli", "run", graph, "--batch", str(folder), "--json"]
    ended = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    return ended.returncode, json.loads(ended.stdout).get("documents") if ended.stdout.strip() else None


def system(name: str, folder: Path, module: str, *more: str) -> str:
    """The URL of the outside system of a folder: one that serves already, or a new one, which ends by itself when nobody asks it any more."""
    folder.mkdir(parents=True, exist_ok=True)
    if (found := serving(folder)) is None:
        with (folder / "log").open("ab") as log:
            command = [sys.executable, "-m", module, "--dir", str(folder), "--idle", str(IDLE), *more]
            subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    deadline = time.monotonic() + 30
    while (found := serving(folder)) is None:
        if time.monotonic() > deadline:
            raise SystemExit(f"{name} did not start; see {folder / 'log'}")
        time.sleep(0.05)
    return found


def serving(folder: Path) -> str | None:
    """The URL of the system that answers for a folder."""
    try:
        url = (folder / "url").read_text().strip()
        return url if asked(url, "/health")["ok"] else None
    except (OSError, ValueError, KeyError):
        return None


def asked(url: str, path: str) -> Any:
    """What a system answers to a GET."""
    with urlopen(url + path, timeout=5) as answer:
        return json.load(answer)


def counts(url: str) -> dict[str, dict[str, int]] | None:
    """How often a system was sent each idempotency key, and applied it; None where it is gone."""
    try:
        found: dict[str, dict[str, int]] = asked(url, "/counts")
    except OSError:
        return None
    return found
