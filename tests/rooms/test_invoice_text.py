"""Extraction from text: what is not sure is left to a person, and nothing wrong passes the check."""

from __future__ import annotations

from decimal import Decimal

import pytest

from nodes.invoice import extract_by_rule
from nodes.invoice.check import findings
from nodes.invoice.text import extract_text
from tools.ledger import missing

PAGE = """\
Muster & Sohn GmbH · Hauptstr. 5 · 50667 Köln
Kunde AG
Nebenweg 2
10115 Berlin
Rechnung
Rechnungsnummer: RE-100
Rechnungsdatum: 05.03.2024
Bezeichnung Menge Preis Betrag
Beratung 10 100,00 1.000,00 €
Nettobetrag 1.000,00 €
zzgl. 19 % USt 190,00 €
Gesamtbetrag 1.190,00 €
"""


def passes(text: str) -> bool:
    invoice = extract_text(text).invoice
    return not missing(invoice) and not list(findings(invoice, None))


def test_the_page_itself_passes() -> None:
    invoice = extract_text(PAGE).invoice
    assert passes(PAGE)
    assert (invoice.number, invoice.seller, invoice.buyer) == ("RE-100", "Muster & Sohn GmbH", "Kunde AG")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Rechnungsnummer: RE-100", "Rechnungsnummer: RE-100\nRechnungsnummer: RE-101"),
        ("Rechnungsnummer: RE-100", "Rechnungsnummer: RE-1OO siehe oben 7"),
        ("Rechnungsnummer: RE-100", "Kundennummer: 4711"),
        ("Rechnungsdatum: 05.03.2024", "Lieferdatum: 05.03.2024"),
        ("Rechnungsdatum: 05.03.2024", "Rechnungsdatum: 03/04/2024"),
        ("Rechnungsdatum: 05.03.2024", "Rechnungsdatum: 05.03.2024\nRechnungsdatum: 06.03.2024"),
        ("Rechnungsdatum: 05.03.2024", "Rechnungsdatum: 31.02.2024"),
        ("Gesamtbetrag 1.190,00 €", "Gesamtbetrag 1.910,00 €"),
        ("Gesamtbetrag 1.190,00 €", "Gesamtbetrag 1.190 €"),
        ("Gesamtbetrag 1.190,00 €", "Gesamtbetrag 1.190,00 €\nZahlbetrag 990,00 €"),
        ("Gesamtbetrag 1.190,00 €", "Gesamtbetrag 1.190,00 €\nAnzahlung 100,00 €\nZahlbetrag 990,00 €"),
        ("Gesamtbetrag 1.190,00 €", "Gesamtbetrag 1.190,00 €\nAnzahlung 200,00 €"),
        ("zzgl. 19 % USt 190,00 €\nGesamtbetrag 1.190,00 €", "zzgl. 19 % USt 290,00 €\nGesamtbetrag 1.290,00 €"),
        ("zzgl. 19 % USt 190,00 €", "zzgl. 7 % USt 190,00 €"),
        ("zzgl. 19 % USt 190,00 €", "zzgl. 19 % USt 190,00 €\nzzgl. 19 % USt 38,00 €"),
        ("Nettobetrag 1.000,00 €", ""),
        ("Nettobetrag 1.000,00 €", "Nettobetrag 1.000,00 €\nNettobetrag 900,00 €"),
        ("Rechnung\n", "Rechnung\nGutschrift\n"),
        ("Rechnung\n", "Pro-forma-Rechnung\n"),
        ("Rechnung\n", "Umsatzübersicht\n"),
        ("Kunde AG\nNebenweg 2\n10115 Berlin\n", "Tel. 0221 1234\n"),
        ("Muster & Sohn GmbH · Hauptstr. 5 · 50667 Köln\n", ""),
        ("Beratung 10 100,00 1.000,00 €", "Beratung 10 100,00 1.000,00 $"),
        ("Gesamtbetrag 1.190,00 €", "Gesamtbetrag -1.190,00 €"),
        ("Gesamtbetrag 1.190,00 €", "Gesamtbetrag 1.190,00 €\nAnzahlung -200,00 € Zahlbetrag 990,00 €"),
        ("Rechnungsnummer: RE-100", "Kundennummer:\nRechnungsnummer:\n10442\nRE-100"),
        ("Rechnungsnummer: RE-100", "Rechnungsnummer:\n898,00"),
        ("Rechnungsdatum: 05.03.2024", "Lieferdatum:\nRechnungsdatum:\n01.03.2024\n05.03.2024"),
        ("Kunde AG\n", ""),
        ("Kunde AG\n", "Muster & Sohn GmbH\n"),
    ],
)
def test_a_page_that_is_not_clear_does_not_pass(old: str, new: str) -> None:
    assert old in PAGE
    assert not passes(PAGE.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Rechnung\n", "RECHNUNG\n"),
        ("Rechnung\n", "Rechnung Nr. RE-100 vom 05.03.2024\n"),
        ("Rechnungsnummer: RE-100\n", "Rechnungsnummer:\nRE-100\n"),
        ("Rechnungsdatum: 05.03.2024", "Rechnungsdatum: 5. März 2024"),
        ("Gesamtbetrag 1.190,00 €", "Gesamtbetrag:\n1.190,00 €"),
        ("Gesamtbetrag 1.190,00 €", "Gesamtbetrag 1.190,00 €\nAnzahlung -200,00 €\nZahlbetrag 990,00 €"),
        ("Beratung 10", "zu Ihrer Bestellung gehört die Rechnung 4711 vom 01.01.2020.\nBeratung 10"),
        ("Rechnungsnummer: RE-100", "Rechnungsnummer: RE-100   Kundennummer: 4711"),
        ("Rechnungsdatum: 05.03.2024", "Rechnungsdatum: 05.03.2024\nLieferscheindatum: 01.03.2024\nDatum: 07.03.2024"),
    ],
)
def test_other_ways_to_say_the_same_pass(old: str, new: str) -> None:
    assert old in PAGE
    assert passes(PAGE.replace(old, new))
    invoice = extract_text(PAGE.replace(old, new)).invoice
    assert (invoice.number, str(invoice.date), str(invoice.total)) == ("RE-100", "2024-03-05", "1190.00")


