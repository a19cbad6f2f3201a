"""Who acts in the tests of the rooms: whoever accepts documents, and outside systems that can be killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from pointsman import InputFile

ROOT = Path(__file__).parents[2]

Accept = Callable[[Path], InputFile]
"""Takes a document as `start` does."""


class SystemProcess:
    """An outside system in a process of its own, which can be killed and started again on the same folder."""

    def __init__(self, module: str, folder: Path, *more: str) -> None:
        self.folder = folder
        self.command = [sys.executable, "-m", module, "--dir", str(folder), *more]
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> str:
        """Starts it and returns its URL once it answers."""
        path = os.pathsep.join(part for part in (os.environ.get("PYTHONPATH", ""), str(ROOT)) if part)
        self.process = subprocess.Popen(self.command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": path})
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
        if self.process.stdout is not None:
            self.process.stdout.close()

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


class LedgerProcess(SystemProcess):
    """The ledger."""

    def __init__(self, folder: Path) -> None:
        super().__init__("tools.ledger.service", folder)


class ClusterProcess(SystemProcess):
    """The clusters of the samples."""

    def __init__(self, folder: Path) -> None:
        super().__init__("tools.cluster.service", folder, "--worlds", str(ROOT / "samples" / "clusters"))

    def remedies(self) -> list[str]:
        """What was applied, in its order, as text."""
        told: Any = self.get("/remedies")
        return [f"{entry['action']} {entry['target']} in {entry['cluster']}" for entry in told]
