"""How a person settles what is doubtful: by repairing the invoice, or by confirming the document."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from nodes.invoice import Doubtful, InvoiceState, check_invoice, judge_claim
from tests.rooms.actors import Accept
from tests.rooms.test_invoice_samples import SAMPLES, go
from tools.ledger import Invoice


def parked(accept: Accept, name: str) -> InvoiceState:
    end, _, state = go(accept, SAMPLES / name)
    assert end == "parked"
    return state


def set_fields(state: InvoiceState, **fields: object) -> None:
    """What `rerun --set invoice.FIELD=JSON` does."""
    state["invoice"] = Invoice.model_validate(state["invoice"].model_dump() | fields)


def test_a_wrong_total_is_named_with_its_values_and_repaired(accept: Accept) -> None:
    state = parked(accept, "2024-118.pdf")
    with pytest.raises(Doubtful, match=r"net 1572.00 \+ tax 298.68 = 1870.68, but the total is given as 1960.68"):
        check_invoice(state)
    set_fields(state, total=1870.68, due=1870.68)
    assert check_invoice(state)["claim"].total == Decimal("1870.68")


def test_a_repair_that_does_not_add_up_is_found(accept: Accept) -> None:
    state = parked(accept, "2024-118.pdf")
    set_fields(state, total=1870.68)
    with pytest.raises(Doubtful, match=r"\[due\]"):
        check_invoice(state)


def test_a_conflict_is_settled_for_the_xml_by_its_values(accept: Accept) -> None:
    state = parked(accept, "2024-123.pdf")
    set_fields(state, net="1090.00", tax="207.10", total="1297.10", due="1297.10", taxes=())
    assert check_invoice(state)["claim"].total == Decimal("1297.10")


def test_a_conflict_is_settled_for_the_page_by_confirming_it(accept: Accept) -> None:
    state = parked(accept, "2024-123.pdf")
    with pytest.raises(Doubtful) as doubt:
        check_invoice(state)
    state["confirmed"] = [finding.code for finding in doubt.value.findings]
    assert check_invoice(state)["claim"].total == Decimal("1416.10")


def test_a_missing_field_cannot_be_confirmed(accept: Accept) -> None:
    state = parked(accept, "CS-88131.pdf")
    state["confirmed"] = ["missing.date", "ambiguous.date"]
    with pytest.raises(Doubtful, match="04/05/2024"):
        check_invoice(state)
    set_fields(state, date="2024-04-05")
    assert str(check_invoice(state)["claim"].date) == "2024-04-05"


def test_a_scan_is_typed_in_by_a_person(accept: Accept) -> None:
    state = parked(accept, "scan-0412.pdf")
    who = {"seller": "Holzbau Sander e.K.", "buyer": "Werft am Fluss GmbH"}
    what = {"number": "24-0087", "kind": "invoice", "type_code": "380", "date": "2024-04-09", "currency": "EUR"}
    set_fields(state, **who, **what, net="376.20", tax="71.48", total="447.68", prepaid="0", due="447.68")
    claim = check_invoice(state)["claim"]
    assert (claim.number, claim.text, claim.data) == ("24-0087", None, None)


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
    state = go(accept, SAMPLES / "2024-117.pdf")[2]
    set_fields(state, **fields)
    with pytest.raises(Doubtful) as doubt:
        check_invoice(state)
    assert code in [finding.code for finding in doubt.value.findings]


def test_a_state_that_came_back_as_plain_data_is_understood(accept: Accept) -> None:
    state = parked(accept, "2024-123.pdf")
    assert state["embedded"]
    data: Any = {**state, "invoice": state["invoice"].model_dump(), "embedded": state["embedded"].model_dump()}
    with pytest.raises(Doubtful):
        check_invoice(data)
    assert judge_claim({"registration": {"held": "yours", "holder": "a", "holder_name": "b"}})["reason"] == ""  # type: ignore[typeddict-item]
