"""What the tests of the rooms share: documents as runs get them, the measuring data, and a ledger in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from evals.invoice_fields import data_folder
from pointsman import InputFile
from tests.rooms.actors import Accept, LedgerProcess


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