def test_a_small_business_states_no_tax() -> None:
    page = PAGE.replace(
        "Nettobetrag 1.000,00 €\nzzgl. 19 % USt 190,00 €\nGesamtbetrag 1.190,00 €", "Gesamtbetrag 1.000,00 €\nKein Ausweis nach § 19 UStG"
    )
    invoice = extract_text(page).invoice
    assert passes(page)
    assert (invoice.net, invoice.tax, invoice.total) == (Decimal(1000), Decimal(0), Decimal(1000))


@pytest.mark.parametrize(
    "title", ["Mahnung", "Lieferschein Nr. 7", "Angebot", "Auftragsbestätigung", "Payment reminder", "Quotation", "Purchase order"]
)
def test_other_documents_are_no_invoices(title: str) -> None:
    page = PAGE.replace("Rechnung\nRechnungsnummer: RE-100\n", f"{title}\n")
    assert "no invoice" in extract_by_rule({"text": page, "images": 0, "embedded": None})["reason"]


def test_a_pro_forma_invoice_asks_for_nothing() -> None:
    page = PAGE.replace("Rechnung\n", "Pro-forma-Rechnung\n")
    assert "pro forma" in extract_by_rule({"text": page, "images": 0, "embedded": None})["reason"]


def test_what_is_ambiguous_is_quoted() -> None:
    notes = extract_text(PAGE.replace("RE-100", "RE-100\nRechnungsnummer: RE-101")).notes
    assert [note.code for note in notes] == ["ambiguous.number"]
    assert "RE-101" in notes[0].text


@pytest.mark.parametrize(
    "line", ["Rechnung " + "1" * 900 + " x", "Rechnung " + "1 " * 400 + "x", "1.1" * 300, "MwSt " + "1." * 400, "a " * 450 + "5"]
)
def test_no_line_takes_for_ever_to_read(line: str) -> None:
    extract_text("\n".join([line] * 20))
