"""Writes `samples/invoices/`: the documents; and `samples/invoices.json`: the truth about them. A re-run gives the same bytes.

    python -m samples.make_invoices

Everybody named here is invented. The truth is for scoring; no node reads it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from PIL import Image, ImageDraw, ImageFont
from reportlab.lib.pagesizes import A4
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from samples.invoice_layouts import Item, Paper, draw, money
from samples.invoice_papers import (
    BOXED,
    CREDIT,
    DEPOSIT,
    DOLLAR,
    FRANKEN,
    KORREKTUR,
    LETTER,
    LETTER_ONLY,
    MEYER,
    MODERN,
    REMINDER,
    english,
    german,
)
from samples.invoice_xml import attach, cii

FOLDER: Final = Path(__file__).parent / "invoices"


@dataclass(frozen=True)
class Sample:
    """One document: its bytes, how its run ends, why, and what its fields are (where they are known)."""

    name: str
    content: bytes
    end: str
    why: str
    finding: str = ""
    fields: dict[str, Any] = field(default_factory=dict)


def truth(paper: Paper, number: str, date: str, due_date: str, code: str = "380") -> dict[str, Any]:
    """The fields of a paper as they ought to be read."""
    paid = Decimal(paper.prepaid or 0)
    return {
        "number": number,
        "type_code": code,
        "date": date,
        "due_date": due_date,
        "seller": paper.seller[0],
        "buyer": paper.buyer[0],
        "currency": paper.currency,
        "net": str(paper.net),
        "tax": str(paper.tax),
        "total": str(paper.total),
        "prepaid": str(paid),
        "due": str(paper.total - paid),
    }


def good() -> Iterator[Sample]:
    """The documents that are posted without a person."""
    first = truth(LETTER, "2024-117", "2024-03-12", "2024-04-11")
    yield Sample("2024-117.pdf", draw(LETTER), "posted", "a German letter, one tax rate", fields=first)
    boxed = truth(BOXED, "R/24/0391", "2024-04-04", "2024-04-18")
    yield Sample("R-24-0391.pdf", draw(BOXED), "posted", "two tax rates, labelled parties", fields=boxed)
    yield Sample("HV-20311.pdf", draw(MODERN), "posted", "English, pounds", fields=truth(MODERN, "HV-20311", "2024-03-14", "2024-04-13"))
    yield Sample(
        "CS-88120.pdf", draw(DOLLAR), "posted", "English, US dollars, no tax", fields=truth(DOLLAR, "CS-88120", "2024-03-22", "2024-04-21")
    )
    franken = truth(FRANKEN, "AK-2024-0077", "2024-04-02", "2024-05-02")
    yield Sample("AK-2024-0077.pdf", draw(FRANKEN), "posted", "Swiss francs, 1'234.50, month written out", fields=franken)
    credit = truth(CREDIT, "CN-20047", "2024-04-02", "", "381") | {"due_date": None}
    yield Sample("CN-20047.pdf", draw(CREDIT), "posted", "a credit note: its positive total is owed to us", fields=credit)
    correction = truth(KORREKTUR, "K-2024-009", "2024-03-19", "", "384") | {"due_date": None}
    yield Sample("K-2024-009.pdf", draw(KORREKTUR), "posted", "a correction with negative amounts", fields=correction)
    deposit = truth(DEPOSIT, "R/24/0402", "2024-04-11", "2024-04-25")
    yield Sample("R-24-0402.pdf", draw(DEPOSIT), "posted", "a deposit is taken off: the amount due is not the total", fields=deposit)
    yield from with_xml()


def with_xml() -> Iterator[Sample]:
    """Documents that carry or are Factur-X XML."""
    paper = replace(
        LETTER, seller=MEYER, facts=german("2024-121", "20.03.2024", "19.04.2024"), items=(Item("Aktenschrank zweitürig", "3", "318.00"),)
    )
    xml = cii(paper, "2024-121", "20240320", "20240419")
    fields = truth(paper, "2024-121", "2024-03-20", "2024-04-19")
    yield Sample("2024-121.pdf", attach(draw(paper), xml), "posted", "page and attached XML agree", fields=fields)
    paper = replace(paper, facts=german("2024-122", "21.03.2024", "20.04.2024"), items=(Item("Rollcontainer", "4", "174.90"),))
    xml = cii(paper, "2024-122", "20240321", "20240420")
    yield Sample("2024-122.xml", xml, "posted", "XML alone", fields=truth(paper, "2024-122", "2024-03-21", "2024-04-20"))
    paper = replace(paper, facts=german("2024-123", "22.03.2024", "21.04.2024"), items=(Item("Konferenztisch", "1", "1190.00"),))
    other = replace(paper, items=(Item("Konferenztisch", "1", "1090.00"),))
    xml = cii(other, "2024-123", "20240322", "20240421")
    why = "the page asks for 1416.10, its XML for 1297.10: only the sender knows which is right"
    yield Sample("2024-123.pdf", attach(draw(paper), xml), "parked", why, "conflict.total")
    dtd = b'<?xml version="1.0"?>\n<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>\n'
    yield Sample("hostile.xml", dtd + xml.partition(b"\n")[2], "quarantined", "declares entities, as attacks on XML readers do", "entities")


def doubtful() -> Iterator[Sample]:
    """The documents about which a person has to say something."""
    wrong = replace(LETTER, facts=german("2024-118", "14.03.2024", "13.04.2024"), said={"total": money(LETTER.total + 90, "de")})
    yield Sample("2024-118.pdf", draw(wrong), "parked", f"net and tax give {LETTER.total}, the page says {LETTER.total + 90}", "total")
    vague = replace(DOLLAR, facts=english("CS-88131", "04/05/2024", "05/05/2024"))
    yield Sample(
        "CS-88131.pdf", draw(vague), "parked", "04/05/2024 may be 5 April or 4 May, and nothing on the page tells which", "missing.date"
    )
    torn = replace(MODERN, facts=english("", "18 March 2024", "17 April 2024")[1:])
    yield Sample("HV-unnumbered.pdf", draw(torn), "parked", "no invoice number anywhere", "missing.number")
    why = "a scan: very likely an invoice that somebody has to pay, only beyond rules; nobody is at fault, so it is parked, not set aside"
    yield Sample("scan-0412.pdf", scan(), "parked", why, "scan")


def set_aside() -> Iterator[Sample]:
    """The documents that are no invoice for us."""
    copy = draw(LETTER, author="Meyer Bürotechnik GmbH, Buchhaltung")
    why = "2024-117 sent again with other bytes; a batch comes to it last"
    yield Sample("zweitschrift-2024-117.pdf", copy, "quarantined", why, "duplicate", {"duplicate_of": "2024-117.pdf"})
    yield Sample("opening-hours.pdf", draw(LETTER_ONLY), "quarantined", "a letter that only mentions invoices", "no invoice")
    yield Sample("reminder.pdf", draw(REMINDER), "quarantined", "a reminder: it names an invoice, and is none", "Zahlungserinnerung")
    yield Sample("locked.pdf", draw(BOXED, key="sesam"), "quarantined", "encrypted, the password is not ours", "encrypted")
    yield Sample("empty.pdf", b"", "quarantined", "0 bytes", "empty")
    whole = draw(replace(MODERN, facts=english("HV-20318", "19 March 2024", "18 April 2024")))
    yield Sample("cut-off.pdf", whole[: len(whole) * 3 // 5], "quarantined", "the upload broke off: the file's end is missing", "cut off")


def scan() -> bytes:
    """A PDF of one picture, as a scanner makes it: no text layer."""
    picture = Image.new("L", (1240, 1754), 250)
    pen = ImageDraw.Draw(picture)
    lines = (
        ("Holzbau Sander e.K.", 44),
        ("Am Sägewerk 2, 34414 Warburg", 24),
        ("", 60),
        ("Rechnung Nr. 24-0087", 40),
        ("Datum: 09.04.2024", 26),
        ("", 40),
        ("Kantholz 8x8, 36 m        9,20        331,20", 26),
        ("Zuschnitt                              45,00", 26),
        ("", 30),
        ("Netto 376,20", 26),
        ("19 % MwSt 71,48", 26),
        ("Gesamtbetrag 447,68 EUR", 34),
    )
    top = 150
    for line, size in lines:
        pen.text((140, top), line, fill=40, font=ImageFont.load_default(size))
        top += size + 26
    picture = picture.rotate(0.6, fillcolor=250)
    out = io.BytesIO()
    page = Canvas(out, pagesize=A4, invariant=1)
    page.drawImage(ImageReader(picture), 0, 0, *A4)
    page.showPage()
    page.save()
    return out.getvalue()


def main() -> None:
    """Writes every document and the truth."""
    FOLDER.mkdir(exist_ok=True)
    samples = sorted((*good(), *doubtful(), *set_aside()), key=lambda sample: sample.name)
    for sample in samples:
        (FOLDER / sample.name).write_bytes(sample.content)
    told = {
        sample.name: {key: value for key, value in vars(sample).items() if key not in ("name", "content") and value not in ("", {})}
        for sample in samples
    }
    FOLDER.with_suffix(".json").write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{len(samples)} documents in {FOLDER}")


if __name__ == "__main__":
    main()
