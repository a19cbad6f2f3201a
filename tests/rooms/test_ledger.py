"""The ledger: once per key, whatever happens to either side."""

from __future__ import annotations

import asyncio
import datetime
import socket
import subprocess
import sys
import threading
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from pointsman.errors import Refused, Unavailable
from tests.rooms.actors import ROOT, LedgerProcess
from tools.ledger import Claim, Invoice
from tools.ledger.client import send_claim, send_invoice

INVOICE = Invoice(
    number="7",
    kind="invoice",
    type_code="380",
    date=datetime.date(2024, 3, 12),
    seller="S",
    buyer="B",
    currency="EUR",
    net=Decimal("100.00"),
    tax=Decimal("19.00"),
    total=Decimal("119.00"),
    prepaid=Decimal(0),
    due=Decimal("119.00"),
)


def claim(document: str, text: str | None, data: str | None, number: str = "7") -> Claim:
    return Claim(
        document=document,
        name=f"{document}.pdf",
        text=text,
        data=data,
        number=number,
        seller="S",
        date=datetime.date(2024, 3, 12),
        total=Decimal("119.00"),
    )


def test_the_same_key_is_applied_once(ledger: LedgerProcess) -> None:
    first = asyncio.run(send_invoice(INVOICE, "k"))
    again = asyncio.run(send_invoice(INVOICE.model_copy(update={"total": Decimal("119.000")}), "k"))
    assert first == again
    assert ledger.get("/counts") == {"k": {"requests": 2, "applied": 1}}
    assert [entry["effect"] for entry in ledger.get("/entries")] == ["119.00"]  # type: ignore[attr-defined]


def test_the_same_key_with_another_body_is_refused(ledger: LedgerProcess) -> None:
    asyncio.run(send_invoice(INVOICE, "k"))
    with pytest.raises(Refused, match="another request"):
        asyncio.run(send_invoice(INVOICE.model_copy(update={"number": "8"}), "k"))
    assert ledger.get("/counts") == {"k": {"requests": 2, "applied": 1}}


def test_an_incomplete_invoice_is_refused_and_leaves_its_key_free(ledger: LedgerProcess) -> None:
    with pytest.raises(Refused, match="lacks number, due"):
        asyncio.run(send_invoice(INVOICE.model_copy(update={"number": None, "due": None}), "k"))
    assert ledger.get("/counts") == {"k": {"requests": 1, "applied": 0}}
    asyncio.run(send_invoice(INVOICE, "k"))
    assert ledger.get("/counts") == {"k": {"requests": 2, "applied": 1}}


def test_a_credit_note_takes_off_what_an_invoice_adds(ledger: LedgerProcess) -> None:
    note = INVOICE.model_copy(update={"kind": "credit note", "type_code": "381"})
    assert asyncio.run(send_invoice(note, "k")).effect == Decimal("-119.00")


def test_one_of_many_concurrent_claims_holds_the_content(ledger: LedgerProcess) -> None:
    async def race() -> list[str]:
        answers = await asyncio.gather(*(send_claim(claim(f"d{n}", "page", "xml"), f"k{n}") for n in range(12)))
        return [answer.held for answer in answers]

    held = asyncio.run(race())
    assert sorted(held) == ["taken"] * 11 + ["yours"]
    holder = f"d{held.index('yours')}"
    assert asyncio.run(send_claim(claim(holder, "page", "xml"), "another key")).held == "yours"


@pytest.mark.parametrize(
    ("first", "second", "held"),
    [
        (("page", "xml"), ("page", "xml"), "taken"),
        (("page", "xml"), ("page", "other"), "yours"),
        (("page", "xml"), ("other", "xml"), "yours"),
        (("page", None), ("page", None), "taken"),
        (("page", "xml"), ("page", None), "taken"),
        (("page", "xml"), (None, "xml"), "taken"),
        (("page", None), ("other", None), "yours"),
        (("page", None), (None, "xml"), "yours"),
    ],
)
def test_content_tells_documents_apart(ledger: LedgerProcess, first: tuple[str, str], second: tuple[str, str], held: str) -> None:
    asyncio.run(send_claim(claim("a", *first), "1"))
    answer = asyncio.run(send_claim(claim("b", *second), "2"))
    assert answer.held == held
    assert (answer.holder_name == "a.pdf") == (held == "taken")
    assert answer.similar == (("a.pdf",) if held == "yours" else ())


