"""The measured invoices (`POINTSMAN_DATA`): fields, duplicates, and a correct reason for every document under `fail/`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from evals.invoice_fields import score, summary
from nodes.invoice import judge_claim
from tests.rooms.actors import Accept, LedgerProcess
from tests.rooms.test_invoice_samples import go
from tools.ledger.client import send_claim

# Decided by hand: the page looked at, its XML validated with the XSD and Schematron rules that Factur-X 1.09 publishes.
# Each row: the findings that say what is really wrong, and a piece of the text that names it.
FAIL = {
    # XSD valid; Schematron: the profile is an early draft's. The page says Avoir (credit note), the XML 380 (invoice).
    "Avoir_FR_type380_BASIC.pdf": (("xml.profile", "conflict.kind", "sign"), "has credit note, its XML has invoice"),
    # XSD: the profile MINIMUM has no InvoiceReferencedDocument. The page says Avoir, the XML 380.
    "Avoir_FR_type380_MINIMUM.pdf": (("xml.minimum", "conflict.kind", "sign"), "InvoiceReferencedDocument"),
    # XSD and Schematron valid. The page prints -233.47, the XML +233.47.
    "Avoir_FR_type381_EN16931.pdf": (("conflict.total", "sign"), "has -233.47, its XML has 233.47"),
    # XSD valid; Schematron: the profile is an early draft's.
    "Facture_DOM_BASIC.pdf": (("xml.profile",), ":compliant:factur-x.eu:1p0:basic"),
    "Facture_FR_BASIC.pdf": (("xml.profile",), ":compliant:factur-x.eu:1p0:basic"),
    # The same, and Schematron BR-IC-11 and BR-IC-12: neither date nor country of delivery.
    "Facture_UE_BASIC.pdf": (("xml.profile", "xml.delivery"), "BR-IC-11"),
    # XSD: the bank's name is in no profile; Schematron: the profile is an early draft's.
    "MustangGnuaccountingBeispielRE-20171118_506.pdf": (("xml.profile",), ":compliant:factur-x.eu:1p0:extended"),
    # XSD: BuyerReference stands in no namespace.
    "MustangGnuaccountingBeispielRE-20190610_507b.pdf": (("xml.namespace",), "BuyerReference"),
    # Not well-formed: UTF-8-W/O-BOM cannot be the name of an encoding. (Mended by hand, it would be another invoice's XML.)
    "factur-x-invalid-xml-encoding-attribute.pdf": (("xml.unreadable",), "not well-formed"),
    # XSD: elements that BASIC does not have; Schematron: the profile is an early draft's.
    "python-factur-x.pdf": (("xml.profile",), ":compliant:factur-x.eu:1p0:basic"),
    # XSD and Schematron valid, sums right. But VATEX-EU-O belongs to category O alone, and an Italian IBAN has 27 characters.
    "not_validating_full_invoice.cii.xml": (("xml.exemption", "xml.account"), "an IBAN of IT has 27"),
}


def test_the_fields_are_read_from_the_text_alone(measured: Path) -> None:
    told = summary(score(measured))
    assert told["fields"] == 84
    assert told["exact"] == 84
    assert told["posted_wrong"] == 0


@pytest.mark.parametrize("name", FAIL)
def test_a_failing_document_waits_for_a_clerk_for_what_is_wrong_with_it(measured: Path, accept: Accept, name: str) -> None:
    end, why, _ = go(accept, measured / "fail" / name)
    codes, words = FAIL[name]
    assert end == "clerk"
    assert {line[1 : line.index("]")] for line in why.split("\n")} >= set(codes)
    assert words in why


def test_no_failing_document_is_left_out(measured: Path) -> None:
    assert {path.name for path in (measured / "fail").iterdir()} == set(FAIL)


def test_the_real_documents_all_pass_and_are_all_different(measured: Path, accept: Accept, ledger: LedgerProcess) -> None:
    for path in sorted((measured / "pdf").glob("*.pdf")):
        end, why, state = go(accept, path)
        assert (end in ("posted", "controller"), why) == (True, ""), path.name
        assert asyncio.run(send_claim(state["claim"], path.name)).held == "yours", path.name


def test_the_xml_alone_is_the_same_invoice_as_the_document_that_carries_it(measured: Path, accept: Accept, ledger: LedgerProcess) -> None:
    for path in sorted((measured / "pdf").glob("*.pdf")):
        asyncio.run(send_claim(go(accept, path)[2]["claim"], path.name))
    for path in sorted((measured / "cii").glob("*.xml")):
        state = go(accept, path)[2]
        state["registration"] = asyncio.run(send_claim(state["claim"], path.name))
        assert path.name.replace(".cii.xml", ".pdf") in judge_claim(state)["reason"]


def test_two_copies_whose_xml_differs_in_its_profile_only_are_one_invoice(measured: Path, accept: Accept) -> None:
    one, other = (
        go(accept, measured / "fail" / name)[2]["embedded"]
        for name in ("MustangGnuaccountingBeispielRE-20171118_506.pdf", "python-factur-x.pdf")
    )
    assert one
    assert other
    assert one.digest == other.digest
