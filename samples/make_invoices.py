"""Writes `samples/invoices/`: the documents; `samples/invoices.json`: the truth about them; and `samples/recorded_answers.json`.

    python -m samples.make_invoices

A re-run gives the same bytes. Everybody named here is invented. The truth is for scoring and for the commands that the demo prints; no
node reads it. The recorded answers stand in for a model's where none is configured: no model gave them, they were written for these documents.
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
    BY_OFFER,
    CREDIT,
    DEPOSIT,
    DOLLAR,
    FRANKEN,
    HASTY,
    KORREKTUR,
    KRONA,
    LETTER,
    LETTER_ONLY,
    MEYER,
    MODERN,
    PROSE,
    REMINDER,
    STACKED,
    WERFT,
    english,
    german,
)
from samples.invoice_xml import attach, cii
from tools.ledger import kind_of

FOLDER: Final = Path(__file__).parent / "invoices"


PRINTED: Final = ("number", "date", "due_date", "seller", "buyer", "currency", "net", "tax", "total", "prepaid", "due")
"""What a model is asked for."""


@dataclass(frozen=True)
class Sample:
    """One document: its bytes, how its run ends (`posted`, `quarantined`, or waiting for a `clerk` or a `controller`), and why."""

    name: str
    content: bytes
    end: str
    why: str
    finding: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    """What is to be booked, as far as the page or its sender tells."""
    confirmed: tuple[str, ...] = ()
    """The findings in which the document turns out to be right as it stands."""
    rejected: str = ""
    """Why the clerk gives it up, where nothing can be booked."""
    marks: tuple[str, ...] = ()
    """What the page says and no other page does, all of it: by this its recorded answer is known."""
    misread: dict[str, str] = field(default_factory=dict)
    """What the recorded answer has otherwise than the truth."""
    abstains: str = ""
    """Why the recorded answer is none."""

    def told(self) -> dict[str, Any]:
        """The truth about it."""
        told = {name: getattr(self, name) for name in ("end", "why", "finding", "fields", "confirmed", "rejected")}
        return {name: value for name, value in told.items() if value}

    def recorded(self) -> dict[str, Any]:
        """Its recorded answer, as the server of `pointsman.testing` takes it."""
        answer = {"abstain": self.abstains} if self.abstains else {"answer": {name: self.fields[name] for name in PRINTED} | self.misread}
        return {"document": self.name, "when": self.marks, **answer}


def truth(paper: Paper, number: str, date: str, due_date: str, code: str = "380") -> dict[str, Any]:
    """The fields of a paper as they ought to be read."""
    paid = Decimal(paper.prepaid or 0)
    return {
        "number": number,
        "kind": kind_of(code),
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
    why = "the page asks for 1416.10, its XML for 1297.10: only the sender knows which is right (he says: the page)"
    fields = truth(paper, "2024-123", "2024-03-22", "2024-04-21")
    conflicts = tuple(f"conflict.{name}" for name in ("net", "tax", "total", "due"))
    yield Sample("2024-123.pdf", attach(draw(paper), xml), "clerk", why, "conflict.total", fields, conflicts)
    dtd = b'<?xml version="1.0"?>\n<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>\n'
    yield Sample("hostile.xml", dtd + xml.partition(b"\n")[2], "quarantined", "declares entities, as attacks on XML readers do", "entities")


def doubtful() -> Iterator[Sample]:
    """The documents about which a clerk has to say something."""
    wrong = replace(LETTER, facts=german("2024-118", "14.03.2024", "13.04.2024"), said={"total": money(LETTER.total + 90, "de")})
    why = f"net and tax give {LETTER.total}, the page says {LETTER.total + 90}"
    yield Sample("2024-118.pdf", draw(wrong), "clerk", why, "total", truth(LETTER, "2024-118", "2024-03-14", "2024-04-13"))
    vague = replace(DOLLAR, facts=english("CS-88131", "04/05/2024", "05/05/2024"))
    why = "04/05/2024 may be 5 April or 4 May, and nothing on the page tells which: no model is asked to guess"
    yield Sample("CS-88131.pdf", draw(vague), "clerk", why, "missing.date", truth(vague, "CS-88131", "2024-04-05", "2024-05-05"))
    torn = replace(MODERN, facts=english("", "18 March 2024", "17 April 2024")[1:])
    why, asked = "no invoice number anywhere: the model abstains", truth(torn, "HV-20315", "2024-03-18", "2024-04-17")
    marks, abstains = ("Harbour & Vale Ltd", "18 March 2024"), "no number of this invoice is printed; PO-7781 is the customer's reference"
    yield Sample("HV-unnumbered.pdf", draw(torn), "clerk", why, "missing.number", asked, marks=marks, abstains=abstains)
    why = "a scan: very likely an invoice that somebody has to pay, only beyond rules and beyond a model that is sent text"
    fields = {"number": "24-0087", "kind": "invoice", "type_code": "380", "date": "2024-04-09", "seller": "Holzbau Sander e.K."}
    sums = {"currency": "EUR", "net": "376.20", "tax": "71.48", "total": "447.68", "prepaid": "0", "due": "447.68"}
    yield Sample("scan-0412.pdf", scan(), "clerk", why, "scan", fields | {"buyer": WERFT[0]} | sums)


def for_a_model() -> Iterator[Sample]:
    """The documents that rules cannot read. In two of them the recorded answer is right, in one there is none, in one it is wrong."""
    fields = truth(PROSE, "RR/118", "2024-04-16", "2024-05-16")
    yield Sample("RR-118.pdf", draw(PROSE), "posted", "prose: a model reads what no label names", fields=fields, marks=("RR/118",))
    fields = truth(STACKED, "SB-4471", "2024-04-17", "2024-05-17")
    why = "labels and values stand apart: a model tells which is which"
    yield Sample("SB-4471.pdf", draw(STACKED), "posted", why, fields=fields, marks=("SB-4471",))
    why, abstains = "it states no amounts: the model abstains", "the page states no amounts; it refers to an offer that is not part of it"
    rejected = "sent back: it states no amounts"
    yield Sample("SB-4480.pdf", draw(BY_OFFER), "clerk", why, "missing.total", rejected=rejected, marks=("SB-4480",), abstains=abstains)
    fields = truth(HASTY, "RR/121", "2024-04-22", "2024-05-22")
    why = "prose with a second sum for early payment: the recorded answer takes that for the total, and the sums do not add up"
    sums = {"total": "2175.60", "due": "2175.60"}
    yield Sample("RR-121.pdf", draw(HASTY), "clerk", why, "total", fields, marks=("RR/121",), misread=sums)


def large() -> Iterator[Sample]:
    """The documents that are above what is posted without asking."""
    items = (Item("Schreibtisch höhenverstellbar", "12", "449.00"), Item("Bürostuhl Modell Ergo", "12", "289.50"))
    paper = replace(LETTER, facts=german("2024-131", "15.04.2024", "15.05.2024"), items=items)
    fields = truth(paper, "2024-131", "2024-04-15", "2024-05-15")
    yield Sample("2024-131.pdf", draw(paper), "controller", "above the amount that is posted without asking", fields=fields)
    fields = truth(KRONA, "FL-2207", "2024-04-18", "2024-05-18")
    why = "kronor: the rules do not know them, so a model reads the sums; and the policy names no amount for them"
    yield Sample("FL-2207.pdf", draw(KRONA), "controller", why, fields=fields, marks=("FL-2207",))


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
    """Writes every document, the truth and the recorded answers."""
    FOLDER.mkdir(exist_ok=True)
    samples = sorted((*good(), *for_a_model(), *large(), *doubtful(), *set_aside()), key=lambda sample: sample.name)
    for sample in samples:
        (FOLDER / sample.name).write_bytes(sample.content)
    _write("invoices.json", {sample.name: sample.told() for sample in samples})
    _write("recorded_answers.json", [sample.recorded() for sample in samples if sample.marks])
    print(f"{len(samples)} documents in {FOLDER}")


def _write(name: str, content: Any) -> None:
    (FOLDER.parent / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
