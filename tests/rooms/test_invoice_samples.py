"""Every sample ends as its truth says, with the fields that it says; and a re-run of the script writes the same bytes."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from guards.finance import policy
from nodes.invoice import Draft, InvoiceState, Reading, check_invoice, extract_by_rule, judge_claim, read_document, unread
from pointsman.policy import Facts
from samples import make_invoices
from tests.rooms.actors import Accept, LedgerProcess
from tools.ledger.client import send_claim

SAMPLES = Path(__file__).parents[2] / "samples" / "invoices"
TRUTH: dict[str, dict[str, Any]] = json.loads(SAMPLES.with_suffix(".json").read_text(encoding="utf-8"))
RECORDED = {told["document"]: told for told in json.loads((SAMPLES.parent / "recorded_answers.json").read_text(encoding="utf-8"))}
AMOUNTS = ("net", "tax", "total", "prepaid", "due")


def go(accept: Accept, path: Path) -> tuple[str, str, InvoiceState]:
    """A run as far as the check, with the recorded answer where a model would be asked and one is recorded: how it ended, why, and its state."""
    state: InvoiceState = {"path": accept(path)}
    for node in (read_document, extract_by_rule):
        state.update(node(state))
        if state.get("reason"):
            return "quarantined", state["reason"], state
    if unread(state) and "answer" in RECORDED.get(path.name, {}):
        state["reading"] = Reading.model_validate(RECORDED[path.name]["answer"])
    state.update(check_invoice(state))
    if state["findings"]:
        return "clerk", "\n".join(f"[{finding.code}] {finding.text}" for finding in state["findings"]), state
    asked = policy.decide(Facts("post_invoice", "write", {"invoice": state["invoice"]}))
    return {"allow": "posted", "ask": str(asked.needs[0].role)}.get(asked.verdict, "denied"), "", state


def names(*ends: str) -> list[str]:
    return [name for name, told in TRUTH.items() if told["end"] in ends]


def assert_fields(state: InvoiceState, name: str) -> None:
    read = state["invoice"].model_dump(mode="json")
    for field, value in TRUTH[name]["fields"].items():
        assert (Decimal(read[field]) if field in AMOUNTS else read[field]) == (Decimal(value) if field in AMOUNTS else value), field


@pytest.mark.parametrize("name", names("posted", "controller"))
def test_a_good_sample_passes_with_exactly_its_fields(accept: Accept, name: str) -> None:
    end, why, state = go(accept, SAMPLES / name)
    assert (end, why) == (TRUTH[name]["end"], "")
    assert_fields(state, name)


@pytest.mark.parametrize("name", names("clerk"))
def test_a_doubtful_sample_waits_for_the_reason_told_and_the_clerk_settles_it(accept: Accept, name: str) -> None:
    told = TRUTH[name]
    end, why, state = go(accept, SAMPLES / name)
    assert end == "clerk"
    assert f"[{told['finding']}]" in why
    assert "invoice" not in state, "nothing may be posted yet"
    if "rejected" not in told:
        before = state["draft"].invoice.model_dump()
        state["draft"] = Draft.model_validate({"invoice": before | told["fields"], "confirmed": told.get("confirmed", ())})
        state.update(check_invoice(state))
        assert state["findings"] == ()
        assert_fields(state, name)


@pytest.mark.parametrize("name", [name for name in names("quarantined") if TRUTH[name]["finding"] != "duplicate"])
def test_a_bad_sample_is_set_aside_for_the_reason_told(accept: Accept, name: str) -> None:
    end, why, _ = go(accept, SAMPLES / name)
    assert end == "quarantined"
    assert TRUTH[name]["finding"] in why


def test_what_the_recorded_answers_show(accept: Accept) -> None:
    """Two documents that rules cannot read and the answer gets right, one without an answer, one whose answer the totals give away."""
    ends: dict[str, str] = {}
    for name, entry in RECORDED.items():
        state: InvoiceState = {"path": accept(SAMPLES / name)}
        for node in (read_document, extract_by_rule):
            state.update(node(state))
        assert unread(state), name
        ends[name] = ("abstains, " if "abstain" in entry else "") + go(accept, SAMPLES / name)[0]
    assert ends == {
        "RR-118.pdf": "posted", "SB-4471.pdf": "posted", "FL-2207.pdf": "controller", "RR-121.pdf": "clerk",
        "HV-unnumbered.pdf": "abstains, clerk", "SB-4480.pdf": "abstains, clerk",
    }  # fmt: skip
    assert [f.code for f in go(accept, SAMPLES / "RR-121.pdf")[2]["findings"]] == ["total"]


@pytest.mark.parametrize("order", [("2024-117.pdf", "zweitschrift-2024-117.pdf"), ("zweitschrift-2024-117.pdf", "2024-117.pdf")])
def test_of_two_copies_the_second_is_set_aside_naming_the_first(accept: Accept, ledger: LedgerProcess, order: tuple[str, str]) -> None:
    reasons = []
    for name in order:
        state = go(accept, SAMPLES / name)[2]
        state["registration"] = asyncio.run(send_claim(state["claim"], name))
        reasons.append(judge_claim(state).get("reason"))
    assert reasons[0] is None
    assert order[0] in str(reasons[1])


def test_there_are_enough_samples_of_each_kind() -> None:
    assert len(TRUTH) >= 16
    assert {told["end"] for told in TRUTH.values()} == {"posted", "clerk", "controller", "quarantined"}
    assert {path.name for path in SAMPLES.iterdir()} == set(TRUTH)


def test_the_script_writes_the_same_bytes_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_invoices, "FOLDER", tmp_path / "invoices")
    make_invoices.main()
    for path in (*SAMPLES.iterdir(), SAMPLES.with_suffix(".json"), SAMPLES.parent / "recorded_answers.json"):
        assert (tmp_path / path.relative_to(SAMPLES.parent)).read_bytes() == path.read_bytes(), path.name
