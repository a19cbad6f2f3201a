"""What the tests of the rooms share: documents as runs get them, the measuring data, and a ledger in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from evals.invoice_fields import data_folder
from pointsman import InputFile

ROOT = Path(__file__).parents[2]

Accept = Callable[[Path], InputFile]


@pytest.fixture
def accept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Accept:
    """Takes a document as `start` does: by content, into a home of its own."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("POINTSMAN_HOME", str(home))
    return lambda path: InputFile.take(path, home)


@pytest.fixture
def measured() -> Path:
    """The folder of the measured invoices; without it the test is skipped, and says so."""
    folder = data_folder() / "invoices"
    if not folder.is_dir():
        pytest.skip(f"NOT MEASURED: {folder} is missing; set POINTSMAN_DATA")
    return folder


class LedgerProcess:
    """A ledger in a process of its own, which can be killed and started again on the same folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> str:
        """Starts it and returns its URL once it answers."""
        command = [sys.executable, "-m", "tools.ledger.service", "--dir", str(self.folder)]
        path = os.pathsep.join(part for part in (os.environ.get("PYTHONPATH", ""), str(ROOT)) if part)
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": path})
        assert self.process.stdout is not None
        assert "serves at" in self.process.stdout.readline()
        return self.url

    @property
    def url(self) -> str:
        """Where it says it serves."""
        return (self.folder / "url").read_text(encoding="utf-8").strip()

    def kill(self) -> None:
        """Kills it as a power cut would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def get(self, path: str) -> object:
        """What it answers."""
        return httpx.get(self.url + path, trust_env=False, timeout=30).json()

    def close(self) -> None:
        """Ends it, if it is still there."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=30)
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LedgerProcess]:
    """A ledger that serves, and that the client finds."""
    home = tmp_path / "home"
    monkeypatch.setenv("POINTSMAN_HOME", str(home))
    monkeypatch.delenv("LEDGER_URL", raising=False)
    process = LedgerProcess(home / "ledger")
    process.start()
    yield process
    process.close()


def wait_until(true: Callable[[], bool]) -> None:
    """Waits for a condition; the run's own time limit is the only clock."""
    while not true():
        time.sleep(0.01)
