"""What the tests of the rooms share: documents as runs get them, the measuring data, and a ledger in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pointsman import InputFile
from tests.rooms.actors import Accept, ClusterProcess, LedgerProcess


@pytest.fixture
def accept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Accept:
    """Takes a document as `start` does: by content, into a home of its own."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("POINTSMAN_HOME", str(home))
    return lambda path: InputFile.take(path, home)


@pytest.fixture
def measured(data: Path) -> Path:
    """The folder of the measured invoices."""
    return data / "invoices"


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


@pytest.fixture
def cluster(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClusterProcess]:
    """The clusters of the samples, which serve and which the client finds; dana and kim are operators."""
    monkeypatch.setenv("POINTSMAN_HOME", str(home))
    monkeypatch.delenv("CLUSTER_URL", raising=False)
    (home / "guards").mkdir()
    (home / "guards" / "roles.toml").write_text('[roles]\noperator = ["dana", "kim"]\nclerk = ["lee"]\n')
    process = ClusterProcess(home / "cluster")
    process.start()
    yield process
    process.close()
