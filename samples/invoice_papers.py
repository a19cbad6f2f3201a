"""What the sample invoices say. Everybody named here is invented."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from samples.invoice_layouts import Item, Paper

MEYER: Final = ("Meyer Bürotechnik GmbH", "Lindenallee 14", "28195 Bremen", "USt-IdNr. DE811223344")
NORDLICHT: Final = ("Nordlicht Druckerei GmbH & Co. KG", "Hafenstraße 3", "24103 Kiel", "USt-IdNr. DE299887766")
ALPENKRAFT: Final = ("Alpenkraft Energie AG", "Bahnhofstrasse 21", "8001 Zürich", "CHE-123.456.789 MWST")
HARBOUR: Final = ("Harbour & Vale Ltd", "27 Quay Street", "Bristol BS1 4DJ", "VAT Reg GB 123 4567 89")
CASCADE: Final = ("Cascade Sensor Inc.", "1180 NW Lovejoy St", "Portland, OR 97209", "Tax ID 93-1234567")
ROPE: Final = ("Ropewalk Rigging Ltd", "3 Slip Lane", "Falmouth TR11 3QY", "VAT Reg GB 987 6543 21")
BRANDT: Final = ("Seilerei Brandt e.K.", "Reeperbahn 11", "26721 Emden", "USt-IdNr. DE244668800")
FJORD: Final = ("Fjordlys AB", "Strandgatan 9", "411 04 Göteborg", "VAT SE556677889901")
WERFT: Final = ("Werft am Fluss GmbH", "Uferweg 8", "20457 Hamburg")
STUDIO: Final = ("Studio Fernblick GbR", "Gartenweg 5", "79098 Freiburg")
GREEN: Final = ("Greenfield Analytics Ltd", "5 Mill Lane", "Leeds LS1 4DY")

DE: Final = {
    "seller": "Rechnungssteller",
    "buyer": "Rechnungsempfänger",
    "columns": "Bezeichnung|Menge|Preis|USt|Betrag",
    "net": "Nettobetrag",
    "tax": "zzgl. {rate} % USt",
    "total": "Rechnungsbetrag",
    "prepaid": "abzgl. Anzahlung",
    "due": "Zahlbetrag",
}
DE_SUMS: Final = DE | {"net": "Summe netto", "tax": "MwSt. {rate} % auf {basis} €", "total": "Gesamtbetrag"}
CH: Final = DE | {
    "net": "Zwischensumme netto",
    "tax": "MWST {rate} %",
    "total": "Gesamtbetrag",
    "columns": "Leistung|Menge|Ansatz|MWST|Betrag",
}
EN: Final = {
    "seller": "From",
    "buyer": "Bill to",
    "columns": "Description|Qty|Unit price|VAT|Amount",
    "net": "Subtotal",
    "tax": "VAT {rate}%",
    "total": "Total",
    "prepaid": "Less deposit",
    "due": "Amount due",
}
US: Final = EN | {"columns": "Description|Qty|Rate|Tax|Amount", "tax": "Sales tax {rate}%", "total": "Total"}


def german(number: str, dated: str, due: str, label: str = "Rechnungsnummer") -> tuple[tuple[str, str], ...]:
    """The facts of a German invoice, as printed."""
    return ((f"{label}:", number), ("Rechnungsdatum:", dated), ("Kundennummer:", "10442"), ("Leistungsdatum:", dated), ("Fällig am:", due))


def english(number: str, dated: str, due: str, word: str = "Invoice") -> tuple[tuple[str, str], ...]:
    """The facts of an English invoice, as printed."""
    return ((f"{word} no.:", number), (f"{word} date:", dated), ("Customer ref.:", "PO-7781"), ("Due date:", due))


FOOT_DE: Final = (
    "Zahlbar ohne Abzug. Bankverbindung: IBAN DE02 1203 0000 0000 2020 51, BIC BYLADEM1001",
    "Geschäftsführung: A. Meyer · Amtsgericht Bremen HRB 4711",
)
FOOT_EN: Final = ("Please pay by bank transfer, quoting the invoice number.", "Registered in England and Wales no. 01234567")

LETTER: Final = Paper(
    "letter",
    "de",
    "Rechnung",
    MEYER[:3],
    WERFT,
    german("2024-117", "12.03.2024", "11.04.2024"),
    (
        Item("Schreibtisch höhenverstellbar", "2", "449.00"),
        Item("Bürostuhl Modell Ergo", "2", "289.50"),
        Item("Lieferung und Aufbau", "1", "95.00"),
    ),
    DE,
    text=("Sehr geehrte Damen und Herren,", "wir berechnen Ihnen die folgenden Leistungen:"),
    foot=FOOT_DE,
)
BOXED: Final = Paper(
    "boxed",
    "de",
    "RECHNUNG",
    NORDLICHT,
    STUDIO,
    german("R/24/0391", "04.04.2024", "18.04.2024", "Rechnungs-Nr."),
    (Item("Plakate A1, vierfarbig", "250", "1.84"), Item("Bildband „Küste“", "120", "12.60", "7"), Item("Druckdaten prüfen", "1", "35.00")),
    DE_SUMS,
    foot=FOOT_DE[:1],
    colour="#7a2e2e",
)
MODERN: Final = Paper(
    "modern",
    "en",
    "INVOICE",
    HARBOUR,
    GREEN,
    english("HV-20311", "14 March 2024", "13 April 2024"),
    (Item("Workshop facilitation, two days", "2", "1150.00", "20"), Item("Printed course material", "18", "24.50", "20")),
    EN,
    currency="GBP",
    sign="£",
    foot=FOOT_EN,
    colour="#0b6e4f",
)
DOLLAR: Final = Paper(
    "modern",
    "en",
    "INVOICE",
    CASCADE,
    WERFT,
    english("CS-88120", "March 22, 2024", "April 21, 2024"),
    (Item("Pressure sensor PT-40", "40", "62.75", "0"), Item("Calibration certificate", "40", "8.00", "0")),
    US,
    currency="USD",
    sign="USD",
    foot=("Wire transfer in US dollars only. Export sale.",),
    colour="#33415c",
)
FRANKEN: Final = Paper(
    "boxed",
    "ch",
    "RECHNUNG",
    ALPENKRAFT,
    WERFT,
    german("AK-2024-0077", "2. April 2024", "2. Mai 2024"),
    (Item("Lastganganalyse", "24", "165.00", "8.1"), Item("Reisespesen pauschal", "1", "320.00", "8.1")),
    CH,
    currency="CHF",
    sign="CHF",
    foot=("Zahlbar innert 30 Tagen.",),
    colour="#b23a48",
)
CREDIT: Final = replace(
    MODERN,
    title="CREDIT NOTE",
    facts=english("CN-20047", "2 April 2024", "2 April 2024", "Credit note")[:2],
    items=(Item("Printed course material, returned", "6", "24.50", "20"),),
    labels=EN | {"total": "Total credit"},
    text=("Returned goods of our invoice HV-20311.",),
    foot=("The amount will be set off against your next invoice.",),
)
KORREKTUR: Final = replace(
    LETTER,
    title="Rechnungskorrektur",
    facts=(("Korrektur-Nr.:", "K-2024-009"), ("Belegdatum:", "19.03.2024")),
    items=(Item("Bürostuhl Modell Ergo, Rückgabe", "-1", "289.50"),),
    labels=DE | {"total": "Gesamtbetrag"},
    text=("Korrektur der Rechnung 2024-117 vom 12.03.2024 wegen Rückgabe.",),
    foot=FOOT_DE,
)
DEPOSIT: Final = replace(
    BOXED,
    facts=german("R/24/0402", "11.04.2024", "25.04.2024", "Rechnungs-Nr."),
    prepaid="500.00",
    items=(Item("Katalog 48 Seiten", "800", "2.15"), Item("Versand", "1", "64.00")),
    text=("Ihre Anzahlung vom 28.03.2024 ist berücksichtigt.",),
)
REMINDER: Final = Paper(
    "plain",
    "de",
    "Zahlungserinnerung",
    MEYER[:3],
    WERFT,
    (),
    (),
    DE,
    foot=FOOT_DE,
    text=(
        "Sehr geehrte Damen und Herren,",
        "zu unserer Rechnung 2024-098 vom 02.02.2024 über 476,00 € konnten wir noch keinen Zahlungseingang feststellen.",
        "Bitte überweisen Sie den Betrag bis zum 22.03.2024.",
        "",
        "Mit freundlichen Grüßen",
        "Meyer Bürotechnik GmbH",
    ),
)
LETTER_ONLY: Final = Paper(
    "plain",
    "en",
    "Our new opening hours",
    HARBOUR,
    GREEN,
    (),
    (),
    EN,
    foot=FOOT_EN[1:],
    text=(
        "Dear customer,",
        "from 1 May 2024 our office will be open from 9 am to 6 pm.",
        "Questions about an invoice are still best sent to accounts@harbour.example.",
        "",
        "Kind regards",
        "Harbour & Vale Ltd",
    ),
)
PROSE: Final = Paper(
    "plain",
    "en",
    "Invoice",
    ROPE,
    GREEN,
    (),
    (Item("Mast cranes inspected and re-rigged", "2", "620.00", "20"),),
    EN,
    currency="GBP",
    foot=FOOT_EN[:1],
    text=(
        "Dear Sir or Madam,",
        "for inspecting and re-rigging your two mast cranes between 8 and 12 April 2024 we charge 1,240.00,",
        "to which VAT at 20 per cent, 248.00, is to be added: together 1,488.00 pounds sterling (GBP).",
        "This letter is our bill RR/118 of 16 April 2024. We should be glad of the sum by 16 May 2024.",
        "",
        "Yours faithfully",
        "Ropewalk Rigging Ltd",
    ),
)
HASTY: Final = replace(
    PROSE,
    items=(Item("Standing rigging renewed", "1", "1850.00", "20"),),
    text=(
        "Dear Sir or Madam,",
        "for renewing the standing rigging of the training boat we charge 1,850.00, and VAT at 20 per cent, 370.00;",
        "that makes 2,220.00 pounds sterling (GBP) in all. Within ten days we should settle for 2,175.60.",
        "This letter is our bill RR/121 of 22 April 2024. We should be glad of the sum by 22 May 2024.",
        "",
        "Yours faithfully",
        "Ropewalk Rigging Ltd",
    ),
)
STACKED: Final = Paper(
    "stacked",
    "de",
    "Rechnung",
    BRANDT,
    WERFT,
    german("SB-4471", "17.04.2024", "17.05.2024"),
    (Item("Festmacherleine 24 mm, 40 m", "6", "148.50"), Item("Spleiß mit Kausche", "12", "19.00")),
    DE,
    text=("Wir lieferten Ihnen Festmacher und Spleiße laut Lieferschein.",),
    foot=FOOT_DE[:1],
)
BY_OFFER: Final = Paper(
    "plain",
    "de",
    "Rechnung",
    BRANDT,
    WERFT,
    (),
    (),
    DE,
    foot=FOOT_DE[:1],
    text=(
        "Rechnungsnummer: SB-4480",
        "Rechnungsdatum: 23.04.2024",
        "",
        "Sehr geehrte Damen und Herren,",
        "wir berechnen Ihnen die Takelarbeiten vom 18.04.2024 zum vereinbarten Preis zuzüglich der gesetzlichen Steuer.",
        "Den Betrag entnehmen Sie bitte unserem Angebot, das Ihnen vorliegt.",
        "",
        "Mit freundlichen Grüßen",
        "Seilerei Brandt e.K.",
    ),
)
KRONA: Final = replace(
    MODERN,
    seller=FJORD,
    buyer=WERFT,
    facts=english("FL-2207", "18 April 2024", "18 May 2024"),
    items=(Item("Lantern glass, ground", "6", "1150.00", "25"),),
    currency="SEK",
    sign="SEK",
    foot=("Payment in Swedish kronor only.",),
    colour="#5b4b8a",
)
