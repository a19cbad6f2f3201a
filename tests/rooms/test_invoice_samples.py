"""Every sample ends as its truth says, with the fields that it says; and a re-run of the script writes the same bytes."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from nodes.invoice import Doubtful, InvoiceState, check_invoice, extract_by_rule, judge_claim, read_document
from samples import make_invoices
from tests.rooms.actors import Accept, LedgerProcess
from tools.ledger.client import send_claim

SAMPLES = Path(__file__).parents[2] / "samples" / "invoices"
TRUTH: dict[str, dict[str, Any]] = json.loads(SAMPLES.with_suffix(".json").read_text(encoding="utf-8"))
AMOUNTS = ("net", "tax", "total", "prepaid", "due")


def go(accept: Accept, path: Path) -> tuple[str, str, InvoiceState]:
    """A run as far as the check: how it ended, why, and its state."""
    state: InvoiceState = {"path": accept(path)}
    for node in (read_document, extract_by_rule, check_invoice):
        try:
            state.update(node(state))
        except Doubtful as doubt:
            return "parked", str(doubt), state
        if state.get("reason"):
            return "quarantined", state["reason"], state
    return "checked", "", state


@pytest.mark.parametrize("name", [name for name, told in TRUTH.items() if told["end"] == "posted"])
def test_a_good_sample_passes_with_exactly_its_fields(accept: Accept, name: str) -> None:
    end, why, state = go(accept, SAMPLES / name)
    assert (end, why) == ("checked", "")
    read = state["invoice"].model_dump(mode="json")
    for field, value in TRUTH[name]["fields"].items():
        assert (Decimal(read[field]) if field in AMOUNTS else read[field]) == (Decimal(value) if field in AMOUNTS else value), field


@pytest.mark.parametrize("name", [name for name, told in TRUTH.items() if told["end"] != "posted" and told["finding"] != "duplicate"])
def test_a_bad_sample_is_stopped_for_the_reason_told(accept: Accept, name: str) -> None:
    end, why, _ = go(accept, SAMPLES / name)
    assert end == TRUTH[name]["end"]
    assert (f"[{TRUTH[name]['finding']}]" if end == "parked" else TRUTH[name]["finding"]) in why


@pytest.mark.parametrize("order", [("2024-117.pdf", "zweitschrift-2024-117.pdf"), ("zweitschrift-2024-117.pdf", "2024-117.pdf")])
def test_of_two_copies_the_second_is_set_aside_naming_the_first(accept: Accept, ledger: LedgerProcess, order: tuple[str, str]) -> None:
    reasons = []
    for name in order:
        state = go(accept, SAMPLES / name)[2]
        state["registration"] = asyncio.run(send_claim(state["claim"], name))
        reasons.append(judge_claim(state)["reason"])
    assert reasons[0] == ""
    assert order[0] in reasons[1]


def test_there_are_enough_samples_of_each_kind() -> None:
    assert len(TRUTH) >= 16
    assert {told["end"] for told in TRUTH.values()} == {"posted", "parked", "quarantined"}
    assert {path.name for path in SAMPLES.iterdir()} == set(TRUTH)


def test_the_script_writes_the_same_bytes_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_invoices, "FOLDER", tmp_path / "invoices")
    make_invoices.main()
    for path in (*SAMPLES.iterdir(), SAMPLES.with_suffix(".json")):
        assert (tmp_path / path.relative_to(SAMPLES.parent)).read_bytes() == path.read_bytes(), path.name
