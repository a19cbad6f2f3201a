"""The archive: by content, whole or not at all, and the same however often."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from decimal import Decimal
from pathlib import Path

import pytest

from pointsman.errors import Refused
from tests.rooms.actors import Accept
from tools.archive import find_archived, put_document
from tools.ledger import Receipt

RECEIPT = Receipt(entry=3, number="7", currency="EUR", effect=Decimal("119.00"))


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "Rechnung 7.PDF"
    path.write_bytes(b"%PDF-1.7 content")
    return path


def test_a_document_is_filed_by_its_content_with_its_receipt(accept: Accept, document: Path) -> None:
    file = accept(document)
    filed = put_document(file, RECEIPT)
    home = Path(os.environ["POINTSMAN_HOME"])
    assert filed.document == f"archive/{file.sha256}/document.pdf"
    assert (home / filed.document).read_bytes() == document.read_bytes()
    record = json.loads((home / filed.record).read_text(encoding="utf-8"))
    assert record["name"] == "Rechnung 7.PDF"
    assert record["receipt"]["effect"] == "119.00"


def test_filing_again_changes_nothing(accept: Accept, document: Path) -> None:
    file = accept(document)
    first = put_document(file, RECEIPT)
    home = Path(os.environ["POINTSMAN_HOME"])
    before = {path: path.stat().st_mtime_ns for path in (home / "archive").rglob("*")}
    assert put_document(file, RECEIPT) == first
    assert {path: path.stat().st_mtime_ns for path in (home / "archive").rglob("*")} == before


def test_the_probe_says_whether_it_happened(accept: Accept, document: Path) -> None:
    file = accept(document)
    assert asyncio.run(find_archived(file, RECEIPT)) is None
    filed = put_document(file, RECEIPT)
    assert asyncio.run(find_archived(file, RECEIPT)) == filed
    assert asyncio.run(find_archived(file, RECEIPT.model_copy(update={"entry": 4}))) is None


def test_a_half_filed_document_counts_as_not_filed_and_is_completed(accept: Accept, document: Path) -> None:
    file = accept(document)
    filed = put_document(file, RECEIPT)
    home = Path(os.environ["POINTSMAN_HOME"])
    (home / filed.record).unlink()
    (home / filed.document).write_bytes(b"half")
    assert asyncio.run(find_archived(file, RECEIPT)) is None
    assert put_document(file, RECEIPT) == filed
    assert hashlib.sha256((home / filed.document).read_bytes()).hexdigest() == file.sha256


def test_the_same_document_may_have_two_receipts(accept: Accept, document: Path) -> None:
    file = accept(document)
    first = put_document(file, RECEIPT)
    second = put_document(file, RECEIPT.model_copy(update={"entry": 9}))
    assert first.document == second.document
    assert first.record != second.record


def test_a_name_cannot_leave_the_archive(accept: Accept, document: Path) -> None:
    file = accept(document).model_copy(update={"name": "../../evil.sh"})
    assert put_document(file, RECEIPT).document == f"archive/{file.sha256}/document"


def test_bytes_that_changed_are_refused(accept: Accept, document: Path) -> None:
    file = accept(document)
    (Path(os.environ["POINTSMAN_HOME"]) / "files" / file.sha256).write_bytes(b"other")
    with pytest.raises(Refused, match="altered"):
        put_document(file, RECEIPT)
