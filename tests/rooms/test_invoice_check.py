"""How a person settles what is doubtful: by repairing the invoice, or by confirming the document."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from nodes.invoice import Draft, InvoiceState, Reading, check_invoice, extract_by_rule, judge_claim, read_document, unread
from nodes.invoice.check import findings
from nodes.invoice.interpret import taken
from nodes.invoice.text import extract_text
from tests.rooms.actors import Accept
from tests.rooms.test_invoice_samples import SAMPLES, go
from tests.rooms.test_invoice_text import PAGE
from tools.ledger import Invoice


def waiting(accept: Accept, name: str) -> InvoiceState:
    end, _, state = go(accept, SAMPLES / name)
    assert end == "clerk"
    return state


def answer(state: InvoiceState, *confirmed: str, **fields: object) -> InvoiceState:
    """What `pointsman answer --set invoice.FIELD=JSON` does, and the check after it."""
    invoice = Invoice.model_validate(state["draft"].invoice.model_dump() | fields)
    state["draft"] = Draft(invoice=invoice, confirmed=confirmed)
    state.update(check_invoice(state))
    return state


def codes(state: InvoiceState) -> list[str]:
    return [finding.code for finding in state["findings"]]


def test_a_wrong_total_is_named_with_its_values_and_repaired(accept: Accept) -> None:
    state = waiting(accept, "2024-118.pdf")
    [finding] = state["findings"]
    assert finding.text == "net 1572.00 + tax 298.68 = 1870.68, but the total is given as 1960.68"
    assert answer(state, total=1870.68, due=1870.68)["claim"].total == Decimal("1870.68")


def test_a_repair_that_does_not_add_up_is_found(accept: Accept) -> None:
    state = answer(waiting(accept, "2024-118.pdf"), total=1870.68)
    assert codes(state) == ["due"]
    assert "invoice" not in state


def test_a_conflict_is_settled_for_the_xml_by_its_values(accept: Accept) -> None:
    state = answer(waiting(accept, "2024-123.pdf"), net="1090.00", tax="207.10", total="1297.10", due="1297.10", taxes=())
    assert state["claim"].total == Decimal("1297.10")


def test_a_conflict_is_settled_for_the_page_by_confirming_it(accept: Accept) -> None:
    state = waiting(accept, "2024-123.pdf")
    assert answer(state, *codes(state))["claim"].total == Decimal("1416.10")


def test_a_missing_field_cannot_be_confirmed(accept: Accept) -> None:
    state = answer(waiting(accept, "CS-88131.pdf"), "missing.date", "ambiguous.date")
    assert codes(state) == ["missing.date"]
    assert "04/05/2024" in state["findings"][0].text
    assert str(answer(state, date="2024-04-05")["claim"].date) == "2024-04-05"


def test_a_scan_is_typed_in_by_a_person(accept: Accept) -> None:
    state = waiting(accept, "scan-0412.pdf")
    who = {"seller": "Holzbau Sander e.K.", "buyer": "Werft am Fluss GmbH"}
    what = {"number": "24-0087", "kind": "invoice", "type_code": "380", "date": "2024-04-09", "currency": "EUR"}
    claim = answer(state, **who, **what, net="376.20", tax="71.48", total="447.68", prepaid="0", due="447.68")["claim"]
    assert (claim.number, claim.text, claim.data) == ("24-0087", None, None)


def test_what_a_model_read_fills_only_what_the_page_bears_out(accept: Accept) -> None:
    """Each value that the recorded answer got right, replaced by one that the page does not show: not taken, and named."""
    right = go(accept, SAMPLES / "RR-118.pdf")[2]["invoice"]
    wrong = {
        "number": "118", "date": "2024-05-16", "due_date": "2024-06-16", "seller": "Ropewalk Rigging", "buyer": "Greenfield Ltd",
        "currency": "USD", "net": "1241.00", "tax": "284.00", "total": "1489.00", "prepaid": "10.00", "due": "1500.00",
    }  # fmt: skip
    unseen = dict.fromkeys(wrong, "unseen") | {"date": "shown"}
    state: InvoiceState = {"path": accept(SAMPLES / "RR-118.pdf")}
    for node in (read_document, extract_by_rule):
        state.update(node(state))
    for name, value in wrong.items():
        reading = Reading.model_validate({field: getattr(right, field) for field in wrong} | {name: value})
        checked = check_invoice({**state, "reading": reading})
        found = [finding.code for finding in checked["findings"]]
        assert (f"unseen.{name}" in found) == (unseen[name] == "unseen"), name
        assert ("invoice" in checked) == (unseen[name] == "shown"), name


def test_a_model_overrules_nothing_that_the_rules_read(accept: Accept) -> None:
    state: InvoiceState = {"path": accept(SAMPLES / "SB-4480.pdf")}
    for node in (read_document, extract_by_rule):
        state.update(node(state))
    state["reading"] = Reading(number="SB-4471", seller="Seilerei Brandt e.K.")
    state.update(check_invoice(state))
    assert state["draft"].invoice.number == "SB-4480"
    assert state["draft"].invoice.seller == "Seilerei Brandt e.K."
    assert "disputed.number" in codes(state)
    assert "SB-4471" in next(finding.text for finding in state["findings"] if finding.code == "disputed.number")
    assert "disputed.number" not in codes(answer(state)), "the clerk has seen it"


@pytest.mark.parametrize("deposit", ["", "Ihre Anzahlung von 100,00 € haben wir erhalten.\n"])
def test_a_model_says_that_nothing_was_paid_only_where_the_page_does_not_speak_of_it(deposit: str) -> None:
    page = PAGE.replace("Gesamtbetrag 1.190,00 €\n", f"Gesamtbetrag\nin Worten\n{deposit}1.190,00 €\n")
    found = extract_text(page)
    reading = Reading(total=Decimal(1190), prepaid=Decimal(0), due=Decimal(1190))
    invoice, doubts = taken(reading, found.invoice, found.notes, page)
    assert (invoice.prepaid, [doubt.code for doubt in doubts]) == ((None, ["unseen.prepaid"]) if deposit else (0, []))
    assert not list(findings(invoice, None))


def test_no_model_is_asked_for_what_the_page_says_in_two_ways_or_does_not_print() -> None:
    def asked(page: str) -> list[str]:
        state: InvoiceState = {"text": page, "images": 0, "embedded": None}
        return unread({**state, **extract_by_rule(state)})

    assert asked(PAGE) == []
    assert asked(PAGE.replace("Rechnungsnummer: RE-100", "Nr. RE-100")) == ["number"]
    assert asked(PAGE.replace("Rechnungsdatum: 05.03.2024", "Rechnungsdatum: 03/04/2024")) == []
    assert asked(PAGE.replace("Rechnung\n", "Rechnung\nGutschrift\n")) == []
    assert unread({"text": "", "draft": Draft(), "notes": ()}) == []


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"type_code": "381"}, "kind"),
        ({"type_code": "999"}, "kind"),
        ({"currency": "Euro"}, "currency"),
        ({"date": "1924-03-12"}, "date"),
        ({"due_date": "2024-01-01"}, "due_date"),
        ({"prepaid": "1"}, "due"),
        ({"tax": "1000", "total": "2572", "due": "2572", "taxes": ()}, "tax.high"),
        ({"tax": "29.87", "total": "1601.87", "due": "1601.87"}, "tax"),
        ({"kind": "credit note", "type_code": "381", "net": "-1", "tax": "0", "total": "-1", "due": "-1"}, "sign"),
    ],
)
def test_each_doubt_has_its_code(accept: Accept, fields: dict[str, object], code: str) -> None:
    assert code in codes(answer(go(accept, SAMPLES / "2024-117.pdf")[2], **fields))


def test_a_state_that_came_back_as_plain_data_is_understood(accept: Accept) -> None:
    state = waiting(accept, "2024-123.pdf")
    assert state["embedded"]
    data: Any = {**state, "draft": state["draft"].model_dump(), "embedded": state["embedded"].model_dump()}
    assert check_invoice(data)["findings"] == state["findings"]
    assert judge_claim({"registration": {"held": "yours", "holder": "a", "holder_name": "b"}}) == {}  # type: ignore[typeddict-item]