def test_killed_while_it_is_busy_it_loses_nothing_and_applies_nothing_twice(ledger: LedgerProcess) -> None:
    answered: dict[str, int] = {}
    stop = threading.Event()

    def post(worker: int) -> None:
        place = 0
        while not stop.is_set():
            key = f"{worker}-{place}"
            try:
                answered[key] = asyncio.run(send_invoice(INVOICE, key)).entry
                place += 1
            except (Unavailable, httpx.HTTPError):
                continue  # unknown or not sent: the same key again

    workers = [threading.Thread(target=post, args=(worker,)) for worker in range(3)]
    for worker in workers:
        worker.start()
    for _ in range(3):
        goal = len(answered) + 15
        while len(answered) < goal:
            stop.wait(0.01)
        ledger.kill()
        ledger.start()
    stop.set()
    for worker in workers:
        worker.join()
    entries = {entry["key"]: entry["entry"] for entry in ledger.get("/entries")}  # type: ignore[attr-defined]
    assert answered.items() <= entries.items()
    assert len(set(entries.values())) == len(entries)
    assert {count["applied"] for count in ledger.get("/counts").values()} == {1}  # type: ignore[attr-defined]


def test_a_second_start_on_the_same_folder_says_who_serves_it(ledger: LedgerProcess) -> None:
    command = [sys.executable, "-m", "tools.ledger.service", "--dir", str(ledger.folder)]
    second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert second.returncode == 1
    assert ledger.url in second.stderr
    assert str(ledger.process.pid if ledger.process else "") in second.stderr


def test_after_a_clean_end_no_address_is_left(ledger: LedgerProcess) -> None:
    ledger.close()
    assert not (ledger.folder / "url").exists()


def test_nothing_listens_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("LEDGER_URL", f"http://127.0.0.1:{free.getsockname()[1]}")
        with pytest.raises(Unavailable, match="cannot be reached"):
            asyncio.run(send_invoice(INVOICE, "k"))


def test_no_ledger_was_ever_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEDGER_URL", raising=False)
    monkeypatch.setenv("POINTSMAN_HOME", str(tmp_path))
    with pytest.raises(Unavailable, match="has not said where it serves") as told:
        asyncio.run(send_invoice(INVOICE, "k"))
    assert f"python -m tools.ledger.service --dir {tmp_path / 'ledger'}, or" in str(told.value.remedy)


def test_a_dropped_connection_is_an_unknown_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("LEDGER_URL", f"http://127.0.0.1:{server.getsockname()[1]}")

        def hang_up() -> None:
            connection, _ = server.accept()
            connection.recv(1)
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(httpx.HTTPError):
            asyncio.run(send_invoice(INVOICE, "k"))
        thread.join()


@pytest.mark.parametrize(
    ("path", "key", "body", "status"),
    [
        ("/nothing", "k", b"{}", 404),
        ("/invoices", "", b"{}", 400),
        ("/invoices", "k", b"{", 400),
        ("/invoices", "k", b'{"unknown": 1}', 400),
        ("/invoices", "k" * 201, b"{}", 400),
    ],
)
def test_what_is_wrong_is_said(ledger: LedgerProcess, path: str, key: str, body: bytes, status: int) -> None:
    answer = httpx.post(ledger.url + path, headers={"Idempotency-Key": key}, content=body, trust_env=False, timeout=30)
    assert answer.status_code == status
    assert answer.json()["error"]


def test_what_is_not_there_is_said(ledger: LedgerProcess) -> None:
    assert httpx.get(ledger.url + "/nothing", trust_env=False, timeout=30).status_code == 404


def test_it_says_that_it_is_well(ledger: LedgerProcess) -> None:
    assert ledger.get("/health") == {"ok": True, "pid": ledger.process.pid if ledger.process else 0}
